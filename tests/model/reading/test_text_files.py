"""Text files in every common shape, encoding and line ending are read back cell by cell."""

import csv
import io
import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from realtor_model.listing import US_LISTINGS
from realtor_model.reading import text_files
from realtor_model.reading.table_file import ROW_CELLS, TableFile, UnreadableFile
from realtor_model.reading.text_files import open_text

HEADER = ["state", "city", "bed", "notes"]
HOMES = [
    ["Texas", "Houston", "3", "plain"],
    ["Puerto Rico", "Añasco", "2", "señora Œ café"],
    ["Ohio", "Columbus", "", 'a "quoted"; text, with | and\tall'],
    ["California", "La Cañada", "4", "two\nlines"],
]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
DELIMITERS = [",", ";", "\t", "|"]
LINE_ENDINGS = ["\n", "\r\n", "\r"]


def written(
    rows: list[list[str]],
    *,
    delimiter: str = ",",
    line_ending: str = "\n",
    quoting: int = csv.QUOTE_MINIMAL,
) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=line_ending, quoting=quoting).writerows(
        rows
    )
    return text.getvalue()


def opened(text: str | bytes) -> TableFile:
    return open_text(text.encode() if isinstance(text, str) else text, US_LISTINGS)


def cells(table: TableFile) -> list[list[str]]:
    return [
        [row[name] for name in table.names]
        for batch in table.batches()
        for row in batch.to_pylist()
    ]


def marks(table: TableFile) -> list[int | None]:
    return [mark for batch in table.batches() for mark in batch.column(ROW_CELLS).to_pylist()]


def codes(table: TableFile) -> set[str]:
    return {note.code for note in table.notes}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("delimiter", "line_ending"), list(itertools.product(DELIMITERS, LINE_ENDINGS))
)
def test_every_encoding_delimiter_and_line_ending(
    tmp_path: Path, encoding: str, delimiter: str, line_ending: str
) -> None:
    path = tmp_path / "homes.csv"
    text = written([HEADER, *HOMES], delimiter=delimiter, line_ending=line_ending)
    path.write_bytes(text.encode(encoding))

    table = open_text(path, US_LISTINGS)

    assert table.names == tuple(HEADER)
    assert cells(table) == HOMES
    assert cells(table) == HOMES  # batches can be read again
    assert marks(table) == [None] * len(HOMES)
    assert ("text_encoding" in codes(table)) == (encoding[:5] != "utf-8")
    assert ("separated_by_tabs" in codes(table)) == (delimiter == "\t")
    assert ("separated_by" in codes(table)) == (delimiter in ";|")


def test_decimal_commas_do_not_decide_the_delimiter() -> None:
    table = opened("state;bed;acre_lot\nTexas;3;0,12\nOhio;2;0,08\n")
    assert cells(table) == [["Texas", "3", "0,12"], ["Ohio", "2", "0,08"]]


def test_delimiter_of_a_file_whose_headers_are_unknown() -> None:
    table = opened("una;otra\n1,5;2\n2,5;3\n")
    assert table.names == ("una", "otra")
    assert cells(table) == [["1,5", "2"], ["2,5", "3"]]


def test_file_of_one_column() -> None:
    table = opened("zip_code\n77008\n\n00601\n")
    assert (table.names, cells(table)) == (("zip_code",), [["77008"], ["00601"]])


@pytest.mark.parametrize(
    "title",
    ["Homes for valuation,,,\nExported 2026-11-20,,,\n,,,\n", "Homes, by State\n\n", 'sep=,\n',
     '"Homes of\nTexas",\n'],
)  # fmt: skip
def test_lines_above_the_header_are_left_out_and_said(title: str) -> None:
    table = opened(title + written([HEADER, *HOMES]))
    assert table.names == tuple(HEADER)
    assert cells(table) == HOMES
    assert "title_lines" in codes(table)
    assert table.first_line == title.count("\n") + 2


def test_value_of_a_row_is_not_taken_for_a_header() -> None:
    table = opened("una,otra\n1,2\n3,lot\n")
    assert cells(table) == [["1", "2"], ["3", "lot"]]


def test_blanks_after_the_delimiter() -> None:
    table = opened("state, city, bed\nTexas, Houston, 3\nOhio, Columbus, 2\n")
    assert table.names == ("state", "city", "bed")
    assert cells(table) == [["Texas", "Houston", "3"], ["Ohio", "Columbus", "2"]]
    quoted = opened('"state", "city", "bed"\n"Texas", "Houston, TX", "3"\n')
    assert quoted.names == ("state", "city", "bed")
    assert cells(quoted) == [["Texas", "Houston, TX", "3"]]
    assert "blanks_after_delimiter" in codes(table) & codes(quoted)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("state,bed\nTexas,3,\nOhio,2,\n", "empty_cells_beyond_header"),
        ("state,bed\nTexas,3,\nOhio,2\n", "empty_cells_beyond_header"),
        ("state,bed,,\nTexas,3,,\nOhio,2,,\n", "empty_columns_left_out"),
        ("state,bed,,\nTexas,3\nOhio,2\n", "empty_columns_left_out"),
        ("state,,bed\nTexas,,3\nOhio,,2\n", "empty_columns_left_out"),
    ],
)
def test_trailing_delimiters_shift_nothing(text: str, code: str) -> None:
    table = opened(text)
    assert table.names == ("state", "bed")
    assert cells(table) == [["Texas", "3"], ["Ohio", "2"]]
    assert marks(table) == [None, None]
    assert code in codes(table)


