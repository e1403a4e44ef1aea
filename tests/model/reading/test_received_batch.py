"""The contract: what is received becomes a typed listing, or a broken row with its reasons."""

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from realtor_model.listing import US_LISTINGS, Property
from realtor_model.reading.received_batch import SchemaChanged, check, raw_schema
from realtor_model.reading.received_batch import normalise as to_typed
from tests.model.conftest import received

GOOD = {
    "brokered_by": 6016.0, "status": "for_sale", "price": 239_800.0, "bed": 3.0, "bath": 2.0,
    "acre_lot": 0.28, "street": 1_693_508.0, "city": "Graham", "state": "North Carolina",
    "zip_code": 27253.0, "house_size": 1_605.0, "prev_sold_date": "2021-10-22",
}  # fmt: skip


def batch(*changes: dict[str, Any]) -> pd.DataFrame:
    # As JSON has them: pandas' strings hold no lone surrogate.
    return pd.DataFrame(
        [GOOD | change for change in changes], columns=list(US_LISTINGS.table_keys), dtype=object
    )


def test_a_batch_is_typed() -> None:
    valid, broken = check(received(500))

    assert len(valid) == 500
    assert broken.empty
    assert list(valid.columns) == list(US_LISTINGS.table_keys)
    raw_schema(US_LISTINGS).validate(valid)
    assert {name: str(dtype) for name, dtype in valid.dtypes.items()} == {
        "brokered_by": "Int64", "status": "string", "price": "float64", "bed": "Int64",
        "bath": "float64", "acre_lot": "float64", "street": "Int64", "city": "string",
        "state": "string", "zip_code": "string", "house_size": "Int64",
        "prev_sold_date": "datetime64[ns]",
    }  # fmt: skip


def test_everything_but_price_status_and_state_may_be_missing() -> None:
    nothing = dict.fromkeys(set(US_LISTINGS.table_keys) - {"price", "status", "state"})
    valid, broken = check(batch(nothing, {}, dict.fromkeys(nothing, "")))

    assert broken.empty
    assert valid.loc[0, list(nothing)].isna().all()
    assert valid.loc[2, list(nothing)].isna().all()


@pytest.mark.parametrize(
    ("column", "value", "reason", "code"),
    [
        ("price", None, "is required", "required"),
        ("status", None, "is required", "required"),
        ("status", " ", "is required", "required"),
        ("zip_code", "١٢٣", "must be a zip code", "not_a_zip_code"),
        ("city", "x" * 101, "at most 100 characters", "text_too_long"),
        ("price", 0.0, "must be from 1 to 1,999,999,999 dollars", "out_of_range"),
        ("price", 2_147_483_600.0, "must be from", "out_of_range"),
        ("price", float("inf"), "must be a number", "not_a_number"),
        ("price", "a lot", "must be a number", "not_a_number"),
        ("price", True, "must be a number", "not_a_number"),
        ("price", [1], "must be a number", "not_a_number"),
        ("bed", 473.0, "must be from 0 to 100 bedrooms", "out_of_range"),
        ("bed", 2.5, "must be a whole number", "not_a_whole_number"),
        ("bed", -1, "must be from", "out_of_range"),
        ("bath", -1, "must be from", "out_of_range"),
        ("brokered_by", 1e300, "must be a whole number", "not_a_whole_number"),
        ("acre_lot", 100_000.5, "must be from 0 to 100,000 acres", "out_of_range"),
        ("house_size", 4.0, "must be from 50 to 1,000,000 square feet", "out_of_range"),
        ("zip_code", 123_456.0, "5 digits", "not_a_zip_code"),
        ("zip_code", 0.0, "5 digits", "not_a_zip_code"),
        ("zip_code", "E1A 1A1", "5 digits", "not_a_zip_code"),
        ("prev_sold_date", "2022-02-30", "must be a date", "not_a_date"),
        ("prev_sold_date", 2_022.0, "must be a date", "not_a_date"),
        ("prev_sold_date", "1850-01-01", "must be a date", "not_a_date"),
        ("status", "leased", "must be one of for_sale, sold, ready_to_build", "not_a_choice"),
        ("city", "Gra\x00ham", "must be printable text", "not_printable"),
        ("city", "Gra\ud800ham", "must be printable text", "not_printable"),
        ("city", 7.0, "must be text", "not_text"),
        ("city", {"name": "Graham"}, "must be text", "not_text"),
    ],
)
def test_an_impossible_value_breaks_its_row(
    column: str, value: object, reason: str, code: str
) -> None:
    valid, broken = check(batch({}, {column: value}))

    assert len(valid) == 1
    assert list(broken["row"]) == [1]
    assert list(broken["column_name"]) == [column]
    assert broken["rule"][0].startswith(f"{column} ")
    assert reason in broken["rule"][0]
    assert ";" not in broken["rule"][0]
    assert list(broken["code"]) == [code]


