"""Batches as CSV, Parquet and Arrow: the same answers as JSON, within the same limits."""

import io
import json
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from realtor_model.listing import US_LISTINGS
from realtor_serving.http.table_bodies import (
    ARROW,
    CSV,
    JSON,
    PARQUET,
    TABLES,
    UnreadableTable,
    answer_type,
    homes_of,
    read_table,
    write_table,
)
from tests.serving.running import HOUSE, Server

ROWS: list[dict[str, Any]] = [
    {"id": "a", **HOUSE},
    {"id": "b", **HOUSE, "bed": 300},
    {"id": "c", "state": "Texas", "house_size": 1500},
    {"id": "d"},
]


def table() -> pa.Table:
    return pa.Table.from_pylist(ROWS, pa.schema([
        ("id", pa.string()), ("bed", pa.float64()), ("bath", pa.int32()),
        ("house_size", pa.int64()), ("acre_lot", pa.float64()), ("city", pa.string()),
        ("state", pa.string()), ("zip_code", pa.string()),
    ]))  # fmt: skip


def read(content: bytes, kind: str) -> pd.DataFrame:
    if kind == CSV:
        return pd.read_csv(io.BytesIO(content), dtype={"zip_code": str})
    return read_table(content, kind, US_LISTINGS).table.to_pandas()


def ask(service: Server, content: bytes, kind: str, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{service.url}/predict-batch", content=content, timeout=60,
        headers={"Content-Type": kind, **headers},
    )  # fmt: skip


@pytest.mark.integration
@pytest.mark.parametrize("kind", TABLES)
def test_spellings_and_contradictions_of_places_in_a_table(service: Server, kind: str) -> None:
    rows = [HOUSE, HOUSE | {"state": "CT"}, HOUSE | {"state": "Tex.", "city": "Houston"}]
    answer = read(ask(service, write_table(pa.Table.from_pylist(rows), kind), kind).content, kind)

    assert answer["estimated_price"].nunique() == 1
    assert answer["warning_codes"].fillna("").tolist() == ["", "", "place_contradiction"]
    assert (
        "Texas (as given) and zip 06114, which is in Hartford, Connecticut" in answer["warnings"][2]
    )


@pytest.mark.integration
@pytest.mark.parametrize("kind", TABLES)
def test_a_table_comes_back_with_estimates(service: Server, kind: str) -> None:
    answer = ask(service, write_table(table(), kind), f"{kind}; charset=utf-8")

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["x-model-version"] == "packaged"
    told = read(answer.content, kind)
    assert list(told["id"]) == ["a", "b", "c", "d"]
    single = service.post("/predict", HOUSE).json()
    assert told.loc[0, "estimated_price"] == single["price"]
    assert told.loc[0, "confidence"] == single["confidence"]
    assert told.loc[[1, 3], "estimated_price"].isna().all()
    assert "bed is 300.0; it must be from 0 to 100" in told.loc[1, "error"].replace("'", "") or (
        kind == CSV and "bed is '300'" in told.loc[1, "error"]
    )
    assert "required" in told.loc[3, "error"]
    assert told.loc[[0, 2], "error"].isna().all()
    assert told.loc[1, "error_codes"] == "out_of_range"
    assert "required" in told.loc[3, "error_codes"]
    assert told.loc[[0, 2], "error_codes"].isna().all()


@pytest.mark.integration
@pytest.mark.parametrize("kind", [PARQUET, ARROW])
def test_a_date_beyond_all_calendars_spoils_no_other(service: Server, kind: str) -> None:
    dates = pa.array([2**30, 0], pa.date32())
    sent = pa.Table.from_pylist([HOUSE, HOUSE]).append_column("prev_sold_date", dates)

    answer = ask(service, write_table(sent, kind), kind, Accept=JSON)

    assert answer.status_code == 200, answer.text
    without, good = answer.json()["results"]
    assert [each["code"] for each in without["valuation"]["warning_details"]] == ["left_out"]
    assert good["valuation"]["price"] == without["valuation"]["price"]


