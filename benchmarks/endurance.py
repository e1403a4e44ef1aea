"""The service over time: memory over many requests, and model changes and outages under load.

    python -m benchmarks.endurance --requests 200000 --swaps 20 --seconds 60

Memory: private memory of the workers (USS) after a fifth of the requests and after all of them,
with the inference log on. Drill: two workers at 80 % of their maximum throughput while the
production model changes; MLflow is killed and started again, then PostgreSQL. Every response must
be a 200 of a version that was in production between request and response; a change is complete when
/reload-model has responded. Exits with status 1 when a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import mlflow
import numpy as np
import psycopg

from benchmarks import _load
from benchmarks._market import AS_OF, splits_of
from benchmarks._servers import ROOT, free_port, running, service, stop, workers
from realtor_assets.schema import migrate
from realtor_local.postgres import EmbeddedPostgres, temporary_postgres
from realtor_model.features import FeatureEncoder
from realtor_model.registry_names import PRODUCTION_ALIAS, REGISTERED_MODEL
from realtor_model.retraining.drift import profile
from realtor_model.training import Rows, train_model
from realtor_model.valuation.bundle import save_bundle

HOME = {
    "state": "Connecticut", "city": "Hartford", "zip_code": "06114", "house_size": 1650, "bed": 3,
    "bath": 2,
}  # fmt: skip
CONNECTIONS = 16
SHARE_OF_MAXIMUM = 0.8
ROWS = 6_000
PATIENCE = 120.0


@dataclass(frozen=True)
class Figure:
    """One measured value and its limit."""

    name: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        return self.value <= self.limit


@dataclass
class Drill:
    """Answers (request time, response time, version) and swaps (start, end, version), seconds."""

    answers: list[tuple[float, float, str]] = field(default_factory=list)
    swaps: list[tuple[float, float, str]] = field(default_factory=list)

    def record(self, request_time: float, response_time: float, body: bytes) -> None:
        answer = json.loads(body)
        version = answer["model"]["version"] if "model" in answer else "none"
        self.answers.append((request_time, response_time, version))

    def count_wrong_versions(self) -> int:
        """Answers of a version that was not in production between request and response."""
        starts = np.array([start for start, _, _ in self.swaps])
        ends = np.array([end for _, end, _ in self.swaps])
        count = 0
        for request_time, response_time, version in self.answers:
            # From the last swap that ended before the request to the last that began before the
            # response.
            first = max(int(np.searchsorted(ends, request_time)) - 1, 0)
            last = int(np.searchsorted(starts, response_time))
            count += version not in {swapped for _, _, swapped in self.swaps[first:last]}
        return count


def bundles(folder: Path) -> list[Path]:
    """Saves two small bundles that value the same home differently; returns their paths."""
    split = splits_of(ROWS, 0)
    fitted, held_out = split["train"], split["validation"]
    encoder, matrix = FeatureEncoder.fit(fitted.columns, fitted.price, as_of=AS_OF)
    paths = []
    for rounds in (20, 60):
        model = train_model(
            "xgboost",
            encoder,
            Rows(matrix, fitted.price),
            Rows(encoder.transform(held_out.columns), held_out.price),
            hyperparameters={"n_estimators": rounds, "num_parallel_tree": 1},
            profile=profile(fitted.columns, fitted.price),
            metadata={
                "data_version": "benchmark",
                "batches": [0],
                "trained_at": "2022-05-06T00:00:00+00:00",
                "as_of": str(AS_OF),
            },
        )
        paths.append(folder / f"bundle-{rounds}")
        save_bundle(model, paths[-1])
    return paths


class Registry:
    """An MLflow server that can be killed and started again."""

    def __init__(self, folder: Path, database: str) -> None:
        self._folder = folder
        self._database = database
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._running = ExitStack()
        self.start()

    def start(self) -> None:
        command = [
            "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port),
            "--workers", "1", "--serve-artifacts",
            "--artifacts-destination", f"file://{self._folder}/artifacts",
        ]  # fmt: skip
        environment = {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_BACKEND_STORE_URI": self._database,
        }
        self._process = self._running.enter_context(
            running(command, self._port, "/health", self._folder, environment)
        )

    def kill(self) -> None:
        stop(self._process, signal.SIGKILL)

    def close(self) -> None:
        self._running.close()

    def register(self, bundles: list[Path]) -> None:
        mlflow.set_tracking_uri(self.url)
        mlflow.set_experiment("endurance")
        for bundle in bundles:
            with mlflow.start_run():
                mlflow.pyfunc.log_model(
                    name="model",
                    python_model=str(ROOT / "realtor_assets" / "train" / "pyfunc_model.py"),
                    artifacts={"bundle": str(bundle)},
                    registered_model_name=REGISTERED_MODEL,
                    pip_requirements=[],
                )

    def point_at(self, version: str) -> None:
        client = mlflow.MlflowClient(tracking_uri=self.url, registry_uri=self.url)
        client.set_registered_model_alias(REGISTERED_MODEL, PRODUCTION_ALIAS, version)


def swap(registry: Registry, url: str, version: str, drill: Drill) -> None:
    """Puts `version` into production, and returns when every worker serves it."""
    start_time = time.perf_counter()
    registry.point_at(version)
    deadline = start_time + PATIENCE
    while True:
        answer = httpx.post(f"{url}/reload-model", json={}, timeout=120)
        if answer.is_success and answer.json()["after"] == version:
            drill.swaps.append((start_time, time.perf_counter(), version))
            return
        if answer.status_code not in (200, 503) or time.perf_counter() > deadline:
            raise RuntimeError(f"version {version} is not served: {answer.text}")
        time.sleep(0.2)


def run_drill(
    url: str, registry: Registry, postgres: EmbeddedPostgres, swaps: int, seconds: float
) -> tuple[Drill, _load.Outcome, float]:
    """Runs load, swaps and outages; returns drill, outcome and the requested rate per second."""
    request = [_load.post(f"{url}/predict", json.dumps(HOME).encode())]
    drill = Drill()
    swap(registry, url, "1", drill)
    maximum = _load.run(url, request, CONNECTIONS, 4.0).rate
    outcome = _load.Outcome(keep=drill.record)
    rate = SHARE_OF_MAXIMUM * maximum
    started = time.perf_counter()
    pace = _load.Pace(url, request, CONNECTIONS, rate, outcome)
    try:
        for number in range(swaps):
            if number == swaps // 3:
                registry.kill()
                time.sleep(3)
                registry.start()
            if number == 2 * swaps // 3:
                process = postgres.process()
                assert process is not None
                for server in (process, *process.children()):
                    server.kill()
                time.sleep(3)
                postgres.start()
            swap(registry, url, "12"[(number + 1) % 2], drill)
            time.sleep(max(0.0, started + seconds * (number + 1) / swaps - time.perf_counter()))
    finally:
        pace.stop()
    return drill, outcome, rate


def measure_memory(url: str, process: object, requests: int) -> tuple[float, float]:
    """Private memory in MB, after a fifth of the requests and at the end, of the worker whose
    memory grew most.
    """
    request = [_load.post(f"{url}/predict", json.dumps(HOME).encode())]
    measured: list[dict[int, float]] = []
    done = 0.0
    while done < requests:
        outcome = _load.run(url, request, CONNECTIONS, 2.0)
        assert outcome.failures == 0, outcome.statuses
        done += len(outcome.latencies) * 1.2
        if not measured and done >= requests / 5:
            measured.append(_private_mb(process))
    measured.append(_private_mb(process))
    before, after = measured
    pid = max(after, key=lambda pid: after[pid] - before.get(pid, 0.0))
    return before[pid], after[pid]


def _private_mb(process: object) -> dict[int, float]:
    return {worker.pid: worker.memory_full_info().uss / 1e6 for worker in workers(process)}  # type: ignore[arg-type]


@contextmanager
def platform(folder: Path) -> Iterator[tuple[str, object, Registry, EmbeddedPostgres]]:
    """Runs PostgreSQL, MLflow with two versions, and the service with two workers."""
    with temporary_postgres() as postgres:
        migrate(postgres.urls["REALTOR_RAW_OWNER_DATABASE_URL"], "raw")
        registry = Registry(folder / "mlflow", postgres.urls["MLFLOW_BACKEND_STORE_URI"])
        try:
            registry.register(bundles(folder))
            registry.point_at("1")
            port = free_port()
            environment = {
                "REALTOR_HOME": str(folder / "home"),
                "REALTOR_SERVICE_WORKERS": "2",
                "REALTOR_CHAMPION_POLL_SECONDS": "1",
                "REALTOR_INFERENCE_LOG_URL": postgres.urls["REALTOR_INFERENCE_LOG_URL"],
                "MLFLOW_TRACKING_URI": registry.url,
            }
            with running(
                service(port), port, "/readyz", folder / "service", environment
            ) as process:
                yield f"http://127.0.0.1:{port}", process, registry, postgres
        finally:
            registry.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=200_000, help="default %(default)s")
    parser.add_argument("--swaps", type=int, default=20, help="default %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="length of the drill; default %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="realtor-endurance-") as name,
        platform(Path(name)) as (url, process, registry, postgres),
    ):
        drill, outcome, rate = run_drill(url, registry, postgres, options.swaps, options.seconds)
        before, after = measure_memory(url, process, options.requests)
        time.sleep(3)
        with psycopg.connect(postgres.urls["REALTOR_RAW_OWNER_DATABASE_URL"]) as connection:
            (logged,) = connection.execute("SELECT count(*) FROM inference_log").fetchone() or (0,)
        metrics = httpx.get(f"{url}/metrics", timeout=30).text
    samples = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")
    valued = sum(float(n) for key, n in samples.items() if key.startswith("predictions_total"))
    dropped = float(samples['inference_log_rows_total{result="dropped"}'])
    figures = [
        Figure("drill: failed requests", outcome.failures, 0),
        Figure("drill: answers of a version out of production", drill.count_wrong_versions(), 0),
        Figure(f"memory over {options.requests:,} requests: growth, MB", after - before, 10),
        Figure(
            "valuations neither logged nor counted as dropped", abs(valued - logged - dropped), 0
        ),
    ]
    details = {
        "answers": len(drill.answers),
        "requests_per_second": round(rate),
        "answered_per_second": round(outcome.rate),
        "p50_ms": round(1e3 * outcome.quantile(0.5), 2),
        "p99_ms": round(1e3 * outcome.quantile(0.99), 2),
        "swaps": len(drill.swaps) - 1,
        "slowest_swap_seconds": round(max(end - begin for begin, end, _ in drill.swaps), 2),
        "worker_mb": [round(before, 1), round(after, 1)],
        "valued": int(valued),
        "logged": logged,
    }
    if options.json:
        shown = [asdict(figure) | {"met": figure.met} for figure in figures]
        print(json.dumps({"details": details, "figures": shown}))
    else:
        for name, value in details.items():
            print(f"{name.replace('_', ' '):52}{value!s:>18}")
        print(f"\n{'':52}{'':>10}{'limit':>8}")
        for figure in figures:
            verdict = "" if figure.met else "   MISSED"
            print(f"{figure.name:52}{figure.value:>10,.1f}{figure.limit:>8,.0f}{verdict}")
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