def test_row_without_any_place_breaks_the_contract() -> None:
    placed = {"state": None}, {"zip_code": "N/A"}, {"state": "", "zip_code": 27253}
    valid, broken = check(batch(*placed, {"state": None, "zip_code": None}))

    assert len(valid) == 3
    assert broken[["row", "column_name", "code"]].to_dict("records") == [
        {"row": 3, "column_name": "state", "code": "place_required"}
    ]


def test_a_broken_row_tells_all_its_reasons_once() -> None:
    _, broken = check(batch({}, {"bed": 473.0, "price": "free", "status": "x", "city": "Graham"}))

    assert broken.to_dict("records") == [
        {
            "row": 1,
            "column_name": "status",
            "rule": "status must be one of for_sale, sold, ready_to_build; "
            "price must be a number; bed must be from 0 to 100 bedrooms",
            "value": "x",
            "record": json.dumps(GOOD | {"bed": 473.0, "price": "free", "status": "x"}),
            "code": "not_a_choice",
        }
    ]


def test_the_record_of_a_broken_row_is_json_that_a_database_takes() -> None:
    odd = {
        "price": float("nan"),
        "city": "a\x00\ud800b",
        "state": ["x", None],
        "bed": Decimal("3.5"),
    }
    _, broken = check(batch(odd))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    record = json.loads(broken["record"][0], parse_constant=refuse)
    assert record["price"] is None
    assert record["state"] == ["x", None]
    assert record["bed"] == "3.5"
    assert "\x00" not in record["city"]
    record["city"].encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(6016.0, "06016"), (6016, "06016"), ("6016", "06016"), ("6016.0", "06016"),
     (" 06016 ", "06016"), ("06016-1234", "06016"), (99_950.0, "99950"), (601.0, "00601")],
)  # fmt: skip
def test_zips_get_their_zeros_back(value: object, expected: str) -> None:
    assert check(batch({"zip_code": value}))[0]["zip_code"].tolist() == [expected]
    assert Property.model_validate({"zip_code": value, "bed": 3}).zip_code == expected


def test_a_csv_and_json_are_read_the_same() -> None:
    from_json = received(300)
    as_text = from_json.astype(object).where(from_json.notna(), "").astype(str)

    pd.testing.assert_frame_equal(check(from_json)[0], check(as_text)[0])
    pd.testing.assert_frame_equal(check(from_json)[0], to_typed(as_text))


def test_missing_texts_of_arrow_columns_are_missing_values() -> None:
    # As the upstream's JSON is decoded: its missing texts are pandas.NA.
    frame = batch({"prev_sold_date": None}, {"prev_sold_date": "2021-10-22"})
    as_arrow = frame.astype({"prev_sold_date": pd.StringDtype("pyarrow")})

    pd.testing.assert_frame_equal(check(as_arrow)[0], check(frame)[0])


def test_missing_parts_of_arrow_columns_count_nothing() -> None:
    text = pd.StringDtype("pyarrow")
    frame = batch({}, {}).drop(columns="bath")
    frame["full_baths"] = pd.Series(["2", "3"], dtype=text)
    frame["half_baths"] = pd.Series([None, "1"], dtype=text)

    assert check(frame)[0]["bath"].tolist() == [2, 3.5]


def test_sizes_of_a_batch_are_read_in_the_units_of_their_column() -> None:
    frame = batch({}, {}, {}).drop(columns="acre_lot")
    frame["lotAreaValue"] = [5227.2, 0.25, None]
    frame["lotAreaUnit"] = pd.Series(["sqft", "acres", None], dtype=pd.StringDtype("pyarrow"))

    valid, broken = check(frame)

    assert valid["acre_lot"].tolist()[:2] == pytest.approx([0.12, 0.25])
    assert valid["acre_lot"].isna().tolist() == [False, False, True]
    assert broken.empty


def test_numbers_may_be_decimals_and_rounding_errors() -> None:
    valid, _ = check(batch({"price": Decimal("250000.50"), "bed": 3 + 1e-12, "bath": Decimal(2)}))

    assert valid["price"].tolist() == [250_000.5]
    assert valid[["bed", "bath"]].to_numpy().tolist() == [[3, 2]]


def test_positions_do_not_depend_on_the_index() -> None:
    frame = batch({}, {"price": 0.0}, {}).set_axis([7, 7, 7])

    valid, broken = check(frame)

    assert list(broken["row"]) == [1]
    assert list(valid.index) == [0, 1]


@pytest.mark.parametrize(
    ("lacks", "named"),
    [
        (["price"], "price"),
        (["state", "zip_code"], "state or zip_code"),
        (["house_size", "acre_lot", "bed"], "house_size or acre_lot or bed"),
    ],
)
def test_a_batch_needs_a_price_a_place_and_a_size(lacks: list[str], named: str) -> None:
    with pytest.raises(SchemaChanged, match=named) as caught:
        check(batch({}).rename(columns={lacks[0]: "surprise"}).drop(columns=lacks[1:]))
    assert caught.value.missing == [named]
    assert caught.value.unexpected == ["surprise"]


