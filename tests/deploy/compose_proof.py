"""`make compose-test`: the compose file brought up for real, and what it promises looked at.

Needs images (`make images`), and Compose with a Docker daemon or podman's socket at DOCKER_HOST;
the stand-ins of deploy/compose/offline where nothing can be pulled. Everything that it makes has a
project name of its own and is removed at the end. Exit status 1 at the first promise not kept.
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

from tests.deploy.compose_project import COMPOSE, Broken, Platform, note, require, say, wait

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
    bare = {"PATH": os.environ["PATH"]}
    file = str(COMPOSE / "compose.yaml")
    done = subprocess.run(
        [*command, "--env-file", os.devnull, "--file", file, "config", "--quiet"],
        env=bare, capture_output=True, text=True,
    )  # fmt: skip
    example = (COMPOSE / ".env.example").read_text()
    secrets = re.findall(r"^(\w+)=$", example, re.MULTILINE)
    named = [name for name in secrets if f"required variable {name} is missing" in done.stderr]
    require(
        done.returncode != 0 and named == secrets,
        f"without its {len(secrets)} secrets it does not start, and names them: {named[-1]}, …",
    )


def is_locked_down(platform: Platform) -> None:
    service = platform.url("SERVICE_PORT")
    for path in ("/metrics", "/reload-model"):
        method = "POST" if "reload" in path else "GET"
        answer = httpx.request(method, service + path, trust_env=False)
        require(answer.status_code == 404, f"the proxy does not publish {path}: 404")
    answer = httpx.get(service, headers={"Host": "evil.example"}, trust_env=False)
    require(answer.status_code == 421, "the proxy refuses a foreign host name: 421")
    for part in ("service", "dagster-code", "mlflow", "ui", "proxy"):
        look = "id -u; touch /written 2> /dev/null && echo writable || echo read-only"
        told = platform("exec", "-T", part, "sh", "-c", look).stdout.split()
        require(told == ["10001", "read-only"], f"{part} runs as {told[0]}, its root is {told[1]}")
    known = ("exec", "-T", "proxy", "getent", "hosts")
    require(platform(*known, "service").returncode == 0, "the proxy finds the service")
    require(platform(*known, "postgres", check=False).returncode != 0, "and not PostgreSQL")
    write = "import s3fs; s3fs.S3FileSystem().pipe('realtor/published/history.json', b'{}')"
    written = platform("exec", "-T", "service", "python", "-c", write, check=False)
    require("PermissionError" in written.stderr, "the service reads the store and cannot write it")
    for row in platform.containers():
        for published in row["Publishers"] or []:
            if published["PublishedPort"]:
                address = published["URL"]
                require(address == "127.0.0.1", f"{row['Service']} is published on {address} only")


def is_small(platform: Platform) -> None:
    """The serving image, uncompressed, whatever the engine calls its size."""
    # Not all of it may be read by the service's user: /root and the like.
    look = ("exec", "-T", "service", "du", "-xs", "--apparent-size", "--block-size=1MB", "/")
    size = int(platform(*look, check=False).stdout.split()[0])
    require(size < SERVING_MB, f"the serving image holds {size} MB, less than {SERVING_MB}")


def learns(platform: Platform) -> None:
    """One batch asked for; what follows, the sensors do."""
    launched = platform.graphql(LAUNCH)["launchRun"]
    require(launched["__typename"] == "LaunchRunSuccess", f"ingest is launched: {launched}")
    told: set[tuple[str, str]] = set()

    def served() -> str | None:
        for run in reversed(_runs(platform)):
            outcome = (run["jobName"], run["status"])
            if outcome not in told:
                told.add(outcome)
                note(f"{outcome[0]}: {outcome[1]}")
        if failed := [job for job, status in told if status in ("FAILURE", "CANCELED")]:
            raise Broken(f"failed: {failed}")
        done = {job for job, status in told if status == "SUCCESS"}
        return ", ".join(sorted(done)) if {"ingest", "load", "clean", "train"} <= done else None

    wait("Dagster's runs succeeded", served, 1800)


def _runs(platform: Platform) -> list[dict[str, Any]]:
    """The newest first."""
    return list(platform.graphql(RUNS)["runsOrError"]["results"])


def answers(platform: Platform) -> None:
    """One home, its explanation, and tables of homes, through the proxy."""
    service = platform.url("SERVICE_PORT")
    price = httpx.post(service + "/predict", json=HOME, timeout=20, trust_env=False).json()["price"]
    explained = httpx.post(service + "/explain", json=HOME, timeout=60, trust_env=False).json()
    parts = sum(each["dollars"] for each in explained["contributions"])
    require(
        abs(explained["base_price"] + parts - price) < 1,
        f"/explain: {len(explained['contributions'])} parts make the price, {price:.0f}",
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
    """Prometheus reaches all that it looks at, each replica for itself."""
    expected = {
        "service": 2, "dagster-metrics": 1, "postgres": 1, "node": 1, "prometheus": 1,
    }  # fmt: skip

    def seen() -> str | None:
        found = _measured(platform, "sum by (job) (up)")
        up = {each["metric"]["job"]: int(each["value"][1]) for each in found}
        # Alertmanager is not brought up here.
        return str(expected) if up == expected | {"alertmanager": 0} else None

    wait("Prometheus scrapes", seen, 90)


def _measured(platform: Platform, query: str) -> list[dict[str, Any]]:
    answer = httpx.get(
        platform.url("PROMETHEUS_PORT") + "/api/v1/query",
        params={"query": query}, timeout=20, trust_env=False,
    ).raise_for_status()  # fmt: skip
    return list(answer.json()["data"]["result"])


def is_backed_up(platform: Platform) -> None:
    """The container that saves the databases and the stores, and that Prometheus hears of it."""
    said = platform("--profile", "backup", "run", "--rm", "-T", "backup").stdout.splitlines()
    say(f"backup: {said[-1] if said else 'whole'}")
    age = "time() - realtor_backup_newest_timestamp_seconds"
    wait("Prometheus knows of it", lambda: _measured(platform, age), 90)


def is_loaded(platform: Platform) -> None:
    """Locust's container, with its key: it judges the service and ends with an error otherwise."""
    platform("--profile", "load", "run", "--rm", "-T", "locust")
    say("the load test passes")


