"""Real servers that several test folders start: each a process on a free port."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import uvicorn
from starlette.types import ASGIApp

from realtor_local.ports import free_port


@dataclass(frozen=True)
class MlflowServer:
    url: str


@dataclass(frozen=True)
class Upstream:
    url: str


@dataclass(frozen=True)
class S3Server:
    """environment: the AWS_… variables by which a client reaches it."""

    environment: dict[str, str]


@contextmanager
def running(
    command: Sequence[str | Path],
    health: str,
    log: Path,
    *,
    environment: dict[str, str] | None = None,
    timeout: float = 120,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """`command` as a process until the block ends; entered once `health` answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=_untested() | (environment or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + timeout
        while True:
            try:
                # S3 forbids who does not sign, and is up.
                if httpx.get(health, timeout=2).status_code in (200, 403):
                    break
            except httpx.HTTPError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield process
    finally:
        with_children = process.pid
        try:
            os.killpg(with_children, stop)
            process.wait(timeout=20)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(with_children, 9)
            process.wait()


def _untested() -> dict[str, str]:
    """This environment, without what makes MLflow answer 500 to what writes in passing."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@contextmanager
def mlflow_server(folder: Path, backend: str) -> Iterator[MlflowServer]:
    """An MLflow server on the PostgreSQL database `backend`, artifacts in `folder`."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        Path(sys.executable).with_name("mlflow"), "server", "--host", "127.0.0.1",
        "--port", url.rsplit(":", 1)[1], "--workers", "1", "--backend-store-uri", backend,
        "--artifacts-destination", (folder / "artifacts").as_uri(), "--serve-artifacts",
    ]  # fmt: skip
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with running(command, f"{url}/health", folder / "mlflow.log", environment=environment):
        yield MlflowServer(url)


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """A real S3 server (SeaweedFS), which refuses a wrong signature; its data in `folder`."""
    keys = {"accessKey": "realtor-test", "secretKey": uuid4().hex}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "test", "credentials": [keys], "actions": actions}
    identities = folder / "identities.json"
    identities.write_text(json.dumps({"identities": [identity]}))
    ports: dict[str, int] = {}
    for name in ("master", "volume", "filer", "s3"):
        for suffix in ("port", "port.grpc"):
            ports[f"{name}.{suffix}"] = free_port(frozenset(ports.values()))
    for name in ("s3.port.iceberg", "s3.port.lance"):
        ports[name] = free_port(frozenset(ports.values()))
    command = [
        Path(sys.executable).with_name("weed"), "server", f"-dir={folder}", "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1", "-s3", f"-s3.config={identities}",
        # As many volumes as the disk holds: each bucket takes several.
        "-volume.max=0", "-master.volumeSizeLimitMB=256",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]  # fmt: skip
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    # It takes 20 s to end by itself.
    with running(command, endpoint, folder / "log", stop=signal.SIGKILL):
        yield S3Server(
            {
                "AWS_ACCESS_KEY_ID": keys["accessKey"],
                "AWS_SECRET_ACCESS_KEY": keys["secretKey"],
                "AWS_ENDPOINT_URL": endpoint,
            }
        )


@contextmanager
def upstream(folder: Path, *options: str) -> Iterator[Upstream]:
    """The stand-in upstream API, with its command-line `options`."""
    port = free_port()
    command = [sys.executable, "-m", "realtor_local.upstream", "--port", str(port), *options]
    with running(command, f"http://127.0.0.1:{port}/health", folder / "upstream.log"):
        yield Upstream(f"http://127.0.0.1:{port}")


@contextmanager
def listening(app: ASGIApp) -> Iterator[str]:
    """`app` on a free port of a real server, in a thread of this process; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
