"""A small model, and real servers around it, for the tests of the service and of the app."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd

from realtor_local.ports import LOOPBACK, free_port
from realtor_model.evaluation.metrics import ratio_study
from realtor_model.features import FeatureEncoder, columns_from_frame
from realtor_model.listing import US_LISTINGS, ListingContract
from realtor_model.reading.received_batch import normalise
from realtor_model.retraining.drift import profile
from realtor_model.training import Rows, train_model
from realtor_model.valuation.comparables import SoldHomes
from realtor_model.valuation.market_statistics import MarketStatistics
from realtor_model.valuation.valuation_model import ValuationModel

ROOT = Path(__file__).parents[2]
START_SECONDS = 90
KEY = "a key that nobody guesses"
KEY_HASH = hashlib.sha256(KEY.encode()).hexdigest()
ASKING_ALL = {
    "REALTOR_SERVICE_KEYS_FOR": "all",
    "REALTOR_SERVICE_TRUST_LOOPBACK": "false",
    "REALTOR_SERVICE_API_KEYS": KEY_HASH,
}
HOUSE = {
    "bed": 3, "bath": 2, "house_size": 1650, "acre_lot": 0.2, "city": "Hartford",
    "state": "Connecticut", "zip_code": "06114",
}  # fmt: skip
PLACES = [
    ("Connecticut", "Hartford", "06114", 180.0),
    ("Connecticut", "Greenwich", "06830", 520.0),
    ("Texas", "Houston", "77002", 150.0),
    ("Texas", "Austin", "78701", 310.0),
]


def listings(rows: int, seed: int) -> pd.DataFrame:
    """Sales: size times the price per square foot of the zip, give or take 10 %."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, len(PLACES), rows)
    size = rng.integers(600, 4_000, rows).astype(float)
    rate = np.array([each[3] for each in PLACES])[place]
    values = {
        "brokered_by": rng.integers(1, 50, rows).astype(float),
        "status": rng.choice(["for_sale", "sold"], rows),
        "price": np.round(size * rate * np.exp(rng.normal(0, 0.1, rows))),
        "bed": np.clip(np.round(size / 600), 1, 8),
        "bath": np.clip(np.round(size / 900), 1, 6),
        "acre_lot": np.round(rng.uniform(0.05, 2, rows), 2),
        "street": rng.integers(0, 100_000, rows).astype(float),
        "city": np.array([each[1] for each in PLACES], object)[place],
        "state": np.array([each[0] for each in PLACES], object)[place],
        "zip_code": np.array([each[2] for each in PLACES], object)[place],
        "house_size": size,
        "prev_sold_date": "2022-03-01",
    }
    return normalise(pd.DataFrame(values)[list(US_LISTINGS.table_keys)])


def make_model(seed: int = 0, candidate: str = "xgboost") -> ValuationModel:
    """A model of 1,500 made-up sales: trained in a second, right within some 10 %."""
    return train_on(listings(1_500, seed), listings(400, seed + 1), US_LISTINGS, seed, candidate)


def train_on(
    fitted: pd.DataFrame,
    held_out: pd.DataFrame,
    contract: ListingContract,
    seed: int = 0,
    candidate: str = "xgboost",
) -> ValuationModel:
    """A small model of typed listings of a market, with sold homes and statistics."""
    columns, price = columns_from_frame(fitted, contract), fitted["price"].to_numpy(np.float64)
    other, actual = columns_from_frame(held_out, contract), held_out["price"].to_numpy(np.float64)
    encoder, matrix = FeatureEncoder.fit(
        columns, price, as_of=np.datetime64("2026-01-31"), contract=contract
    )
    judged = encoder.transform(other)
    model = train_model(
        candidate,
        encoder,
        Rows(matrix, price),
        Rows(judged, actual),
        hyperparameters={"n_estimators": 60} if candidate == "xgboost" else None,
        profile=profile(columns, price, contract=contract),
        metadata={
            "data_version": f"made-{seed}",
            "batches": [0],
            "trained_at": "2026-02-01T12:00:00+00:00",
            "as_of": "2026-01-31",
        },
    )
    metrics = model.metadata["metrics"]
    study = ratio_study(actual, np.exp(model.estimator.predict_log(judged)))
    told = {"metrics": metrics | {"test": metrics["validation"]}, "ratio_study": study}
    return replace(
        model,
        metadata=model.metadata | told,
        sold_homes=SoldHomes.of(columns, price),
        market=MarketStatistics.of(columns, price, [c.key for c in contract.extras if c.range]),
    )


@dataclass
class Server:
    """A server in a process group of its own."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=60, **options)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """End the server, and with SIGKILL whatever it leaves."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=30)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait(timeout=10)


@contextmanager
def run_server(
    command: list[str], url: str, health: str, folder: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Start `command` in `folder` and wait until `health` answers."""
    kept = {
        name: value
        for name, value in os.environ.items()
        # MLflow answers 500 to what writes in passing when it sees that it is being tested.
        if not name.startswith(("REALTOR_", "MLFLOW_", "BENTOML_", "PROMETHEUS_", "PYTEST_"))
    }
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=kept | {"NO_PROXY": "*", **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(url, process, log)
    try:
        wait_for(lambda: _answers(server, health), f"{command} {log}")
        yield server
    finally:
        server.stop()


def _answers(server: Server, path: str) -> bool:
    assert server.process.poll() is None, server.log.read_text()[-4000:]
    try:
        return server.get(path).is_success
    except httpx.TransportError:
        return False


def wait_for(condition: Any, what: str, seconds: float = START_SECONDS) -> None:
    """Wait until `condition()` is true; fail naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {what} after {seconds:g} s"
        time.sleep(0.1)


@contextmanager
def run_service(
    folder: Path,
    *,
    source: str = "realtor_serving.service:ValuationService",
    host: str = LOOPBACK,
    **variables: str,
) -> Iterator[Server]:
    """The BentoML service on a free port; `variables` are environment variables."""
    port = str(free_port())
    command = [sys.executable, "-m", "bentoml", "serve", source, "--port", port]
    if host != LOOPBACK:
        command += ["--host", host]
    if ":" in source:
        command += ["--working-dir", str(ROOT)]
    environment = {
        "REALTOR_HOME": str(folder / "home"),
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "MLFLOW_TRACKING_URI": "",
        **variables,
    }
    with run_server(command, f"http://{host}:{port}", "/livez", folder, environment) as server:
        yield server


def exchange(port: int, *sent: bytes) -> bytes:
    """All that comes back before the server closes the connection.

    A server that closes with something unread resets the connection instead: at whatever we
    do next, but what it has answered until then can still be read.
    """
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        with suppress(ConnectionResetError, BrokenPipeError):
            for part in sent:
                connection.sendall(part)
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
    return received
