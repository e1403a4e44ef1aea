"""A row of a table means what it means alone: property-based, against `read_home`."""

import datetime as dt
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtor_model.features import as_sold, columns_from_properties
from realtor_model.listing import (
    US_LISTINGS,
    Home,
    InvalidHome,
    ListingContract,
    Property,
    TableReading,
    read_home,
)
from realtor_model.reading.home_tables import Homes, read_homes, read_rows, understand
from realtor_model.reading.prices import read_prices
from realtor_model.valuation.table_estimates import ESTIMATES, estimate
from realtor_model.valuation.valuation_model import ValuationModel
from tests.markets import porto

ModelOf = Callable[[str], ValuationModel]

INPUTS = US_LISTINGS.keys
NUMBERS = [key for key in INPUTS if US_LISTINGS.is_number(key)]

WORDS = ["", " ", "3", " 3 ", "3.0", "2.5", "1e3", "+4", "-1", "nan", "inf", "0x10", "1_000", "two",
         "1500", "0.25", "99999999999", "Texas", "texas ", "sold", "leased", "06114", "6114",
         "6114.0", "06114-1234", "0", "2020-02-30", "2020-02-03", "2020-02-03T10:00", "a\nb",
         "0.1000000000000000055511151231257827"]  # fmt: skip
TEXT = st.none() | st.sampled_from(WORDS) | st.text(max_size=6)
TYPED: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(NUMBERS, st.none() | st.floats() | st.sampled_from([1.0, 3.0, 2.5, 1500.0])),
    **dict.fromkeys(("status", "city", "state"), TEXT),
    "zip_code": st.none() | st.integers(-5, 100_010),
    "prev_sold_date": st.none() | st.dates(dt.date(1890, 1, 1), dt.date(2110, 1, 1)),
}


def lines(homes: Homes) -> list[str | None]:
    """The problems of each row as text; None for a home."""
    return [
        "; ".join(problem.line for problem in homes.problems[row])
        if row in homes.problems
        else None
        for row in range(len(homes))
    ]


def by_itself(row: Any, reading: TableReading) -> tuple[Home, list[str]] | str:
    """The home in a row and the texts of its notes, or its problems."""
    try:
        home, notes = read_home(row, reading.contract, reading)
    except InvalidHome as invalid:
        return str(invalid)
    return home, [note.text for note in notes]


def assert_alike(rows: list[Any], homes: Homes) -> None:
    expected = [by_itself(row, homes.reading) for row in rows]
    assert [each if isinstance(each, str) else None for each in expected] == lines(homes)
    passed = [each for each in expected if not isinstance(each, str)]
    for row, each in enumerate(expected):
        if not isinstance(each, str):
            assert sorted(note.text for note in homes.notes.get(row, ())) == sorted(each[1])
    columns = columns_from_properties([home for home, _ in passed], homes.reading.contract)
    for name, values in columns.items():
        read = homes.columns[name][homes.valid]
        assert read.dtype == values.dtype
        np.testing.assert_array_equal(read, values, err_msg=name)


def assert_read_alike(
    rows: list[dict[str, Any]], table: pa.Table, contract: ListingContract = US_LISTINGS
) -> None:
    assert_alike(rows, read_homes(table, contract))


def assert_json_read_alike(rows: list[Any], contract: ListingContract = US_LISTINGS) -> None:
    assert_alike(rows, read_rows(rows, contract))


