"""Distributed training and valuation on two worker processes, compared with one machine.

    python -m benchmarks.scaling --rows 500000

The listings of a synthetic market are Parquet partitions in a folder; each multiple is another draw
of the same market. It measures memory and valuation with 1, 4 and 16 times the rows, and whole
trainings with 1 and 4 times (`--train`), each on new workers, so that peak memory belongs to one
run. The baselines are `write_valuations`, `realtor score` and `train_model` on the same rows and
cores, so they show the cost of the distribution. Exits with status 1 when a figure misses its
target.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from distributed import Client, LocalCluster

from benchmarks._market import AS_OF
from realtor_assets.clean.clean_build import CleanBuild
from realtor_assets.distributed.partitions import PARTITION_ROWS, Partition
from realtor_assets.distributed.sample import SAMPLE_ROWS
from realtor_assets.monitor import cluster_valuation
from realtor_assets.monitor.valuation_files import write_valuations
from realtor_assets.raw.raw_listings import Listings
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import ObjectStore
from realtor_assets.train import cluster_training
from realtor_local.synthetic_market import generate
from realtor_model.features import FeatureEncoder, columns_from_frame, property_fold
from realtor_model.listing import TARGET, US_LISTINGS
from realtor_model.reading.received_batch import normalise
from realtor_model.retraining import drift
from realtor_model.training import Rows, TrainingSettings, train_model
from realtor_model.valuation.bundle import load_bundle, save_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.offline.score_table import score_file

WORKERS = 2
SPLIT_BOUNDS = (70, 85)
SMALL_SAMPLE, FEW_ROUNDS = 100_000, 20
# Largest growth of a worker's peak, most of which is Python and its libraries, and of its training.
SAME_MEMORY, BYTES_A_ROW = 1.15, 100.0
AS_GOOD = 1.01
BUILD = CleanBuild(
    "benchmark", "benchmark", [0], [0], dt.date.fromisoformat(str(AS_OF)), 0, 0, 0, 0
)


@dataclass(frozen=True)
class Figure:
    """One measured value; `limit` is its upper limit, or with `at_least` its lower limit."""

    name: str
    value: float
    limit: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool:
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def lay_out(store: ObjectStore, rows: int, copies: int, seed: int) -> list[list[Partition]]:
    """Writes `copies` draws of the market to the store; returns the partitions of each draw."""
    return [_lay_out(store, rows, copy, seed + copy) for copy in range(copies)]


def _lay_out(store: ObjectStore, rows: int, copy: int, seed: int) -> list[Partition]:
    listings = generate(rows, seed).listings
    valid = listings[TARGET].between(*US_LISTINGS.price_range) & listings["state"].notna()
    frame = normalise(listings[valid].reset_index(drop=True))
    frame["row_hash"] = [f"{copy:08x}{row:024x}" for row in range(len(frame))]
    frame["load_id"] = frame["batch_number"] = copy
    split_number = np.searchsorted(
        SPLIT_BOUNDS, property_fold(columns_from_frame(frame), 100, 0), side="right"
    )
    partitions = []
    for number, split in enumerate(SPLITS):
        rows_of_split = frame[split_number == number]
        for start in range(0, len(rows_of_split), PARTITION_ROWS):
            table = pa.Table.from_pandas(
                rows_of_split.iloc[start : start + PARTITION_ROWS], preserve_index=False
            )
            key = f"listings/load={copy}/split={split}/part-{start // PARTITION_ROWS:05d}.parquet"
            with store.create(key) as file:
                pa.parquet.write_table(table, file, compression="zstd")
            partitions.append(Partition(key, split, 0, table.num_rows))
    return partitions


@dataclass
class Peak:
    """Peak memory of a worker process, in MB."""

    mb: float = 0.0


@contextmanager
def workers(peak: Peak) -> Iterator[Client]:
    """Starts new worker processes; writes their peak memory to `peak` when the block ends."""
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.wait_for_workers(WORKERS)
        yield client
        for nanny in cluster.workers.values():
            status = Path(f"/proc/{nanny.pid}/status").read_text()
            kilobytes = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            peak.mb = max(peak.mb, int(kilobytes.split()[1]) / 1024)


def read_all(store: ObjectStore, partitions: Sequence[Partition]) -> Listings:
    frames = [partition.listings(store, US_LISTINGS).frame for partition in partitions]
    return Listings(pd.concat(frames, ignore_index=True))


def of_split(partitions: Sequence[Partition], split: str) -> list[Partition]:
    return [partition for partition in partitions if partition.split == split]


def print_duration(text: str, started: float) -> None:
    print(f"{text}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)


def on_one_machine(
    store: ObjectStore, partitions: Sequence[Partition]
) -> tuple[ValuationModel, float]:
    """The model trained on one machine, and the seconds it took from listings on disk."""
    started = time.perf_counter()
    train, validation = (read_all(store, of_split(partitions, split)) for split in SPLITS[:2])
    encoder, x = FeatureEncoder.fit(train.columns, train.price, as_of=AS_OF)
    model = train_model(
        "xgboost",
        encoder,
        Rows(x, train.price),
        Rows(encoder.transform(validation.columns), validation.price),
        profile=drift.profile(train.columns, train.price),
        metadata={"as_of": str(AS_OF)},
    )
    return model, time.perf_counter() - started


def error(model: ValuationModel, test: Listings) -> float:
    """RMSE of log price."""
    predicted = np.log(model.predict(test.columns))
    return float(np.sqrt(np.mean((predicted - np.log(test.price)) ** 2)))


def measure_training(
    store: ObjectStore, draws: list[list[Partition]], multiples: Sequence[int]
) -> tuple[list[Figure], ValuationModel]:
    """Compares the accuracy with one machine's; also returns the model of the first multiple."""
    test = read_all(store, of_split(draws[0], "test"))
    figures, models = [], {}
    for multiple in multiples:
        partitions = [partition for draw in draws[:multiple] for partition in draw]
        rows = sum(partition.rows for partition in of_split(partitions, "train"))
        model, alone = on_one_machine(store, partitions)
        models[multiple] = model
        baseline = error(model, test)
        print(
            f"x{multiple}: {rows:,} train rows; one machine {alone:.1f} s, "
            f"{model.estimator.hyperparameters['best_iteration'] + 1} rounds, "
            f"RMSE of log price {baseline:.4f}",
            file=sys.stderr,
            flush=True,
        )
        for sample_rows in (SAMPLE_ROWS, SMALL_SAMPLE) if multiple == 1 else (SAMPLE_ROWS,):
            started = time.perf_counter()
            with workers(Peak()) as client:
                trained = cluster_training.train_on_cluster(
                    client, TrainingSettings("xgboost"), BUILD, store, partitions, sample_rows
                )
            print_duration(f"training x{multiple}, sample {sample_rows:,}", started)
            figures.append(
                Figure(
                    f"training x{multiple}, encoder on {min(sample_rows, rows):,}: "
                    "RMSE / one machine's",
                    error(trained.model, test) / baseline,
                    AS_GOOD,
                )
            )
    return figures, models[multiples[0]]


