"""The compose project under test: its commands, its addresses, and its state after a failure."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

COMPOSE = Path(__file__).parents[2] / "deploy/compose"
PARTS = (
    "postgres", "s3", "mlflow", "dagster-code", "dagster-webserver", "dagster-daemon",
    "service", "proxy", "ui", "upstream",
    "dagster-metrics", "postgres-exporter", "node-exporter", "prometheus",
)  # fmt: skip
CONTAINERS = len(PARTS) + 1  # two replicas of the service
PORTS = ("SERVICE_PORT", "UI_PORT", "DAGSTER_PORT", "MLFLOW_PORT", "PROMETHEUS_PORT")


class CheckFailed(Exception):
    """A check failed; the message says which."""


class Platform:
    """The compose project, with its own environment file."""

    def __init__(self, command: Sequence[str], environment: Path, overlay: Path | None) -> None:
        files = [COMPOSE / "compose.yaml", *([overlay] if overlay else [])]
        self._command = [
            *command, "--project-name", "realtor-proof", "--env-file", str(environment),
            *(part for file in files for part in ("--file", str(file))),
        ]  # fmt: skip
        self.ports = {name: _free_port() for name in PORTS}
        self._environment = os.environ | {name: str(port) for name, port in self.ports.items()}
        self._healthy: set[str] = set()

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [*self._command, *arguments],
            env=self._environment, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if check and result.returncode:
            raise CheckFailed(f"compose {' '.join(arguments)}:\n{result.stderr[-3000:]}")
        return result

    def url(self, port: str) -> str:
        """The URL on this host of the port that the variable `port` publishes."""
        return f"http://127.0.0.1:{self.ports[port]}"

    def up(self) -> None:
        """Starts the project and waits until every part is healthy."""
        with subprocess.Popen(
            [*self._command, "--ansi", "never", "--progress", "plain", "up", "--detach", *PARTS],
            env=self._environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                note(line.strip())
        if process.returncode:
            raise CheckFailed("compose up failed")
        self._healthy = set()
        wait("every part is healthy", self._all_healthy, 600)

    def _all_healthy(self) -> str | None:
        # "": the exporters' images contain no program for a health check.
        healthy = {row["Name"] for row in self.containers() if row["Health"] in ("healthy", "")}
        if new := healthy - self._healthy:
            note(f"healthy: {', '.join(sorted(new))}")
        self._healthy = healthy
        return f"{len(healthy)} containers" if len(healthy) == CONTAINERS else None

    def containers(self, *options: str) -> list[dict[str, Any]]:
        """The rows of `compose ps`, one per container."""
        output = self("ps", *options, "--format", "json").stdout
        return [json.loads(line) for line in output.splitlines()]

    def sql(self, database: str, query: str) -> str:
        """The output of psql for `query`, run as the superuser."""
        program = ("psql", "-h", "127.0.0.1", "-U", "postgres", "-d", database, "-tAc", query)
        password = 'export PGPASSWORD="$POSTGRES_PASSWORD"; exec "$@"'
        return self("exec", "-T", "postgres", "sh", "-c", password, "sh", *program).stdout.strip()

    def graphql(self, query: str) -> dict[str, Any]:
        """The `data` of Dagster's response to `query`."""
        answer = httpx.post(
            f"{self.url('DAGSTER_PORT')}/graphql",
            json={"query": query},
            timeout=60,
            trust_env=False,
        )
        return dict(answer.raise_for_status().json()["data"])

    def get(self, port: str, path: str = "") -> httpx.Response | None:
        """The response; None if there is none."""
        try:
            return httpx.get(self.url(port) + path, timeout=20, trust_env=False)
        except httpx.TransportError:
            return None

    def print_diagnosis(self) -> None:
        """Prints the state of every container, and the end of the logs of unhealthy ones."""
        print(self("ps", "--all", check=False).stdout)
        unhealthy = {
            row["Service"]
            for row in self.containers("--all")
            if row["ExitCode"] or row["Health"] in ("starting", "unhealthy")
            or row["State"] not in ("running", "exited")
        }  # fmt: skip
        # Runs write to the log of the code server; the others may have related errors.
        for part in sorted(unhealthy | {"dagster-code", "dagster-webserver", "service"}):
            log = self("logs", "--no-color", "--tail", "60", part, check=False).stdout
            print(f"--- {part}\n{log[-12000:]}", flush=True)


def wait(condition: str, check: Callable[[], Any], seconds: float) -> Any:
    """Calls `check` until it returns a true value, and returns that value."""
    start_time = time.monotonic()
    while time.monotonic() - start_time < seconds:
        if value := check():
            passed(f"{condition}: {value}  ({time.monotonic() - start_time:.0f} s)")
            return value
        time.sleep(2)
    raise CheckFailed(f"not within {seconds:.0f} s: {condition}")


def note(text: str) -> None:
    """Prints `text` with the time."""
    print(f"{time.strftime('%H:%M:%S')}   {text}", flush=True)


def passed(text: str) -> None:
    """Prints a check that passed, with the time."""
    print(f"{time.strftime('%H:%M:%S')} ✓ {text}", flush=True)


def require(condition: bool, text: str) -> None:
    """Prints the check as passed. Raises CheckFailed if `condition` is false."""
    if not condition:
        raise CheckFailed(text)
    passed(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