VALUES = (
    TEXT | st.booleans() | st.integers() | st.floats() | st.sampled_from([1, 3, 6114.0, 10**400])
    | st.lists(st.integers(), max_size=1) | st.dictionaries(st.text(max_size=2), st.none())
)  # fmt: skip
HOME = {"state": "Texas", "zip_code": "77008", "bed": 3, "prev_sold_date": "2020-02-03"}


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from([*INPUTS, "extra"]), VALUES), max_size=8))
def test_rows_of_json_are_read_as_a_request_reads_them(changes: list[dict[str, Any]]) -> None:
    rows = [HOME | change for change in changes] + changes + [None, 3, [HOME]]
    assert_json_read_alike(rows)


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(INPUTS, TEXT)), min_size=1, max_size=8))
def test_texts_are_read_as_a_request_reads_them(rows: list[dict[str, Any]]) -> None:
    schema = pa.schema([(name, pa.string()) for name in INPUTS])
    clean = [
        {
            name: None if text is None else text.encode("utf-8", "replace").decode()
            for name, text in row.items()
        }
        for row in rows
    ]
    assert_read_alike(clean, pa.Table.from_pylist(clean, schema))


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries(TYPED), min_size=1, max_size=8))
def test_typed_columns_are_read_as_a_request_reads_them(rows: list[dict[str, Any]]) -> None:
    kinds = {**dict.fromkeys(NUMBERS, pa.float64()), "zip_code": pa.int64(),
             "prev_sold_date": pa.date32()}  # fmt: skip
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in INPUTS])
    assert_read_alike(rows, pa.Table.from_pylist(rows, schema))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([True, None]), "bed is True; it must be a number"),
        (pa.array([[3], None]), "bed is ['list<item: int64>']; it must be a number"),
        (pa.array(["3", None]).dictionary_encode(), None),
        (pa.array(["3", None], pa.string_view()), None),
        (pa.array(["x", None], pa.string_view()), "bed is 'x'; it must be a number"),
        (pa.RunEndEncodedArray.from_arrays([1, 2], [3, None]), None),
        (
            pa.array([[(1, 2)], None], pa.map_(pa.int8(), pa.int8())),
            "bed is ['map<int8, int8>']; it must be a number",
        ),
        (pa.array([3, None], pa.int8()), None),
        (pa.array([3, None], pa.float16()), None),
        (pa.array([3, None], pa.decimal32(3, 1)), None),
        (pa.chunked_array([pa.array([3.0]), pa.array([None], pa.float64())]), None),
    ],
)
def test_odd_types(column: Any, words: str | None) -> None:
    table = pa.table({"state": ["Ohio", "Ohio"], "house_size": [900, 900], "bed": column})
    homes = read_homes(table)

    assert lines(homes) == [words, None]
    if words is None:
        assert homes.columns["bed"][0] == 3.0
    assert np.isnan(homes.columns["bed"][1])


@pytest.mark.parametrize(
    "kind", ["date32", "date64", "timestamp[s]", "timestamp[us]", "timestamp[ns]",
             "timestamp[s, tz=UTC]", "duration[s]"]
)  # fmt: skip
def test_a_date_beyond_all_calendars_spoils_no_other(kind: str) -> None:
    zone = pa.timestamp("s", "UTC") if "tz" in kind else None
    far = 2**30 if kind == "date32" else 2**62
    column = pa.array([far, None, 0], zone or pa.type_for_alias(kind))
    table = pa.table({"state": ["Ohio"] * 3, "bed": [3] * 3, "prev_sold_date": column})

    homes = read_homes(table)

    assert not homes.problems
    assert homes.notes.keys() == ({0, 2} if kind == "duration[s]" else {0})
    assert homes.notes[0][0].code == "left_out"
    days = homes.columns["prev_sold_date"]
    assert np.isnat(days[[0, 1]]).all()
    assert np.isnat(days[2]) == (kind == "duration[s]")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_day_of_a_time(unit: str) -> None:
    times = [dt.datetime(1969, 12, 31, 23, 59), dt.datetime(2020, 2, 3, 10, 0), None]
    column = pa.array(times, pa.timestamp(unit))
    homes = read_homes(pa.table({"state": ["Ohio"] * 3, "bed": [3] * 3, "prev_sold_date": column}))

    assert not homes.problems
    assert homes.columns["prev_sold_date"].tolist() == [
        dt.date(1969, 12, 31), dt.date(2020, 2, 3), None,
    ]  # fmt: skip