def measure_memory(
    store: ObjectStore, draws: list[list[Partition]], multiples: Sequence[int]
) -> list[Figure]:
    """Peak memory of a worker in a training; few rounds reach the same peak as many."""
    figures, peaks = [], []
    settings = TrainingSettings("xgboost", {"n_estimators": FEW_ROUNDS})
    for multiple in multiples:
        partitions = [partition for draw in draws[:multiple] for partition in draw]
        peak, started = Peak(), time.perf_counter()
        with workers(peak) as client:
            cluster_training.train_on_cluster(
                client, settings, BUILD, store, partitions, SMALL_SAMPLE
            )
        print_duration(f"{FEW_ROUNDS} rounds x{multiple}", started)
        figures.append(Figure(f"training x{multiple}: peak memory of a worker, MB", peak.mb))
        rows = sum(part.rows for part in partitions if part.split != "test")
        peaks.append((rows / WORKERS, peak.mb * 2**20))
    growth = (peaks[-1][1] - peaks[0][1]) / (peaks[-1][0] - peaks[0][0])
    return [*figures, Figure("training: bytes per row of a worker", growth, BYTES_A_ROW)]


def measure_valuation(
    store: ObjectStore,
    draws: list[list[Partition]],
    multiples: Sequence[int],
    model: ValuationModel,
    folder: Path,
) -> list[Figure]:
    save_bundle(model, folder / "bundle")
    model = load_bundle(folder / "bundle")
    listings = read_all(store, draws[0])
    started = time.perf_counter()
    write_valuations(model, listings, store, "one-machine.parquet")
    alone = len(listings) / (time.perf_counter() - started)
    listings.frame.to_parquet(folder / "homes.parquet", index=False)
    report = score_file(folder / "homes.parquet", folder / "valued.parquet", model)
    figures = [
        Figure("valuation, one machine (write_valuations): rows/s", alone),
        Figure("valuation, one machine (realtor score): rows/s", report.rows / report.seconds),
    ]
    peaks = []
    for multiple in multiples:
        partitions = [partition for draw in draws[:multiple] for partition in draw]
        rows, peak = sum(part.rows for part in partitions), Peak()
        with workers(peak) as client:
            # Warms up: workers import the code and load the model before the measurement.
            cluster_valuation.value(client, store, partitions[:1] * WORKERS, model, "warm")
            started = time.perf_counter()
            valued = cluster_valuation.value(client, store, partitions, model, f"x{multiple}")
            rate = rows / (time.perf_counter() - started)
        print_duration(f"valuation x{multiple}, {rows:,} rows", started)
        peaks.append(peak.mb)
        figures += [
            Figure(f"valuation x{multiple}: rows/s", rate),
            Figure(f"valuation x{multiple}: rows/s / write_valuations'", rate / alone, 1.0, True),
            Figure(f"valuation x{multiple}: peak memory of a worker, MB", peak.mb),
        ]
        if multiple == 1:
            figures.append(
                Figure("valuation x1: rows that differ", count_differing_rows(store, valued), 0)
            )
    return [
        *figures,
        Figure(
            f"valuation: peak x{multiples[-1]} / peak x{multiples[0]}",
            peaks[-1] / peaks[0],
            SAME_MEMORY,
        ),
    ]


