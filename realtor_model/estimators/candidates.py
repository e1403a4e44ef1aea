"""The candidates and their hyperparameters: how one is trained, and read again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from realtor_model.estimators.estimator import Estimator, Floats, Matrix, TrainRows
from realtor_model.estimators.scikit_estimators import Forest, HistogramBoosting, Linear
from realtor_model.estimators.xgboost_estimator import XGBoost
from realtor_model.features import FEATURE_NAMES

THIN_ROWS = 100_000


@dataclass(frozen=True)
class Candidate:
    """A kind of model that is trained on every build: its class and default hyperparameters.

    thin: what replaces them below `THIN_ROWS` train rows.
    """

    estimator: type[Estimator]
    hyperparameters: Mapping[str, Any]
    thin: Mapping[str, Any] = field(default_factory=dict)


CANDIDATES: Mapping[str, Candidate] = MappingProxyType(
    {
        "linear_regression": Candidate(Linear, {}),
        # Bounded bootstraps and leaves keep 200 trees of depth 20 under 200 MB.
        "random_forest": Candidate(
            Forest,
            {
                "n_estimators": 200,
                "max_depth": 20,
                "min_samples_leaf": 8,
                "max_features": 0.33,
                "max_samples": 50_000,
            },
        ),
        "gradient_boosting": Candidate(
            HistogramBoosting,
            {
                "max_iter": 200,
                "max_depth": 5,
                "learning_rate": 0.1,
                "min_samples_leaf": 20,
                "n_iter_no_change": 20,
            },
        ),
        "xgboost": Candidate(
            XGBoost,
            {
                "n_estimators": 500,
                "max_depth": 8,
                "learning_rate": 0.1,
                "min_child_weight": 5.0,
                "subsample": 0.8,
                "colsample_bynode": 0.5,
                "num_parallel_tree": 1,
                "huber_slope": 0.4,
                "reg_lambda": 2.0,
                "early_stopping_rounds": 30,
            },
            # Few rows: variance is the error, and small bagged steps are what lowers it.
            {
                "n_estimators": 300,
                "max_depth": 6,
                "learning_rate": 0.05,
                "subsample": 0.5,
                "colsample_bynode": 0.2,
                "num_parallel_tree": 8,
                "early_stopping_rounds": 60,
            },
        ),
    }
)


def default_hyperparameters(candidate: str, rows: int) -> dict[str, Any]:
    """What `candidate` is trained with on so many rows, when nobody says otherwise."""
    kind = CANDIDATES[candidate]
    return {**kind.hyperparameters, **(kind.thin if rows < THIN_ROWS else {})}


def hyperparameters_of(candidate: str, rows: int, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What `candidate` is trained with on so many rows, where `overrides` replace defaults.

    Raises:
        ValueError: one of them is no hyperparameter of the candidate.
    """
    known = CANDIDATES[candidate].hyperparameters
    if unknown := sorted(overrides.keys() - known.keys()):
        names = ", ".join(known) or "none"
        raise ValueError(f"{candidate} has no hyperparameter {', '.join(unknown)}; it has: {names}")
    return default_hyperparameters(candidate, rows) | dict(overrides)


def train(
    candidate: str,
    x: Matrix,
    price: Floats,
    x_validation: Matrix | None = None,
    price_validation: Floats | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    *,
    feature_names: Sequence[str] = FEATURE_NAMES,
    importance: bool = True,
) -> Estimator:
    """Fit `candidate` to log price, on all cores; the same seed makes the same model.

    Args:
        candidate: a name in `CANDIDATES`.
        x: float32 (n, n_features), finite.
        price: float64 (n,), dollars, positive.
        x_validation, price_validation: rows of homes not in `x`; boosting stops early by them, the
            others leave them alone. Without them all rounds are made.
        hyperparameters: replaces single defaults of the candidate.
        seed: of everything random.
        feature_names: names of the columns of `x`.
        importance: measure it, too; a model that is only compared does without.

    Raises:
        ValueError: an unknown candidate or hyperparameter, or names that don't fit the matrix.
    """
    if candidate not in CANDIDATES:
        raise ValueError(f"candidate is {candidate!r}; it must be one of {', '.join(CANDIDATES)}")
    settings = hyperparameters_of(candidate, len(price), hyperparameters or {})
    if x.shape[1] != len(feature_names):
        raise ValueError(f"x has {x.shape[1]} columns and {len(feature_names)} feature names")
    y = np.log(price)
    held_out = None
    if x_validation is not None and price_validation is not None:
        held_out = (x_validation, np.log(price_validation))
    fitted = CANDIDATES[candidate].estimator.fitted(
        TrainRows(x, y, held_out, tuple(feature_names)),
        candidate=candidate,
        hyperparameters=settings,
        seed=seed,
    )
    if importance:
        fitted.measure_importance(x, seed)
    return fitted


def load(folder: Path) -> Estimator:
    """The estimator that `Estimator.save` wrote into `folder`, wholly in memory.

    Raises:
        OSError, ValueError, KeyError: a file is missing or not what `save` writes.
        skops.io.exceptions.UntrustedTypesFoundException: the model has types beyond
            `TRUSTED_TYPES`; nothing of it was built.
    """
    described = json.loads((folder / "estimator.json").read_text())
    return CANDIDATES[described["candidate"]].estimator.restored(folder, described)
