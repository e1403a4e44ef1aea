"""`make compose-test`: starts the compose project and checks that it works as documented.

Needs the images (`make images`), and Compose with a Docker daemon or podman's socket at
DOCKER_HOST; without a registry, the replacements in deploy/compose/offline. It uses its own project
name and removes everything at the end. Exits with status 1 at the first failed check.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pandas as pd

from tests.deploy.compose_project import COMPOSE, CheckFailed, Platform, note, passed, require, wait

HOME = {"state": "Connecticut", "city": "Hartford", "zip_code": "06114", "house_size": 1600}
TABLES: dict[str, Callable[[io.BytesIO], pd.DataFrame]] = {
    "text/csv": pd.read_csv,
    "application/vnd.apache.parquet": pd.read_parquet,
}
SERVING_MB = 700
LAUNCH = """mutation { launchRun(executionParams: {selector: {
  repositoryLocationName: "realtor", repositoryName: "__repository__", pipelineName: "ingest"},
  runConfigData: {}}) { __typename ... on LaunchRunSuccess { run { runId } }
  ... on Error { message } } }"""
RUNS = """{ runsOrError(limit: 50) { ... on Runs { results {
  runId jobName status parentRunId } } } }"""


def refuses_without_secrets(command: Sequence[str]) -> None:
    environment = {"PATH": os.environ["PATH"]}
    file = str(COMPOSE / "compose.yaml")
    result = subprocess.run(
        [*command, "--env-file", os.devnull, "--file", file, "config", "--quiet"],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    example = (COMPOSE / ".env.example").read_text()
    secrets = re.findall(r"^(\w+)=$", example, re.MULTILINE)
    named = [name for name in secrets if f"required variable {name} is missing" in result.stderr]
    require(
        result.returncode != 0 and named == secrets,
        f"without its {len(secrets)} secrets it does not start, and names them: {named[-1]}, …",
    )


def is_locked_down(platform: Platform) -> None:
    service = platform.url("SERVICE_PORT")
    for path in ("/metrics", "/reload-model"):
        method = "POST" if "reload" in path else "GET"
        answer = httpx.request(method, service + path, trust_env=False)
        require(answer.status_code == 404, f"the proxy does not publish {path}: 404")
    answer = httpx.get(service, headers={"Host": "evil.example"}, trust_env=False)
    require(answer.status_code == 421, "the proxy refuses an unknown host name: 421")
    for part in ("service", "dagster-code", "mlflow", "ui", "proxy"):
        script = "id -u; touch /written 2> /dev/null && echo writable || echo read-only"
        user, root = platform("exec", "-T", part, "sh", "-c", script).stdout.split()
        restricted = (user, root) == ("10001", "read-only")
        require(restricted, f"{part} runs as {user}, its root is {root}")
    look_up = ("exec", "-T", "proxy", "getent", "hosts")
    require(platform(*look_up, "service").returncode == 0, "the proxy can reach the service")
    missing = platform(*look_up, "postgres", check=False).returncode != 0
    require(missing, "the proxy cannot reach PostgreSQL")
    write = "import s3fs; s3fs.S3FileSystem().pipe('realtor/published/history.json', b'{}')"
    written = platform("exec", "-T", "service", "python", "-c", write, check=False)
    require("PermissionError" in written.stderr, "the service cannot write to the store")
    for row in platform.containers():
        for published in row["Publishers"] or []:
            if published["PublishedPort"]:
                address = published["URL"]
                require(address == "127.0.0.1", f"{row['Service']} is published on {address} only")


def is_small(platform: Platform) -> None:
    """Measures the uncompressed size of the serving image inside a container."""
    # check=False: the service's user cannot read some folders, such as /root.
    command = ("exec", "-T", "service", "du", "-xs", "--apparent-size", "--block-size=1MB", "/")
    size = int(platform(*command, check=False).stdout.split()[0])
    require(size < SERVING_MB, f"the serving image has {size} MB, less than {SERVING_MB}")


def trains_on_a_batch(platform: Platform) -> None:
    """Launches one ingest, and waits for the runs that the sensors start after it."""
    launched = platform.graphql(LAUNCH)["launchRun"]
    require(launched["__typename"] == "LaunchRunSuccess", f"Dagster launches ingest: {launched}")
    outcomes: set[tuple[str, str]] = set()

    def finished_jobs() -> str | None:
        for run in reversed(_runs(platform)):
            outcome = (run["jobName"], run["status"])
            if outcome not in outcomes:
                outcomes.add(outcome)
                note(f"{outcome[0]}: {outcome[1]}")
        if failed := [job for job, status in outcomes if status in ("FAILURE", "CANCELED")]:
            raise CheckFailed(f"failed: {failed}")
        done = {job for job, status in outcomes if status == "SUCCESS"}
        return ", ".join(sorted(done)) if {"ingest", "load", "clean", "train"} <= done else None

    wait("Dagster's runs succeeded", finished_jobs, 1800)


def _runs(platform: Platform) -> list[dict[str, Any]]:
    """The latest runs, newest first."""
    return list(platform.graphql(RUNS)["runsOrError"]["results"])


def answers(platform: Platform) -> None:
    """Values one home, explains it, and values tables of homes through the proxy."""
    service = platform.url("SERVICE_PORT")
    price = httpx.post(service + "/predict", json=HOME, timeout=20, trust_env=False).json()["price"]
    explained = httpx.post(service + "/explain", json=HOME, timeout=60, trust_env=False).json()
    parts = sum(part["dollars"] for part in explained["contributions"])
    require(
        abs(explained["base_price"] + parts - price) < 1,
        f"/explain: {len(explained['contributions'])} parts add up to the price, {price:.0f}",
    )
    homes = pd.DataFrame([HOME, HOME | {"house_size": 2400}])
    for kind, read in TABLES.items():
        body = homes.to_csv(index=False).encode() if kind == "text/csv" else homes.to_parquet()
        answer = httpx.post(
            service + "/predict-batch", content=body, headers={"Content-Type": kind},
            timeout=60, trust_env=False,
        ).raise_for_status()  # fmt: skip
        prices = read(io.BytesIO(answer.content))["estimated_price"]
        require(abs(prices[0] - price) < 1, f"/predict-batch, {kind}: {list(prices.round())}")


def is_watched(platform: Platform) -> None:
    """Prometheus scrapes every target, including each replica separately."""
    expected = {
        "service": 2, "dagster-metrics": 1, "postgres": 1, "node": 1, "prometheus": 1,
    }  # fmt: skip

    def targets_up() -> str | None:
        series = _query_prometheus(platform, "sum by (job) (up)")
        up = {sample["metric"]["job"]: int(sample["value"][1]) for sample in series}
        # Alertmanager is not started here.
        return str(expected) if up == expected | {"alertmanager": 0} else None

    wait("Prometheus scrapes", targets_up, 90)


def _query_prometheus(platform: Platform, query: str) -> list[dict[str, Any]]:
    answer = httpx.get(
        platform.url("PROMETHEUS_PORT") + "/api/v1/query",
        params={"query": query}, timeout=20, trust_env=False,
    ).raise_for_status()  # fmt: skip
    return list(answer.json()["data"]["result"])


def is_backed_up(platform: Platform) -> None:
    """Makes a backup, and waits until Prometheus has it."""
    output = platform("--profile", "backup", "run", "--rm", "-T", "backup").stdout.splitlines()
    passed(f"backup: {output[-1] if output else 'complete'}")
    age = "time() - realtor_backup_newest_timestamp_seconds"
    wait("Prometheus has its age", lambda: _query_prometheus(platform, age), 90)


def is_loaded(platform: Platform) -> None:
    """Runs Locust's container with its key; it fails if the service misses its limits."""
    platform("--profile", "load", "run", "--rm", "-T", "locust")
    passed("the load test passes")


