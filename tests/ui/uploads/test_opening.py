"""A user's file is opened whole, within limits, and its rows have the numbers of the file."""

import numpy as np
import pandas as pd
import pytest

from realtor_model.listing import US_LISTINGS, home_model
from realtor_model.reading import UnreadableFile
from realtor_ui.uploads import opening
from realtor_ui.uploads.opening import TooManyRows, example_file, line_numbers
from tests.model.reading.workbooks import xlsx
from tests.ui.markets import EVERY_KIND, KING_COUNTY, model_info
from tests.ui.uploads.shapes import TRAILING_COMMAS, opened, parquet, understood

HOMES = "state,zip_code,bed\nTexas,77002,3\nConnecticut,06114,2\n"


def codes(file: opening.OpenedFile) -> set[str]:
    return {note.code for note in file.notes}


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (HOMES.encode(), set()),
        (HOMES.encode("utf-16"), {"text_encoding"}),
        (HOMES.replace(",", ";").encode("utf-8-sig"), {"separated_by"}),
        (HOMES.replace(",", "\t").encode(), {"separated_by_tabs"}),
        (f"Homes for valuation,,\n,,\n{HOMES}".encode(), {"title_lines"}),
        (HOMES.replace("Texas", "Señora").encode("cp1252"), {"text_encoding"}),
    ],
)
def test_layout_of_a_text_file_is_detected_and_said(content: bytes, notes: set[str]) -> None:
    file = opened(content)
    assert file.table.column("zip_code").to_pylist() == ["77002", "06114"]
    assert codes(file) == notes


def test_rows_that_end_in_a_comma_are_not_shifted() -> None:
    file = opened(TRAILING_COMMAS)
    assert file.table.column_names == ["state", "city", "zip_code", "bed", "bath", "house_size"]
    assert file.table.column("state").to_pylist() == ["Texas", "Connecticut"]


@pytest.mark.parametrize("index", [[0, 1] * 12, list("ab") * 12])
def test_index_of_a_parquet_file_is_not_joined_on(index: list[object]) -> None:
    frame = pd.DataFrame({"zip_code": ["77002", "06114"] * 12}, index=index)
    file = opened(parquet(frame))
    assert len(file) == 24
    assert file.table.column_names == ["zip_code"]
    assert file.table.column("zip_code").to_pylist() == frame["zip_code"].tolist()


def test_every_sheet_is_offered_and_another_one_can_be_read() -> None:
    book = xlsx(
        {
            "Notes": [["made in November"]],
            "Homes": [["state", "zip_code", "bed"], ["Texas", 77002, 3]],
            "More": [["zip_code", "bed"], ["06114", 2], ["06830", 4]],
        }
    )
    file = opened(book)
    assert (file.sheets, file.sheet, len(file)) == (("Notes", "Homes", "More"), "Homes", 1)
    other = opened(book, sheet="More")
    assert (other.sheet, len(other)) == ("More", 2)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"%PDF-1.7 \xff\xfe", "not_a_table"),
        (b"PAR1nonsense", "damaged_file"),
        (b"<!doctype html><html></html>", "web_page"),
        (b"state,bed,bed\nTexas,3,3\n", "repeated_header"),
    ],
)
def test_file_that_is_no_table_is_refused_with_the_reason(content: bytes, code: str) -> None:
    with pytest.raises(UnreadableFile) as refused:
        opened(content)
    assert refused.value.problem.code == code


def test_file_beyond_a_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooManyRows):
        opened(HOMES.encode(), most_rows=1)
    monkeypatch.setattr(opening, "MAX_UNPACKED", 20)
    with pytest.raises(UnreadableFile, match="MB"):
        opened(HOMES.encode())
    monkeypatch.setattr(opening, "MAX_BYTES", 20)
    with pytest.raises(UnreadableFile, match="MB"):
        opened(HOMES.encode())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_rows_have_the_lines_of_the_file(encoding: str) -> None:
    text = f"Señas\n\n{HOMES.replace('\n', '\r\n')}\r\n , ,\r\nOhio,43215,2"
    content = text.encode(encoding)
    file = opened(content)
    lines = line_numbers(content, file)
    assert lines is not None
    by_line = dict(enumerate(text.replace("\r\n", "\n").split("\n"), 1))
    for line, zip_code in zip(lines, file.table.column("zip_code").to_pylist(), strict=True):
        assert zip_code in by_line[int(line)]


def test_lines_are_unknown_where_rows_have_several() -> None:
    content = b'zip_code,bed,note\n77002,3,"two\nlines"\n06114,2,\n'
    assert line_numbers(content, opened(content)) is None
    assert line_numbers(b"", opened(parquet(pd.DataFrame({"bed": [1, 2]})))) is not None


def test_rows_of_a_sheet_have_its_numbers_unless_blank_rows_are_left_out() -> None:
    rows: list[list[str | float | bool | None]] = [["a title"], ["state", "bed"], ["Texas", 3]]
    whole = xlsx({"Homes": [*rows, ["Ohio", 2]]})
    lines = line_numbers(whole, opened(whole))
    assert lines is not None
    np.testing.assert_array_equal(lines, [3, 4])
    gap = xlsx({"Homes": [*rows, [], ["Ohio", 2]]})
    assert line_numbers(gap, opened(gap)) is None


def test_example_file_holds_a_home_that_can_be_valued() -> None:
    for contract in (US_LISTINGS, EVERY_KIND, KING_COUNTY):
        info = model_info(contract)
        read = understood(example_file(info).encode(), contract=contract)
        assert read.valid.tolist() == [0]
        assert not read.reading.matching.unused
        assert all(read.sureness(name) == "name" for name in read.inputs)
        home_model(contract)(**contract.example_home)
