"""Values as people write them: numbers, units, dates, choices, zip codes, missing words."""

import datetime as dt
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtor_model.listing import US_LISTINGS, InvalidValue, is_missing, parse, parse_number
from realtor_model.listing.convention import PLAIN, Convention
from realtor_model.listing.dates import read_date
from realtor_model.listing.numbers import read_number

COLUMNS = US_LISTINGS.by_key


@pytest.mark.parametrize(
    ("key", "written", "read"),
    [
        ("house_size", "1,800", 1800),
        ("house_size", "1.800", 1800),
        ("house_size", "1 800", 1800),
        ("house_size", "1\N{NO-BREAK SPACE}800 sq. ft.", 1800),
        ("house_size", "1'800", 1800),
        ("house_size", "1,800 sq ft", 1800),
        ("house_size", "1800 SQFT", 1800),
        ("house_size", "214 m²", 2303),
        ("house_size", "214 metros cuadrados", 2303),
        ("house_size", "1800.4", 1800),
        ("house_size", "1.8e3", 1800),
        ("house_size", "0", None),
        ("acre_lot", "0.25 acres", 0.25),
        ("acre_lot", "0.25 ac", 0.25),
        ("acre_lot", "10,890 sqft", 0.25),
        ("acre_lot", "0,25", 0.25),
        ("acre_lot", ".25", 0.25),
        ("acre_lot", "2 hectares", pytest.approx(4.942108, rel=1e-6)),
        ("acre_lot", "0", 0.0),
        ("bed", "3 bd", 3),
        ("bed", "3 Beds", 3),
        ("bed", "3 habitaciones", 3),
        ("bed", "0", 0),
        ("bed", "Studio", 0),
        ("bath", "2.5 ba", 2.5),
        ("bath", "2½", 2.5),
        ("bath", "2 1/2", 2.5),
        ("bath", "1,75", 1.75),
        ("bath", 0, None),
        ("price", "$350,000", 350_000.0),
        ("price", "350,000 USD", 350_000.0),
        ("price", "US$ 350k", 350_000.0),
        ("price", "1.2M", 1_200_000.0),
        ("price", "$1,234,567.50", 1_234_567.5),
        ("street", "6016.0", 6016),
    ],
)
def test_number_is_read_as_people_write_it(key: str, written: object, read: float | None) -> None:
    assert parse_number(COLUMNS[key], written) == read


@pytest.mark.parametrize(
    ("key", "written", "code"),
    [
        ("house_size", "1,80,0", "not_a_number"),
        ("house_size", "large", "not_a_number"),
        ("house_size", "1800 rooms", "not_a_number"),
        ("house_size", "1800 or 1900", "not_a_number"),
        ("house_size", "1_800", "not_a_number"),
        ("house_size", "infinity", "not_a_number"),
        ("house_size", True, "not_a_number"),
        ("house_size", [1800], "not_a_number"),
        ("house_size", "40 sq ft", "out_of_range"),
        ("bed", "3 ba", "not_a_number"),
        ("bed", "3-4", "not_a_number"),
        ("bed", "2.5", "not_a_whole_number"),
        ("bed", "1/0", "not_a_number"),
        ("bath", "1.2M", "not_a_number"),
        ("bath", "--2", "not_a_number"),
        ("price", "350 m²", "not_a_number"),
    ],
)
def test_number_that_cannot_be_read_says_why(key: str, written: object, code: str) -> None:
    with pytest.raises(InvalidValue) as invalid:
        parse_number(COLUMNS[key], written)
    assert invalid.value.rule.code == code


def test_convention_decides_between_two_readings() -> None:
    lot, comma = COLUMNS["acre_lot"], Convention(decimal=",")

    assert (parse_number(lot, "1.250"), parse_number(lot, "1.250", comma)) == (1.25, 1250.0)
    assert (parse_number(lot, "1,250"), parse_number(lot, "1,250", comma)) == (1250.0, 1.25)
    assert parse_number(lot, "1.250,5") == parse_number(lot, "1,250.5", comma) == 1250.5


