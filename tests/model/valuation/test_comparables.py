"""Comparables: near before similar, adjusted line by line, and nobody twice."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from realtor_model.features import take
from realtor_model.features.place_context import on_sphere
from realtor_model.valuation.comparables import ENOUGH, RADII, SoldHomes
from realtor_model.valuation.valuation_model import ValuationModel
from tests.model.conftest import Market

Columns = dict[str, NDArray[Any]]


def one(columns: Mapping[str, NDArray[Any]], row: int) -> Columns:
    return {name: values[row : row + 1] for name, values in columns.items()}


def test_each_sale_is_kept_once_and_the_newest_first(market: Market) -> None:
    columns, price = market.train.columns, market.train.price
    twice = {name: np.concatenate([values, values]) for name, values in columns.items()}
    sold = SoldHomes.of(columns, price)
    again = SoldHomes.of(twice, np.concatenate([price, price]))

    assert set(sold.id) == set(again.id)
    assert len(set(sold.id)) == len(sold) > 500
    assert set(sold.columns["status"]) == {"sold"}
    dates = sold.columns["prev_sold_date"]
    assert np.all(dates[:-1] >= dates[1:])
    newest = SoldHomes.of(columns, price, most=50)
    assert len(newest) == 50
    assert newest.columns["prev_sold_date"].min() >= dates[49]


def test_they_are_the_most_similar_of_the_neighbourhood(
    model: ValuationModel, homes: Columns
) -> None:
    sold = model.sold_homes
    assert sold is not None
    points = on_sphere(model.encoder.coordinates(sold.columns))
    for row in range(20):
        home = one(homes, row)
        found = model.compare(home, count=4).found
        chord = points - on_sphere(model.encoder.coordinates(home))
        miles = np.sqrt((chord**2).sum(axis=1)) / 1.609344

        assert found.radius in RADII
        assert found.within == (miles <= found.radius).sum()
        assert found.within >= ENOUGH or found.radius == RADII[-1]
        smaller = [radius for radius in RADII if radius < found.radius]
        assert all((miles <= radius).sum() < ENOUGH for radius in smaller)
        assert np.all(found.miles <= found.radius)
        assert np.all(np.diff(found.similarity) <= 0)
        assert np.all((found.similarity >= 0) & (found.similarity <= 1))
        assert len(set(found.rows.tolist())) == len(found.rows)


def test_a_sale_is_most_like_a_home_that_is_all_alike(model: ValuationModel) -> None:
    sold = model.sold_homes
    assert sold is not None
    for row in (0, 7, 60):
        elsewhere = {**one(sold.columns, row), "street": np.array([np.nan])}
        found = model.compare(elsewhere).found
        assert found.similarity[0] == pytest.approx(1.0)
        assert row in found.rows[found.similarity == found.similarity[0]]


def test_a_home_is_not_its_own_comparable(model: ValuationModel) -> None:
    sold = model.sold_homes
    assert sold is not None
    for row in (0, 7, 60):
        home = one(sold.columns, row)
        untold = {**home, "street": np.array([np.nan])}

        assert row in model.compare(untold, count=20).found.rows
        assert row not in model.compare(home, count=20).found.rows


def test_leaf_similarity_is_the_share_of_trees_with_the_same_leaf(
    model: ValuationModel, homes: Columns
) -> None:
    home, sold = one(homes, 3), model.sold_homes
    assert sold is not None
    mine = model.estimator.leaves(model.encoder.transform(home))
    if mine is None:
        pytest.skip("a linear model has no leaves")
    found = model.compare(home).found
    theirs = model.estimator.leaves(model.encoder.transform(take(sold.columns, found.rows)))
    assert theirs is not None

    assert found.similarity == pytest.approx((mine == theirs).mean(axis=1))


def test_adjustments_add_up_to_the_adjusted_price(model: ValuationModel, homes: Columns) -> None:
    sold = model.sold_homes
    assert sold is not None
    for row in range(10):
        home = one(homes, row)
        told = model.compare(home)
        sales = take(sold.columns, told.found.rows)

        assert told.price + told.adjustments.sum(axis=1) == pytest.approx(told.adjusted_price)
        ratio = model.predict(home) / model.predict(sales)
        assert told.adjusted_price == pytest.approx(told.price * ratio, rel=5e-4)
        assert told.price * (1 + told.net) == pytest.approx(told.adjusted_price)
        assert np.all(told.gross >= np.abs(told.net) - 1e-9)
        assert told.gross * told.price == pytest.approx(np.abs(told.adjustments).sum(axis=1))


def test_what_is_excluded_makes_room_for_the_next(model: ValuationModel, homes: Columns) -> None:
    sold = model.sold_homes
    assert sold is not None
    home = one(homes, 5)
    all_ids = sold.id[model.compare(home, count=6).found.rows].tolist()
    first = all_ids[0]
    rest = sold.id[model.compare(home, count=5, exclude=[first]).found.rows].tolist()

    assert first not in rest
    assert rest == all_ids[1:]


def test_an_empty_neighbourhood_has_no_comparables(model: ValuationModel, homes: Columns) -> None:
    sold = model.sold_homes
    assert sold is not None
    told = model.compare(one(homes, 0), exclude=sold.id.tolist())

    assert told.found.within == len(told.price) == 0
    assert told.adjustments.shape == (0, len(told.inputs))


def test_a_market_without_a_sale_has_no_comparables(model: ValuationModel, homes: Columns) -> None:
    sold = model.sold_homes
    assert sold is not None
    none = SoldHomes.of(take(sold.columns, np.arange(0)), sold.price[:0])
    told = replace(model, sold_homes=none).compare(one(homes, 0))

    assert len(none) == len(told.price) == told.found.within == 0
