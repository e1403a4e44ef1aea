"""Reading payloads in pieces: the same rows as a whole parser, or an error that says where."""

import io
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from realtor_assets.resources import ObjectStore
from realtor_assets.source import file_rows, json_document
from realtor_assets.source.json_document import documented_rows
from realtor_assets.source.payload_errors import PayloadUnreadable, blamed_on_payload
from realtor_assets.source.payload_reader import read_batch_number, read_pieces
from realtor_model.listing import US_LISTINGS, ListingContract
from realtor_model.reading import write_table
from realtor_model.reading.received_batch import SchemaChanged, check
from tests.assets.conftest import listing
from tests.assets.markets import harbor_contract, sales

COLUMNS = tuple(column.name for column in US_LISTINGS.columns)
TEXT = st.text(max_size=12) | st.sampled_from(
    ['},{"', '"}]}', "\\", ']},"data":[', "é\x00", "\ud800"]
)
VALUE = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.lists(TEXT, max_size=2)
ROW = st.fixed_dictionaries(
    {}, optional=dict.fromkeys((*COLUMNS, "extra"), VALUE)
).map(lambda broken: listing() | broken)  # fmt: skip


def write(store: ObjectStore, body: bytes, suffix: str = "json") -> str:
    key = f"payloads/x.{suffix}.zst"
    with store.create(key) as file:
        file.write(zstandard.compress(body))
    return key


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_document, "PIECE_BYTES", 700)
    monkeypatch.setattr(json_document, "_HEAD_BYTES", 64)
    monkeypatch.setattr(file_rows, "PIECE_ROWS", 20)


def records(store: ObjectStore, key: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for piece in read_pieces(store, key, US_LISTINGS):
        assert piece.first == len(rows)
        rows += piece.rows.to_dict("records")
    return rows


def is_json(value: object) -> bool:
    """Whether JSON has it: no NaN, no infinity, no half of a surrogate pair."""
    if isinstance(value, list):
        return all(map(is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return "\ud800" not in value if isinstance(value, str) else True


def same(left: object, right: object) -> bool:
    missing = [
        value is None or (isinstance(value, float) and math.isnan(value)) for value in (left, right)
    ]
    return all(missing) if any(missing) else left == right


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(ROW, max_size=12),
    layout=st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}]),
    rows_first=st.booleans(),
)
@example(rows=[listing(city="},{")] * 12, layout={"separators": (",", ":")}, rows_first=False)
@example(rows=[listing(city=None)] * 12, layout={"separators": (",", ":")}, rows_first=False)
@pytest.mark.usefixtures("small_pieces")
def test_pieces_hold_every_row_of_a_whole_document(
    store: ObjectStore, rows: list[dict[str, Any]], layout: dict[str, Any], rows_first: bool
) -> None:
    head = {"group_number": 1, "batch_number": 7}
    document = {"data": rows} | head if rows_first else head | {"data": rows}
    body = json.dumps(document, **layout).encode()
    key = write(store, body)
    if not all(is_json(value) for row in rows for value in row.values()):
        with pytest.raises(PayloadUnreadable, match="not whole JSON"):
            records(store, key)
        return

    read = records(store, key)

    assert read_batch_number(store, key) == 7
    assert len(read) == len(rows)
    for found, row in zip(read, rows, strict=True):
        for name in COLUMNS:
            expected = row[name]
            if type(expected) is int and abs(expected) > 2**53:
                continue  # JSON promises no more than that of a number
            assert same(found[name], expected), name


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(ROW, min_size=1, max_size=12), share=st.floats(0, 1, exclude_max=True))
@pytest.mark.usefixtures("small_pieces")
def test_a_truncated_document_is_refused(
    store: ObjectStore, rows: list[dict[str, Any]], share: float
) -> None:
    body = json.dumps({"batch_number": 0, "data": rows}).encode()
    key = write(store, body[: int(share * len(body))])

    with pytest.raises(PayloadUnreadable, match=r"not whole JSON|no array"):
        records(store, key)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=20))
def test_every_row_is_valid_or_quarantined_with_a_reason(rows: list[dict[str, Any]]) -> None:
    valid, broken = check(pd.DataFrame(rows, dtype=object))

    assert len(valid) + len(broken) == len(rows)
    assert broken["row"].is_unique
    assert broken["rule"].str.len().gt(0).all()
    for record in broken["record"]:
        json.loads(record)


