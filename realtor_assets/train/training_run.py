"""What is trained, what it is known by, and how it is judged: on one machine or a cluster."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realtor_assets.clean.clean_build import CleanBuild
from realtor_model.evaluation.scored_listings import ScoredListings, summary
from realtor_model.features import FEATURE_VERSION, Columns, FeatureEncoder
from realtor_model.training import TRAINING_VERSION, Rows, learning_curve, train_model
from realtor_model.valuation.comparables import SoldHomes
from realtor_model.valuation.market_statistics import MarketStatistics
from realtor_model.valuation.valuation_model import ValuationModel

# All candidates are judged on the same rows; that many tell them apart.
JUDGED_ROWS = 50_000


@dataclass(frozen=True)
class Settings:
    """What is trained: a candidate, what replaces its default hyperparameters, and the seed."""

    candidate: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


def training_key(settings: Settings, data_version: str) -> str:
    """What a training is known by: the same key makes the same model."""
    facts = {
        "settings": asdict(settings),
        "data": data_version,
        "code": [FEATURE_VERSION, TRAINING_VERSION],
        "libraries": {name: version(name) for name in ("scikit-learn", "xgboost")},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


class Priced(Protocol):
    """Listings as columns, with their price (n,), dollars."""

    @property
    def columns(self) -> Columns: ...

    @property
    def price(self) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Trained:
    """A candidate, its validation rows as it judged them, and its learning curve."""

    model: ValuationModel
    judged: ScoredListings
    curve: list[tuple[int, float]]


def papers(build: CleanBuild) -> dict[str, Any]:
    """The papers of a model that is trained on `build`, now."""
    return {
        "data_version": build.data_version,
        "feature_version": build.feature_version,
        "loads": build.loads,
        "batches": build.batches,
        "as_of": build.as_of.isoformat(),
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def described(model: ValuationModel, train: Priced) -> ValuationModel:
    """`model` with the sold homes and the market statistics of its train rows."""
    return replace(
        model,
        sold_homes=SoldHomes.of(train.columns, train.price),
        market=MarketStatistics.of(train.columns, train.price),
    )


def train_and_judge(
    settings: Settings,
    encoder: FeatureEncoder,
    fitted: Rows,
    held_out: Rows,
    validation: Priced,
    test: Priced,
    profile: dict[str, Any],
    metadata: Mapping[str, Any],
) -> Trained:
    """Train a candidate on the matrices `fitted` and `held_out`; `judge` it on two splits."""
    model = train_model(
        settings.candidate,
        encoder,
        fitted,
        held_out,
        hyperparameters=settings.hyperparameters,
        seed=settings.seed,
        profile=profile,
        metadata=metadata,
    )
    return judge(model, fitted, held_out, validation, test)


def judge(
    model: ValuationModel, fitted: Rows, held_out: Rows, validation: Priced, test: Priced
) -> Trained:
    """Judge `model` on 50,000 rows of two splits at most, and draw its learning curve.

    The test figures are for people: nothing here or later is chosen by them.
    """
    as_of = model.metadata["as_of"]
    judged = ScoredListings.by(model, validation.columns, validation.price, most=JUDGED_ROWS)
    metrics = model.metadata["metrics"] | {
        "validation": summary(judged, as_of),
        "test": summary(
            ScoredListings.by(model, test.columns, test.price, most=JUDGED_ROWS), as_of
        ),
    }
    curve = learning_curve(model, fitted, held_out)
    return Trained(replace(model, metadata=model.metadata | {"metrics": metrics}), judged, curve)
