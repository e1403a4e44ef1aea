"""From matrices to a valuation model: the estimator, its ranges, its profile and its papers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtor_model import estimators
from realtor_model.evaluation.metrics import ratio_study, regression_metrics
from realtor_model.features import FeatureEncoder
from realtor_model.sampling import draw_rows
from realtor_model.valuation.intervals import Ranges
from realtor_model.valuation.valuation_model import ValuationModel

# Part of what a training is known by: changing how models are trained, and this text, trains anew.
TRAINING_VERSION = "4"

# Enough to calibrate ranges and to see how much is known by heart: a forest takes a minute for a
# million rows.
_JUDGED = 20_000
_CURVE_LARGEST, _CURVE_SHARES, _CURVE_FEWEST = 4_000, (1 / 16, 1 / 4, 1), 50


@dataclass(frozen=True)
class Rows:
    """Matrix x (n, n_features) float32 and price (n,) float64, dollars."""

    x: NDArray[np.float32]
    price: NDArray[np.float64]

    def some(self, most: int, seed: int) -> "Rows":
        """`most` of the rows at most, drawn at random."""
        if len(self.price) <= most:
            return self
        chosen = draw_rows(len(self.price), most, seed)
        return Rows(self.x[chosen], self.price[chosen])


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

    Calibrated and judged on 20,000 rows at most.

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
    return complete(
        estimator, encoder, train, validation, seed=seed, profile=profile, metadata=metadata
    )


def complete(
    estimator: estimators.Estimator,
    encoder: FeatureEncoder,
    train: Rows,
    validation: Rows,
    *,
    seed: int,
    profile: dict[str, Any],
    metadata: Mapping[str, Any],
) -> ValuationModel:
    """The model of a trained `estimator`: with ranges, profile and papers; see `train_model`.

    `train` are rows that the estimator learned from, not necessarily all of them.
    """
    known, held_out = train.some(_JUDGED, seed), validation.some(_JUDGED, seed)
    predicted = estimator.predict_log(held_out.x)
    ranges = Ranges.fit(
        train.x, np.log(train.price), held_out.x, predicted, np.log(held_out.price), seed
    )
    return ValuationModel(
        candidate=estimator.candidate,
        encoder=encoder,
        estimator=estimator,
        ranges=ranges,
        profile=profile,
        metadata={
            **metadata,
            "train_rows": estimator.n_train_rows,
            "seed": seed,
            "metrics": {
                "train": _figures(known.price, np.exp(estimator.predict_log(known.x))),
                "validation": _figures(held_out.price, np.exp(predicted)),
            },
        },
    )


def learning_curve(model: ValuationModel, train: Rows, validation: Rows) -> list[tuple[int, float]]:
    """RMSE of log price on validation rows after training on ever more of the train rows.

    Returns (train rows, RMSE) ascending; the last point is `model` itself. The others are trained
    with its hyperparameters on 1/16, 1/4 and all of a fifth of the rows, 4,000 at most: the slope
    is what is wanted, and it is not worth another training.
    """
    seed = int(model.metadata["seed"])
    judged = validation.some(_JUDGED, seed)
    largest = train.some(min(len(train.price) // 5, _CURVE_LARGEST), seed)

    def rmse(estimator: estimators.Estimator) -> float:
        error = estimator.predict_log(judged.x) - np.log(judged.price)
        return float(np.sqrt(np.mean(error**2)))

    curve: list[tuple[int, float]] = []
    for share in _CURVE_SHARES:
        rows = int(share * len(largest.price))
        if rows >= _CURVE_FEWEST:
            part = estimators.train(
                model.candidate,
                largest.x[:rows],
                largest.price[:rows],
                hyperparameters=model.estimator.chosen,
                seed=seed,
                feature_names=model.estimator.feature_names,
                importance=False,
            )
            curve.append((rows, rmse(part)))
    return [*curve, (model.estimator.n_train_rows, rmse(model.estimator))]


def refit(model: ValuationModel, train: Rows, validation: Rows) -> ValuationModel:
    """`model` trained again on all these rows, in as many rounds as validation chose.

    Once it is chosen and its ranges are calibrated, the validation rows are worth more as train
    rows; their features are honest, for the encoder has not seen their prices. Encoder, ranges and
    metrics stay those of the train rows: the margins err on the wide side, if at all.
    """
    estimator = estimators.train(
        model.candidate,
        np.concatenate([train.x, validation.x]),
        np.concatenate([train.price, validation.price]),
        hyperparameters=model.estimator.chosen,
        seed=int(model.metadata["seed"]),
        feature_names=model.estimator.feature_names,
    )
    return replace(
        model,
        estimator=estimator,
        metadata=model.metadata | {"train_rows": estimator.n_train_rows},
    )


def _figures(price: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    return regression_metrics(price, predicted) | ratio_study(price, predicted)
