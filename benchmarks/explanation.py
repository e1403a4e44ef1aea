"""Explanations of every kind of trees: time, exactness, and XGBoost's beside shap's own.

    python -m benchmarks.explanation --rows 150000

The candidates are trained as for many rows, on a synthetic market. XGBoost explains its trees
itself; shap explains those of scikit-learn. XGBoost and shap explain the same homes with
the same trees, one home at a time and by turns. Times are processor time of one thread, which
other work on the machine changes least. Exits with status 1 when a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import shap
import xgboost

from benchmarks._market import AS_OF, splits_of
from realtor_model.candidates import CANDIDATES
from realtor_model.estimators import TreeEnsemble
from realtor_model.features import FeatureEncoder, as_sold, take

HOMES, SLOW_HOMES, TOGETHER = 100, 10, 1_000


@dataclass(frozen=True)
class Figure:
    """One measured value and its limit, if it has one."""

    name: str
    value: float
    limit: float | None = None

    @property
    def met(self) -> bool:
        return self.limit is None or self.value <= self.limit


def measure(rows: int, seed: int, candidates: list[str]) -> list[Figure]:
    splits = splits_of(rows, seed, train=0.8)
    fitted, held_out = splits["train"], splits["validation"]
    encoder, matrix = FeatureEncoder.fit(fitted.columns, fitted.price, as_of=AS_OF)
    test = splits["test"]
    chosen = np.arange(min(TOGETHER, len(test.price)))
    homes = encoder.transform(as_sold(take(test.columns, chosen)))
    figures = []
    for name in candidates:
        estimator: Any = CANDIDATES[name].fit(
            matrix, fitted.price, encoder.transform(held_out.columns), held_out.price,
            # Not those for few rows: shap takes trees that a round grows in parallel for outputs.
            CANDIDATES[name].hyperparameters, seed, importance=False,
        )  # fmt: skip
        print(f"{name}: {estimator.hyperparameters}", file=sys.stderr)
        one = [homes[at : at + 1] for at in range(HOMES)]
        if CANDIDATES[name].slow_to_explain:
            one = one[:SLOW_HOMES]
        else:
            together = _milliseconds(estimator._contributions, homes)
            figures.append(Figure(f"{name}: {len(homes):,} homes, ms", together))
        few = np.concatenate(one)
        base, values = estimator.contributions(few)
        error = np.abs(base + values.sum(axis=1) - estimator.predict_log(few)).max()
        if name == "xgboost":
            figures += _beside_shap(estimator, one)
        else:
            estimator.contributions(few[:1])
            times = [_milliseconds(estimator.contributions, home) for home in one]
            figures.append(Figure(f"{name}: one home, ms", float(np.median(times))))
        figures.append(Figure(f"{name}: additivity error, log price", float(error), 1e-6))
    return figures


def _beside_shap(estimator: Any, one: list[Any]) -> list[Figure]:
    booster: xgboost.Booster = estimator.model
    explainer = shap.TreeExplainer(booster)
    # Otherwise `shap_values` asks XGBoost.
    explainer.model.model_type = "internal"
    actions: dict[str, Callable[[Any], Any]] = {
        "xgboost": lambda home: estimator._contributions(home)[1],
        "shap": lambda home: explainer.shap_values(estimator._seen(home), check_additivity=False),
        "prediction": lambda home: booster.inplace_predict(estimator._seen(home)),
    }
    times: dict[str, list[float]] = {name: [] for name in actions}
    gaps = []
    for action in actions.values():
        action(one[0])
    for home in one:
        answers = {}
        for name, action in actions.items():
            started = time.thread_time()
            answers[name] = action(home)
            times[name].append(1e3 * (time.thread_time() - started))
        gaps.append(np.abs(answers["xgboost"] - answers["shap"]).max())
    ms = {name: float(np.median(values)) for name, values in times.items()}
    return [
        Figure("xgboost: one home, ms", ms["xgboost"]),
        Figure("xgboost: shap's time / XGBoost's", ms["shap"] / ms["xgboost"]),
        Figure("xgboost: explanation / prediction", ms["xgboost"] / ms["prediction"], 20.0),
        Figure("xgboost: largest difference from shap", float(np.max(gaps)), 1e-4),
    ]


def _milliseconds(action: Callable[[Any], Any], homes: Any) -> float:
    # All threads of the process: many homes are explained on all cores.
    started = time.process_time()
    action(homes)
    return 1e3 * (time.process_time() - started)


def main() -> int:
    trees = [name for name, c in CANDIDATES.items() if issubclass(c.estimator, TreeEnsemble)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=150_000, help="listings, default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--candidates", nargs="+", default=trees, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    figures = measure(options.rows, options.seed, options.candidates)
    if options.json:
        print(json.dumps([asdict(figure) | {"met": bool(figure.met)} for figure in figures]))
    else:
        print(f"{'':46}{'measured':>12}{'target':>12}")
        for figure in figures:
            verdict = "" if figure.met else "   MISSED"
            target = "" if figure.limit is None else f"≤ {figure.limit:,.3g}"
            print(f"{figure.name:46}{figure.value:>12,.4g}{target:>12}{verdict}")
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
