"""Training and batch valuation on two worker processes as rows grow, beside one machine's.

    python -m benchmarks.scaling --rows 500000

Listings of a synthetic market (each multiple is another draw of the same market) lie as Parquet
partitions in a folder. Memory and valuation are measured over 1, 4 and 16 times the rows, whole
trainings over 1 and 4 times (`--train`), each on workers that are new, so their peak is that run's
alone. The baselines are the code of one machine on the same rows: `write_valuations`, `realtor
score`, `train_model`; on the same cores, so they say what the distribution costs. Exit status 1
when a figure misses its target.
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
from realtor_assets.train.training_run import Settings
from realtor_local.synthetic_market import generate
from realtor_model.features import FeatureEncoder, columns_from_frame, property_fold
from realtor_model.listing import TARGET, VALUATION_PRICE_RANGE, normalise
from realtor_model.retraining import drift
from realtor_model.training import Rows, train_model
from realtor_model.valuation.bundle import load_bundle, save_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.offline.score_table import score_file

WORKERS = 2
SPLIT_BOUNDS = (70, 85)
SMALL_SAMPLE, FEW_ROUNDS = 100_000, 20
# Most of a worker's peak is Python and its libraries, which does not grow.
SAME_MEMORY, BYTES_A_ROW = 1.15, 100.0
AS_GOOD = 1.01
BUILD = CleanBuild(
    "benchmark", "benchmark", [0], [0], dt.date.fromisoformat(str(AS_OF)), 0, 0, 0, 0
)


@dataclass(frozen=True)
class Figure:
    """One measured value; `limit` is the most, or with `at_least` the least, it may be."""

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
    """The partitions of each of `copies` draws of the market."""
    return [_lay_out(store, rows, copy, seed + copy) for copy in range(copies)]


def _lay_out(store: ObjectStore, rows: int, copy: int, seed: int) -> list[Partition]:
    listings = generate(rows, seed).listings
    kept = listings[TARGET].between(*VALUATION_PRICE_RANGE) & listings["state"].notna()
    frame = normalise(listings[kept].reset_index(drop=True))
    frame["row_hash"] = [f"{copy:08x}{row:024x}" for row in range(len(frame))]
    frame["load_id"] = frame["batch_number"] = copy
    place = np.searchsorted(
        SPLIT_BOUNDS, property_fold(columns_from_frame(frame), 100, 0), side="right"
    )
    found = []
    for number, split in enumerate(SPLITS):
        mine = frame[place == number]
        for start in range(0, len(mine), PARTITION_ROWS):
            table = pa.Table.from_pandas(
                mine.iloc[start : start + PARTITION_ROWS], preserve_index=False
            )
            key = f"listings/load={copy}/split={split}/part-{start // PARTITION_ROWS:05d}.parquet"
            with store.create(key) as file:
                pa.parquet.write_table(table, file, compression="zstd")
            found.append(Partition(key, split, 0, table.num_rows))
    return found


@dataclass
class Peak:
    """The most memory that a worker process had, MB."""

    mb: float = 0.0


@contextmanager
def workers(peak: Peak) -> Iterator[Client]:
    """New worker processes, their peak in `peak` when the block ends."""
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


def whole(store: ObjectStore, partitions: Sequence[Partition]) -> Listings:
    frames = [each.listings(store).frame for each in partitions]
    return Listings(pd.concat(frames, ignore_index=True))


def of(partitions: Sequence[Partition], split: str) -> list[Partition]:
    return [each for each in partitions if each.split == split]


def told(text: str, started: float) -> None:
    print(f"{text}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)


def on_one_machine(
    store: ObjectStore, partitions: Sequence[Partition]
) -> tuple[ValuationModel, float]:
    """The model of one machine, and its seconds from listings on disk."""
    started = time.perf_counter()
    train, validation = (whole(store, of(partitions, split)) for split in SPLITS[:2])
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
    """Models as good as one machine's, on the same homes; returns that of the first multiple."""
    test = whole(store, of(draws[0], "test"))
    figures, models = [], {}
    for multiple in multiples:
        partitions = [each for draw in draws[:multiple] for each in draw]
        rows = sum(each.rows for each in of(partitions, "train"))
        model, alone = on_one_machine(store, partitions)
        models[multiple] = model
        theirs = error(model, test)
        print(
            f"x{multiple}: {rows:,} train rows; one machine {alone:.1f} s, "
            f"{model.estimator.hyperparameters['best_iteration'] + 1} rounds, "
            f"RMSE of log price {theirs:.4f}",
            file=sys.stderr,
            flush=True,
        )
        for most in (SAMPLE_ROWS, SMALL_SAMPLE) if multiple == 1 else (SAMPLE_ROWS,):
            started = time.perf_counter()
            with workers(Peak()) as client:
                trained = cluster_training.train_on_cluster(
                    client, Settings("xgboost"), BUILD, store, partitions, most
                )
            told(f"training x{multiple}, sample {most:,}", started)
            figures.append(
                Figure(
                    f"training x{multiple}, encoder on {min(most, rows):,}: RMSE / one machine's",
                    error(trained.model, test) / theirs,
                    AS_GOOD,
                )
            )
    return figures, models[multiples[0]]


