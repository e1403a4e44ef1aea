"""From matrices to a valuation model: the estimator, its ranges, its profile and its papers."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtor_model import drift, estimators
from realtor_model.bundle import ValuationModel
from realtor_model.evaluation import regression_metrics
from realtor_model.features import Columns, FeatureEncoder
from realtor_model.intervals import Ranges

# Part of what a training is known by: changing how models are trained, and this text, trains anew.
TRAINING_VERSION = "2"

_TRAIN_JUDGED = 50_000
_CURVE_SHARES = (0.02, 0.06, 0.2)
_CURVE_ROWS, _CURVE_FEWEST, _CURVE_JUDGED = 40_000, 50, 20_000


@dataclass(frozen=True)
class Rows:
    """Matrix x (n, n_features) float32 and price (n,) float64, dollars."""

    x: NDArray[np.float32]
    price: NDArray[np.float64]


def train_model(
    candidate: str,
    encoder: FeatureEncoder,
    train: Rows,
    validation: Rows,
    *,
    hyperparameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    profile: dict[str, Any],
    metadata: Mapping[str, Any],
) -> ValuationModel:
    """Train `candidate` on `train`; stop early, calibrate ranges and be judged on `validation`.

    Args:
        encoder: made the matrices.
        profile: `drift.profile` of the train rows.
        metadata: the model's papers; train_rows, seed and metrics are added.
    """
    estimator = estimators.train(
        candidate,
        train.x,
        train.price,
        validation.x,
        validation.price,
        hyperparameters,
        seed,
        feature_names=encoder.feature_names,
    )
    predicted = estimator.predict_log(validation.x)
    # Enough to see by how much it knows them by heart: a forest values a million rows in a minute.
    known = np.random.default_rng(seed).permutation(len(train.price))[:_TRAIN_JUDGED]
    ranges = Ranges.fit(
        train.x, np.log(train.price), validation.x, predicted, np.log(validation.price), seed
    )
    return ValuationModel(
        candidate=candidate,
        encoder=encoder,
        estimator=estimator,
        ranges=ranges,
        profile=profile,
        metadata={
            **metadata,
            "train_rows": len(train.price),
            "seed": seed,
            "metrics": {
                "train": regression_metrics(
                    train.price[known], np.exp(estimator.predict_log(train.x[known]))
                ),
                "validation": regression_metrics(validation.price, np.exp(predicted)),
            },
        },
    )


def learning_curve(model: ValuationModel, train: Rows, validation: Rows) -> list[tuple[int, float]]:
    """RMSE of log price on validation rows after training on ever more of the train rows.

    Returns (train rows, RMSE) ascending; the last point is `model` itself. The others are trained
    with its hyperparameters on 2 %, 6 % and 20 % of the rows, 40,000 at most: the slope is what is
    wanted, and it is not worth another training.
    """
    rng = np.random.default_rng(int(model.metadata["seed"]))
    order = rng.permutation(len(train.price))
    judged = rng.permutation(len(validation.price))[:_CURVE_JUDGED]
    x, actual = validation.x[judged], np.log(validation.price[judged])

    def rmse(estimator: estimators.Estimator) -> float:
        return float(np.sqrt(np.mean((estimator.predict_log(x) - actual) ** 2)))

    curve: list[tuple[int, float]] = []
    for share in _CURVE_SHARES:
        rows = order[: min(int(share * len(order)), _CURVE_ROWS)]
        if len(rows) >= _CURVE_FEWEST and (not curve or len(rows) > curve[-1][0]):
            part = estimators.train(
                model.candidate,
                train.x[rows],
                train.price[rows],
                hyperparameters=model.estimator.chosen,
                seed=int(model.metadata["seed"]),
                feature_names=model.estimator.feature_names,
                importance=False,
            )
            curve.append((len(rows), rmse(part)))
    return [*curve, (len(train.price), rmse(model.estimator))]


def refit(
    model: ValuationModel,
    columns: Columns,
    price: NDArray[np.float64],
    *,
    as_of: dt.date | np.datetime64[Any],
    without: Collection[str] = (),
) -> ValuationModel:
    """`model` trained again on all these rows, with what validation chose, and its margins.

    Once the rounds are chosen and the ranges calibrated, held-out rows are worth more as train
    rows. The margins were measured on a model of fewer rows, so they err on the wide side.
    """
    encoder, x = FeatureEncoder.fit(columns, price, as_of=as_of, without=without)
    seed = int(model.metadata["seed"])
    estimator = estimators.train(
        model.candidate,
        x,
        price,
        hyperparameters=model.estimator.chosen,
        seed=seed,
        feature_names=encoder.feature_names,
    )
    return replace(
        model,
        encoder=encoder,
        estimator=estimator,
        ranges=model.ranges.refitted(x, np.log(price), seed),
        profile=drift.profile(columns, price),
        metadata=model.metadata | {"train_rows": len(price)},
    )
