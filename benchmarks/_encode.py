"""Times the encoder of a checkout, a round for each line of standard input.

    PYTHONPATH=CHECKOUT python -P benchmarks/_encode.py ROWS SEED

A program, run by `benchmarks.features`: it imports the checkout's own `benchmarks.features` and
nothing else of ours, so that it runs in any checkout.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import features


def prepare(rows: int, seed: int) -> tuple[Any, Any, Any]:
    """The fitted encoder, the columns of all rows, and those of one."""
    if hasattr(features, "prepare"):
        prepared = features.prepare(rows, seed)
        return prepared.encoder, prepared.columns, prepared.one
    # Checkouts from before that function have its parts in the module.
    old: Any = features
    listings = old.generate(rows, seed).listings
    listings = listings[listings[old.TARGET].between(*old.VALUATION_PRICE_RANGE)]
    frame = old.normalise(listings[listings["state"].notna()].reset_index(drop=True))
    columns, price = old.columns_from_frame(frame), frame[old.TARGET].to_numpy(np.float64)
    sample = np.random.default_rng(seed).permutation(len(price))[: min(len(price), 300_000)]
    encoder, _ = old.FeatureEncoder.fit(
        old.take(columns, sample), price[sample], as_of=np.datetime64("2022-05-06")
    )
    return encoder, columns, old.take(columns, np.array([7]))


def main() -> None:
    """Answer each line with the seconds of one row and of all rows, as JSON."""
    encoder, columns, one = prepare(int(sys.argv[1]), int(sys.argv[2]))
    encoder.transform(one)
    print("ready", flush=True)
    for _ in sys.stdin:
        one_row = _fastest(lambda: encoder.transform(one), rounds=5, times=200)
        all_rows = _fastest(lambda: encoder.transform(columns), rounds=2, times=1)
        figures = {
            "one row, microseconds": 1e6 * one_row[0],
            "one row, microseconds of processor": 1e6 * one_row[1],
            "all rows, seconds": all_rows[0],
            "all rows, seconds of processor": all_rows[1],
        }
        print(json.dumps(figures), flush=True)


def _fastest(action: Callable[[], object], rounds: int, times: int) -> tuple[float, float]:
    """Seconds and seconds of processor per call: of each the least of `rounds` of `times` calls."""
    seconds, processor = [], []
    for _ in range(rounds):
        clock, cpu = time.perf_counter(), time.process_time()
        for _ in range(times):
            action()
        processor.append((time.process_time() - cpu) / times)
        seconds.append((time.perf_counter() - clock) / times)
    return min(seconds), min(processor)


if __name__ == "__main__":
    main()
