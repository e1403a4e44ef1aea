"""The valuation of one home with our prediction of small batches, and with XGBoost's alone.

    python -m benchmarks.small_batch

`SmallBatchPredictor` stays as long as the whole valuation (features, value, range, confidence) is
at least twice as fast with it: on many small trees, which few train rows get, and on fewer large
ones. Both value the same homes of a synthetic market by turns. Times are processor time of the
thread, which other work on the machine changes least. Exits with status 1 when it should go.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks._market import AS_OF, splits_of
from realtor_model.candidates import CANDIDATES
from realtor_model.estimators import small_batch
from realtor_model.features import FeatureEncoder, as_sold, take
from realtor_model.training import Rows, train_model
from realtor_model.valuation.valuation_model import ValuationModel

TARGET, TURNS, HOMES = 2.0, 16, 30


def processor_ms(model: ValuationModel, homes: list[dict[str, Any]], most: int) -> float:
    """Milliseconds of a valuation where our prediction takes at most `most` rows."""
    small_batch.MAX_ROWS = most
    started = time.thread_time()
    for home in homes:
        model.value(home)
    return 1e3 * (time.thread_time() - started) / len(homes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000, help="listings, default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    options = parser.parse_args()
    ours = small_batch.MAX_ROWS
    splits = splits_of(options.rows, options.seed)
    train, held_out = splits["train"], splits["validation"]
    encoder, matrix = FeatureEncoder.fit(train.columns, train.price, as_of=AS_OF)
    homes = as_sold(take(splits["test"].columns, np.arange(TURNS * HOMES)))
    one = [take(homes, np.array([at])) for at in range(TURNS * HOMES)]
    candidate = CANDIDATES["xgboost"]
    small_trees = train_model(
        "xgboost", encoder, Rows(matrix, train.price),
        Rows(encoder.transform(held_out.columns), held_out.price), profile={}, metadata={},
    )  # fmt: skip
    large = candidate.fit(
        matrix, train.price, hyperparameters={**candidate.hyperparameters, "n_estimators": 400},
        feature_names=encoder.feature_names, importance=False,
    )  # fmt: skip
    met = True
    head = f"{'XGBoost':>10}{'ours':>8}{'ratio':>8}{'target':>8}"
    print(f"{'one home, ms of processor time':36}{head}")
    for model in (small_trees, replace(small_trees, estimator=large)):
        trees = len(model.estimator.model.get_dump())
        times: dict[int, list[float]] = {ours: [], 0: []}
        for most in times:
            processor_ms(model, one[:1], most)
        for turn in range(TURNS):
            part = one[turn * HOMES : (turn + 1) * HOMES]
            for most in sorted(times, reverse=turn % 2 == 0):
                times[most].append(processor_ms(model, part, most))
        ratio = float(np.median(np.divide(times[0], times[ours])))
        met &= ratio >= TARGET
        depth = model.estimator.hyperparameters["max_depth"]
        verdict = "" if ratio >= TARGET else "   MISSED"
        print(
            f"{f'{trees:,} trees of depth {depth}':36}{np.median(times[0]):>10.2f}"
            f"{np.median(times[ours]):>8.2f}{ratio:>8.2f}{f'≥ {TARGET:g}':>8}{verdict}"
        )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
