"""Few rows are predicted in another way than many, and bit-equal."""

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from realtor_model.estimators.small_batch import SmallBatchPredictor

QUANTILES = [0.1, 0.5, 0.9]
VARIANTS = {
    "deep": {"max_depth": 8, "objective": "reg:pseudohubererror", "base_score": 12.3},
    "bagged": {"max_depth": 5, "num_parallel_tree": 4, "subsample": 0.5, "base_score": 11.7},
    "stumps": {"max_depth": 1},
    "quantiles": {"max_depth": 4, "objective": "reg:quantileerror", "quantile_alpha": QUANTILES},
    "vectors": {
        "max_depth": 4,
        "objective": "reg:quantileerror",
        "quantile_alpha": QUANTILES,
        "multi_strategy": "multi_output_tree",
    },
    "flat": {"max_depth": 3, "gamma": 1e9},
}
FEATURES = 6


@pytest.fixture(scope="module", params=VARIANTS)
def booster(request: pytest.FixtureRequest) -> xgboost.Booster:
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(0, 2, (2_000, FEATURES)), 1).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = 12 + np.nan_to_num(x[:, 0]) * 0.3 + np.isnan(x[:, 1]) + rng.normal(0, 0.2, len(x))
    parameters = {"tree_method": "hist", "nthread": 1, **VARIANTS[request.param]}
    return xgboost.train(parameters, xgboost.QuantileDMatrix(x, y), 12)


values = st.floats(-8, 8, width=32) | st.integers(-40, 40).map(lambda n: n / 10) | st.just(np.nan)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.lists(values, min_size=FEATURES, max_size=FEATURES), max_size=30))
def test_predictions_are_bit_equal_to_xgboosts(
    booster: xgboost.Booster, rows: list[list[float]]
) -> None:
    x = np.array(rows, np.float32).reshape(-1, FEATURES)
    # XGBoost raises an error without rows.
    some = np.vstack([x, np.zeros((1, FEATURES), np.float32)])
    expected = booster.inplace_predict(some, predict_type="margin")[:-1]

    answers = SmallBatchPredictor.of(booster).predict(x)

    assert answers.tobytes() == expected.astype(np.float32).tobytes()
    assert len(answers) == len(x)


@pytest.mark.parametrize("sign", [1, -1])
def test_predictions_equal_xgboosts_when_values_are_at_the_ends_of_float32(
    booster: xgboost.Booster, sign: int
) -> None:
    x = np.full((1, FEATURES), sign * np.finfo(np.float32).max, np.float32)

    answers = SmallBatchPredictor.of(booster).predict(x)

    expected = booster.inplace_predict(x, predict_type="margin")
    assert answers.ravel().tolist() == np.ravel(expected).tolist()