def outlives_its_code_server(platform: Platform) -> None:
    """A run whose container is killed under it is tried again."""
    platform.graphql(LAUNCH)

    def running() -> str | None:
        return next((run["runId"] for run in _runs(platform) if run["status"] == "STARTED"), None)

    lost = wait("a run is going on", running, 120)
    platform("kill", "dagster-code")
    platform.up()

    def tried_again() -> str | None:
        return next(
            (f"{run['jobName']}: {run['status']}" for run in _runs(platform)
             if run["parentRunId"] == lost and run["status"] == "SUCCESS"), None,
        )  # fmt: skip

    wait("killed with its container, it was tried again", tried_again, 600)


def outlives_a_replica(platform: Platform) -> None:
    """Every request is answered while one of the two services ends, and comes back."""
    service = platform.url("SERVICE_PORT")
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                answer = httpx.post(service + "/predict", json=HOME, timeout=30, trust_env=False)
                statuses.append(answer.status_code)
            except httpx.TransportError:
                statuses.append(0)
            time.sleep(0.05)

    look = "import socket; print(*{each[4][0] for each in socket.getaddrinfo('service', 8080)})"
    found = platform("exec", "-T", "ui", "python", "-c", look).stdout.split()
    require(len(found) == 2, f"there are two services: {sorted(found)}")
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        # Its restart policy brings it back. The exec may end with what it is in.
        end = ("exec", "-T", "--index", "2", "service", "sh", "-c", "kill -TERM 1")
        platform(*end, check=False)
        wait("one is away", lambda: _healthy_services(platform) == 1, 60)
        alone = len(statuses)
        wait("both are healthy again", lambda: _healthy_services(platform) == 2, 180)
    finally:
        stop.set()
        asking.join()
    answered = statuses.count(200)
    require(
        answered == len(statuses) > alone > 0,
        f"one replica away and back: {answered} of {len(statuses)} requests answered",
    )


def _healthy_services(platform: Platform) -> int:
    return sum(
        row["Health"] == "healthy" for row in platform.containers() if row["Service"] == "service"
    )


def state(platform: Platform) -> dict[str, Any]:
    """What must be the same after everything was down."""
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


def prove(platform: Platform, command: Sequence[str]) -> None:
    refuses_without_secrets(command)
    platform("down", "--volumes")
    platform.up()
    learns(platform)
    before = state(platform)
    for name, value in before.items():
        say(f"{name}: {value}")
    answers(platform)
    is_watched(platform)
    app = platform.get("UI_PORT")
    require(app is not None and app.is_success, "the app answers")
    is_locked_down(platform)
    is_small(platform)
    is_loaded(platform)
    is_backed_up(platform)
    outlives_a_replica(platform)
    wait("the service's answers are in inference_log", lambda: _logged(platform), 60)
    platform("restart", "service")
    wait("restarted, the service answers through the proxy", lambda: _is_ready(platform), 180)
    platform("down")
    say("everything is down")
    platform.up()
    after = state(platform)
    require(after == before, "after down and up, all of it is the same")
    outlives_its_code_server(platform)
    say("all promises are kept")


def _logged(platform: Platform) -> int:
    return int(platform.sql("realtor_raw", "SELECT count(*) FROM inference_log"))


def _is_ready(platform: Platform) -> bool:
    answer = platform.get("SERVICE_PORT", "/readyz")
    return answer is not None and answer.is_success


def main() -> int:
    """The command line; returns 0, or 1 when a promise is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--overlay", type=Path, help="a compose file laid over compose.yaml")
    parser.add_argument("--tag", required=True, help="IMAGE_TAG")
    parser.add_argument("--keep", action="store_true", help="leave the platform running")
    chosen = parser.parse_args()
    compose = shutil.which("docker-compose")
    command = [compose] if compose else ["docker", "compose"]
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "env"
        subprocess.run(
            [sys.executable, COMPOSE / "make_env.py", chosen.tag, environment], check=True
        )
        with environment.open("a") as file:
            prefix = os.environ.get("IMAGE_PREFIX", "ghcr.io/owner/realtor")
            file.write(f"MARKET_ROWS=40000\nUSERS=4\nDURATION=15s\nIMAGE_PREFIX={prefix}\n")
        platform = Platform(command, environment, chosen.overlay)
        try:
            prove(platform, command)
        except Broken as problem:
            note(f"✗ {problem}")
            platform.confess()
            return 1
        finally:
            if not chosen.keep:
                platform("down", "--volumes", "--timeout", "20", check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