def measure_memory(
    store: ObjectStore, draws: list[list[Partition]], multiples: Sequence[int]
) -> list[Figure]:
    """The peak of a training's worker, which few rounds reach as well as many."""
    figures, held = [], []
    settings = Settings("xgboost", {"n_estimators": FEW_ROUNDS})
    for multiple in multiples:
        partitions = [each for draw in draws[:multiple] for each in draw]
        peak, started = Peak(), time.perf_counter()
        with workers(peak) as client:
            cluster_training.train_on_cluster(
                client, settings, BUILD, store, partitions, SMALL_SAMPLE
            )
        told(f"{FEW_ROUNDS} rounds x{multiple}", started)
        figures.append(Figure(f"training x{multiple}: peak of a worker, MB", peak.mb))
        rows = sum(each.rows for each in partitions if each.split != "test")
        held.append((rows / WORKERS, peak.mb * 2**20))
    growth = (held[-1][1] - held[0][1]) / (held[-1][0] - held[0][0])
    return [*figures, Figure("training: bytes of a worker by row it holds", growth, BYTES_A_ROW)]


def measure_valuation(
    store: ObjectStore,
    draws: list[list[Partition]],
    multiples: Sequence[int],
    model: ValuationModel,
    folder: Path,
) -> list[Figure]:
    save_bundle(model, folder / "bundle")
    model = load_bundle(folder / "bundle")
    listings = whole(store, draws[0])
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
        partitions = [each for draw in draws[:multiple] for each in draw]
        rows, peak = sum(each.rows for each in partitions), Peak()
        with workers(peak) as client:
            # The workers' imports and their model are there before the clock starts.
            cluster_valuation.value(client, store, partitions[:1] * WORKERS, model, "warm")
            started = time.perf_counter()
            valued = cluster_valuation.value(client, store, partitions, model, f"x{multiple}")
            rate = rows / (time.perf_counter() - started)
        told(f"valuation x{multiple}, {rows:,} rows", started)
        peaks.append(peak.mb)
        figures += [
            Figure(f"valuation x{multiple}: rows/s", rate),
            Figure(f"valuation x{multiple}: rows/s / write_valuations'", rate / alone, 1.0, True),
            Figure(f"valuation x{multiple}: peak of a worker, MB", peak.mb),
        ]
        if multiple == 1:
            figures.append(Figure("valuation x1: rows that differ", differing(store, valued), 0))
    return [
        *figures,
        Figure(
            f"valuation: peak x{multiples[-1]} / peak x{multiples[0]}",
            peaks[-1] / peaks[0],
            SAME_MEMORY,
        ),
    ]


def differing(store: ObjectStore, valued: Sequence[cluster_valuation.Valued]) -> int:
    """Rows of the cluster's files that are not one machine's, bit for bit."""

    def read(key: str) -> pd.DataFrame:
        with store.open(key) as file:
            return pa.parquet.read_table(file).to_pandas()

    ours, theirs = pd.concat([read(each.key) for each in valued]), read("one-machine.parquet")
    same = np.ones(len(theirs), bool)
    for name in theirs:
        mine, other = ours[name].to_numpy(), theirs[name].to_numpy()
        same &= (mine == other) | (pd.isna(mine) & pd.isna(other))
    return int((~same).sum()) + abs(len(ours) - len(theirs))


def measure(rows: int, value: Sequence[int], train: Sequence[int], seed: int) -> list[Figure]:
    # The settings of a platform; nothing of it is asked for.
    for name in ("REALTOR_RAW_DATABASE_URL", "REALTOR_CLEAN_DATABASE_URL", "REALTOR_STORAGE_URL"):
        os.environ.setdefault(name, "unused://")
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name), ObjectStore(url=f"file://{name}/store")
        started = time.perf_counter()
        draws = lay_out(store, rows, max(*value, *train), seed)
        told("partitions", started)
        figures, model = measure_training(store, draws, train)
        figures += measure_memory(store, draws, value)
        return figures + measure_valuation(store, draws, value, model, folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=200_000, help="of one draw, %(default)s")
    parser.add_argument(
        "--value", type=int, nargs="+", default=[1, 4, 16], help="multiples, two at least"
    )
    parser.add_argument("--train", type=int, nargs="+", default=[1, 4], help="multiples")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    figures = measure(options.rows, options.value, options.train, options.seed)
    if options.json:
        rows: list[dict[str, Any]] = [asdict(each) | {"met": each.met} for each in figures]
        print(json.dumps(rows))
    else:
        print(f"{'':62}{'measured':>12}{'target':>10}")
        for each in figures:
            sign = "≥" if each.at_least else "≤"
            target = "" if each.limit is None else f"{sign} {each.limit:g}"
            verdict = "" if each.met else "   MISSED"
            print(f"{each.name:62}{each.value:>12,.4g}{target:>10}{verdict}")
    return 0 if all(each.met for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
