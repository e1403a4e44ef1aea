"""Training of all candidates with their metadata, compared with the bare fits.

    python -m benchmarks.training --rows 2226382

78 % of the rows of a synthetic market are for training: 1.7 million rows if the market has as many
rows as the real file. The others are half for validation and half for test. Exits with status 1
when a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._market import AS_OF, splits_of
from realtor_assets.train.mlflow_model import log_to_mlflow
from realtor_assets.train.model_report import Report
from realtor_model.candidates import CANDIDATES
from realtor_model.features import FeatureEncoder, take
from realtor_model.retraining import drift
from realtor_model.training import Rows, TrainingSettings, train_and_score
from realtor_model.valuation.bundle import save_bundle

TRAIN_ROWS, TRAIN_SHARE = 1_700_000, 0.78
LARGER_BUNDLES = {"random_forest": 200.0}
SIZE_LIMIT = 50.0
METADATA = {
    "data_version": "benchmark",
    "feature_version": "benchmark",
    "batches": [0],
    "as_of": str(AS_OF),
}


@dataclass(frozen=True)
class Figure:
    """One measured value and its limit."""

    name: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        return self.value <= self.limit


def size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def peak_gb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


@contextmanager
def timed_fits(candidate: str) -> Iterator[list[float]]:
    """Collects the seconds of each fit of the candidate; the first fit is on all rows."""
    kind = CANDIDATES[candidate].estimator
    fit, seconds = kind._fit, list[float]()

    def timed(*arguments: Any) -> Any:
        started = time.perf_counter()
        fitted = fit(*arguments)
        seconds.append(time.perf_counter() - started)
        return fitted

    kind._fit = staticmethod(timed)
    try:
        yield seconds
    finally:
        kind._fit = staticmethod(fit)


def measure(rows: int, seed: int) -> list[Figure]:
    import mlflow

    splits = splits_of(rows, seed, TRAIN_SHARE)
    train, validation, test = splits["train"], splits["validation"], splits["test"]
    started = time.perf_counter()
    encoder, x = FeatureEncoder.fit(train.columns, train.price, as_of=AS_OF)
    fitted = Rows(x, train.price)
    held_out = Rows(encoder.transform(validation.columns), validation.price)
    print(f"features: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    figures = []
    bare = total = 0.0
    sure = test.complete
    floor = test.noise(sure)
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        experiment = mlflow.create_experiment("benchmark", artifact_location=f"file://{folder}/a")
        for candidate in CANDIDATES:
            started = time.perf_counter()
            with timed_fits(candidate) as fits, mlflow.start_run(experiment_id=experiment):
                profile = drift.profile(train.columns, train.price)
                trained = train_and_score(
                    TrainingSettings(candidate), encoder, fitted, held_out, validation, test,
                    profile, METADATA,
                )  # fmt: skip
                model = trained.model
                report = Report.of(model, trained.scored, "validation", trained.curve)
                log_to_mlflow(model, report)
            seconds = time.perf_counter() - started
            bare, total = bare + fits[0], total + seconds
            save_bundle(model, Path(folder) / "bundle")
            predicted = np.log(model.predict(take(test.columns, sure)))
            error = float(np.sqrt(np.mean((predicted - np.log(test.price[sure])) ** 2)))
            print(
                f"{candidate}: fit {fits[0]:.1f} s, all {seconds:.1f} s, RMSE of log price "
                f"{error:.4f} (noise {floor:.4f})",
                file=sys.stderr,
            )
            size = size_mb(Path(folder) / "bundle")
            limit = LARGER_BUNDLES.get(candidate, SIZE_LIMIT)
            figures.append(Figure(f"{candidate}: bundle, MB", size, limit))
    share = max(len(train.price) / TRAIN_ROWS, 0.1)
    return [
        Figure("all candidates, seconds", total, 600.0 * share),
        Figure("total / bare fits", total / bare, 1.3 if share > 0.3 else 3.0),
        Figure("peak memory, GB", peak_gb(), 6.0),
        *figures,
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=150_000, help="listings, default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    figures = measure(options.rows, options.seed)
    if options.json:
        print(json.dumps([asdict(figure) | {"met": figure.met} for figure in figures]))
    else:
        print(f"{'':32}{'measured':>12}{'limit':>12}")
        for figure in figures:
            verdict = "" if figure.met else "   MISSED"
            print(f"{figure.name:32}{figure.value:>12,.4g}{figure.limit:>12,.4g}{verdict}")
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