def test_unit_of_the_column_holds_for_values_without_one() -> None:
    lot, feet = COLUMNS["acre_lot"], Convention(unit="square feet")

    assert parse_number(lot, "10,890", feet) == parse_number(lot, 10890, feet) == 0.25
    assert parse_number(lot, "0.25 acres", feet) == 0.25


def test_text_id_is_a_number_in_the_range_of_the_column() -> None:
    street = COLUMNS["street"]
    ids = {parse_number(street, f"{number} Sample St") for number in range(100)}

    assert len(ids) == 100
    assert all(isinstance(each, int) and 0 <= each <= 2**31 - 1 for each in ids)
    assert parse_number(street, "12  SAMPLE st") == parse_number(street, "12 Sample St")


@pytest.mark.parametrize(
    "written",
    ["2019-06-28", "2019-06-28T00:00:00Z", "2019-06-28 10:30:00+02:00", "20190628", 20190628,
     "20190628T000000", "6/28/2019", "28-06-2019", "28.06.2019", "6/28/19", "2019/6/28",
     "6/28/2019 10:30 AM", "June-28-2019", "28 jun 2019", "Jun 28, 2019", "28JUN2019",
     "Friday, June 28th, 2019", "28 de junio de 2019", "43644", 43644, 43644.75, 1561680000,
     1561680000000, dt.date(2019, 6, 28), dt.datetime(2019, 6, 28, 23, 59)],
)  # fmt: skip
def test_date_is_read_as_people_write_it(written: object) -> None:
    assert parse(COLUMNS["prev_sold_date"], written) == dt.date(2019, 6, 28)


@pytest.mark.parametrize(
    "written",
    ["2/30/2021", "2019", 2019, "June 2019", "June", "28", "soon", "1850-01-01", "13/13/2019",
     "June 31, 2019", True, [2019], float("inf"), 10**400],
)  # fmt: skip
def test_what_names_no_day_is_no_date(written: object) -> None:
    with pytest.raises(InvalidValue) as invalid:
        parse(COLUMNS["prev_sold_date"], written)
    assert invalid.value.rule.code == "not_a_date"


def test_ambiguous_date_follows_the_convention() -> None:
    sold = COLUMNS["prev_sold_date"]
    day_first = Convention(day_order=(("/", "day first"),))

    assert parse(sold, "6/7/2019") == dt.date(2019, 6, 7)
    assert parse(sold, "6/7/2019", day_first) == dt.date(2019, 7, 6)
    assert parse(sold, "6/28/2019", day_first) == dt.date(2019, 6, 28)
    assert parse(sold, 42182, Convention(calendar_1904=True)) == dt.date(2019, 6, 28)


@given(st.dates(dt.date(1970, 1, 1), dt.date(2060, 12, 31)), st.sampled_from("/-."))
def test_every_day_is_read_in_both_orders(day: dt.date, separator: str) -> None:
    month_first = f"{day.month}{separator}{day.day}{separator}{day.year}"
    day_first = f"{day.day}{separator}{day.month}{separator}{day.year}"

    assert read_date(month_first, "month first") == day
    assert read_date(day_first, "day first") == day
    assert read_date(day.strftime("%d %B %Y")) == read_date(day.strftime("%b-%d-%Y")) == day


@pytest.mark.parametrize(
    ("written", "read"),
    [("Sold", "sold"), ("PAST SALE", "sold"), ("closed", "sold"), ("Active", "for_sale"),
     ("FOR SALE", "for_sale"), ("for-sale", "for_sale"), ("Pending", "for_sale"),
     ("Ready to build", "ready_to_build"), ("En venta", "for_sale"), ("N/A", None)],
)  # fmt: skip
def test_status_is_read_in_other_words(written: str, read: str | None) -> None:
    assert parse(COLUMNS["status"], written) == read


