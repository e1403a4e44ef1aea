"""What identifies a training, and what every trained model carries."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytest

from realtor_model import training
from realtor_model.candidates import CANDIDATES, THIN_ROWS, candidate
from realtor_model.evaluation.metrics import SELECTION_METRIC, regression_metrics
from realtor_model.training import (
    Rows,
    TrainingSettings,
    attach_reference_data,
    learning_curve,
    model_metadata,
    score_candidate,
    training_key,
)
from realtor_model.valuation.valuation_model import ValuationModel
from tests.model.conftest import AS_OF, Market

ModelOf = Callable[[str], ValuationModel]


@dataclass(frozen=True)
class Data:
    """Identity of a clean build."""

    data_version: str = "v1"
    feature_version: str = "f1"
    loads: list[int] = field(default_factory=lambda: [1, 2])
    batches: list[int] = field(default_factory=lambda: [0, 1])
    as_of: dt.date = dt.date(2022, 5, 6)


XGBOOST = TrainingSettings("xgboost")


def key(settings: TrainingSettings = XGBOOST, rows: int = THIN_ROWS) -> str:
    return training_key(settings, "one", rows)


def declare(monkeypatch: pytest.MonkeyPatch, name: str, **changes: Any) -> None:
    """Change the declaration of a candidate."""
    registry = cast("dict[str, Any]", CANDIDATES)
    monkeypatch.setitem(registry, name, replace(CANDIDATES[name], **changes))


def test_training_key_differs_with_candidate_overrides_seed_and_data() -> None:
    keys = {
        training_key(settings, version, THIN_ROWS)
        for settings in (
            TrainingSettings("xgboost"),
            TrainingSettings("random_forest"),
            TrainingSettings("xgboost", {"max_depth": 3}),
            TrainingSettings("xgboost", seed=1),
        )
        for version in ("one", "other")
    }
    assert len(keys) == 8
    assert key(TrainingSettings("xgboost", {})) in keys


def test_training_key_changes_when_a_default_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before, forest = key(), key(TrainingSettings("random_forest"))
    hyperparameters = {**CANDIDATES["xgboost"].hyperparameters, "max_depth": 4}

    declare(monkeypatch, "xgboost", hyperparameters=hyperparameters)

    assert key() != before
    assert key(TrainingSettings("random_forest")) == forest


def test_training_key_changes_when_thin_defaults_change_and_there_are_few_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many, few = key(), key(rows=THIN_ROWS - 1)

    declare(monkeypatch, "xgboost", thin={**CANDIDATES["xgboost"].thin, "max_depth": 5})

    assert key() == many
    assert key(rows=THIN_ROWS - 1) != few


def test_training_key_is_the_same_when_a_default_is_set_by_hand() -> None:
    assert key(TrainingSettings("xgboost", {"max_depth": 8})) == key()


@pytest.mark.parametrize("name", ["FEATURE_VERSION", "TRAINING_VERSION"])
def test_training_key_changes_when_a_shared_code_version_changes(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = key()

    monkeypatch.setattr(training, name, "another")

    assert key() != before


def test_training_key_changes_when_the_candidates_code_version_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, forest = key(), key(TrainingSettings("random_forest"))

    declare(monkeypatch, "xgboost", code_version="2")

    assert key() != before
    assert key(TrainingSettings("random_forest")) == forest


def test_training_key_changes_when_a_library_of_the_candidate_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, forest = key(), key(TrainingSettings("random_forest"))
    installed = candidate.library_version

    monkeypatch.setattr(
        candidate, "library_version", lambda name: "99" if name == "skops" else installed(name)
    )

    assert key() == before
    assert key(TrainingSettings("random_forest")) != forest


def test_training_key_is_refused_when_candidate_or_hyperparameter_is_unknown() -> None:
    with pytest.raises(ValueError, match="candidate is 'oracle'"):
        key(TrainingSettings("oracle"))
    with pytest.raises(ValueError, match="xgboost has no hyperparameter depth"):
        key(TrainingSettings("xgboost", {"depth": 3}))


def test_model_metadata_identifies_the_data() -> None:
    metadata = model_metadata(Data())

    assert metadata["data_version"] == "v1"
    assert metadata["as_of"] == "2022-05-06"
    assert metadata["batches"] == [0, 1]
    assert dt.datetime.fromisoformat(metadata["trained_at"]).tzinfo is not None


def test_reference_data_are_those_of_the_train_rows(model_of: ModelOf, market: Market) -> None:
    bare = replace(model_of("linear_regression"), sold_homes=None, market=None)

    model = attach_reference_data(bare, market.train)

    assert model.market is not None
    assert model.sold_homes is not None
    assert set(model.sold_homes.price) <= set(market.train.price)
    assert sum(row["listings"] for row in model.market.rows("state")) == len(market.train.price)


def test_candidate_is_scored_on_both_splits_without_changing_its_estimator(
    model_of: ModelOf, market: Market
) -> None:
    model = model_of("linear_regression")
    model = replace(model, metadata=model.metadata | {"as_of": str(AS_OF)})
    train = Rows(market.matrix, market.train.price)
    validation = Rows(market.encoder.transform(market.validation.columns), market.validation.price)

    trained = score_candidate(model, train, validation, market.validation, market.test)

    assert trained.model.estimator is model.estimator
    metrics = trained.model.metadata["metrics"]
    expected = regression_metrics(market.test.price, model.predict(market.test.columns))
    assert metrics["test"]["mae_log"] == pytest.approx(expected["mae_log"])
    assert metrics["validation"]["n"] == len(market.validation.price)
    assert np.array_equal(trained.scored.predicted, model.predict(market.validation.columns))


def test_learning_curve_ends_with_the_models_own_selection_metric(
    model_of: ModelOf, market: Market
) -> None:
    model = model_of("gradient_boosting")
    validation = Rows(market.encoder.transform(market.validation.columns), market.validation.price)

    curve = learning_curve(model, Rows(market.matrix, market.train.price), validation)

    predicted = np.exp(model.estimator.predict_log(validation.x))
    error = regression_metrics(validation.price, predicted)[SELECTION_METRIC.name]
    assert curve[-1] == (model.estimator.n_train_rows, pytest.approx(error))
    assert [rows for rows, _ in curve] == sorted(rows for rows, _ in curve)
