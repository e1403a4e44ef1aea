"""The content of a file decides what it is; what is not a table is refused in one sentence."""

import bz2
import gzip
import io
import zlib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from realtor_model.listing import US_LISTINGS
from realtor_model.reading import UnreadableFile, arrow_files, open_file, write_table
from realtor_model.reading.writing import FileKind
from tests.model.reading.test_text_files import cells, codes
from tests.model.reading.workbooks import xlsx, zipped

CSV = b"state,bed\nTexas,3\n"
FRAME = pd.DataFrame({"state": ["Texas", "Ohio"], "bed": [3, 2]})
VIEWS = pa.array(["a", None, "b"], pa.string_view())
TYPES = {
    "view": VIEWS,
    "large": pa.array(["a", None, "b"], pa.large_string()),
    "dictionary": pa.array(["a", None, "a"]).dictionary_encode(),
    "dictionary of views": pa.DictionaryArray.from_arrays(
        pa.array([2, None, 0], pa.uint32()), VIEWS
    ),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array(["a", None])),
    "runs of views": pa.RunEndEncodedArray.from_arrays(pa.array([1, 2, 3], pa.int32()), VIEWS),
    "decimal": pa.array([1, None, 2], pa.decimal128(9, 2)),
    "moment": pa.array([0, None, 1], pa.timestamp("ns", "America/Chicago")),
    "list": pa.array([["a"], None, []], pa.list_(pa.string())),
    "struct": pa.array([{"a": 1}, None, {"a": None}]),
    "bytes": pa.array([b"a", None, b"\xff"]),
    "byte views": pa.array([b"a", None, b"b"], pa.binary_view()),
    "uuid": pa.array([b"0123456789abcdef", None, None], pa.uuid()),
    "interval": pa.array([(1, 2, 3), None, None], pa.month_day_nano_interval()),
    "nothing": pa.nulls(3),
}  # fmt: skip


def content_of(table: pa.Table, kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "parquet":
        pa.parquet.write_table(table, buffer)
    else:
        new = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
        with new(buffer, table.schema) as writer:
            writer.write_table(table)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
@pytest.mark.parametrize("as_path", [False, True])
def test_arrow_and_parquet_under_any_name(tmp_path: Path, kind: str, as_path: bool) -> None:
    table = pa.table({"state": pa.array(["Texas", "Ohio"]).dictionary_encode(), "bed": [3, 2]})
    (tmp_path / "homes.csv").write_bytes(content_of(table, kind))
    path = tmp_path / "homes.csv"

    opened = open_file(path if as_path else path.read_bytes(), US_LISTINGS)

    assert opened.schema == table.schema
    assert pa.Table.from_batches(opened.batches()).equals(table)
    assert pa.Table.from_batches(opened.batches()).equals(table)


def test_row_index_of_pandas_is_not_joined_on() -> None:
    unnamed = FRAME.set_axis([5, 5])
    table = open_file(content_of(pa.Table.from_pandas(unnamed), "parquet"), US_LISTINGS)
    assert table.names == ("state", "bed")
    assert codes(table) == {"index_left_out"}
    named = FRAME.set_axis(pd.Index(["a", "a"], name="parcel"))
    table = open_file(content_of(pa.Table.from_pandas(named), "parquet"), US_LISTINGS)
    assert table.names == ("state", "bed", "parcel")
    assert cells(table) == [["Texas", 3, "a"], ["Ohio", 2, "a"]]  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("kind", ["parquet", "stream"])
def test_repeated_columns(kind: str) -> None:
    values = [pa.array(["Texas"]), pa.array([1]), pa.array([2])]
    notes = pa.Table.from_arrays(values, ["state", "notes", "notes"])
    table = open_file(content_of(notes, kind), US_LISTINGS)
    assert table.names == ("state", "notes", "notes (2)")
    assert cells(table) == [["Texas", 1, 2]]  # type: ignore[comparison-overlap]
    beds = pa.Table.from_arrays(values, ["state", "bed", "bed"])
    with pytest.raises(UnreadableFile, match="bed"):
        open_file(content_of(beds, kind), US_LISTINGS)


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (gzip.compress(CSV, mtime=0), "compressed_file", "gzip"),
        (bz2.compress(CSV), "compressed_file", "bzip2"),
        (pa.compress(CSV * 9, codec="zstd", asbytes=True), "compressed_file", "zstd"),
        (zipped({"homes.csv": CSV.decode()}), "compressed_file", "zip"),
        (zipped({"word/document.xml": ""}), "not_a_table", "Office"),
        (b"%PDF-1.7\n%\xe2\xe3", "not_a_table", "PDF"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not_a_table", "PNG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "not_a_table", "JPEG"),
        (b"SQLite format 3\0", "not_a_table", "SQLite"),
        (b'[{"state": "Texas"}]', "not_a_table", "JSON"),
        (b"<?xml version='1.0'?><Workbook/>", "not_a_table", "XML"),
        (b"\n<!DOCTYPE html><title>Sign in</title>", "web_page", "login"),
        (b"PK\x03\x04 and no more", "damaged_file", "Excel"),
        (xlsx({"h": [["state"], ["Texas"]]})[:-30], "damaged_file", "Excel"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 and no more", "damaged_file", "Excel"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
         "protected_workbook", "password"),
        (b"PAR1 and no more", "damaged_file", "Parquet"),
        (b"ARROW1 and no more", "damaged_file", "Arrow"),
        (b"\xff\xff\xff\xff and no more", "damaged_file", "Arrow"),
        (zlib.compress(CSV) + b"\0", "nul_in_text", "NUL"),
    ],
)  # fmt: skip
def test_what_is_not_a_table_is_refused(content: bytes, code: str, words: str) -> None:
    with pytest.raises(UnreadableFile, match=words) as refused:
        open_file(content, US_LISTINGS)
    assert refused.value.problem.code == code