def test_a_column_that_a_batch_lacks_is_missing_or_its_default() -> None:
    frame = batch({}, {"city": "Ames"}).drop(columns=["brokered_by", "status", "street", "bath"])

    valid, broken = check(frame)

    assert (len(valid), len(broken)) == (2, 0)
    assert valid[["brokered_by", "bath"]].isna().all(axis=None)
    assert valid["status"].tolist() == ["for_sale"] * 2
    assert valid["street"].nunique() == 2


def test_a_column_more_does_no_harm() -> None:
    assert list(check(batch({}).assign(agent="x"))[0].columns) == list(US_LISTINGS.table_keys)


JSON_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.none())
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(US_LISTINGS.table_keys), JSON_SCALARS, max_size=5),
        min_size=1,
        max_size=5,
    )
)
def test_every_row_is_valid_or_broken_whatever_is_sent(changes: list[dict[str, Any]]) -> None:
    frame = batch(*changes)
    valid, broken = check(frame)

    assert len(valid) + len(broken) == len(frame)
    assert broken["row"].is_unique
    raw_schema(US_LISTINGS).validate(valid)
    for record in broken["record"]:
        json.loads(record.encode())


# ---- Property -------------------------------------------------------------------------------


def test_a_property_of_three_facts() -> None:
    home = Property.model_validate({"state": " Connecticut ", "bed": "3", "city": " "})

    assert (home.state, home.bed, home.city, home.status) == ("Connecticut", 3, None, "for_sale")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bed": 473}, r"bed is 473; it must be from 0 to 100 bedrooms"),
        ({"bed": 2.5}, r"bed is 2.5; it must be a whole number"),
        ({"house_size": "large"}, r"house_size is 'large'; it must be a number"),
        ({"acre_lot": float("inf")}, r"acre_lot is inf; it must be a number"),
        ({"bath": True}, r"bath is True; it must be a number"),
        ({"bath": 10**400}, r"bath is 10+; it must be a number"),
        ({"zip_code": "1234567"}, r"zip_code is '1234567'; it must be a zip code of 5 digits"),
        ({"prev_sold_date": 2020}, r"prev_sold_date is 2020; it must be a date"),
        ({"status": "gone"}, r"status is 'gone'; it must be one of for_sale, sold"),
        ({"city": 3}, r"city is 3; it must be text"),
        ({"pool": True}, r"Extra inputs are not permitted"),
        ({"state": None}, r"state or zip_code is required"),
        ({"bed": None}, r"one of house_size, acre_lot and bed is required"),
    ],
)
def test_a_property_is_refused_with_field_value_and_range(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Property.model_validate({"state": "Ohio", "bed": 3} | change)


def test_dates_are_dates() -> None:
    for given_date in ("2021-10-22", "2021-10-22T00:00:00Z", dt.date(2021, 10, 22)):
        home = Property.model_validate({"state": "Ohio", "bed": 3, "prev_sold_date": given_date})
        assert home.prev_sold_date == dt.date(2021, 10, 22)


def test_a_listing_that_keeps_the_contract_is_a_property() -> None:
    valid, _ = check(received(300))
    rows = (
        valid[list(US_LISTINGS.keys)]
        .astype(object)
        .where(valid[list(US_LISTINGS.keys)].notna(), None)
    )
    for row in rows.to_dict("records"):
        if any(row[name] is not None for name in ("house_size", "acre_lot", "bed")):
            home = Property.model_validate(row)
            assert home.zip_code == row["zip_code"]
            assert home.house_size == row["house_size"]


def test_its_json_schema_tells_the_ranges() -> None:
    described = Property.model_json_schema()["properties"]["bed"]["anyOf"][0]

    assert (described["minimum"], described["maximum"]) == (0, 100)


@pytest.mark.parametrize("column", ["zip_code", "bed", "acre_lot"])
def test_a_number_beyond_all_numbers_is_refused(column: str) -> None:
    with pytest.raises(ValidationError, match=f"{column} is 1000"):
        Property.model_validate({"state": "Texas", "house_size": 1_500, column: 10**400})


def test_part_of_a_bedroom_breaks_its_row_however_it_is_written() -> None:
    valid, broken = check(batch({"bed": "2 ½"}, {"bed": 2.5}, {"bed": "3"}))
    assert valid["bed"].tolist() == [3]
    assert broken["code"].tolist() == ["not_a_whole_number"] * 2


def test_integer_that_no_float_holds_breaks_only_its_row() -> None:
    valid, broken = check(batch({"bed": 10**400}, {"bed": 3}, {"bed": "4"}))
    assert valid["bed"].tolist() == [3, 4]
    assert broken["code"].tolist() == ["not_a_number"]