@pytest.mark.parametrize(
    ("body", "number"),
    [(b'{"batch_number": 3.0, "data": []}', 3), (b'{"data": [], "batch_number": 2}', 2)],
)
def test_a_batch_number_is_found_before_or_behind_the_rows(
    store: ObjectStore, body: bytes, number: int
) -> None:
    assert read_batch_number(store, write(store, body)) == number


@pytest.mark.parametrize(
    "changed",
    [
        listing(price="a lot"), listing(extra=1), listing(zip_code="06016"), listing(city=["a"]),
        {},
    ],
)  # fmt: skip
def test_both_parsers_read_the_same(changed: dict[str, Any]) -> None:
    """What the fast one takes, it reads as the other does; what it does not, is the other's."""
    usual = [listing(), listing(bath=None, city="Cañón"), listing(city="},{", price=3)]
    fast = documented(usual)

    assert fast is not None
    for found, row in zip(fast.to_dict("records"), usual, strict=True):
        assert all(same(found[name], row[name]) for name in COLUMNS)
    assert documented([changed]) is None


@pytest.mark.parametrize("array", [b'["a"]', b"[null]", b'[{"a": 1]', b"[{}] x", b"{}", b""])
def test_what_is_no_array_of_objects_is_not_read_by_the_fast_parser(array: bytes) -> None:
    assert documented_rows(memoryview(array), US_LISTINGS) is None


@pytest.mark.usefixtures("small_pieces")
def test_an_empty_object_is_a_row(store: ObjectStore) -> None:
    rows = [*[listing()] * 20, {}, *[listing()] * 3, {}]
    body = json.dumps({"batch_number": 0, "data": rows}).encode()

    assert len(records(store, write(store, body))) == 25
    assert len(records(store, write(store, b'{"batch_number": 0, "data": [{}, {}]}'))) == 2


def test_the_last_of_two_equal_keys_counts_in_both_parsers(store: ObjectStore) -> None:
    twice = json.dumps(listing())[:-1] + ', "price": 7}'
    extra = json.dumps(listing(extra=1))[:-1] + ', "price": 7}'
    body = f'{{"batch_number": 0, "data": [{twice}]}}'.encode()

    assert records(store, write(store, body))[0]["price"] == 7
    assert records(store, write(store, body.replace(twice.encode(), extra.encode())))[0][
        "price"
    ] == 7  # fmt: skip


@pytest.mark.parametrize(
    ("problem", "raised"),
    [
        (KeyError("bed"), PayloadUnreadable),
        (RecursionError("nested"), PayloadUnreadable),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), PayloadUnreadable),
        (SchemaChanged(["price"], []), SchemaChanged),
        (ConnectionResetError("the store is away"), ConnectionResetError),
        (MemoryError(), MemoryError),
        (NameError("a bug"), NameError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_only_faults_of_the_machine_are_not_the_payloads(
    problem: BaseException, raised: type[BaseException]
) -> None:
    with pytest.raises(raised), blamed_on_payload("payloads/x.csv.zst"):
        raise problem


def test_json_that_is_nested_too_deeply_is_refused(store: ObjectStore) -> None:
    body = b'{"batch_number": 0, "data": [{"extra": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"

    with pytest.raises(PayloadUnreadable, match="recursion"):
        records(store, write(store, body))


def documented(rows: list[dict[str, Any]]) -> pd.DataFrame | None:
    compact = json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()
    return documented_rows(memoryview(compact), US_LISTINGS)


@pytest.mark.parametrize("number", ["true", "-1", "1.5", "null", '"2"', "99999999999"])
def test_a_batch_number_outside_the_range_is_refused(store: ObjectStore, number: str) -> None:
    key = write(store, f'{{"batch_number": {number}, "data": []}}'.encode())
    with pytest.raises(PayloadUnreadable, match="batch_number"):
        read_batch_number(store, key)


def test_a_csv_is_read_in_pieces_as_text(store: ObjectStore, small_pieces: None) -> None:
    line = "6016,for_sale,239800.0,3,2,0.28,1693508,Graham,North Carolina,06016,1605,2021-10-22"
    body = "\n".join([",".join(COLUMNS), *[line] * 30, ""]).encode()

    rows = records(store, write(store, body, "csv"))

    assert len(rows) == 30
    assert rows[29]["zip_code"] == "06016"


def test_a_column_that_no_row_has_is_left_out_by_both_parsers() -> None:
    """An empty column and a missing one are told apart: without ids, homes get one each."""
    without = {name: value for name, value in listing().items() if name != "street"}

    fast = documented([without, without])

    assert fast is not None
    assert "street" not in fast
    assert documented([without, listing()]) is None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            b"price,bed,roof\n1,2,3\n",
            "no column for state or zip_code. The headers are price, bed,",
        ),
        (b"zip,bed,roof\n1,2,3\n", "no column for price. The headers are zip, bed, roof. Rename"),
        (b"zip,price\n1,2\n", "no column for house_size or acre_lot or bed"),
        (b"", "the file is empty"),
    ],
)
def test_a_file_without_price_place_or_size_is_refused(
    store: ObjectStore, body: bytes, says: str
) -> None:
    with pytest.raises(PayloadUnreadable, match=says):
        records(store, write(store, body, "csv"))