def test_rows_that_do_not_fit_stay_and_are_marked() -> None:
    table = opened(
        "state,city,bed\nTexas,Houston,3\nTexas,Houston,TX,3\nOhio,Columbus\n,,\nOhio,,2"
    )
    assert cells(table) == [
        ["Texas", "Houston", "3"], ["Texas", "Houston", "TX"], ["Ohio", "Columbus", ""],
        ["Ohio", "", "2"],
    ]  # fmt: skip
    assert marks(table) == [None, 4, 2, None]
    counted = {note.code: note.params["rows"] for note in table.notes}
    assert counted == {"rows_of_other_width": 2, "blank_rows": 1}


@pytest.mark.parametrize("odd", ["Ohio,Columbus,2,3", "Ohio", " "])
def test_row_that_does_not_fit_far_down_the_file(monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    monkeypatch.setattr(text_files, "SAMPLE_BYTES", 1_000)
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 5_000)
    monkeypatch.setattr(text_files, "BATCH_ROWS", 70)
    rows = [["Texas", "Houston", str(i)] for i in range(2_000)]
    text = written([["state", "city", "bed"], *rows])
    lines = text.splitlines(keepends=True)
    lines.insert(1_500, f"{odd}\n")

    table = opened("".join(lines))

    read = cells(table)
    assert read[:1_499] + read[1_500 if odd.strip() else 1_499 :] == rows
    assert table.row_counts == {"rows_of_other_width" if odd.strip() else "blank_rows": 1}
    assert [i for i, mark in enumerate(marks(table)) if mark] == [1_499] * bool(odd.strip())


def test_value_below_an_empty_column_far_down_marks_its_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text_files, "SAMPLE_BYTES", 100)
    table = opened("state,bed,\n" + "Texas,3,\n" * 50 + "Texas,3,x\n,,\nOhio,2,\n")
    assert marks(table) == [None] * 50 + [3, None]
    assert table.row_counts == {"rows_of_other_width": 1, "blank_rows": 1}


def test_blank_and_repeated_headers_get_names() -> None:
    table = opened(",state,notes,notes,,bed\n0,Texas,a,b,c,3\n")
    assert table.names == ("column 1", "state", "notes", "notes (2)", "column 5", "bed")
    assert cells(table) == [["0", "Texas", "a", "b", "c", "3"]]
    assert codes(table) == {"blank_headers_named", "repeated_headers_numbered"}


@pytest.mark.parametrize("header", ["price", "Beds", "zip_code"])
def test_market_header_that_occurs_twice_is_refused(header: str) -> None:
    with pytest.raises(UnreadableFile, match=header) as refused:
        opened(f"state,{header}, {header}\nTexas,1,2\n")
    assert refused.value.problem.code == "repeated_header"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b" \n\n", "empty_file"),
        (b"\xef\xbb\xbf", "empty_file"),
        (b"state,bed\n", "header_without_rows"),
        (b"state,bed\n,\n", "header_without_rows"),
        (b"state,bed\nTexas,3\nOh\0io,2\n", "nul_in_text"),
        (b"state,bed\nTexas,\x81\n", "unknown_encoding"),
        (b"\xff\xfes\0t\0a", "unknown_encoding"),
        (b'state,bed\nTexas,"3\nOhio,2\n', "unclosed_quote"),
        (b'state,bed\n"Texas,3\n' + b"Ohio,2\n" * 100_000, "unclosed_quote"),
    ],
)
def test_refused_with_one_code(content: bytes, code: str) -> None:
    with pytest.raises(UnreadableFile) as refused:
        cells(opened(content))
    assert refused.value.problem.code == code


def test_line_of_a_nul_character_and_of_an_open_quote() -> None:
    with pytest.raises(UnreadableFile, match="line 3 "):
        opened("state,bed\r\nTexas,3\r\nOh\0io,2\r\n")
    with pytest.raises(UnreadableFile, match="line 3 "):
        cells(opened('state,bed\nTexas,3\nOhio,"2\nOhio,3\n'))


PRINTABLE = st.text(st.characters(codec="cp1252", exclude_categories=("C", "Zl", "Zp")), max_size=9)
CELL = PRINTABLE | st.sampled_from(["", '"', ",", ";", "two\nlines", "é", "1,5", " a", "a "])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    extra=st.lists(st.text("abxyz", min_size=1, max_size=5), max_size=3, unique=True),
    data=st.data(),
    delimiter=st.sampled_from(DELIMITERS),
    line_ending=st.sampled_from(LINE_ENDINGS),
    encoding=st.sampled_from(ENCODINGS),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    titles=st.lists(st.sampled_from(["Homes", "by city, and more", "", "x y"]), max_size=4),
)
def test_any_table_that_csv_writes_is_read_back(
    extra: list[str], data: st.DataObject, delimiter: str, line_ending: str, encoding: str,
    quoting: int, titles: list[str],
) -> None:  # fmt: skip
    header = data.draw(st.permutations(["state", "zip_code", *extra]))
    row = st.lists(CELL, min_size=len(header), max_size=len(header))
    rows = data.draw(st.lists(row.filter(lambda row: any(map(str.strip, row))), min_size=1))
    above = [[title] for title in titles]
    text = written([*above, header, *rows], delimiter=delimiter, line_ending=line_ending,
                   quoting=quoting)  # fmt: skip
    content = text.encode(encoding)
    if encoding == "cp1252":
        # Bytes that happen to be UTF-8 are read as that.
        assume(text.isascii() or not is_utf8(content))

    table = opened(content)

    assert table.names == tuple(header)
    assert cells(table) == rows
    assert marks(table) == [None] * len(rows)


def is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
