"""Figures, dates and values of inputs are written for people."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtor_ui import formatting
from realtor_ui.texts import catalogue
from tests.ui.markets import EVERY_KIND, KING_COUNTY, market_texts

T = catalogue("en")


@pytest.mark.parametrize(
    ("name", "amount", "expected"),
    [
        ("house_size", 1650, "1,650 sq ft"),
        ("acre_lot", 0.25, "0.25 acres"),
        ("bed", 3.0, "3"),
        ("bed", 0, "0 (studio)"),
        ("bath", 2.5, "2.5"),
        ("status", "ready_to_build", "Ready to build"),
        ("city", "Hartford", "Hartford"),
        ("zip_code", None, "not given"),
    ],
)
def test_input_value_has_its_unit(name: str, amount: Any, expected: str) -> None:
    assert formatting.input_value(market_texts(), name, amount) == expected


@pytest.mark.parametrize(
    ("name", "value", "english", "spanish"),
    [
        ("living_m2", 150, "150 m²", "150 m²"),
        ("year_built", 1985, "1985", "1985"),
        ("floors", 1.5, "1.5", "1.5"),
        ("waterfront", True, "yes", "sí"),
        ("waterfront", False, "no", "no"),
        ("material", "brick", "brick", "brick"),
        ("renovated", "2015-06-01", "2015-06-01", "2015-06-01"),
        ("roof_age", 12, "12 years", "12 years"),
        ("lat", 29.7604, "29.7604 degrees", "29.7604 grados"),
        ("listing_id", "MLS-7", "MLS-7", "MLS-7"),
        ("builder", None, "not given", "sin dato"),
        ("status", "sold", "Sold", "Vendida"),
    ],
)
def test_value_of_a_markets_own_input_is_written_as_declared(
    name: str, value: Any, english: str, spanish: str
) -> None:
    for language, expected in (("en", english), ("es", spanish)):
        t = market_texts(language, EVERY_KIND)
        assert formatting.input_value(t, name, value) == expected


def test_scale_in_brackets_is_a_help_and_no_unit() -> None:
    t = market_texts("en", KING_COUNTY)
    assert t.heading("view") == "View"
    assert t.help("view") == "0 none to 4 excellent"
    assert t.help("grade") == (
        "The county's grade of construction and design: 1 poor to 13 mansion"
    )
    assert (t.help("yr_built"), t.help("floors")) == (None, None)
    assert formatting.input_value(t, "view", 3) == "3"
    assert formatting.input_value(t, "sqft_lot", 5_650) == "5,650 sq ft"
    assert formatting.input_value(t, "id", 7_129_300_520) == "7129300520"


def test_amounts_have_the_sign_or_the_code_of_the_currency() -> None:
    euro = market_texts("en", EVERY_KIND)
    assert formatting.money(market_texts(), 295_218) == "$295,218"
    assert formatting.money(euro, 295_218) == "EUR\N{NO-BREAK SPACE}295,218"
    assert formatting.signed_money(euro, -1_200).startswith("-EUR")
    assert formatting.short_money(euro, 1_230_000).endswith("1.2M")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("year_built", 1985.0, "1985"), ("waterfront", 1.0, "yes"), ("floors", 1.5, "1.5"),
     ("year_built_missing", 0.0, "0"), ("log_house_size", 5.0106, "150"),
     ("material_log_price_effect", 0.0953, "+10.0%")],
)  # fmt: skip
def test_feature_of_an_added_input_is_written_like_the_input(
    name: str, value: float, expected: str
) -> None:
    assert formatting.feature_value(market_texts("en", EVERY_KIND), name, value) == expected


def test_home_without_a_named_place_is_named_by_its_coordinates() -> None:
    t = market_texts("en", KING_COUNTY)
    home = {"lat": 47.6812, "long": -122.29}
    assert formatting.place_name(t, home, "city", "zip_code") == "47.6812, -122.29"
    assert formatting.place_name(t, home | {"zipcode": "98115"}, "zip_code") == "98115"
    assert formatting.point(t.info, {"lat": 47.6}) is None


@pytest.mark.parametrize(
    ("days", "expected"),
    [(0, "hoy"), (1, "ayer"), (12, "hace 12 días"), (100, "hace 3 meses")],
)
def test_age_is_written_in_days_then_months(days: int, expected: str) -> None:
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert (
        formatting.age_text(catalogue("es"), now - timedelta(days=days, hours=1), now) == expected
    )


def test_sign_stands_before_the_dollar() -> None:
    assert formatting.signed_money(T, -1234.5) == "-$1,234"
    assert formatting.signed_money(T, 99.6) == "+$100"
    short = [formatting.short_money(T, amount) for amount in (185, 215_300, 1_230_000)]
    assert short == ["$185", "$215k", "$1.2M"]


def test_stars_go_by_the_share_of_all_reasons() -> None:
    stars = formatting.stars({"a": -50.0, "b": 30.0, "c": 15.0, "d": 4.0, "e": 1.0})
    assert stars == {"a": 4, "b": 4, "c": 3, "d": 2, "e": 1}
    assert formatting.stars({"a": 0.0}) == {"a": 1}


@given(st.dictionaries(st.text(), st.floats(-1e6, 1e6), min_size=1, max_size=11))
def test_larger_reason_never_has_fewer_stars(amounts: dict[str, float]) -> None:
    stars = formatting.stars(amounts)
    ordered = sorted(amounts, key=lambda name: abs(amounts[name]))
    assert [stars[name] for name in ordered] == sorted(stars.values())
    assert set(stars.values()) <= {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("share", "english", "spanish"),
    [
        (0.12, "12% above", "12% por encima de"),
        (-0.031, "3% below", "3% por debajo de"),
        (0.004, "equal to", "igual a"),
    ],
)
def test_difference_says_its_direction(share: float, english: str, spanish: str) -> None:
    assert formatting.difference(T, share) == english
    assert formatting.difference(catalogue("es"), share) == spanish


def test_share_of_homes_is_written_in_tenths_where_they_fit() -> None:
    assert formatting.share_of_homes(T, 0.8) == "8 in 10"
    assert formatting.share_of_homes(T, 0.75) == "75% of"


def test_date_is_written_as_the_language_writes_it() -> None:
    assert formatting.date_text(T, date(2022, 4, 22)) == "April 22, 2022"
    assert formatting.date_text(catalogue("es"), date(2022, 4, 22)) == "22 de abril de 2022"


def test_price_band_is_written_in_the_language_of_the_reader() -> None:
    band = formatting.segment_name(catalogue("es"), "price band", "$1 to $99")
    assert band == "$1 a $99"