def test_a_csv_is_matched_by_its_headers(
    store: ObjectStore, small_pieces: None, tmp_path: Path
) -> None:
    contract = harbor_contract(tmp_path)
    header = '\ufeff"Note","PARCEL",sale price,lot_sqft,Zip,Sqft,waterfront,bedrooms,acres'
    missing = required(contract) - {"parcel", "sale_price", "lot_sqft", "zip_code", "bedrooms"}
    header += "," + ",".join(sorted(missing - {"house_size"}))
    cells = len(header.split(",")) - 9
    # The first block has only digits in the note: a guess would call it a number.
    lines = [f"{n},{n},1,2,06016,900,yes,3,4{',' * cells}" for n in range(60)]
    lines.append(f"text,60,1,2,06016,900,no,3,4{',' * cells}")

    pieces = list(read_pieces(store, write(store, "\n".join([header, *lines]).encode(), "csv"),
                              contract))  # fmt: skip

    rows = pd.concat([piece.rows for piece in pieces], ignore_index=True)
    assert len(pieces) > 1
    assert set(rows.columns) >= {"PARCEL", "sale price", "Zip", "Sqft"}
    assert "Note" not in rows
    assert rows["Zip"].tolist() == ["06016"] * 61
    counted = Counter[str]()
    for piece in pieces:
        counted.update(piece.unused)
    # `acres` is another header of the column that has its own name here.
    assert counted == {"Note": 61, "acres": 61}


def required(contract: ListingContract) -> set[str]:
    return {column.name for column in contract.columns if column.in_every_batch}


def test_the_fast_parser_reads_any_market(tmp_path: Path) -> None:
    contract = harbor_contract(tmp_path)
    rows = sales(5)
    compact = json.dumps(rows, separators=(",", ":")).encode()

    fast = documented_rows(memoryview(compact), contract)

    assert fast is not None
    for found, row in zip(fast.to_dict("records"), rows, strict=True):
        assert all(same(found[name], value) for name, value in row.items())
    # Optional columns may be missing.
    compact = json.dumps(
        [{name: value for name, value in row.items() if name != "year_built"} for row in rows],
        separators=(",", ":"),
    ).encode()
    assert documented_rows(memoryview(compact), contract) is not None


def test_damaged_zstd_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    body = bytearray(zstandard.compress(json.dumps({"batch_number": 0, "data": []}).encode() * 9))
    with store.create("payloads/x.json.zst") as file:
        file.write(bytes(body[:-9]) + io.BytesIO(b"garbage!!").read())

    with pytest.raises(PayloadUnreadable):
        records(store, "payloads/x.json.zst")


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("bed", pa.array([[1, 2], None]), "not_a_number"),
        ("state", pa.array([[{"a": 1}], None]), "not_text"),
        ("bed", pa.nulls(2, pa.month_day_nano_interval()), None),
        ("bed", pa.UnionArray.from_dense(
            pa.array([0, 0], pa.int8()), pa.array([0, 1], pa.int32()), [pa.array([1, 2])]
        ), "not_a_number"),
    ],
)  # fmt: skip
def test_column_of_a_type_that_no_listing_has_costs_only_its_rows(
    column: str, value: pa.Array, code: str | None
) -> None:
    columns = {"price": [200_000, 210_000], "state": ["Ohio", "Ohio"], "bed": [3, 3]}
    table = pa.table(columns | {column: value, "zip_code": ["43215", "43215"]})
    file = io.BytesIO()
    write_table(table.to_batches(), table.schema, file, "arrow")
    file.seek(0)
    (piece,) = file_rows.file_rows(file, US_LISTINGS)
    valid, broken = check(piece.rows, US_LISTINGS, piece.reading)
    assert len(valid) + len(broken) == 2
    assert set(broken["code"]) == ({code} if code else set())
