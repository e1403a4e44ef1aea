"""Offline valuation of a file, compared with single requests, MLflow's pyfunc and bare trees.

    python -m benchmarks.scoring --rows 2000000

It trains a champion on a synthetic market as the platform does, and values other listings: Parquet
in, every row checked, with range and warnings, Parquet out. The lower bound on the time is the
booster's predict alone on a prepared matrix; if the booster stopped at few trees, the quantile
boosters of the range take a larger share. Exits with status 1 when a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import xgboost

from benchmarks._market import AS_OF, splits_of
from realtor_assets.train import mlflow_model
from realtor_local.synthetic_market import generate
from realtor_model.features import FeatureEncoder, as_sold, columns_from_frame
from realtor_model.listing import US_LISTINGS
from realtor_model.reading.received_batch import normalise
from realtor_model.retraining import drift
from realtor_model.training import Rows, train_model
from realtor_model.valuation.bundle import load_bundle, save_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.offline.score_table import score_file

ROOT = Path(__file__).parents[1]
FLOOR_ROWS, PYFUNC_ROWS, REQUESTS, ROUNDS = 300_000, 10_000, 400, 3


@dataclass(frozen=True)
class Figure:
    """Rows per second of one method; `ratio` (`realtor score` / method) must reach `target`."""

    name: str
    rows_a_second: float
    ratio: float
    target: float | None

    @property
    def met(self) -> bool:
        return self.target is None or self.ratio >= self.target


def champion(rows: int, seed: int) -> ValuationModel:
    splits = splits_of(rows, seed, train=0.8)
    train, validation = splits["train"], splits["validation"]
    encoder, matrix = FeatureEncoder.fit(train.columns, train.price, as_of=AS_OF)
    return train_model(
        "xgboost",
        encoder,
        Rows(matrix, train.price),
        Rows(encoder.transform(validation.columns), validation.price),
        profile=drift.profile(train.columns, train.price),
        metadata={
            "data_version": "benchmark",
            "batches": [0],
            "as_of": str(AS_OF),
            "trained_at": "2022-05-06T00:00:00+00:00",
        },
    )


def rate(rows: int, action: Any, *arguments: Any) -> float:
    return rates(rows, action, *arguments)[0]


def rates(rows: int, action: Any, *arguments: Any) -> tuple[float, float]:
    """Rows per second, and rows per second of this process's CPU time."""
    started, worked = time.perf_counter(), time.process_time()
    action(*arguments)
    return rows / (time.perf_counter() - started), rows / (time.process_time() - worked)


@contextmanager
def service(bundle: Path, folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--working-dir", str(ROOT), "realtor_serving.service:ValuationService"]
    variables = {
        "REALTOR_HOME": str(folder),
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "MLFLOW_TRACKING_URI": "",
        "REALTOR_CHAMPION_BUNDLE": str(bundle),
    }
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=os.environ | variables, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"{url}/health").is_success:
                    break
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "service.log").read_text()[-2000:])
            time.sleep(0.3)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def one_by_one(url: str, homes: list[dict[str, Any]]) -> None:
    with httpx.Client(base_url=url) as client:
        for home in homes:
            client.post("/predict", json=home).raise_for_status()


def measure(rows: int, train_rows: int, seed: int) -> list[Figure]:
    import mlflow

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = champion(train_rows, seed)
        save_bundle(model, folder / "bundle")
        print(f"champion: {model.estimator.hyperparameters}", file=sys.stderr)
        model = load_bundle(folder / "bundle")
        listings = generate(rows, seed + 1).listings
        frame = normalise(listings[listings["state"].notna()].reset_index(drop=True))
        homes = frame[list(US_LISTINGS.keys)]
        homes.to_parquet(folder / "homes.parquet", index=False)
        sample = homes.head(FLOOR_ROWS)
        estimator: Any = model.estimator
        matrix = estimator._seen(model.encoder.transform(as_sold(columns_from_frame(sample))))
        booster = xgboost.Booster({"nthread": os.cpu_count()})
        booster.load_model(folder / "bundle" / estimator.file_name)
        floors, ours = [], []
        for _ in range(ROUNDS):
            # In turn, because the machine may be shared. A new matrix each time, because the
            # booster caches the predictions of a matrix.
            ready = xgboost.DMatrix(matrix)
            floors.append(rates(len(sample), booster.predict, ready))
            target = folder / "valued.parquet"
            ours.append(rates(len(homes), score_file, folder / "homes.parquet", target, model))
        floor, floor_cpu = np.median(floors, axis=0).tolist()
        own, own_cpu = np.median(ours, axis=0).tolist()

        mlflow.pyfunc.save_model(
            str(folder / "pyfunc"),
            python_model=str(Path(mlflow_model.__file__).with_name("pyfunc_model.py")),
            artifacts={"bundle": str(folder / "bundle")},
            signature=mlflow_model.signature(US_LISTINGS),
            pip_requirements=["xgboost"],
        )
        pyfunc = mlflow.pyfunc.load_model(str(folder / "pyfunc"))
        valid = pd.read_parquet(folder / "valued.parquet")["error"].isna()
        few = homes[valid].head(PYFUNC_ROWS).astype(object)
        few = few.where(few.notna(), None)
        few["prev_sold_date"] = few["prev_sold_date"].map(
            lambda date: None if date is None else str(date.date())
        )
        numbers = ["brokered_by", "bed", "bath", "acre_lot", "street", "house_size"]
        table = few.astype(dict.fromkeys(numbers, float))
        pyfunc.predict(table.head(100))
        with_pandas = rate(len(table), pyfunc.predict, table)
        requests = [
            {name: value for name, value in row.items() if value is not None}
            for row in few.head(REQUESTS).to_dict("records")
        ]
        with service(folder / "bundle", folder) as url:
            one_by_one(url, requests[:20])
            over_http = rate(len(requests), one_by_one, url, requests)
    return [
        Figure("realtor score, Parquet to Parquet", own, 1.0, None),
        Figure("predict of the booster, matrix prepared", floor, own / floor, 0.4),
        Figure("the same, per second of CPU time", floor_cpu, own_cpu / floor_cpu, 0.4),
        Figure("mlflow.pyfunc on pandas", with_pandas, own / with_pandas, 3.0),
        Figure("POST /predict, one after another", over_http, own / over_http, 50.0),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=200_000, help="default %(default)s")
    parser.add_argument("--train-rows", type=int, default=150_000, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    figures = measure(options.rows, options.train_rows, options.seed)
    if options.json:
        print(json.dumps([asdict(figure) | {"met": figure.met} for figure in figures]))
    else:
        print(f"{'':38}{'rows/s':>12}{'ratio':>12}{'target':>10}")
        for figure in figures:
            target = "" if figure.target is None else f"≥ {figure.target:g}"
            verdict = "" if figure.met else "   MISSED"
            print(
                f"{figure.name:38}{figure.rows_a_second:>12,.0f}{figure.ratio:>12.2f}"
                f"{target:>10}{verdict}"
            )
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
