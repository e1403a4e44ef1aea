"""The canary stays silent on honest features, and sings when one leaks."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from realtor_assets.clean.checks import leak_check
from realtor_local.synthetic_market import generate
from realtor_model.evaluation import leak_canary
from realtor_model.features import FEATURE_NAMES, Columns, FeatureEncoder
from realtor_model.listing import TARGET, US_LISTINGS
from realtor_model.reading.received_batch import normalise
from realtor_model.training import Rows
from tests.model.conftest import AS_OF, Listed, Market

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]


@pytest.fixture(scope="module")
def train(market: Market) -> Rows:
    return Rows(market.matrix, market.train.price)


@pytest.fixture(scope="module")
def thin() -> Listed:
    """A whole country in few listings: a place's mean is mostly the price of the row itself."""
    listings = generate(8_000, seed=5).listings
    valid = listings[TARGET].between(*US_LISTINGS.price_range) & listings["state"].notna()
    return Listed(normalise(listings[valid].reset_index(drop=True)))


def honest(columns: Columns, price: Floats) -> Matrix:
    return FeatureEncoder.fit(columns, price, as_of=AS_OF)[1]


def not_out_of_fold(columns: Columns, price: Floats) -> Matrix:
    """The usual mistake: means of the train rows, the row itself among them."""
    return FeatureEncoder.fit(columns, price, as_of=AS_OF)[0].transform(columns)


def with_price_per_sqft(columns: Columns, price: Floats) -> Matrix:
    """The original's mistake."""
    leak = (price / columns["house_size"]).astype(np.float32)
    return np.column_stack([honest(columns, price), leak])


def test_honest_features_pass(train: Rows, thin: Listed) -> None:
    shuffled = leak_canary.permuted_r2(honest, thin.columns, thin.price)
    result = leak_check(train, FEATURE_NAMES, shuffled)

    assert result.passed, result.metadata
    assert 0.05 < result.metadata["r2_of_log_price"].value < 0.9
    assert -0.3 < shuffled <= leak_canary.MAX_PERMUTED_R2


@pytest.mark.parametrize("leaking", [not_out_of_fold, with_price_per_sqft])
def test_features_that_have_seen_the_price_tell_it_when_it_is_shuffled(
    train: Rows, thin: Listed, leaking: Any
) -> None:
    shuffled = leak_canary.permuted_r2(leaking, thin.columns, thin.price)

    assert shuffled > 4 * leak_canary.MAX_PERMUTED_R2
    assert not leak_check(train, FEATURE_NAMES, shuffled).passed


def test_a_feature_made_of_the_price_fires(train: Rows) -> None:
    # A monotone and not at all linear function of the price.
    x = train.x.copy()
    x[:, FEATURE_NAMES.index("sqft_per_bed")] = 1.0 / np.log(train.price) ** 9

    result = leak_check(Rows(x, train.price), FEATURE_NAMES, 0.0)

    assert not result.passed
    assert result.metadata["strongest_feature"].value == "sqft_per_bed"
    assert result.metadata["r2_of_log_price"].value > 0.99


def test_features_beyond_a_request_fire(train: Rows) -> None:
    result = leak_check(train, ("price_per_sqft", *FEATURE_NAMES[1:]), 0.0)

    assert not result.passed
    assert result.metadata["not_computable_from_a_request"].value == "price_per_sqft"


@pytest.mark.parametrize(
    ("metrics", "reasons"),
    [
        ({"r2_log": 0.79, "mdape": 0.16}, []),
        ({"r2_log": 0.95, "mdape": 0.16}, ["R2 of log price is 0.950, above 0.93"]),
        ({"r2_log": 0.90, "mdape": 0.019}, ["median error is 1.9%, below 6%"]),
    ],
)
def test_a_model_too_good_to_be_honest_is_named(
    metrics: dict[str, float], reasons: list[str]
) -> None:
    assert leak_canary.too_good(metrics, max_r2_log=0.93, min_mdape=0.06) == reasons