def retries_a_killed_run(platform: Platform) -> None:
    """Kills the container of a run, and waits until Dagster has retried the run."""
    platform.graphql(LAUNCH)

    def running() -> str | None:
        return next((run["runId"] for run in _runs(platform) if run["status"] == "STARTED"), None)

    killed = wait("a run is active", running, 120)
    platform("kill", "dagster-code")
    platform.up()

    def retried() -> str | None:
        return next(
            (f"{run['jobName']}: {run['status']}" for run in _runs(platform)
             if run["parentRunId"] == killed and run["status"] == "SUCCESS"), None,
        )  # fmt: skip

    wait("Dagster retried the killed run", retried, 600)


def answers_while_a_replica_restarts(platform: Platform) -> None:
    """Every request is answered while one of the two replicas stops and starts again."""
    service = platform.url("SERVICE_PORT")
    statuses: list[int] = []
    stop = threading.Event()

    def send_requests() -> None:
        while not stop.is_set():
            try:
                answer = httpx.post(service + "/predict", json=HOME, timeout=30, trust_env=False)
                statuses.append(answer.status_code)
            except httpx.TransportError:
                statuses.append(0)
            time.sleep(0.05)

    script = "import socket; print(*{a[4][0] for a in socket.getaddrinfo('service', 8080)})"
    addresses = platform("exec", "-T", "ui", "python", "-c", script).stdout.split()
    require(len(addresses) == 2, f"there are two replicas: {sorted(addresses)}")
    client = threading.Thread(target=send_requests)
    client.start()
    try:
        # The restart policy starts it again. check=False: the exec may end with its container.
        stop_replica = ("exec", "-T", "--index", "2", "service", "sh", "-c", "kill -TERM 1")
        platform(*stop_replica, check=False)
        wait("one replica is down", lambda: _healthy_services(platform) == 1, 60)
        requests_so_far = len(statuses)
        wait("both are healthy again", lambda: _healthy_services(platform) == 2, 180)
    finally:
        stop.set()
        client.join()
    answered = statuses.count(200)
    require(
        answered == len(statuses) > requests_so_far > 0,
        f"while one replica restarted: {answered} of {len(statuses)} requests answered",
    )


