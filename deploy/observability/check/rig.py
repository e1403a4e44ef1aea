"""Starts a platform, exporters, Prometheus, Alertmanager and a receiver on this machine."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from dotenv import dotenv_values

from deploy.observability.check.files import alertmanager_config, prometheus_config
from realtor_local.ports import free_port
from realtor_local.postgres import EmbeddedPostgres

PROGRAMS = (
    "prometheus",
    "promtool",
    "prometheus-alertmanager",
    "amtool",
    "prometheus-postgres-exporter",
    "prometheus-node-exporter",
)
OURS = ("REALTOR_", "DAGSTER_", "MLFLOW_", "BENTOML_")
MARKET_ROWS = 30_000
START_SECONDS = 120.0


class RigError(Exception):
    """A program does not start or fails, or an alert does not arrive."""


def missing_programs() -> list[str]:
    """Names of the PROGRAMS that are not on PATH."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Platform:
    """The embedded platform, without the app, in the folder `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(OURS)
        } | {
            "REALTOR_HOME": str(home),
            "REALTOR_MARKET_ROWS": str(MARKET_ROWS),
            "REALTOR_PROGRAMS": "postgres,mlflow,upstream,dagster-webserver,dagster-daemon,service",
            **{
                f"REALTOR_{name}_PORT": "0" for name in ("MLFLOW", "UPSTREAM", "DAGSTER", "SERVICE")
            },
        }

    def run(self, *arguments: str) -> None:
        """Runs `realtor …`. Raises RigError when it fails."""
        command = [str(Path(sys.executable).with_name("realtor")), *arguments]
        done = subprocess.run(
            command, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RigError(f"realtor {' '.join(arguments)}:\n{(done.stdout + done.stderr)[-4000:]}")

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of its programs."""
        variables = dotenv_values(self.home / "platform.env", interpolate=False)
        return {name: value for name, value in variables.items() if value is not None}

    @property
    def service(self) -> str:
        """URL of the service."""
        return self.environment["REALTOR_SERVICE_URL"]

    @property
    def postgres_url(self) -> str:
        """URL of its PostgreSQL, as the superuser."""
        return EmbeddedPostgres(self.home / "postgres").admin_url


@contextmanager
def platform(home: Path) -> Iterator[Platform]:
    """A running platform with two batches, two trainings, a drift report, a duel and a backup."""
    running = Platform(home)
    try:
        running.run("up", "--detach")
        running.run("ingest")
        running.run("train")
        running.run("backup", str(home.with_name("backup")))
        yield running
    finally:
        running.run("down", "--purge")


class Receiver:
    """An HTTP server that collects the alerts that Alertmanager posts."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.alerts += json.loads(body)["alerts"]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Logs nothing: the caller reports the alerts."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/alerts"

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for(self, name: str, seconds: float) -> dict[str, Any]:
        """Returns the firing alert `name`. Raises RigError when it does not arrive in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for alert in self.alerts:
                if alert["labels"]["alertname"] == name and alert["status"] == "firing":
                    return alert
            time.sleep(0.5)
        names = sorted({alert["labels"]["alertname"] for alert in self.alerts})
        raise RigError(f"{name} did not arrive within {seconds:.0f} s; others: {names}")


@contextmanager
def monitoring(of: Platform, folder: Path, webhook: str) -> Iterator[str]:
    """Runs exporters, Alertmanager and Prometheus on the committed files; yields its URL."""
    jobs = ("dagster-metrics", "postgres", "node", "prometheus", "alertmanager")
    targets: dict[str, str] = {}
    for job in jobs:
        taken = frozenset(int(target.rpartition(":")[2]) for target in targets.values())
        targets[job] = f"127.0.0.1:{free_port(avoid=taken)}"
    targets["service"] = of.service.removeprefix("http://")
    # The service needs no key over loopback, but Prometheus needs the file to exist.
    key = folder / "service-key"
    key.write_text("not required")
    (folder / "prometheus.yml").write_text(prometheus_config(targets, key))
    (folder / "alertmanager.yml").write_text(alertmanager_config(webhook))
    host, port = targets["dagster-metrics"].split(":")
    exporter = {"REALTOR_METRICS_HOST": host, "REALTOR_METRICS_PORT": port}
    database = {"DATA_SOURCE_NAME": f"{of.postgres_url}?sslmode=disable"}
    listen = {job: f"--web.listen-address={target}" for job, target in targets.items()}
    with ExitStack() as stack:

        def start(
            job: str, path: str, *command: str, environment: Mapping[str, str] | None = None
        ) -> None:
            url, log = f"http://{targets[job]}{path}", folder / f"{job}.log"
            stack.enter_context(started(command, url, log, environment or {}))

        start(
            "dagster-metrics", "/metrics", sys.executable, "-m", "realtor_assets.exporter",
            environment=of.environment | exporter,
        )  # fmt: skip
        start(
            "postgres", "/metrics", "prometheus-postgres-exporter", listen["postgres"],
            environment=database,
        )  # fmt: skip
        start("node", "/metrics", "prometheus-node-exporter", listen["node"])
        start(
            "alertmanager", "/-/ready", "prometheus-alertmanager", listen["alertmanager"],
            f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/alertmanager",
            "--cluster.listen-address=",
        )  # fmt: skip
        start(
            "prometheus", "/-/ready", "prometheus", listen["prometheus"],
            f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
        )  # fmt: skip
        yield f"http://{targets['prometheus']}"


@contextmanager
def started(
    command: Sequence[str], url: str, log: Path, environment: Mapping[str, str]
) -> Iterator[None]:
    """Runs a program until the block ends; enters when it answers at `url`. Raises RigError."""
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RigError(f"{command[0]} does not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=20).is_success
    except httpx.HTTPError:
        return False
