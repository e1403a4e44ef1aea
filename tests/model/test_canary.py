"""The canary stays silent on honest features, and sings when one leaks."""

import numpy as np
import pytest

from realtor_assets.checks import leak_check
from realtor_model import canary
from realtor_model.features import FEATURE_NAMES
from realtor_model.training import Rows
from tests.model.conftest import Market


@pytest.fixture(scope="module")
def splits(market: Market) -> tuple[Rows, Rows]:
    return (
        Rows(market.matrix, market.train.price),
        Rows(market.encoder.transform(market.validation.columns), market.validation.price),
    )


def replaced(rows: Rows, name: str, values: np.ndarray) -> Rows:
    x = rows.x.copy()
    x[:, FEATURE_NAMES.index(name)] = values
    return Rows(x, rows.price)


def test_honest_features_pass(splits: tuple[Rows, Rows]) -> None:
    result = leak_check(*splits, FEATURE_NAMES)

    assert result.passed, result.metadata
    assert 0.05 < result.metadata["r2_of_log_price"].value < 0.9


def test_a_feature_made_of_the_price_fires(splits: tuple[Rows, Rows]) -> None:
    # Price per square foot times size, as a monotone and not at all linear function of the price.
    leaking = [replaced(rows, "sqft_per_bed", 1.0 / np.log(rows.price) ** 9) for rows in splits]

    result = leak_check(leaking[0], leaking[1], FEATURE_NAMES)

    assert not result.passed
    assert result.metadata["strongest_feature"].value == "sqft_per_bed"
    assert result.metadata["r2_of_log_price"].value > 0.99


def test_features_beyond_a_request_fire(splits: tuple[Rows, Rows]) -> None:
    names = ("price_per_sqft", *FEATURE_NAMES[1:])
    result = leak_check(*splits, names)

    assert not result.passed
    assert result.metadata["not_computable_from_a_request"].value == "price_per_sqft"


def test_a_model_of_shuffled_prices_explains_nothing(splits: tuple[Rows, Rows]) -> None:
    train, validation = splits
    honest = canary.permuted_r2(train.x, train.price, validation.x, validation.price, FEATURE_NAMES)

    assert -0.3 < honest <= canary.MAX_PERMUTED_R2


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
    assert canary.too_good(metrics) == reasons