def test_estimates_are_those_of_a_request_row_by_row(model_of: ModelOf) -> None:
    model = model_of("xgboost")
    rows: list[dict[str, Any]] = [
        {"state": "Ohio", "zip_code": "44101", "house_size": 1500},
        {"state": "Ohio", "bed": 101},
        {"zip_code": "99999", "city": "Atlantis", "acre_lot": 3.5},
        {"bed": 2},
    ]
    told = estimate(model, pa.Table.from_pylist(rows, pa.schema([
        ("state", pa.string()), ("zip_code", pa.string()), ("city", pa.string()),
        ("house_size", pa.int32()), ("acre_lot", pa.float32()), ("bed", pa.int64()),
    ])))  # fmt: skip

    assert told.schema == ESTIMATES
    answers = told.to_pylist()
    for row in (0, 2):
        columns = as_sold(columns_from_properties([Property.model_validate(rows[row])]))
        alone = model.value(columns)
        assert answers[row]["estimated_price"] == round(float(alone.price[0]), 2)
        assert answers[row]["estimated_low"] == round(float(alone.low[0]), 2)
        assert answers[row]["confidence"] == alone.confidence[0]
        assert answers[row]["error"] is None
        coded = alone.warnings.get(0, [])
        assert answers[row]["error_codes"] is None
        assert answers[row]["warnings"] == ("; ".join(each.text for each in coded) or None)
        assert answers[row]["warning_codes"] == ("; ".join(each.code for each in coded) or None)
    assert "bed is 101; it must be from 0 to 100 bedrooms" in answers[1]["error"]
    assert [answers[row]["error_codes"] for row in (1, 3)] == ["out_of_range", "place_required"]
    assert answers[3]["error"].startswith("state or zip_code is required")
    assert answers[1]["estimated_price"] is answers[3]["confidence"] is None


def test_a_table_of_none_but_bad_rows(model_of: ModelOf) -> None:
    told = estimate(model_of("gradient_boosting"), pa.table({"state": [None, "Ohio"]}))

    assert told.column("estimated_price").null_count == told.num_rows == 2
    assert told.column("error").null_count == 0


def test_a_row_that_is_no_home_holds_no_memory() -> None:
    table = pa.table({"state": ["Texas", "Ohio"], "bed": [3.0, None]})

    homes = read_homes(table)

    assert list(homes.valid) == [0]
    columns = weakref.ref(homes.columns["bed"])
    del homes
    assert columns() is None


def test_an_error_that_is_kept_holds_no_memory() -> None:
    homes = read_rows([{"state": "Ohio"}])
    problems = homes.problems

    beds = weakref.ref(homes.columns["bed"])
    del homes
    assert beds() is None
    assert "one of house_size, acre_lot and bed is required" in problems[0][0].text


FREE = st.none() | st.sampled_from([*WORDS, "A", "deed signed", "true", "no", "Ribeira", "41.2"])
PORTO_TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "cadastre": (pa.int64(), st.none() | st.integers(0, 99)),
    "status": (pa.string(), FREE),
    "parish": (pa.string(), FREE),
    "lat": (pa.float64(), st.none() | st.floats(40.9, 41.5)),
    "lon": (pa.float64(), st.none() | st.floats(-9.0, -8.3)),
    "rooms": (pa.float64(), st.none() | st.floats(-1.0, 4.0) | st.integers(0, 4).map(float)),
    "bath": (pa.float64(), st.none() | st.floats(-1.0, 4.0)),
    "floor_area": (pa.int32(), st.none() | st.integers(0, 300)),
    "plot": (pa.float64(), st.none() | st.floats()),
    "deed_date": (pa.date32(), st.none() | st.dates(dt.date(1890, 1, 1), dt.date(2110, 1, 1))),
    "year_built": (pa.int16(), st.none() | st.integers(1490, 2110)),
    "energy": (pa.string(), FREE),
    "architect": (pa.float64(), st.none() | st.sampled_from([1.0, 2.5, -0.0])),
    "lift": (pa.bool_(), st.none() | st.booleans()),
    "renovated": (pa.timestamp("s"), st.none() | st.datetimes(dt.datetime(1890, 1, 1))),
}  # fmt: skip


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> ListingContract:
    return porto(tmp_path_factory.mktemp("market"))


def test_every_input_of_the_market_is_tested(market: ListingContract) -> None:
    assert PORTO_TYPES.keys() == market.by_name.keys()


@settings(deadline=None)
@given(data=st.data())
def test_texts_of_any_market_are_read_as_a_request_reads_them(
    market: ListingContract, data: st.DataObject
) -> None:
    row = st.fixed_dictionaries(dict.fromkeys(market.by_name, FREE))
    rows = data.draw(st.lists(row, min_size=1, max_size=8))
    schema = pa.schema([(name, pa.string()) for name in market.by_name])
    assert_read_alike(rows, pa.Table.from_pylist(rows, schema), market)


