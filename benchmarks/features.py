"""The encoder: one row as a request brings it, and every row of a market, beside pandas.

    python -m benchmarks.features --rows 2226382

The baseline makes fewer features of the same rows the usual way: pandas merges and maps. With
--against FOLDER the encoder is measured by turns with that checkout's instead. Exit status 1 when a
figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks._checkouts import Checkout, end_cleanly
from benchmarks._turns import Speed, by_turns, print_speeds
from realtor_local.synthetic_market import generate
from realtor_model.features import FeatureEncoder, columns_from_frame, take
from realtor_model.listing import TARGET, US_LISTINGS
from realtor_model.reading.received_batch import normalise

FULL = 2_226_382


@dataclass(frozen=True)
class Figure:
    """One measured value beside its limit and the baseline's."""

    name: str
    value: float
    limit: float
    baseline: float | None = None

    @property
    def met(self) -> bool:
        return self.value <= self.limit


def peak_gb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def seconds(action: Any, *arguments: Any, times: int = 1) -> float:
    """The fastest of five rounds of `times` calls, per call."""
    best = np.inf
    for _ in range(5 if times > 1 else 1):
        started = time.perf_counter()
        for _ in range(times):
            action(*arguments)
        best = min(best, (time.perf_counter() - started) / times)
    return best


def with_pandas(frame: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Imputation, ratios, date parts, codes and means by place: 20 features by maps and merges."""
    out = pd.DataFrame(index=frame.index)
    for name in ("bed", "bath", "acre_lot", "house_size"):
        values = frame[name].astype(float)
        out[name] = values.fillna(tables["medians"].loc[name, "median"])
        out[f"{name}_missing"] = values.isna()
    out["bed_bath_ratio"] = out["bed"] / out["bath"].clip(lower=1)
    out["sqft_per_acre"] = out["house_size"] / out["acre_lot"].clip(lower=0.01)
    date = pd.to_datetime(frame["prev_sold_date"])
    out["year"], out["month"], out["quarter"] = date.dt.year, date.dt.month, date.dt.quarter
    for name in ("state", "city", "zip_code"):
        out[name] = frame[name].astype(object)
        out = out.merge(tables[name], left_on=name, right_index=True, how="left")
        out = out.drop(columns=name)
    return out


def pandas_tables(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    log_price = np.log(frame[TARGET].astype(float))
    measures = frame[["bed", "bath", "acre_lot", "house_size"]].astype(float)
    tables = {"medians": measures.median().to_frame("median")}
    for name in ("state", "city", "zip_code"):
        table = log_price.groupby(frame[name].astype(object)).agg(["mean", "size"])
        table["code"] = np.arange(len(table))
        tables[name] = table.add_prefix(f"{name}_")
    return tables


@dataclass(frozen=True)
class Prepared:
    """A market of n rows: its frame, columns (n,) and price (n,), one row (1,) as a request brings
    it, the encoder, and the rows it was fitted on.
    """

    frame: pd.DataFrame
    columns: dict[str, NDArray[Any]]
    price: NDArray[np.float64]
    one: dict[str, NDArray[Any]]
    encoder: FeatureEncoder
    sample: NDArray[np.int64]


def prepare(rows: int, seed: int) -> Prepared:
    """The market of `rows` listings, and the encoder fitted on up to 300,000 of them."""
    market = generate(rows, seed)
    listings = market.listings[market.listings[TARGET].between(*US_LISTINGS.price_range)]
    frame = normalise(listings[listings["state"].notna()].reset_index(drop=True))
    columns = columns_from_frame(frame)
    price = frame[TARGET].to_numpy(np.float64)
    sample = np.random.default_rng(seed).permutation(len(price))[: min(len(price), 300_000)]
    fitted = take(columns, sample)
    encoder, _ = FeatureEncoder.fit(fitted, price[sample], as_of=np.datetime64("2022-05-06"))
    return Prepared(frame, columns, price, take(columns, np.array([7])), encoder, sample)


def measure(rows: int, seed: int) -> list[Figure]:
    prepared = prepare(rows, seed)
    encoder, frame, columns = prepared.encoder, prepared.frame, prepared.columns
    one, one_frame = prepared.one, frame.iloc[[7]]
    tables = pandas_tables(frame.iloc[prepared.sample])
    encoder.transform(one)
    before = peak_gb()
    bulk = seconds(encoder.transform, columns)
    added = peak_gb() - before
    share = len(frame) / FULL
    return [
        Figure(
            "one row, microseconds",
            1e6 * seconds(encoder.transform, one, times=200),
            150.0,
            1e6 * seconds(with_pandas, one_frame, tables, times=3),
        ),
        Figure(
            f"{len(frame):,} rows, seconds",
            bulk,
            15.0 * share,
            seconds(with_pandas, frame, tables),
        ),
        Figure("memory that they add, GB", added, 3.0 * share + 0.2),
    ]


@contextmanager
def encoding(checkout: Checkout, rows: int, seed: int, folder: Path) -> Iterator[Any]:
    """A process of the checkout with a fitted encoder; each call measures once."""
    program = Path(__file__).with_name("_encode.py")
    process = subprocess.Popen(
        [sys.executable, "-P", str(program), str(rows), str(seed)],
        cwd=folder,
        env=checkout.variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        if (line := process.stdout.readline()) != "ready\n":
            raise RuntimeError(f"{checkout.root}: the encoder is not ready: {line!r}")
        yield partial(_one_round, process)
    finally:
        process.kill()
        process.wait()


def _one_round(process: subprocess.Popen[str]) -> Mapping[str, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    values: dict[str, float] = json.loads(process.stdout.readline())
    return values


def compare(against: Path, rows: int, seed: int, turns: int) -> list[Speed]:
    """The speed of this checkout's encoder beside that of `against`."""
    with tempfile.TemporaryDirectory(prefix="realtor-features-") as folder, ExitStack() as stack:
        other, this = (
            stack.enter_context(encoding(checkout, rows, seed, Path(folder)))
            for checkout in (Checkout(against.resolve()), Checkout())
        )
        return by_turns(other, this, turns)


def main() -> int:
    end_cleanly()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=400_000, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--turns", type=int, default=11, help="with --against; default %(default)s")
    options = parser.parse_args()
    if options.against:
        speeds = compare(options.against, options.rows, options.seed, options.turns)
        print_speeds(speeds)
        return 0 if all(speed.met for speed in speeds) else 1
    figures = measure(options.rows, options.seed)
    if options.json:
        print(json.dumps([asdict(figure) | {"met": figure.met} for figure in figures]))
    else:
        print(f"{'':32}{'encoder':>12}{'pandas':>12}{'limit':>12}")
        for figure in figures:
            baseline = "" if figure.baseline is None else f"{figure.baseline:,.4g}"
            verdict = "" if figure.met else "   MISSED"
            print(
                f"{figure.name:32}{figure.value:>12,.4g}{baseline:>12}{figure.limit:>12,.4g}"
                f"{verdict}"
            )
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