def count_differing_rows(store: ObjectStore, valued: Sequence[cluster_valuation.Valued]) -> int:
    """Number of rows in the cluster's files that are not bit-equal to those of one machine."""

    def read(key: str) -> pd.DataFrame:
        with store.open(key) as file:
            return pa.parquet.read_table(file).to_pandas()

    cluster = pd.concat([read(file.key) for file in valued])
    machine = read("one-machine.parquet")
    same = np.ones(len(machine), bool)
    for name in machine:
        ours, theirs = cluster[name].to_numpy(), machine[name].to_numpy()
        same &= (ours == theirs) | (pd.isna(ours) & pd.isna(theirs))
    return int((~same).sum()) + abs(len(cluster) - len(machine))


def measure(rows: int, value: Sequence[int], train: Sequence[int], seed: int) -> list[Figure]:
    # Required settings, which this benchmark does not use.
    for name in ("REALTOR_RAW_DATABASE_URL", "REALTOR_CLEAN_DATABASE_URL", "REALTOR_STORAGE_URL"):
        os.environ.setdefault(name, "unused://")
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name), ObjectStore(url=f"file://{name}/store")
        started = time.perf_counter()
        draws = lay_out(store, rows, max(*value, *train), seed)
        print_duration("partitions", started)
        figures, model = measure_training(store, draws, train)
        figures += measure_memory(store, draws, value)
        return figures + measure_valuation(store, draws, value, model, folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--rows", type=int, default=200_000, help="listings of one draw, default %(default)s"
    )
    parser.add_argument(
        "--value",
        type=int,
        nargs="+",
        default=[1, 4, 16],
        help="multiples of the rows to value, at least two",
    )
    parser.add_argument(
        "--train", type=int, nargs="+", default=[1, 4], help="multiples to train on"
    )
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    figures = measure(options.rows, options.value, options.train, options.seed)
    if options.json:
        rows: list[dict[str, Any]] = [asdict(figure) | {"met": figure.met} for figure in figures]
        print(json.dumps(rows))
    else:
        print(f"{'':62}{'measured':>12}{'target':>10}")
        for figure in figures:
            sign = "≥" if figure.at_least else "≤"
            target = "" if figure.limit is None else f"{sign} {figure.limit:g}"
            verdict = "" if figure.met else "   MISSED"
            print(f"{figure.name:62}{figure.value:>12,.4g}{target:>10}{verdict}")
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
