"""Servers in processes of their own, for benchmarks that speak HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parents[1]
START_SECONDS = 180.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    health: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """`python command` until the block ends; entered once `health` answers anything but 5xx."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REALTOR_", "MLFLOW_", "BENTOML_", "PROMETHEUS_"))
    }
    own = {
        "BENTOML_HOME": str(folder),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": "",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=clean | own | (environment or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"http://127.0.0.1:{port}{health}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command} does not serve:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes], sign: signal.Signals = signal.SIGTERM) -> None:
    """End the process, and with SIGKILL what it leaves of its group."""
    if process.poll() is None:
        process.send_signal(sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=40)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait(timeout=10)


def service(
    port: int, root: Path = ROOT, name: str = "realtor_serving.service:ValuationService"
) -> list[str]:
    """The command of the valuation service `name` of a checkout, as the platform starts it."""
    return [
        "-m", "realtor_serving.serve", "serve", name,
        "--working-dir", str(root), "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip


def workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The worker processes of a BentoML service."""
    return [
        each
        for each in psutil.Process(process.pid).children(recursive=True)
        if "_bentoml_impl.worker.service" in " ".join(each.cmdline())
    ]


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Processor time of the process and all that it started."""
    parent = psutil.Process(process.pid)
    times = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code < 500
    except httpx.TransportError:
        return False
