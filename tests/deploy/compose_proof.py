"""`make compose-test`: the compose file brought up for real, and what it promises looked at.

Needs images (`make images`), and Compose with a Docker daemon or podman's socket at DOCKER_HOST;
the stand-ins of deploy/compose/offline where nothing can be pulled. Everything that it makes has a
project name of its own and is removed at the end. Exit status 1 at the first promise not kept.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose"
PARTS = (
    "postgres", "s3", "mlflow", "dagster-code", "dagster-webserver", "dagster-daemon",
    "service", "proxy", "ui", "upstream",
)  # fmt: skip
PORTS = ("SERVICE_PORT", "UI_PORT", "DAGSTER_PORT", "MLFLOW_PORT")
HOME = {"state": "Connecticut", "city": "Hartford", "zip_code": "06114", "house_size": 1600}
LAUNCH = """mutation { launchRun(executionParams: {selector: {
  repositoryLocationName: "realtor", repositoryName: "__repository__", pipelineName: "ingest"},
  runConfigData: {}}) { __typename ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message } } }"""
RUNS = "{ runsOrError(limit: 50) { ... on Runs { results { jobName status } } } }"


class Broken(Exception):
    """A promise that is not kept."""


class Platform:
    """The compose project, with an environment file of its own."""

    def __init__(self, command: Sequence[str], environment: Path, overlay: Path | None) -> None:
        files = [COMPOSE / "compose.yaml", *([overlay] if overlay else [])]
        self._command = [
            *command, "--project-name", "realtor-proof", "--env-file", str(environment),
            *(part for file in files for part in ("--file", str(file))),
        ]  # fmt: skip
        self.ports = {name: _free_port() for name in PORTS}
        self._environment = os.environ | {name: str(port) for name, port in self.ports.items()}

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._environment, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if check and done.returncode:
            raise Broken(f"compose {' '.join(arguments)}:\n{done.stderr[-3000:]}")
        return done

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.ports[port]}"

    def up(self) -> None:
        self("up", "--detach", *PARTS)
        wait("every part is healthy", self._all_healthy, 600)

    def _all_healthy(self) -> str | None:
        rows = [json.loads(line) for line in self("ps", "--format", "json").stdout.splitlines()]
        healthy = [row for row in rows if row["Health"] == "healthy"]
        expected = len(PARTS) + 1  # the service twice
        return f"{len(healthy)} containers" if len(healthy) == expected else None

    def sql(self, database: str, query: str) -> str:
        program = ("psql", "-h", "127.0.0.1", "-U", "postgres", "-d", database, "-tAc", query)
        password = 'export PGPASSWORD="$POSTGRES_PASSWORD"; exec "$@"'
        return self("exec", "-T", "postgres", "sh", "-c", password, "sh", *program).stdout.strip()


def wait(what: str, look: Callable[[], Any], seconds: float) -> Any:
    """What `look` returns, as soon as it is something."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if seen := look():
            say(f"{what}: {seen}  ({time.monotonic() - began:.0f} s)")
            return seen
        time.sleep(2)
    raise Broken(f"not in {seconds:.0f} s: {what}")


def say(text: str) -> None:
    print(f"✓ {text}", flush=True)


def require(holds: bool, text: str) -> None:
    if not holds:
        raise Broken(text)
    say(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _get(url: str, **options: Any) -> httpx.Response | None:
    try:
        return httpx.get(url, timeout=20, trust_env=False, **options)
    except httpx.TransportError:
        return None


def _graphql(platform: Platform, query: str) -> dict[str, Any]:
    answer = httpx.post(
        f"{platform.url('DAGSTER_PORT')}/graphql",
        json={"query": query},
        timeout=60,
        trust_env=False,
    )
    return dict(answer.raise_for_status().json()["data"])


def refuses_without_secrets(command: Sequence[str]) -> None:
    bare = {"PATH": os.environ["PATH"]}
    file = str(COMPOSE / "compose.yaml")
    done = subprocess.run(
        [*command, "--env-file", os.devnull, "--file", file, "config", "--quiet"],
        env=bare, capture_output=True, text=True,
    )  # fmt: skip
    require(done.returncode != 0, f"without secrets: {done.stderr.strip().splitlines()[-1][:140]}")


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
    for row in map(json.loads, platform("ps", "--format", "json").stdout.splitlines()):
        for published in row["Publishers"] or []:
            if published["PublishedPort"]:
                address = published["URL"]
                require(address == "127.0.0.1", f"{row['Service']} is published on {address} only")


def learns(platform: Platform) -> None:
    """One batch asked for; what follows, the sensors do."""
    launched = _graphql(platform, LAUNCH)["launchRun"]
    require(launched["__typename"] == "LaunchRunSuccess", f"ingest is launched: {launched}")
    told: set[tuple[str, str]] = set()

    def served() -> str | None:
        for run in _graphql(platform, RUNS)["runsOrError"]["results"]:
            outcome = (run["jobName"], run["status"])
            if outcome not in told and run["status"] in ("SUCCESS", "FAILURE"):
                told.add(outcome)
                print(f"  {outcome[0]}: {outcome[1]}", flush=True)
        require_none_failed(told)
        done = {"ingest", "load", "clean", "train"} <= {job for job, _ in told}
        return ", ".join(sorted(job for job, _ in told)) if done else None

    wait("Dagster's runs succeeded", served, 1800)


def require_none_failed(told: set[tuple[str, str]]) -> None:
    if failed := [job for job, status in told if status == "FAILURE"]:
        raise Broken(f"failed: {failed}; docker compose logs dagster-code tells why")


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
    app = _get(platform.url("UI_PORT"))
    require(app is not None and app.is_success, "the app answers")
    is_locked_down(platform)
    logged = lambda: platform.sql("realtor_raw", "SELECT count(*) FROM inference_log")  # noqa: E731
    wait("the service's answers are in inference_log", lambda: logged() != "0" and logged(), 60)
    platform("restart", "service")
    wait("restarted, the service answers through the proxy", lambda: _is_ready(platform), 180)
    platform("down")
    say("everything is down")
    platform.up()
    after = state(platform)
    require(after == before, "after down and up, all of it is the same")
    print("All promises are kept.")


def _is_ready(platform: Platform) -> bool:
    answer = _get(platform.url("SERVICE_PORT") + "/readyz")
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
            file.write(f"MARKET_ROWS=40000\nIMAGE_PREFIX={prefix}\n")
        platform = Platform(command, environment, chosen.overlay)
        try:
            prove(platform, command)
        except Broken as problem:
            print(f"✗ {problem}", file=sys.stderr)
            print(platform("ps", "--all", check=False).stdout)
            print(platform("logs", "--tail", "40", check=False).stdout[-12000:])
            return 1
        finally:
            if not chosen.keep:
                platform("down", "--volumes", "--timeout", "20", check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
