"""A small housing market with known effects, and models of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from realtor_local.synthetic_market import generate
from realtor_local.upstream.served_listings import cut
from realtor_model.candidates import CANDIDATES
from realtor_model.evaluation.metrics import regression_metrics
from realtor_model.features import FeatureEncoder, as_sold, columns_from_frame
from realtor_model.listing import US_LISTINGS
from realtor_model.reading.received_batch import check
from realtor_model.retraining import drift
from realtor_model.training import Rows, train_model
from realtor_model.valuation.comparables import SoldHomes
from realtor_model.valuation.market_statistics import MarketStatistics
from realtor_model.valuation.valuation_model import ValuationModel

AS_OF = np.datetime64("2022-05-06")
# Enough of each candidate to have its shape, trained in a second.
SMALL: dict[str, dict[str, Any]] = {
    "linear_regression": {},
    "random_forest": {"n_estimators": 20, "max_depth": 10},
    "gradient_boosting": {"max_iter": 40},
    "xgboost": {"n_estimators": 80, "num_parallel_tree": 1, "learning_rate": 0.1},
}


def received(rows: int, seed: int = 0) -> pd.DataFrame:
    """Listings as the upstream sends them: floats for ids and zips, None for what is unknown.

    Log price = state + zip + 0.8 log size + 0.05 bath + noise of 0.15. A tenth of the rows are land
    and a twentieth are the sale of a home that is listed too.
    """
    rng = np.random.default_rng(seed)
    states = np.array(["Connecticut", "Texas", "Florida", "Ohio", "Puerto Rico"], object)
    zips = np.array([6010, 77002, 33101, 44101, 601])[:, None] + np.arange(12)
    # The effects of places are the same whatever the seed of the rows.
    effects = np.random.default_rng(7).normal(0.0, 0.35, zips.shape)
    state, place = rng.integers(0, 5, rows), rng.integers(0, 12, rows)
    size = np.round(np.exp(rng.normal(7.4, 0.4, rows)))
    bath = np.clip(np.round(size / 800 + rng.normal(0, 0.6, rows)), 1, 8)
    land = rng.random(rows) < 0.1
    log_price = (
        5.6 + 0.2 * state + effects[state, place]
        + np.where(land, 5.0, 0.8 * np.log(size) + 0.05 * bath)
        + rng.normal(0.0, 0.15, rows)
    )  # fmt: skip

    def some(values: NDArray[Any], share: float) -> NDArray[Any]:
        return np.where(rng.random(rows) < share, None, values.astype(object))

    status = rng.choice(["for_sale", "sold", "ready_to_build"], rows, p=[0.6, 0.37, 0.03])
    days = rng.integers(0, 200, rows) + np.where(status == "sold", 0, 3_000)
    dates = (AS_OF - days).astype(str).astype(object)
    unknown_date = (status == "ready_to_build") | ((status == "for_sale") & (days % 2 == 0))
    frame = pd.DataFrame(
        {
            "brokered_by": some(rng.integers(1, 60, rows).astype(float), 0.02),
            "status": status.astype(object),
            "price": np.round(np.exp(log_price)),
            "bed": np.where(land, None, np.clip(np.round(size / 600), 1, 9).astype(object)),
            "bath": np.where(land, None, bath.astype(object)),
            "acre_lot": some(np.round(np.exp(rng.normal(-1.3, 1.0, rows)), 2), 0.15),
            "street": rng.permutation(1_000_000)[:rows].astype(float),
            "city": some(
                (states[state] + " City " + (place // 3).astype(str)).astype(object), 0.01
            ),
            "state": states[state],
            "zip_code": zips[state, place].astype(float),
            "house_size": np.where(land, None, size.astype(object)),
            "prev_sold_date": np.where(unknown_date, None, dates),
        }
    )[list(US_LISTINGS.table_keys)]
    listed_too = np.flatnonzero(rng.random(rows) < 0.05)
    frame.loc[(listed_too + 1) % rows, ["street", "city", "zip_code"]] = frame.loc[
        listed_too, ["street", "city", "zip_code"]
    ].to_numpy()
    return frame


@dataclass(frozen=True)
class Listed:
    """Valid listings as frame, columns, and price (n,)."""

    frame: pd.DataFrame

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        return columns_from_frame(self.frame)

    @property
    def price(self) -> NDArray[np.float64]:
        return self.frame["price"].to_numpy(np.float64)


@cache
def batches(rows: int, seed: int = 0) -> list[Listed]:
    """The documented six batches of the platform's synthetic market, as models learn from them."""
    cuts = cut(generate(rows, seed).listings)
    valid = [check(batch.astype(object).reset_index(drop=True))[0] for batch in cuts]
    return [
        Listed(frame[frame["price"].between(*US_LISTINGS.price_range)].reset_index(drop=True))
        for frame in valid
    ]


@dataclass(frozen=True)
class Market:
    """Train, validation and test rows of different homes, and the encoder of the train rows."""

    train: Listed
    validation: Listed
    test: Listed
    encoder: FeatureEncoder
    matrix: NDArray[np.float32]


@cache
def _market() -> Market:
    splits = [
        Listed(check(received(rows, seed))[0]) for rows, seed in ((3000, 1), (900, 2), (900, 3))
    ]
    encoder, matrix = FeatureEncoder.fit(splits[0].columns, splits[0].price, as_of=AS_OF)
    return Market(*splits, encoder, matrix)


@cache
def trained_model(candidate: str) -> ValuationModel:
    """The small model of a candidate, trained once."""
    market = _market()
    validation = market.encoder.transform(market.validation.columns)
    model = train_model(
        candidate,
        market.encoder,
        Rows(market.matrix, market.train.price),
        Rows(validation, market.validation.price),
        hyperparameters=SMALL[candidate],
        profile=drift.profile(market.train.columns, market.train.price),
        metadata={"batches": [0]},
    )
    actual = market.validation.price
    metrics = model.metadata["metrics"] | {"test": regression_metrics(actual, actual * 1.1)}
    return replace(
        model,
        metadata=model.metadata | {"metrics": metrics},
        sold_homes=SoldHomes.of(market.train.columns, market.train.price),
        market=MarketStatistics.of(market.train.columns, market.train.price),
    )


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tests run side by side: threads that wait for each other on busy cores take minutes."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def market() -> Market:
    return _market()


@pytest.fixture(scope="session")
def model_of() -> Callable[[str], ValuationModel]:
    """The small model of a candidate, trained once."""
    return trained_model


@pytest.fixture(params=list(CANDIDATES))
def model(request: pytest.FixtureRequest) -> ValuationModel:
    """Each candidate's small model in turn."""
    return trained_model(request.param)


@pytest.fixture(scope="session")
def homes(market: Market) -> dict[str, NDArray[Any]]:
    """200 test homes, as a valuation asks for them."""
    return as_sold({name: values[:200] for name, values in market.test.columns.items()})
