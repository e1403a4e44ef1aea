"""From matrices to a valuation model: fitted, calibrated, scored, and ready for a bundle.

Nothing here knows where the rows come from: one machine and a cluster share all of it.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realtor_model.candidates import Candidate, candidate_named
from realtor_model.estimators import Estimator
from realtor_model.evaluation.metrics import SELECTION_METRIC, ratio_study, regression_metrics
from realtor_model.evaluation.scored_listings import ScoredListings, summary
from realtor_model.features import FEATURE_VERSION, Columns, FeatureEncoder
from realtor_model.listing import ListingContract
from realtor_model.sampling import draw_rows
from realtor_model.valuation.comparables import SoldHomes
from realtor_model.valuation.intervals import Ranges
from realtor_model.valuation.market_statistics import MarketStatistics
from realtor_model.valuation.valuation_model import ValuationModel

# Part of the training key: raise it when models of all candidates are trained in another way, and
# they are trained anew. `Candidate.code_version` is that of a single one.
TRAINING_VERSION = "5"

# Rows of a split that a candidate is scored on at most: enough to tell candidates apart.
MAX_SCORED_ROWS = 50_000
# Rows that ranges are calibrated on, and that train and validation error are compared on: a forest
# takes a minute for a million.
_CALIBRATION_ROWS = 20_000
_CURVE_LARGEST, _CURVE_SHARES, _CURVE_FEWEST = 4_000, (1 / 16, 1 / 4, 1), 50


@dataclass(frozen=True)
class Rows:
    """Matrix x (n, n_features) float32 and price (n,) float64, dollars."""

    x: NDArray[np.float32]
    price: NDArray[np.float64]

    def some(self, most: int, seed: int) -> "Rows":
        """At most `most` of the rows, drawn at random."""
        if len(self.price) <= most:
            return self
        chosen = draw_rows(len(self.price), most, seed)
        return Rows(self.x[chosen], self.price[chosen])


class PricedListings(Protocol):
    """n listings as columns, with their price (n,), dollars."""

    @property
    def columns(self) -> Columns: ...

    @property
    def price(self) -> NDArray[np.float64]: ...


class TrainingData(Protocol):
    """Identity of the rows that a model is trained on."""

    @property
    def data_version(self) -> str: ...

    @property
    def feature_version(self) -> str: ...

    @property
    def loads(self) -> list[int]: ...

    @property
    def batches(self) -> list[int]: ...

    @property
    def as_of(self) -> dt.date: ...


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of a training: candidate by name, overrides of hyperparameters, and the seed."""

    candidate: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def declaration(self) -> Candidate:
        """The candidate. Raises ValueError when there is none of that name."""
        return candidate_named(self.candidate)


@dataclass(frozen=True)
class TrainedCandidate:
    """A candidate's model, its valuations of the validation rows, and its learning curve."""

    model: ValuationModel
    scored: ScoredListings
    curve: list[tuple[int, float]]


