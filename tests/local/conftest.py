"""A platform of two programs in a folder with an awkward name, driven through the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from realtor_local.platform_home import PlatformHome
from realtor_local.processes import marked

REALTOR = Path(sys.executable).parent / "realtor"
OWN_PREFIXES = ("REALTOR_", "MLFLOW_", "DAGSTER_", "BENTOML_")


class Platform:
    """`realtor` with a REALTOR_HOME of its own; all ports are free ones."""

    def __init__(self, home: Path) -> None:
        self.home = PlatformHome(home)
        self.variables = {
            name: value for name, value in os.environ.items() if not name.startswith(OWN_PREFIXES)
        } | {
            "REALTOR_HOME": str(home),
            "REALTOR_PROGRAMS": "postgres,upstream",
            "REALTOR_UPSTREAM_PORT": "0",
            "REALTOR_MARKET_ROWS": "500",
        }

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [REALTOR, *arguments],
            env=self.variables | variables,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [REALTOR, *arguments],
            env=self.variables | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def status(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in json.loads(self.run("status", "--json").stdout)}

    def healthy(self) -> bool:
        rows = self.status()
        return len(rows) == 2 and all(row["problem"] is None for row in rows.values())

    def supervisor(self) -> psutil.Process:
        return psutil.Process(int((self.home.run / "supervisord.pid").read_text()))

    def processes(self) -> list[psutil.Process]:
        return marked(self.home.stack_id)


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Whether `condition` becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def make_platform() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="realtor-test-") as name:
        Path(name).chmod(0o711)  # root's PostgreSQL passes through as another user
        platform = Platform(Path(name) / "a #1 'home' of 100%;")
        try:
            yield platform
        finally:
            platform.run("down", "--purge")


@pytest.fixture
def platform() -> Iterator[Platform]:
    """A platform that is down."""
    yield from make_platform()


@pytest.fixture(scope="module")
def running() -> Iterator[Platform]:
    """A platform that was started once; every test leaves it running and healthy."""
    for platform in make_platform():
        started = platform.run("up", "--detach")
        assert started.returncode == 0, started.stdout + started.stderr
        yield platform
