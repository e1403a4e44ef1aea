"""The benchmark of a market's own data: raw columns for boosters, and what the figures say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import market_file
from benchmarks.market_file import OURS, Figure, raw_features, summarise, wider_market
from realtor_model.listing import US_LISTINGS
from realtor_model.reading.received_batch import check


def listings(**values: object) -> pd.DataFrame:
    row = {"price": 250_000, "status": "sold", "bed": 3, "house_size": 1800, "state": "Texas",
           "city": "Houston", "zip_code": "77008", "acre_lot": 0.1, "bath": 2,
           "prev_sold_date": "2021-05-28", "brokered_by": 12, "street": 34}  # fmt: skip
    frame, _ = check(pd.DataFrame([row | values, row], dtype=object))
    return frame


def test_boosters_get_every_column_but_the_id_and_the_price() -> None:
    features = raw_features(listings(), US_LISTINGS)
    names = {column.name for column in US_LISTINGS.inputs} - {"street"}
    assert set(features) == names
    assert features.loc[0, "prev_sold_date"] == 2021 * 12 + 5
    categories = {"status", "city", "state", "zip_code", "brokered_by"}
    assert {name for name in features if features[name].dtype == "category"} == categories
    assert (features[list(names - categories)].dtypes == np.float64).all()


def test_missing_values_are_nan_for_boosters() -> None:
    features = raw_features(
        listings(bed=None, zip_code=None, brokered_by=None, prev_sold_date=None), US_LISTINGS
    )
    gaps = ["bed", "zip_code", "brokered_by", "prev_sold_date"]
    assert features.loc[0, gaps].isna().all()
    assert features.loc[1].notna().all()


def test_scikit_learn_takes_more_categories_than_it_has_bins() -> None:
    zips = [f"{number:05d}" for number in range(1, 301)]
    x = pd.DataFrame({"zip_code": pd.Categorical(zips), "bed": np.arange(300.0)})
    predicted = market_file.scikit(x, np.arange(300.0) / 100, 0)(x)
    assert predicted.shape == (300,)


def test_the_wider_market_has_thirty_inputs() -> None:
    assert (len(US_LISTINGS.inputs), len(wider_market().inputs)) == (11, 30)


@given(
    st.lists(st.tuples(*[st.floats(0.01, 1.0)] * 3, st.floats(0.0, 1.0)), min_size=1, max_size=5)
)
def test_the_ratio_is_that_to_the_baseline_of_the_lowest_mean_error(
    holdouts: list[tuple[float, float, float, float]],
) -> None:
    figures = summarise(
        [
            {OURS: {"mdape": ours, "coverage": coverage}, "a": {"mdape": a}, "b": {"mdape": b}}
            for ours, a, b, coverage in holdouts
        ]
    )
    ours, a, b, coverage = np.mean(holdouts, axis=0)
    by_name = {(figure.model, figure.name): figure for figure in figures}
    assert by_name[OURS, "mdape / best baseline"].value == pytest.approx(ours / min(a, b))
    assert by_name[OURS, "coverage"].met == (0.78 <= coverage <= 0.82)
    assert all(figure.met for figure in figures if figure.model != OURS)


def test_a_target_missed_is_marked() -> None:
    figure = Figure(OURS, "ratio", 1.03, high=1.02)
    assert figure.target == "≤ 1.02   MISSED"
    assert replace(figure, value=1.02).target == "≤ 1.02"