@pytest.mark.integration
@pytest.mark.parametrize(
    "column",
    [
        pa.array([[(1, 2)], None], pa.map_(pa.int8(), pa.int8())),
        pa.array([{"size": 3}, None]),
        pa.array([b"\xff\x00", None]),
    ],
)
@pytest.mark.parametrize("name", ["bath", "city", "zip_code"])
def test_column_of_an_impossible_type_fails_its_row_by_name(
    service: Server, name: str, column: pa.Array
) -> None:
    sent = pa.Table.from_pylist([HOUSE, HOUSE])
    at = sent.schema.get_field_index(name)
    sent = (sent if at < 0 else sent.remove_column(at)).append_column(name, column)

    answer = ask(service, write_table(sent, ARROW), ARROW, Accept=JSON)

    assert answer.status_code == 200, answer.text
    bad, good = answer.json()["results"]
    assert bad["error"]["detail"][0]["loc"] == [name]
    assert good["error"] is None


@pytest.mark.integration
@pytest.mark.parametrize("claimed", ["application/x-www-form-urlencoded", "application/x-parquet"])
def test_unsupported_table_format_gets_the_list_of_formats(service: Server, claimed: str) -> None:
    answer = ask(service, write_table(table(), PARQUET), claimed)

    assert answer.status_code == 400
    assert all(kind in answer.json()["error"] for kind in TABLES)


@pytest.mark.integration
def test_the_answers_format_can_be_asked_for(service: Server) -> None:
    as_json = ask(service, write_table(table(), PARQUET), PARQUET, Accept=JSON).json()
    assert (as_json["valued"], as_json["failed"]) == (2, 2)
    assert as_json["results"][1]["error"]["detail"][0]["loc"] == ["bed"]

    as_table = service.post("/predict-batch", {"properties": [HOUSE]}, headers={"Accept": ARROW})
    told = pa.ipc.open_stream(as_table.content).read_pandas()
    assert told.loc[0, "estimated_price"] == as_json["results"][0]["valuation"]["price"]


@pytest.mark.integration
@pytest.mark.parametrize("kind", TABLES)
def test_a_batch_of_the_largest_size_and_one_row_more(service: Server, kind: str) -> None:
    most = pa.Table.from_pylist([HOUSE]).take(pa.array([0] * 10_000))
    answer = ask(service, write_table(most, kind), kind)
    assert answer.status_code == 200
    assert read(answer.content, kind)["estimated_price"].notna().sum() == 10_000

    more = pa.concat_tables([most, most.slice(0, 1)])
    refused = ask(service, write_table(more, kind), kind)
    assert refused.status_code == 400
    assert "10,000 rows" in refused.json()["error"]


@pytest.mark.integration
@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize(("content", "words"), [(b"", ""), (b"\x00garbage", "")])
def test_body_that_is_not_a_table_is_refused(
    service: Server, kind: str, content: bytes, words: str
) -> None:
    answer = ask(service, content, kind)

    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.integration
def test_answer_says_how_a_table_was_read(service: Server) -> None:
    wide = {f"a column that no model uses, number {number}": "x" for number in range(200)}
    sent = pa.Table.from_pylist([{"ZIP": "77002", "BEDS": "3", "LOT SIZE": "5227", **wide}])

    notes = json.loads(ask(service, write_table(sent, CSV), CSV).headers["x-notes"])

    assert notes[0] == "The column LOT SIZE is read in square feet."
    assert notes[1].startswith("Columns not used (200): a column that no model uses, number 0,")
    assert notes[1].endswith("….")


LONG = pa.array(["x" * 2_000_000])


@pytest.mark.parametrize(
    "column",
    [
        pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), LONG),
        pa.RunEndEncodedArray.from_arrays(pa.array([100], pa.int32()), LONG),
        pa.StringViewArray.from_buffers(
            pa.string_view(),
            100,
            [
                None,
                pa.py_buffer(np.array([[2_000_000, 0x78787878, 0, 0]] * 100, np.int32).tobytes()),
                LONG.buffers()[2],
            ],
        ),
    ],
    ids=["dictionary", "runs", "views"],
)
def test_one_long_text_many_times_is_refused(column: pa.Array) -> None:
    sent = read_table(write_table(pa.table({"state": column}), ARROW), ARROW, US_LISTINGS).table

    with pytest.raises(UnreadableTable, match="bytes of memory"):
        homes_of(sent, US_LISTINGS)


