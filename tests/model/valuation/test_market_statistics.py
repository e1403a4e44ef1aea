"""Market statistics: those of the rows themselves, found by any spelling."""

import numpy as np
import pandas as pd
import pytest

from realtor_model.valuation.market_statistics import BY, FIGURES, LATER, MarketStatistics
from tests.model.conftest import Market


@pytest.fixture(scope="module")
def statistics(market: Market) -> MarketStatistics:
    return MarketStatistics.of(market.train.columns, market.train.price)


def test_they_are_those_of_the_rows(statistics: MarketStatistics, market: Market) -> None:
    columns, price = market.train.columns, market.train.price
    for by, name in (("state", "state"), ("zip", "zip_code")):
        for row in statistics.rows(by, most=5):  # type: ignore[arg-type]
            mask = columns[name] == row[name]
            assert row["listings"] == mask.sum()
            assert row["sold"] == (columns["status"][mask] == "sold").sum()
            assert row["median_price"] == pytest.approx(np.median(price[mask]))
            assert row["price_p90"] == pytest.approx(np.quantile(price[mask], 0.9))
            per_sqft = price[mask] / columns["house_size"][mask]
            assert row["median_price_per_sqft"] == pytest.approx(np.nanmedian(per_sqft), rel=1e-6)
            for size in ("house_size", "acre_lot"):
                quartiles = [row[f"{size}_p25"], row[f"median_{size}"], row[f"{size}_p75"]]
                expected = np.nanquantile(columns[size][mask], [0.25, 0.5, 0.75])
                assert quartiles == pytest.approx(expected.tolist(), rel=1e-6)
    assert sum(row["listings"] for row in statistics.rows("state", most=100)) == len(price)


def test_places_are_found_by_state_city_and_prefix_whatever_the_case(
    statistics: MarketStatistics,
) -> None:
    states = statistics.rows("state")
    state = states[0]["state"]
    cities = statistics.rows("city", state=state.upper())
    assert {row["state"] for row in cities} == {state}
    assert [row["listings"] for row in cities] == sorted(
        (row["listings"] for row in cities), reverse=True
    )
    city = cities[0]["city"]
    zips = statistics.rows("zip", state=state, city=city.lower())
    assert zips
    assert {row["city"] for row in zips} == {city}
    start = zips[0]["zip_code"][:3]
    assert all(row["zip_code"].startswith(start) for row in statistics.rows("zip", prefix=start))
    assert statistics.rows("city", prefix=city.swapcase(), state=state)
    assert len(statistics.rows("zip", most=3)) == 3
    assert statistics.rows("zip", state="Atlantis") == []


def test_gaps_and_spellings() -> None:
    columns = {
        "status": np.array(["sold", "for_sale", "for_sale", "sold"], object),
        "state": np.array(["Ohio", "Ohio", "OHIO", "Ohio"], object),
        "city": np.array(["Akron", "akron", None, "Akron"], object),
        "zip_code": np.array(["44301", "44301", None, "44302"], object),
        "house_size": np.array([1000.0, np.nan, np.nan, np.nan]),
        "acre_lot": np.array([np.nan, 0.2, 0.4, np.nan]),
    }
    told = MarketStatistics.of(columns, np.array([1e5, 2e5, 3e5, 4e5]))

    assert [row["listings"] for row in told.rows("state")] == [4]
    (city,) = told.rows("city")
    assert (city["city"], city["listings"], city["sold"]) == ("Akron", 3, 2)
    assert city["median_price_per_sqft"] == 100.0
    assert (city["median_house_size"], city["median_acre_lot"]) == (1000.0, pytest.approx(0.2))
    (thin,) = told.rows("zip", prefix="44302")
    assert thin["median_price_per_sqft"] is thin["median_house_size"] is None


def test_kept_as_a_table_they_are_the_same(statistics: MarketStatistics) -> None:
    again = MarketStatistics.from_frame(statistics.table.copy())

    pd.testing.assert_frame_equal(again.table, statistics.table)
    assert set(FIGURES) < set(statistics.table.columns)
    assert set(statistics.table["by"]) == set(BY)
    with pytest.raises(KeyError):
        MarketStatistics.from_frame(statistics.table.drop(columns="sold"))


def test_a_table_from_before_sizes_were_kept_has_none(statistics: MarketStatistics) -> None:
    older = MarketStatistics.from_frame(statistics.table.drop(columns=list(LATER)))

    (row,) = older.rows("state", most=1)
    assert row["median_price"] == statistics.rows("state", most=1)[0]["median_price"]
    assert {row[name] for name in LATER} == {None}


def test_places_are_counted_and_found_in_any_spelling() -> None:
    columns = {
        "status": np.full(5, "sold", object),
        "state": np.array(["Missouri", "MO", "Missouri", "Connecticut", "Conn."], object),
        "city": np.array(
            ["Saint Louis", "St. Louis", "Saint Louis", "Stamford", "STAMFORD"], object
        ),
        "zip_code": np.array(["63110", "63110", "63118", "06901", "06901"], object),
        "house_size": np.full(5, 1000.0),
        "acre_lot": np.full(5, 0.2),
    }
    statistics = MarketStatistics.of(columns, np.full(5, 1e5))

    def names(prefix: str, state: str | None = None) -> list[str]:
        return [row["city"] for row in statistics.rows("city", prefix=prefix, state=state)]

    assert [(row["state"], row["listings"]) for row in statistics.rows("state")] == [
        ("Missouri", 3), ("Connecticut", 2),
    ]  # fmt: skip
    assert names("") == ["Saint Louis", "Stamford"]
    assert names("", state="US-MO") == names("st. l") == names("Saint L") == ["Saint Louis"]
    assert names("st") == ["Saint Louis", "Stamford"]
    assert [row["state"] for row in statistics.rows("state", prefix="tex")] == []
    assert [row["state"] for row in statistics.rows("state", prefix="CT")] == ["Connecticut"]
    assert [row["zip_code"] for row in statistics.rows("zip", city="ST LOUIS", state="Mo.")] == [
        "63110", "63118",
    ]  # fmt: skip
