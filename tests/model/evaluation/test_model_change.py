"""What changed between two models: the same homes, weights that add up, examples over the range."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtor_model.evaluation.model_change import Change, what_changed
from realtor_model.features import as_sold, take
from realtor_model.listing import US_LISTINGS
from realtor_model.valuation.valuation_model import ValuationModel
from tests.model.conftest import Market

ModelOf = Callable[[str], ValuationModel]


@pytest.fixture(scope="module")
def change(market: Market, model_of: ModelOf) -> Change:
    return what_changed(
        model_of("linear_regression"),
        model_of("xgboost"),
        market.test.columns,
        market.test.price,
        rows=80,
    )


def test_importance_is_of_what_a_person_enters(
    change: Change, market: Market, model_of: ModelOf
) -> None:
    table = change.importance
    drawn = np.random.default_rng(0).permutation(len(market.test.price))[:80]
    told = model_of("xgboost").explain(as_sold(take(market.test.columns, drawn)))

    assert list(table) == ["input", "before", "after"]
    assert set(table["input"]) <= set(US_LISTINGS.keys)
    assert table["after"].is_monotonic_decreasing
    assert {"house_size", "zip_code"} <= set(table["input"].head(4))
    row = table.set_index("input").loc["house_size"]
    mean = np.abs(told.by_input_log[:, told.inputs.index("house_size")]).mean()
    assert row["after"] == pytest.approx(mean)
    assert row["before"] > 0


def test_segments_are_ordered_by_how_far_they_moved(change: Change, market: Market) -> None:
    table = change.segments

    assert list(table) == ["by", "segment", "n", "change", "mdape_before", "mdape_after"]
    assert table["change"].abs().is_monotonic_decreasing
    assert (table["n"] >= 30).all()
    assert set(table["by"]) == {"state", "price band", "status", "kind"}
    for by in ("state", "price band", "kind"):
        assert table.loc[table["by"] == by, "n"].sum() == len(market.test.price)


def test_ten_homes_show_the_range_of_changes(
    change: Change, market: Market, model_of: ModelOf
) -> None:
    table = change.homes
    homes = as_sold(market.test.columns)
    moved = model_of("xgboost").predict(homes) / model_of("linear_regression").predict(homes)
    moved = moved[np.isfinite(homes["house_size"])]

    assert list(table) == [*US_LISTINGS.keys, "price", "before", "after", "change"]
    assert len(table) == 10
    assert table["change"].is_monotonic_increasing
    np.testing.assert_allclose(table["change"], 100 * (table["after"] / table["before"] - 1))
    ends = 100 * (np.array([moved.min(), moved.max()]) - 1)
    np.testing.assert_allclose(table["change"].iloc[[0, -1]], ends)
    # Quantiles of the change, not only its ends.
    middle = 100 * (np.median(moved) - 1)
    assert table["change"].iloc[4] <= middle <= table["change"].iloc[5]
    assert table["house_size"].notna().all()


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 100), n=st.integers(1, 200))
def test_a_model_does_not_differ_from_itself(
    market: Market, model_of: ModelOf, seed: int, n: int
) -> None:
    model = model_of("gradient_boosting")
    chosen = np.random.default_rng(seed).permutation(len(market.test.price))[:n]
    told = what_changed(
        model, model, take(market.test.columns, chosen), market.test.price[chosen], rows=5
    )

    assert (told.importance["before"] == told.importance["after"]).all()
    assert (told.segments["change"] == 0).all()
    assert (told.segments["mdape_before"] == told.segments["mdape_after"]).all()
    assert (told.homes["change"] == 0).all()
    assert len(told.homes) == min(10, n)


def test_values_are_as_sold_whatever_the_listing_says(market: Market, model_of: ModelOf) -> None:
    models = model_of("linear_regression"), model_of("gradient_boosting")
    listed = what_changed(*models, market.test.columns, market.test.price, rows=5)
    sold = what_changed(*models, as_sold(market.test.columns), market.test.price, rows=5)

    np.testing.assert_array_equal(listed.homes["after"], sold.homes["after"])
    np.testing.assert_array_equal(listed.importance["after"], sold.importance["after"])


def test_a_forest_is_explained_on_fewer_homes(
    market: Market, model_of: ModelOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    forest, explained = model_of("random_forest"), []
    explain = ValuationModel.explain

    def counted(model: ValuationModel, columns: dict) -> object:  # type: ignore[type-arg]
        explained.append(len(columns["status"]))
        return explain(model, columns)

    monkeypatch.setattr(ValuationModel, "explain", counted)
    linear = model_of("linear_regression")
    what_changed(linear, linear, market.test.columns, market.test.price)
    what_changed(linear, forest, market.test.columns, market.test.price)

    assert explained == [300, 300, 60, 60]


def test_without_listings_there_is_nothing_to_compare(market: Market, model_of: ModelOf) -> None:
    model = model_of("linear_regression")
    with pytest.raises(ValueError, match="needs listings"):
        what_changed(model, model, take(market.test.columns, slice(0)), market.test.price[:0])


def test_a_dearer_level_moves_every_segment_alike(market: Market, model_of: ModelOf) -> None:
    model = model_of("gradient_boosting")

    class Dearer(ValuationModel):
        def predict(self, columns):  # type: ignore[no-untyped-def]
            return 1.1 * super().predict(columns)

    dearer = Dearer(**{each.name: getattr(model, each.name) for each in dataclasses.fields(model)})
    told = what_changed(model, dearer, market.test.columns, market.test.price, rows=5)

    assert told.segments["change"].to_numpy() == pytest.approx(10.0)
    assert told.homes["change"].to_numpy() == pytest.approx(10.0)
