"""The candidates: kinds of models that compete on every build. A module for each, listed here."""

import json
from collections.abc import Mapping
from pathlib import Path

from realtor_model.candidates.candidate import (
    SHARED_REQUIREMENTS,
    THIN_ROWS,
    Candidate,
    FloatRange,
    IntRange,
    SearchRange,
)
from realtor_model.candidates.gradient_boosting import GRADIENT_BOOSTING
from realtor_model.candidates.linear_regression import LINEAR_REGRESSION
from realtor_model.candidates.random_forest import RANDOM_FOREST
from realtor_model.candidates.xgboost import XGBOOST
from realtor_model.estimators import Estimator

__all__ = [
    "CANDIDATES",
    "SHARED_REQUIREMENTS",
    "THIN_ROWS",
    "Candidate",
    "FloatRange",
    "IntRange",
    "SearchRange",
    "candidate_named",
    "load_estimator",
]

CANDIDATES: Mapping[str, Candidate] = {
    candidate.name: candidate
    for candidate in (
        LINEAR_REGRESSION,
        RANDOM_FOREST,
        GRADIENT_BOOSTING,
        XGBOOST,
    )
}


def candidate_named(name: str) -> Candidate:
    """The candidate called `name`.

    Raises:
        ValueError: there is no such candidate.

    >>> candidate_named("xgboost").library
    'XGBoost'
    """
    if name not in CANDIDATES:
        raise ValueError(f"candidate is {name!r}; it must be one of {', '.join(CANDIDATES)}")
    return CANDIDATES[name]


def load_estimator(folder: Path) -> Estimator:
    """The estimator that `Estimator.save` wrote into `folder`, read wholly into memory.

    Raises:
        OSError, ValueError, KeyError: a file is missing or not what `save` writes.
        skops.io.exceptions.UntrustedTypesFoundException: the model of a scikit-learn candidate has
            types that its class does not trust; nothing of it was built.
    """
    attributes = json.loads((folder / "estimator.json").read_text())
    return candidate_named(attributes["candidate"]).estimator.restored(folder, attributes)
