"""Runs and monitors a platform; fails if a query has no data or the alert does not arrive."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from deploy.observability.check import queries
from deploy.observability.check.files import PROMETHEUS, RULES, alertmanager_config
from deploy.observability.check.rig import (
    Platform,
    Receiver,
    RigError,
    missing_programs,
    monitoring,
    platform,
)
from realtor_local.platform_home import PlatformHome
from realtor_local.supervisor import Supervisor

# Rates over one minute need scrapes from the whole minute.
WATCHED_SECONDS = 90.0
# Covers the `for` of ServiceDown, two evaluations and the group wait.
ALERT_SECONDS = 240.0
HOME = {"state": "Texas", "city": "Houston", "zip_code": "77008", "house_size": 1_800, "bed": 3}
NOWHERE = {"state": "Texas", "city": "Nowhere", "zip_code": "00001", "house_size": 900}


def main() -> int:
    """Returns the exit status: 0 when every query has data and the alert arrives."""
    if missing := missing_programs():
        print(
            f"Not on PATH: {', '.join(missing)}. In Debian: prometheus prometheus-alertmanager "
            "prometheus-postgres-exporter prometheus-node-exporter"
        )
        return 2
    with tempfile.TemporaryDirectory(prefix="realtor-observability-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's user needs access to its data
        check_files(folder)
        print("Starting the platform: two batches, two trainings", flush=True)
        try:
            with platform(folder / "home") as running:
                return watch(running, folder)
        except RigError as problem:
            print(f"MISSED: {problem}")
            return 1


def check_files(folder: Path) -> None:
    """Checks the committed files with promtool and amtool. Raises CalledProcessError."""
    (folder / "checked.yml").write_text(alertmanager_config("http://127.0.0.1:9/"))
    files = [str(path) for path in sorted(RULES.glob("*.yml"))]
    tests = [str(path) for path in sorted((PROMETHEUS / "tests").glob("*.yml"))]
    for command in (
        # --syntax-only: the credentials file exists only on the machine that scrapes.
        ["promtool", "check", "config", "--syntax-only", str(PROMETHEUS / "prometheus.yml")],
        ["promtool", "check", "rules", *files],
        ["promtool", "test", "rules", *tests],
        ["amtool", "check-config", str(folder / "checked.yml")],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    print(f"promtool and amtool: {len(queries.rules())} rules, {len(tests)} files of tests passed")


def watch(running: Platform, folder: Path) -> int:
    """Checks every query under load, then stops the service and waits for the alert."""
    with Receiver() as receiver, monitoring(running, folder, receiver.url) as prometheus:
        print(f"Scraping under load for {WATCHED_SECONDS:.0f} s", flush=True)
        with load(running.service):
            time.sleep(WATCHED_SECONDS)
            problems = find_problems(prometheus)
        for problem in problems:
            print(f"MISSED: {problem}")
        print(
            f"Stopping the service: ServiceDown has to arrive within {ALERT_SECONDS:.0f} s",
            flush=True,
        )
        start_time = time.monotonic()
        Supervisor(PlatformHome(running.home)).stop_program("service")
        alert = receiver.wait_for("ServiceDown", ALERT_SECONDS)
        seconds = time.monotonic() - start_time
        print(f"Arrived after {seconds:.0f} s: {alert['annotations']['summary']}")
    return 1 if problems else 0


def find_problems(prometheus: str) -> list[str]:
    """Returns the targets that are down, queries without data and rules that fail to evaluate."""
    targets = httpx.get(f"{prometheus}/api/v1/targets", timeout=30).json()["data"]["activeTargets"]
    problems = [
        f"target {target['labels']['job']}: {target['lastError']}"
        for target in targets
        if target["health"] != "up"
    ]
    all_queries = [*queries.dashboard_queries(), *queries.recording_rule_queries()]
    problems += filter(None, (queries.problem(prometheus, query) for query in all_queries))
    groups = httpx.get(f"{prometheus}/api/v1/rules", timeout=30).json()["data"]["groups"]
    evaluated = [rule for group in groups for rule in group["rules"]]
    problems += [
        f"rule {rule['name']}: {rule.get('lastError') or rule['health']}"
        for rule in evaluated
        if rule["health"] != "ok"
    ]
    if len(evaluated) != len(queries.rules()):
        problems.append(f"Prometheus evaluates {len(evaluated)} of {len(queries.rules())} rules")
    firing = sorted({rule["name"] for rule in evaluated if rule.get("state") == "firing"})
    print(
        f"{len(targets)} targets, {len(all_queries)} queries, {len(evaluated)} rules: "
        f"{len(problems)} problems; firing: {', '.join(firing) or 'nothing'}"
    )
    return problems


@contextmanager
def load(service: str) -> Iterator[None]:
    """Sends requests all the time: homes, batches, explanations, unknown places and errors."""
    stopped = threading.Event()

    def send_requests() -> None:
        with httpx.Client(base_url=service, timeout=30) as client:
            while not stopped.wait(0.1):
                client.post("/predict", json=HOME)
                client.post("/predict", json=NOWHERE)
                client.post("/predict-batch", json={"properties": [HOME] * 20})
                client.post("/explain", json=HOME)
                client.post("/predict", json={"house_size": -1})
                client.get("/nothing-here")

    thread = threading.Thread(target=send_requests)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main())