def training_key(settings: TrainingSettings, data_version: str, train_rows: int) -> str:
    """Identifier of a training: the same key makes the same model.

    It covers the candidate, all its hyperparameters with their defaults, seed, data, the versions
    of features and training code, and those of the libraries that train it.

    Args:
        settings: the training.
        data_version: of the clean build.
        train_rows: rows of the train split, on which defaults depend.

    Raises:
        ValueError: an unknown candidate or hyperparameter.
    """
    candidate = settings.declaration
    facts = {
        "candidate": candidate.name,
        "hyperparameters": candidate.resolve_hyperparameters(train_rows, settings.hyperparameters),
        "seed": settings.seed,
        "data": data_version,
        "code": [FEATURE_VERSION, TRAINING_VERSION, candidate.code_version],
        "libraries": candidate.library_versions(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def model_metadata(data: TrainingData) -> dict[str, Any]:
    """Metadata of a model that is trained on `data` now, as strict JSON takes it."""
    return {
        "data_version": data.data_version,
        "feature_version": data.feature_version,
        "loads": data.loads,
        "batches": data.batches,
        "as_of": data.as_of.isoformat(),
        "trained_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def attach_reference_data(model: ValuationModel, train: PricedListings) -> ValuationModel:
    """`model` with the sold homes and the market statistics of its train rows."""
    return replace(
        model,
        sold_homes=SoldHomes.of(train.columns, train.price),
        market=MarketStatistics.of(train.columns, train.price, _added_numbers(model.contract)),
    )


def _added_numbers(contract: ListingContract) -> list[str]:
    return [column.key for column in contract.extras if column.range is not None]


def train_and_score(
    settings: TrainingSettings,
    encoder: FeatureEncoder,
    train: Rows,
    validation: Rows,
    validation_listings: PricedListings,
    test_listings: PricedListings,
    profile: dict[str, Any],
    metadata: Mapping[str, Any],
) -> TrainedCandidate:
    """Train a candidate on the matrices `train` and `validation`; then `score_candidate`.

    See `train_model` for the arguments.
    """
    model = train_model(
        settings.candidate,
        encoder,
        train,
        validation,
        hyperparameters=settings.hyperparameters,
        seed=settings.seed,
        profile=profile,
        metadata=metadata,
    )
    return score_candidate(model, train, validation, validation_listings, test_listings)


def score_candidate(
    model: ValuationModel,
    train: Rows,
    validation: Rows,
    validation_listings: PricedListings,
    test_listings: PricedListings,
) -> TrainedCandidate:
    """Score `model` on at most 50,000 listings of both splits, and measure its learning curve.

    The validation figures choose among candidates. The test figures are for people: nothing here or
    later is chosen by them.
    """
    as_of = model.metadata["as_of"]
    scored, scored_test = (
        ScoredListings.by(model, listings.columns, listings.price, most=MAX_SCORED_ROWS)
        for listings in (validation_listings, test_listings)
    )
    metrics = model.metadata["metrics"] | {
        "validation": summary(scored, as_of),
        "test": summary(scored_test, as_of),
    }
    curve = learning_curve(model, train, validation)
    scored_model = replace(model, metadata=model.metadata | {"metrics": metrics})
    return TrainedCandidate(scored_model, scored, curve)


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
    """Train `candidate` on `train`; `validation` stops boosting early and calibrates the ranges.

    Args:
        candidate: a name in `CANDIDATES`.
        encoder: made the matrices.
        train, validation: rows of different homes.
        hyperparameters: replace single defaults of the candidate.
        seed: of everything random.
        profile: `drift.profile` of the train rows.
        metadata: of the model; train_rows, seed and metrics are added.

    Raises:
        ValueError: an unknown candidate or hyperparameter, or matrices that are not the encoder's.
    """
    estimator = candidate_named(candidate).fit(
        train.x,
        train.price,
        validation.x,
        validation.price,
        hyperparameters,
        seed,
        feature_names=encoder.feature_names,
        monotone=encoder.monotone,
    )
    return calibrate_and_package(
        estimator, encoder, train, validation, seed=seed, profile=profile, metadata=metadata
    )


def calibrate_and_package(
    estimator: Estimator,
    encoder: FeatureEncoder,
    train: Rows,
    validation: Rows,
    *,
    seed: int,
    profile: dict[str, Any],
    metadata: Mapping[str, Any],
) -> ValuationModel:
    """The valuation model of a fitted `estimator`, with calibrated ranges, profile and metadata.

    At most 20,000 rows of each kind calibrate the ranges and measure the error. See `train_model`
    for the arguments.

    Args:
        train: rows that the estimator learned from, not necessarily all of them.
        validation: rows that it did not learn from.
    """
    learned, held_out = (rows.some(_CALIBRATION_ROWS, seed) for rows in (train, validation))
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
                "train": _figures(learned.price, np.exp(estimator.predict_log(learned.x))),
                "validation": _figures(held_out.price, np.exp(predicted)),
            },
        },
    )


def learning_curve(model: ValuationModel, train: Rows, validation: Rows) -> list[tuple[int, float]]:
    """`SELECTION_METRIC` on validation rows after training on more and more of the train rows.

    Returns (train rows, error) ascending; the last point is `model` itself. The others are trained
    with its hyperparameters on 1/16, 1/4 and all of a fifth of the rows, 4,000 at most: they show
    the slope without the cost of another whole training.
    """
    seed = int(model.metadata["seed"])
    held_out = validation.some(_CALIBRATION_ROWS, seed)
    largest = train.some(min(len(train.price) // 5, _CURVE_LARGEST), seed)

    def error(estimator: Estimator) -> float:
        predicted = np.exp(estimator.predict_log(held_out.x))
        return regression_metrics(held_out.price, predicted)[SELECTION_METRIC.name]

    curve: list[tuple[int, float]] = []
    for share in _CURVE_SHARES:
        rows = int(share * len(largest.price))
        if rows >= _CURVE_FEWEST:
            estimator = candidate_named(model.candidate).fit(
                largest.x[:rows],
                largest.price[:rows],
                hyperparameters=model.estimator.refit_hyperparameters,
                seed=seed,
                feature_names=model.estimator.feature_names,
                monotone=model.encoder.monotone,
                importance=False,
            )
            curve.append((rows, error(estimator)))
    return [*curve, (model.estimator.n_train_rows, error(model.estimator))]


def refit(model: ValuationModel, train: Rows, validation: Rows) -> ValuationModel:
    """`model` trained again on all these rows, in as many rounds as validation chose.

    Once the model is chosen and its ranges are calibrated, the validation rows are worth more as
    train rows. Their features are honest, because the encoder has not seen their prices. Encoder,
    ranges and metrics stay those of the train rows, so the ranges are too wide, if anything.
    """
    estimator = candidate_named(model.candidate).fit(
        np.concatenate([train.x, validation.x]),
        np.concatenate([train.price, validation.price]),
        hyperparameters=model.estimator.refit_hyperparameters,
        seed=int(model.metadata["seed"]),
        feature_names=model.estimator.feature_names,
        monotone=model.encoder.monotone,
    )
    return replace_estimator(model, estimator)


def replace_estimator(model: ValuationModel, estimator: Estimator) -> ValuationModel:
    """`model` with another estimator of its candidate, and that one's number of train rows."""
    return replace(
        model,
        estimator=estimator,
        metadata=model.metadata | {"train_rows": estimator.n_train_rows},
    )


def _figures(price: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    return regression_metrics(price, predicted) | ratio_study(price, predicted)
