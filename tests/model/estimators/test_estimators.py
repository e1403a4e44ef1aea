"""Every candidate: exact explanations, the same model from the same seed, no pickle."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from sklearn.preprocessing import FunctionTransformer
from skops.io.exceptions import UntrustedTypesFoundException

from realtor_model.candidates import CANDIDATES, candidate_named, load_estimator
from realtor_model.estimators import LOG_MARGIN, Estimator, ScikitEstimator, row_chunks
from realtor_model.evaluation.metrics import regression_metrics
from realtor_model.features import FEATURE_NAMES, features_of
from realtor_model.listing import US_LISTINGS
from realtor_model.valuation.valuation_model import ValuationModel
from tests.model.conftest import SMALL, Market

ModelOf = Callable[[str], ValuationModel]


@pytest.fixture
def estimator(model: ValuationModel) -> Estimator:
    return model.estimator


@pytest.fixture(scope="module")
def matrix(market: Market) -> NDArray[np.float32]:
    return market.encoder.transform(market.test.columns)


def retrain(market: Market, candidate: str, **changes: Any) -> Estimator:
    return candidate_named(candidate).fit(
        market.matrix,
        market.train.price,
        market.encoder.transform(market.validation.columns),
        market.validation.price,
        SMALL[candidate] | changes.pop("hyperparameters", {}),
        **changes,
    )


def test_every_candidate_learns_the_market(
    estimator: Estimator, matrix: NDArray[np.float32], market: Market
) -> None:
    metrics = regression_metrics(market.test.price, np.exp(estimator.predict_log(matrix)))

    assert metrics["r2_log"] > (0.7 if estimator.candidate == "linear_regression" else 0.8)
    # The noise of the market is 0.15: a model that is closer has seen the answers.
    assert metrics["rmse_log"] > 0.14


def test_contributions_add_up_to_the_prediction(
    estimator: Estimator, matrix: NDArray[np.float32]
) -> None:
    base, values = estimator.contributions(matrix[:100])
    predicted = estimator.predict_log(matrix[:100])

    assert values.shape == (100, len(FEATURE_NAMES))
    assert np.abs(base + values.sum(axis=1) - predicted).max() < 1e-6
    assert np.abs(values).max() > 0.1


def test_predictions_stay_near_the_train_prices_when_a_home_is_absurd(
    estimator: Estimator, matrix: NDArray[np.float32]
) -> None:
    absurd = matrix[:20].copy()
    absurd[:10] = 1e6
    absurd[10:] = -1e6
    predicted = estimator.predict_log(absurd)
    base, values = estimator.contributions(absurd)

    low, high = estimator.log_range
    assert predicted.min() >= low - LOG_MARGIN
    assert predicted.max() <= high + LOG_MARGIN
    assert np.abs(base + values.sum(axis=1) - predicted).max() < 1e-6


def test_a_row_is_predicted_alike_alone_and_among_others(
    estimator: Estimator, matrix: NDArray[np.float32]
) -> None:
    alone = np.concatenate([estimator.predict_log(matrix[i : i + 1]) for i in range(50)])
    many = np.tile(matrix, (30, 1))

    assert np.allclose(alone, estimator.predict_log(matrix)[:50], rtol=0, atol=1e-6)
    assert len(many) > 2 * row_chunks.ROWS_PER_THREAD
    assert np.array_equal(estimator.predict_log(many), np.tile(estimator.predict_log(matrix), 30))


def test_saved_and_loaded_estimator_is_the_same(
    estimator: Estimator, matrix: NDArray[np.float32], tmp_path: Path
) -> None:
    estimator.save(tmp_path)
    again = load_estimator(tmp_path)

    assert np.array_equal(again.predict_log(matrix), estimator.predict_log(matrix))
    for name in ("candidate", "hyperparameters", "n_train_rows", "log_range", "feature_names"):
        assert getattr(again, name) == getattr(estimator, name)
    assert again.importance() == estimator.importance()
    loaded, saved = (each.contributions(matrix[:5])[1] for each in (again, estimator))
    assert np.allclose(loaded, saved, rtol=0, atol=1e-6)


def test_importance_is_in_log_dollars(estimator: Estimator) -> None:
    importance = estimator.importance()

    assert tuple(importance) == FEATURE_NAMES
    assert all(value >= 0 for value in importance.values())
    size = ("log_house_size", "land_only", "sqft_per_bed", "house_size_missing")
    assert sum(importance[name] for name in size) > 0.1


SCIKIT_CANDIDATES = [
    name
    for name, candidate in CANDIDATES.items()
    if issubclass(candidate.estimator, ScikitEstimator)
]


@pytest.mark.parametrize("candidate", SCIKIT_CANDIDATES)
def test_predictions_equal_those_of_scikit_learn(
    model_of: ModelOf, matrix: NDArray[np.float32], candidate: str
) -> None:
    estimator = model_of(candidate).estimator

    theirs = estimator.model.predict(matrix.astype(np.float64))
    assert estimator.predict_log(matrix) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_the_same_seed_makes_the_same_model(
    market: Market, model_of: ModelOf, matrix: NDArray[np.float32], candidate: str
) -> None:
    first = model_of(candidate).estimator.predict_log(matrix)

    assert np.array_equal(retrain(market, candidate).predict_log(matrix), first)
    if candidate in ("random_forest", "xgboost"):
        assert not np.array_equal(retrain(market, candidate, seed=1).predict_log(matrix), first)


def test_hyperparameters_replace_defaults_and_are_recorded(market: Market) -> None:
    trained = retrain(market, "xgboost", hyperparameters={"max_depth": 2, "n_estimators": 5})

    assert trained.hyperparameters["max_depth"] == 2
    assert (
        trained.hyperparameters["learning_rate"]
        == (CANDIDATES["xgboost"].hyperparameters["learning_rate"])
    )
    assert trained.hyperparameters["best_iteration"] <= 4
    assert trained.n_train_rows == len(market.train.price)


@pytest.mark.parametrize(
    ("candidate", "hyperparameters", "message"),
    [
        ("xgboost", {"depth": 3}, "xgboost has no hyperparameter depth; it has: n_estimators"),
        ("linear_regression", {"alpha": 1}, "linear_regression has no hyperparameter alpha"),
        ("oracle", {}, "candidate is 'oracle'; it must be one of linear_regression"),
    ],
)
def test_training_is_refused_when_candidate_or_hyperparameter_is_unknown(
    market: Market, candidate: str, hyperparameters: dict[str, Any], message: str
) -> None:
    rows = market.matrix, market.train.price
    with pytest.raises(ValueError, match=message):
        candidate_named(candidate).fit(*rows, *rows, hyperparameters)


def test_training_is_refused_when_names_do_not_match_the_columns(market: Market) -> None:
    rows = market.matrix[:, :3], market.train.price
    with pytest.raises(ValueError, match="x has 3 columns and 55 feature names"):
        CANDIDATES["linear_regression"].fit(*rows, *rows)


@pytest.mark.parametrize("candidate", ["gradient_boosting", "xgboost"])
@pytest.mark.parametrize("grown", ["house_size", "bath"])
def test_value_never_falls_when_a_home_grows(
    model_of: ModelOf, market: Market, candidate: str, grown: str
) -> None:
    model = model_of(candidate)
    columns = market.test.columns
    known = np.isfinite(columns["house_size"])
    columns = {name: values[known] for name, values in columns.items()}
    previous = model.predict(columns)
    for _ in range(4):
        columns[grown] = np.ceil(columns[grown] * 1.2)
        larger = model.predict(columns)
        assert np.all(larger >= previous * (1 - 1e-6))
        previous = larger


def test_monotone_signs_are_those_of_the_features(market: Market) -> None:
    columns = market.test.columns
    known = np.isfinite(columns["house_size"]) & np.isfinite(columns["bath"])
    columns = {name: values[known] for name, values in columns.items()}
    grown = columns | {name: columns[name] + 1 for name in ("house_size", "bath")}
    moved = market.encoder.transform(grown) - market.encoder.transform(columns)
    for name, sign in features_of(US_LISTINGS).monotone.items():
        column = moved[:, FEATURE_NAMES.index(name)]
        assert np.all(column * sign >= 0)
        assert np.any(column != 0)
    others = [
        i for i, name in enumerate(FEATURE_NAMES) if name not in features_of(US_LISTINGS).monotone
    ]
    assert not moved[:, others].any()


def test_loading_is_refused_when_the_model_has_an_untrusted_type(
    model_of: ModelOf, tmp_path: Path
) -> None:
    model_of("random_forest").estimator.save(tmp_path)
    skops.io.dump(FunctionTransformer(print), tmp_path / "model.skops")

    with pytest.raises(UntrustedTypesFoundException, match="print"):
        load_estimator(tmp_path)


@pytest.mark.parametrize("candidate", SCIKIT_CANDIDATES)
def test_trusted_types_are_those_that_the_model_needs_and_no_more(
    model_of: ModelOf, candidate: str, tmp_path: Path
) -> None:
    estimator = model_of(candidate).estimator
    estimator.save(tmp_path)

    needed = skops.io.get_untrusted_types(file=tmp_path / estimator.file_name)

    assert isinstance(estimator, ScikitEstimator)
    assert set(needed) == set(estimator.trusted_types)