@pytest.mark.parametrize("written", ["77008", 77008, 77008.0, "77008.0", "77008-1234", "77008 1234",
                                     "770081234", " 77008 "])  # fmt: skip
def test_zip_code_is_read_in_every_form(written: object) -> None:
    assert parse(COLUMNS["zip_code"], written) == "77008"


@pytest.mark.parametrize("written", ["1-1234", "713 5551", "7700A", "00000", "77008-12"])
def test_what_is_no_zip_code_is_refused(written: str) -> None:
    with pytest.raises(InvalidValue):
        parse(COLUMNS["zip_code"], written)


def test_text_that_turns_the_direction_of_a_line_is_refused() -> None:
    with pytest.raises(InvalidValue, match="printable"):
        parse(COLUMNS["city"], "Hous\u202eton")


@pytest.mark.parametrize(
    "word", ["NA", "N/A", "n/a", "null", "None", "nan", "-", "--", "#N/A", "#VALUE!", "", " ", "?",
             "Unknown", "sin dato", "s/d", None, float("nan")]
)  # fmt: skip
def test_missing_word_is_a_missing_value_in_every_column(word: object) -> None:
    assert is_missing(word)
    for column in US_LISTINGS.columns:
        reader = parse if column.range is None else parse_number
        assert reader(column, word) is None


@given(st.floats(0.001, 9_999_999, allow_nan=False).map(lambda each: round(each, 3)))
def test_every_number_is_read_in_both_conventions(number: float) -> None:
    english = f"{number:,.3f}"
    spanish = english.translate(str.maketrans(",.", ".,"))

    assert number in [each.value for each in read_number(english)]
    assert {each.value: each.decimal for each in read_number(english)}.get(number) in (".", None)
    assert {each.value: each.decimal for each in read_number(spanish)}.get(number) in (",", None)


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_says_why(text: str) -> None:
    for key in ("house_size", "acre_lot", "price", "street"):
        with suppress(InvalidValue):
            number = parse_number(COLUMNS[key], text, PLAIN)
            assert number is None or number >= 0


@pytest.mark.parametrize(
    ("key", "written"),
    [("bath", "2/1"), ("bath", "12/3"), ("bath", "5/2"), ("acre_lot", "0-1/4 acre")],
)
def test_pair_or_range_is_not_read_as_a_mixed_number(key: str, written: str) -> None:
    with pytest.raises(InvalidValue) as invalid:
        parse_number(US_LISTINGS.by_key[key], written)
    assert invalid.value.rule.code == "not_a_number"


@pytest.mark.parametrize("written", ["1e999", "9" * 5000 + " 1/2", "9" * 400 + " 1/2", "1e-999"])
def test_number_too_large_for_a_float_is_refused(written: str) -> None:
    with pytest.raises(InvalidValue):
        parse_number(US_LISTINGS.by_key["house_size"], written)


@pytest.mark.parametrize(
    "long", ["1" + "\u0315\u0300\u0323" * 40, "March " + "1 " * 60, "2021-05-28T00:00" + "0" * 100]
)
def test_long_text_is_refused_before_it_is_parsed(long: str) -> None:
    assert read_number(long) == []
    assert read_date(long) is None


def test_blanks_around_a_text_may_be_line_breaks_but_not_within() -> None:
    city = US_LISTINGS.by_key["city"]
    assert parse(city, "Austin\r\n") == "Austin"
    with pytest.raises(InvalidValue):
        parse(city, "Aus\ntin")


def test_long_text_is_not_kept_in_memory() -> None:
    zip_code = US_LISTINGS.by_key["zip_code"]
    for written in ("60613-2117", "60614-2117" + " " * 200):
        text = "".join(written)
        count = sys.getrefcount(text)
        assert parse(zip_code, text) == written[:5]
        is_kept = sys.getrefcount(text) > count
        assert is_kept == (len(written) < 100)
