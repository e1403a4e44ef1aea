"""The synthetic market against the aggregates it is calibrated on, and its invariants."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtor_local.synthetic_geography import HOUSE, calibration, synthetic_geography
from realtor_local.synthetic_market import (
    COLUMNS,
    STATUSES,
    Market,
    _description_value,
    add_columns,
    best_reachable,
    generate,
    valid_rows,
)
from realtor_model.listing import read_market
from realtor_model.reading.received_batch import check

ROWS = 100_000


@pytest.fixture(scope="module")
def market() -> Market:
    return generate(ROWS, seed=3)


@pytest.fixture(scope="module")
def facts() -> Mapping[str, Any]:
    return calibration()


@pytest.fixture(scope="module")
def homes(market: Market) -> pd.DataFrame:
    """Listings with a size and a price that are both possible, and their logarithms."""
    listings = market.listings
    possible = listings["price"].between(10_000, 10_000_000)
    homes = listings[possible & listings["house_size"].between(200, 20_000)].copy()
    homes["log_price"], homes["log_size"] = np.log(homes["price"]), np.log(homes["house_size"])
    return homes


def test_listings_have_the_columns_and_types_of_the_real_file(market: Market) -> None:
    listings = market.listings
    assert tuple(listings.columns) == COLUMNS
    assert len(listings) == len(market.expected_log_price) == len(market.noise_sigma) == ROWS
    texts = {"status", "city", "state", "prev_sold_date"}
    for name in COLUMNS:
        assert listings[name].dtype == ("str" if name in texts else "float64")
    assert listings["prev_sold_date"].dropna().str.fullmatch(r"\d{4}-\d\d-\d\d").all()
    assert (listings["zip_code"] == 6016.0).any() or (listings["zip_code"] < 10_000).any()


def test_status_shares_and_state_sizes(market: Market, facts: Mapping[str, Any]) -> None:
    records = pd.DataFrame(facts["states"]).T[list(STATUSES)]
    got = pd.crosstab(market.listings["state"], market.listings["status"])[list(STATUSES)] / ROWS
    want = (records / records.to_numpy().sum()).reindex(got.index)
    assert np.abs(got.sum() - want.sum()).max() < 0.001
    assert np.abs(got - want).to_numpy().max() < 0.001


def test_as_much_is_missing_as_in_the_real_file(market: Market, facts: Mapping[str, Any]) -> None:
    missing = market.listings.isna().mean()
    for name, share in facts["missing"].items():
        assert missing[name] == pytest.approx(share, abs=0.005), name


def test_missing_values_have_the_real_structure(market: Market) -> None:
    listings = market.listings
    land = listings[["bed", "bath", "house_size"]].isna().all(axis=1)
    assert land.mean() == pytest.approx(0.205, abs=0.003)
    status = listings["status"]
    assert listings.loc[status == "sold", "prev_sold_date"].notna().all()
    new = listings[status == "ready_to_build"]
    assert new[["bath", "acre_lot", "prev_sold_date"]].isna().to_numpy().all()
    assert new[["bed", "house_size"]].notna().to_numpy().all()
    by_status = listings.isna().groupby(status).mean()
    assert by_status.loc["for_sale", "prev_sold_date"] == pytest.approx(0.505, abs=0.01)
    assert by_status.loc["for_sale", "house_size"] == pytest.approx(0.332, abs=0.01)
    assert by_status.loc["sold", "house_size"] == pytest.approx(0.122, abs=0.01)


@pytest.mark.parametrize(("level", "tolerance"), [("0.25", 0.1), ("0.5", 0.1), ("0.75", 0.1)])
def test_price_quantiles(
    market: Market, facts: Mapping[str, Any], level: str, tolerance: float
) -> None:
    got = market.listings["price"].quantile(float(level))
    assert got == pytest.approx(facts["price_quantiles"][level], rel=tolerance)


def test_state_medians(market: Market, facts: Mapping[str, Any]) -> None:
    by_state = market.listings.groupby("state")["price"]
    medians = by_state.median()[by_state.size() > 1_000]
    assert len(medians) > 20
    for state, median in medians.items():
        assert median == pytest.approx(facts["states"][state]["median_price"], rel=0.12), state


def test_size_and_state_explain_as_much_of_the_price(
    homes: pd.DataFrame, facts: Mapping[str, Any]
) -> None:
    elasticity, _ = np.polyfit(homes["log_size"], homes["log_price"], 1)
    assert elasticity == pytest.approx(facts["size_elasticity"], abs=0.1)
    explained = homes["log_size"].corr(homes["log_price"]) ** 2
    assert explained == pytest.approx(facts["variance_log_price_explained"]["house_size"], abs=0.05)
    state_mean = homes.groupby("state")["log_price"].transform("mean")
    assert state_mean.var() / homes["log_price"].var() == pytest.approx(0.204, abs=0.05)
    assert homes["house_size"].median() == pytest.approx(1760, rel=0.05)


def test_repeat_listings_are_one_house_sold_and_for_sale(
    market: Market, facts: Mapping[str, Any]
) -> None:
    known = market.listings.dropna(subset=["street", "city", "zip_code"])
    houses = known.groupby(["street", "city", "zip_code"])
    repeats = houses.agg(n=("status", "size"), statuses=("status", "nunique"))[houses.size() > 1]
    assert (repeats["n"] - 1).sum() / ROWS == pytest.approx(facts["repeats"]["share"], abs=0.003)
    both = (repeats["statuses"] == 2).mean()
    assert both == pytest.approx(facts["repeats"]["for_sale_and_sold"], abs=0.02)
    prices = houses["price"].nunique()[houses.size() > 1]
    assert (prices == 1).mean() == pytest.approx(facts["repeats"]["same_price"], abs=0.02)
    assert not market.listings.duplicated().any()


def test_prices_end_as_people_write_them(market: Market) -> None:
    endings = market.listings["price"].dropna() % 1000
    assert (endings == 0).mean() == pytest.approx(0.62, abs=0.03)
    assert (endings == 900).mean() == pytest.approx(0.21, abs=0.03)


@pytest.mark.parametrize(
    ("column", "low", "rate"),
    [("bed", 20, 725), ("bath", 20, 401), ("house_size", 50_000, 156)],
)
def test_values_are_broken_at_the_real_rate(
    market: Market, facts: Mapping[str, Any], column: str, low: float, rate: int
) -> None:
    expected = ROWS * rate / facts["rows"]
    got = (market.listings[column] > low).sum()
    assert abs(got - expected) < 5 * np.sqrt(expected)
    assert got > 0


@pytest.mark.parametrize(("column", "rate"), [("price", 280), ("acre_lot", 2226)])
def test_values_are_zero_at_the_real_rate(
    market: Market, facts: Mapping[str, Any], column: str, rate: int
) -> None:
    expected = ROWS * rate / facts["rows"]
    assert abs((market.listings[column] == 0).sum() - expected) < 5 * np.sqrt(expected)


def test_dates_mean_what_they_mean_in_the_real_file(market: Market) -> None:
    listings = market.listings
    sold = listings.loc[listings["status"] == "sold", "prev_sold_date"]
    inside = sold.between("2021-10-18", "2022-05-06")
    assert inside.mean() > 0.997
    assert not inside.all(), "odd dates belong to the market"
    on_sale = listings.loc[listings["status"] == "for_sale", "prev_sold_date"].dropna()
    assert 2014 < pd.to_datetime(on_sale).dt.year.median() < 2017


def test_the_truth_is_what_the_prices_were_drawn_from(market: Market) -> None:
    valid = valid_rows(market)
    residual = np.log(market.listings["price"][valid]) - market.expected_log_price[valid]
    assert np.median(residual) == pytest.approx(0, abs=0.01)
    assert np.std(residual / market.noise_sigma[valid]) == pytest.approx(1, abs=0.05)


def test_best_reachable_is_honest_and_nothing_beats_it(market: Market) -> None:
    best = best_reachable(market)
    assert best["n"] == valid_rows(market).sum()
    assert 0.12 < best["mdape"] < 0.22
    assert 0.7 < best["r2_log"] < 0.9
    for shift in (-0.1, 0.1):
        shifted = Market(market.listings, market.expected_log_price + shift, market.noise_sigma)
        worse = best_reachable(shifted)
        assert worse["mdape"] > best["mdape"]
        assert worse["r2_log"] < best["r2_log"]


def test_best_reachable_needs_rows() -> None:
    with pytest.raises(ValueError, match="two complete rows"):
        best_reachable(generate(1))


def test_a_larger_house_is_worth_more() -> None:
    size = np.linspace(300, 15_000, 500)
    home = {"house_size": size, "bath": np.full(500, 2.0), "bed": np.full(500, 3.0)}
    value = _description_value(home | {"acre_lot": np.full(500, 0.2)}, np.full(500, HOUSE))
    assert (np.diff(value) > 0).all()


def test_location_is_smooth_and_yet_no_two_zips_are_alike() -> None:
    geography = synthetic_geography()
    same_state = geography.state_index[1:] == geography.state_index[:-1]
    here, next_zip = geography.location[1:][same_state], geography.location[:-1][same_state]
    assert np.corrcoef(here, next_zip)[0, 1] > 0.5
    assert np.median(np.abs(here - next_zip)) > 0.1


def test_two_seeds_are_two_samples_of_one_country(market: Market, homes: pd.DataFrame) -> None:
    other = generate(ROWS, seed=4)
    assert not other.listings.equals(market.listings)
    cities = homes.groupby(["state", "city"])["price"].agg(["median", "size"])
    others = other.listings[other.listings["house_size"].notna()].groupby(["state", "city"])
    both = cities.join(others["price"].median().rename("other")).query("size > 50").dropna()
    assert np.corrcoef(np.log(both["median"]), np.log(both["other"]))[0, 1] > 0.9


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 2_000), seed=st.integers(0, 2**32))
def test_the_same_rows_and_seed_give_the_same_market(rows: int, seed: int) -> None:
    first, second = generate(rows, seed), generate(rows, seed)
    assert len(first.listings) == rows
    pd.testing.assert_frame_equal(first.listings, second.listings, check_exact=True)
    np.testing.assert_array_equal(first.expected_log_price, second.expected_log_price)
    assert np.isfinite(first.expected_log_price).all()
    assert (first.noise_sigma > 0).all()


def test_file_order_is_for_sale_first_and_geographic(market: Market) -> None:
    sold = (market.listings["status"] == "sold").to_numpy()
    assert (np.diff(sold.astype(int)) >= 0).all()
    for block in (market.listings[~sold], market.listings[sold]):
        zips = block["zip_code"].dropna().to_numpy()
        assert (np.diff(zips) >= 0).mean() > 0.998  # but for the wrong ones


def test_no_market_without_listings() -> None:
    with pytest.raises(ValueError, match="rows is 0"):
        generate(0)


def test_added_columns_are_the_same_in_all_listings_of_a_property(tmp_path: Path) -> None:
    file = tmp_path / "market.toml"
    file.write_text(
        '[columns.year_built]\ntype = "integer"\nrange = [1900, 2020]\nmonotone = "up"\n'
        '[columns.pool]\ntype = "boolean"\n[columns.style]\ntype = "category"\n'
        '[columns.roofed]\ntype = "date"\n'
    )
    contract = read_market(file)
    plain = generate(5_000, 1).listings
    listings = add_columns(plain, contract, 1)

    added = ["year_built", "pool", "style", "roofed"]
    assert listings.groupby("street")[added].nunique().max().max() == 1
    known = plain["price"] > 1_000
    change = np.log(listings["price"] / plain["price"])[known]
    assert np.corrcoef(change, listings["year_built"][known])[0, 1] > 0.3
    assert not len(check(listings.assign(price=1e5), contract)[1].query("column_name in @added"))