def test_long_list_of_nulls_is_not_expanded() -> None:
    kind = pa.list_(pa.null(), 20_000_000)
    lists = pa.FixedSizeListArray.from_buffers(kind, 1, [None], children=[pa.nulls(20_000_000)])
    body = write_table(pa.table({"state": lists}), ARROW)
    assert len(body) < 500

    homes = homes_of(read_table(body, ARROW, US_LISTINGS).table, US_LISTINGS)
    assert homes.problems[0][0].value == [str(kind)]


@pytest.mark.integration
def test_a_worker_takes_no_more_memory_than_its_limit(service: Server) -> None:
    """A column that is only carried along, of 448 bytes as it comes; gigabytes as Parquet."""
    kind = pa.list_(pa.null(), 500_000_000)
    lists = pa.FixedSizeListArray.from_buffers(kind, 1, [None], children=[pa.nulls(500_000_000)])
    body = write_table(pa.table({"state": ["Texas"], "bed": [3], "lists": lists}), ARROW)

    refused = ask(service, body, ARROW, Accept=PARQUET)

    assert refused.status_code == 400
    assert "bytes of memory" in refused.json()["error"]
    assert ask(service, body, ARROW, Accept=JSON).json()["valued"] == 1


def test_run_end_encoded_dictionary_is_read() -> None:
    names = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(["Texas"]))
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([100], pa.int32()), names)

    homes = homes_of(pa.table({"state": runs, "bed": [3] * 100}), US_LISTINGS)

    assert homes.columns["state"].tolist() == ["Texas"] * 100


def test_numbers_that_look_compressed_are_read() -> None:
    numbers = [10**15, 0xFD2FB528] * 5
    sent = pa.table({"state": ["Texas"] * 10, "id": numbers})

    assert read_table(write_table(sent, ARROW), ARROW, US_LISTINGS).table.equals(sent)


def test_a_table_that_unpacks_to_gigabytes_is_refused() -> None:
    large = pa.table({"state": pa.array(["x" * 1_000_000] * 400)})
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, large.schema, options=options) as writer:
        writer.write_table(large)
    assert len(sink.getvalue()) < 1_000_000
    with pytest.raises(UnreadableTable, match="bytes of memory"):
        read_table(sink.getvalue(), ARROW, US_LISTINGS)

    parquet = io.BytesIO()
    pa.parquet.write_table(large, parquet, compression="zstd", use_dictionary=True)
    assert len(parquet.getvalue()) < 2_000_000
    with pytest.raises(UnreadableTable, match="bytes of memory"):
        read_table(parquet.getvalue(), PARQUET, US_LISTINGS)


def test_compressed_tables_of_a_fair_size_are_read() -> None:
    for compression in ("lz4", "zstd"):
        sink = io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression=compression)
        homes = table().take(pa.array([0, 2] * 2_000))
        with pa.ipc.new_stream(sink, homes.schema, options=options) as writer:
            writer.write_table(homes)
        assert read_table(sink.getvalue(), ARROW, US_LISTINGS).table.equals(homes)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [1]}, "none of the table's columns"),
        ({"state": pa.array([], pa.string())}, "no rows"),
    ],
)
@pytest.mark.parametrize("kind", TABLES)
def test_a_table_without_homes_is_refused(kind: str, columns: Any, words: str) -> None:
    with pytest.raises(UnreadableTable, match=words):
        read_table(write_table(pa.table(columns), kind), kind, US_LISTINGS)


@pytest.mark.parametrize(
    ("accept", "sent", "expected"),
    [
        ("", CSV, CSV),
        ("*/*", PARQUET, PARQUET),
        ("text/html, application/json;q=0.9, */*", CSV, JSON),
        (f"{ARROW}, {JSON}", JSON, ARROW),
        ("image/png", JSON, JSON),
    ],
)
def test_the_first_known_type_is_answered(accept: str, sent: str, expected: str) -> None:
    assert answer_type(accept, sent) == expected
