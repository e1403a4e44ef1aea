"""Exact explanation of one home: our TreeSHAP compared with shap.TreeExplainer.

    python -m benchmarks.explanation --rows 150000

Both explain the same homes of a synthetic market with the same model, one home at a time and in
turn. The model is trained as on the platform. Exits with status 1 when a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import shap
import xgboost

from benchmarks._market import AS_OF, splits_of
from realtor_model.candidates import CANDIDATES
from realtor_model.estimators.tree_arrays import Trees
from realtor_model.estimators.tree_shap import TreeShap
from realtor_model.features import FeatureEncoder, as_sold, take

HOMES = 100


@dataclass(frozen=True)
class Figure:
    """One measured value and its limit."""

    name: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def measure(rows: int, seed: int) -> list[Figure]:
    splits = splits_of(rows, seed, train=0.8)
    fitted, held_out = splits["train"], splits["validation"]
    encoder, matrix = FeatureEncoder.fit(fitted.columns, fitted.price, as_of=AS_OF)
    estimator: Any = CANDIDATES["xgboost"].fit(
        matrix, fitted.price, encoder.transform(held_out.columns), held_out.price,
        seed=seed, importance=False,
    )  # fmt: skip
    booster: xgboost.Booster = estimator.model
    print(f"champion: {estimator.hyperparameters}", file=sys.stderr)
    started = time.perf_counter()
    ours = TreeShap.of(Trees.of_xgboost(booster), matrix.shape[1])
    prepared = time.perf_counter() - started
    assert ours is not None
    theirs = shap.TreeExplainer(booster)
    homes = as_sold(take(splits["test"].columns, np.arange(HOMES)))
    x = estimator._seen(encoder.transform(homes))
    seconds: dict[str, list[float]] = {"ours": [], "shap": [], "own": [], "predict": []}
    gaps, additive = [], []
    ours.values(x[:1])
    for at in range(HOMES):
        home = x[at : at + 1]
        answers = {}
        for name, action in (
            ("ours", ours.values),
            ("shap", theirs.shap_values),
            ("own", lambda row: booster.predict(xgboost.DMatrix(row), pred_contribs=True)),
            ("predict", booster.inplace_predict),
        ):
            started = time.perf_counter()
            answers[name] = action(home)
            seconds[name].append(time.perf_counter() - started)
        gaps.append(np.abs(answers["ours"] - answers["shap"]).max())
        additive.append(abs(ours.base + answers["ours"].sum() - answers["predict"][0]))
    ms = {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}
    megabytes = (ours.factor.nbytes + ours.gain.nbytes) / 1e6
    return [
        Figure("one home, milliseconds", ms["ours"], ms["shap"] / 3.0),
        Figure("shap.TreeExplainer / ours", ms["shap"] / ms["ours"], 3.0, at_least=True),
        Figure("xgboost pred_contribs / ours", ms["own"] / ms["ours"], 3.0, at_least=True),
        Figure("ours / a prediction", ms["ours"] / ms["predict"], 20.0),
        Figure("largest difference, log price", float(np.max(gaps)), 1e-4),
        Figure("additivity error, log price", float(np.max(additive)), 1e-4),
        Figure("preparing a model, seconds", prepared, 2.0),
        Figure("memory of a prepared model, MB", megabytes, 100.0),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=150_000, help="listings, default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    figures = measure(options.rows, options.seed)
    if options.json:
        print(json.dumps([asdict(figure) | {"met": bool(figure.met)} for figure in figures]))
    else:
        print(f"{'':34}{'measured':>12}{'target':>14}")
        for figure in figures:
            verdict = "" if figure.met else "   MISSED"
            target = f"{'≥' if figure.at_least else '≤'} {figure.limit:,.3g}"
            print(f"{figure.name:34}{figure.value:>12,.4g}{target:>14}{verdict}")
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
