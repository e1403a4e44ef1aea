"""The compose project under proof: its commands, its addresses, and what it says when it fails."""

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
CONTAINERS = len(PARTS) + 1  # the service twice
PORTS = ("SERVICE_PORT", "UI_PORT", "DAGSTER_PORT", "MLFLOW_PORT", "PROMETHEUS_PORT")


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
        self._healthy: set[str] = set()

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._environment, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if check and done.returncode:
            raise Broken(f"compose {' '.join(arguments)}:\n{done.stderr[-3000:]}")
        return done

    def url(self, port: str) -> str:
        """The address on this host of what is published under the variable `port`."""
        return f"http://127.0.0.1:{self.ports[port]}"

    def up(self) -> None:
        """Returns when every part is healthy."""
        with subprocess.Popen(
            [*self._command, "--ansi", "never", "--progress", "plain", "up", "--detach", *PARTS],
            env=self._environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as going:  # fmt: skip
            assert going.stdout is not None
            for line in going.stdout:
                note(line.strip())
        if going.returncode:
            raise Broken("not everything came up")
        self._healthy = set()
        wait("every part is healthy", self._all_healthy, 600)

    def _all_healthy(self) -> str | None:
        # The exporters' images have nothing to ask them with.
        healthy = {row["Name"] for row in self.containers() if row["Health"] in ("healthy", "")}
        if new := healthy - self._healthy:
            note(f"healthy: {', '.join(sorted(new))}")
        self._healthy = healthy
        return f"{len(healthy)} containers" if len(healthy) == CONTAINERS else None

    def containers(self, *options: str) -> list[dict[str, Any]]:
        """One row per container, as `compose ps` has them."""
        told = self("ps", *options, "--format", "json").stdout
        return [json.loads(line) for line in told.splitlines()]

    def sql(self, database: str, query: str) -> str:
        """What PostgreSQL's superuser is answered."""
        program = ("psql", "-h", "127.0.0.1", "-U", "postgres", "-d", database, "-tAc", query)
        password = 'export PGPASSWORD="$POSTGRES_PASSWORD"; exec "$@"'
        return self("exec", "-T", "postgres", "sh", "-c", password, "sh", *program).stdout.strip()

    def graphql(self, query: str) -> dict[str, Any]:
        """Dagster's answer."""
        answer = httpx.post(
            f"{self.url('DAGSTER_PORT')}/graphql",
            json={"query": query},
            timeout=60,
            trust_env=False,
        )
        return dict(answer.raise_for_status().json()["data"])

    def get(self, port: str, path: str = "") -> httpx.Response | None:
        """The answer; None where nobody answers."""
        try:
            return httpx.get(self.url(port) + path, timeout=20, trust_env=False)
        except httpx.TransportError:
            return None

    def confess(self) -> None:
        """Print every container's state, and what those that are not well said last."""
        print(self("ps", "--all", check=False).stdout)
        unwell = {
            row["Service"]
            for row in self.containers("--all")
            if row["ExitCode"] or row["Health"] in ("starting", "unhealthy")
            or row["State"] not in ("running", "exited")
        }  # fmt: skip
        # Runs write into the log of the code server; who asks for them may know why.
        for part in sorted(unwell | {"dagster-code", "dagster-webserver", "service"}):
            said = self("logs", "--no-color", "--tail", "60", part, check=False).stdout
            print(f"--- {part}\n{said[-12000:]}", flush=True)


def wait(what: str, look: Callable[[], Any], seconds: float) -> Any:
    """What `look` returns, as soon as it is something."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if seen := look():
            say(f"{what}: {seen}  ({time.monotonic() - began:.0f} s)")
            return seen
        time.sleep(2)
    raise Broken(f"not in {seconds:.0f} s: {what}")


def note(text: str) -> None:
    """Print what goes on, with the time."""
    print(f"{time.strftime('%H:%M:%S')}   {text}", flush=True)


def say(text: str) -> None:
    """Print a promise that is kept, with the time."""
    print(f"{time.strftime('%H:%M:%S')} ✓ {text}", flush=True)


def require(holds: bool, text: str) -> None:
    """Raises Broken where it does not hold."""
    if not holds:
        raise Broken(text)
    say(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