@settings(deadline=None)
@given(data=st.data())
def test_typed_columns_of_any_market_are_read_as_a_request_reads_them(
    market: ListingContract, data: st.DataObject
) -> None:
    row = st.fixed_dictionaries({name: values for name, (_, values) in PORTO_TYPES.items()})
    rows = data.draw(st.lists(row, min_size=1, max_size=8))
    schema = pa.schema([(name, kind) for name, (kind, _) in PORTO_TYPES.items()])
    table = pa.Table.from_pylist(rows, schema)
    assert_read_alike(table.to_pylist(), table, market)


@settings(deadline=None)
@given(data=st.data())
def test_rows_of_json_of_any_market_are_read_as_a_request_reads_them(
    market: ListingContract, data: st.DataObject
) -> None:
    names = st.sampled_from([*market.by_name, "bed", "extra"])
    changes = data.draw(st.lists(st.dictionaries(names, VALUES | FREE), max_size=8))
    home = {"lat": 41.2, "lon": -8.6, "floor_area": 70, "lift": True, "energy": "A"}
    assert_json_read_alike([home | change for change in changes] + changes + [None], market)


def test_headers_of_the_market_and_their_units_are_read(market: ListingContract) -> None:
    table = pa.table({
        "Ano": ["1980", None], "FLOOR AREA SQFT": ["1000", "large"], "lat": [41.2, 41.2],
        "long": [1.0, 1.0], "lon": [-8.6, -8.6], "valor": [1, 2], "Baths": [1.5, 2.0],
    })  # fmt: skip

    homes = read_homes(table, market)

    assert homes.columns["year_built"][0] == 1980.0
    assert homes.columns["house_size"][0] == 93.0
    assert homes.columns["bath"][0] == 1.5
    assert lines(homes) == [None, "floor_area is 'large'; it must be a number"]


def test_columns_that_a_market_lacks_are_missing(market: ListingContract) -> None:
    homes = read_homes(pa.table({"lat": [41.2], "lon": [-8.6], "rooms": [2]}), market)

    assert tuple(homes.columns) == market.keys
    assert homes.columns["state"].tolist() == [None]
    assert np.isnan(homes.columns["brokered_by"][0])
    assert homes.columns["status"].tolist() == ["for_sale"]


@pytest.mark.parametrize("sizes", [[1800.0, 102.193, None], ["1,800", "102.193", "-"]])
def test_sizes_are_read_in_the_units_of_their_column(sizes: list[Any]) -> None:
    columns = {
        "zip": ["77008", "43215", "06114"],
        "beds": [3, 2, 4],
        "LivingArea": sizes,
        "LivingAreaUnits": ["SquareFeet", "SquareMeters", "SquareFeet"],
        "LotSizeArea": [0.12, 5000, 0.25],
        "LotSizeUnits": ["Acres", "SquareFeet", "Acres"],
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    homes = (read_homes(pa.table(columns)), read_rows(rows))
    alone = columns_from_properties([read_home(row, US_LISTINGS).home for row in rows], US_LISTINGS)

    for read in (*(each.columns for each in homes), alone):
        np.testing.assert_array_equal(read["house_size"], [1800, 1100, np.nan])
        np.testing.assert_allclose(read["acre_lot"], [0.12, 5000 / 43_560, 0.25])
    assert [each.problems for each in homes] == [{}, {}]


@pytest.mark.parametrize("kind", [pa.float16(), pa.decimal32(7, 0), pa.decimal64(9, 0)])
def test_small_types_of_columns_that_are_no_numbers_are_read(kind: pa.DataType) -> None:
    zips = pa.array([6016, None], kind)
    homes = read_homes(pa.table({"state": ["CT", "CT"], "bed": [3, 3], "zip_code": zips}))
    assert homes.columns["zip_code"].tolist() == ["06016", None]


def test_only_columns_of_homes_are_gathered_from_rows_with_headers_of_their_own() -> None:
    rows = [{"state": "TX", "bed": 3, f"note {row}": row} for row in range(3_000)]
    tracemalloc.start()
    homes = read_rows(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(homes.valid) == 3_000
    # A cell of each header in each row would be 9 million references of 8 bytes.
    assert peak < 30_000_000


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.date64(), pa.decimal32(7, 0)])
def test_prices_of_other_types_are_missing(kind: pa.DataType) -> None:
    table = pa.table({"bed": [3, 3], "price": pa.nulls(2, kind)})
    assert np.isnan(read_prices(table, understand(table))).all()