@pytest.mark.parametrize("kind", ["parquet", "stream"])
def test_damage_behind_the_beginning_ends_as_unreadable(kind: str) -> None:
    table = pa.table({"state": [str(i) * 9 for i in range(9_000)]})
    content = bytearray(content_of(table, kind))
    content[400:-600] = bytes(len(content) - 1_000)
    with pytest.raises(UnreadableFile) as refused:
        list(open_file(bytes(content[: -600 if kind == "stream" else None]), US_LISTINGS).batches())
    assert refused.value.problem.code == "damaged_file"


def test_parquet_in_memory_that_unpacks_to_too_much(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = content_of(pa.table({"state": [str(i) for i in range(9_000)]}), "parquet")
    monkeypatch.setattr(arrow_files, "MAX_UNPACKED", 1_000)
    with pytest.raises(UnreadableFile) as refused:
        open_file(content, US_LISTINGS)
    assert refused.value.problem.code == "file_too_large"
    (tmp_path / "on_disk").write_bytes(content)
    assert open_file(tmp_path / "on_disk", US_LISTINGS).names == ("state",)


def test_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "nowhere", US_LISTINGS)


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow"])
@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_written_in_every_format(tmp_path: Path, kind: FileKind, name: str) -> None:
    batch = pa.record_batch({"state": pa.array(["Texas"] * 3), "x": TYPES[name]})
    path = tmp_path / "out"

    write_table([batch, batch.slice(1)], batch.schema, path, kind)

    read = [row["x"] for part in open_file(path, US_LISTINGS).batches() for row in part.to_pylist()]
    expected = [*TYPES[name].to_pylist(), *TYPES[name].to_pylist()[1:]]
    if kind == "csv":
        assert [text == "" for text in read] == [value is None for value in expected]
        assert read[0] == SHOWN.get(name, "a")
    elif name == "interval" and kind == "parquet":
        assert read[0] == "[1, 2, 3]"
    else:
        assert read == expected


SHOWN = {
    "dictionary of views": "b",
    "decimal": "1.00",
    "moment": "1969-12-31 18:00:00.000000000-0600",
    "list": '["a"]',
    "struct": '{"a": 1}',
    "uuid": "0123456789abcdef",
    "interval": "[1, 2, 3]",
    "nothing": "",
}


def test_bytes_that_are_no_text_become_digits(tmp_path: Path) -> None:
    batch = pa.record_batch({"x": TYPES["bytes"]})
    write_table([batch], batch.schema, tmp_path / "out.csv", "csv")
    assert (tmp_path / "out.csv").read_text().split("\n")[1:] == ['"a"', "", '"ff"', ""]


@pytest.mark.parametrize(
    ("written", "damaged"), [(b"TXOH", b"TX\xff\xfe"), (b"state", b"st\xffte")]
)
def test_arrow_file_is_checked_before_it_is_used(written: bytes, damaged: bytes) -> None:
    table = pa.table({"state": ["TX", "OH"], "bed": [3, 3]})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(UnreadableFile) as unreadable:
        list(open_file(sink.getvalue().replace(written, damaged), US_LISTINGS).batches())
    assert unreadable.value.problem.code == "damaged_file"


def test_quote_that_swallows_the_header_leaves_no_rows() -> None:
    with pytest.raises(UnreadableFile) as unreadable:
        list(open_file(b'x; "y; z\n1', US_LISTINGS).batches())
    assert unreadable.value.problem.code == "header_without_rows"