def _healthy_services(platform: Platform) -> int:
    return sum(
        row["Health"] == "healthy" for row in platform.containers() if row["Service"] == "service"
    )


def state(platform: Platform) -> dict[str, Any]:
    """The facts that must be the same after everything was down."""
    service = platform.url("SERVICE_PORT")

    wait("the service has a model", lambda: _is_ready(platform), 180)
    model = httpx.get(service + "/model-info", timeout=20, trust_env=False).json()
    price = httpx.post(service + "/predict", json=HOME, timeout=20, trust_env=False).json()["price"]
    history = httpx.get(service + "/history", timeout=20, trust_env=False).raise_for_status().json()
    registry = httpx.get(
        platform.url("MLFLOW_PORT") + "/api/2.0/mlflow/registered-models/alias",
        params={"name": "realtor-price", "alias": "production"}, timeout=20, trust_env=False,
    ).raise_for_status()  # fmt: skip
    rows = "SELECT (SELECT count(*) FROM {0}_train) + (SELECT count(*) FROM {0}_validation)"
    return {
        "model": (model["version"], model["candidate"]),
        "price of a home in Hartford": price,
        "production in MLflow": registry.json()["model_version"]["version"],
        "RAW rows": platform.sql("realtor_raw", rows.format("raw")),
        "CLEAN rows": platform.sql("realtor_clean", rows.format("clean")),
        "batches in /history": len(history["batches"]),
    }


def check_all(platform: Platform, command: Sequence[str]) -> None:
    refuses_without_secrets(command)
    platform("down", "--volumes")
    platform.up()
    trains_on_a_batch(platform)
    before = state(platform)
    for name, value in before.items():
        passed(f"{name}: {value}")
    answers(platform)
    is_watched(platform)
    app = platform.get("UI_PORT")
    require(app is not None and app.is_success, "the app answers")
    is_locked_down(platform)
    is_small(platform)
    is_loaded(platform)
    is_backed_up(platform)
    answers_while_a_replica_restarts(platform)
    wait("valuations are in inference_log", lambda: _logged(platform), 60)
    platform("restart", "service")
    wait("after a restart the service answers through the proxy", lambda: _is_ready(platform), 180)
    platform("down")
    passed("everything is down")
    platform.up()
    after = state(platform)
    require(after == before, "after down and up everything is the same")
    retries_a_killed_run(platform)
    passed("all checks passed")


def _logged(platform: Platform) -> int:
    return int(platform.sql("realtor_raw", "SELECT count(*) FROM inference_log"))


def _is_ready(platform: Platform) -> bool:
    answer = platform.get("SERVICE_PORT", "/readyz")
    return answer is not None and answer.is_success


def main() -> int:
    """The command line; returns 0, or 1 when a check fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--overlay", type=Path, help="a compose file that overrides compose.yaml")
    parser.add_argument("--tag", required=True, help="IMAGE_TAG")
    parser.add_argument("--keep", action="store_true", help="leave the platform running")
    options = parser.parse_args()
    compose = shutil.which("docker-compose")
    command = [compose] if compose else ["docker", "compose"]
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "env"
        subprocess.run(
            [sys.executable, COMPOSE / "make_env.py", options.tag, environment], check=True
        )
        with environment.open("a") as file:
            prefix = os.environ.get("IMAGE_PREFIX", "ghcr.io/owner/realtor")
            file.write(f"MARKET_ROWS=40000\nUSERS=4\nDURATION=15s\nIMAGE_PREFIX={prefix}\n")
        platform = Platform(command, environment, options.overlay)
        try:
            check_all(platform, command)
        except CheckFailed as failure:
            note(f"✗ {failure}")
            platform.print_diagnosis()
            return 1
        finally:
            if not options.keep:
                platform("down", "--volumes", "--timeout", "20", check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
