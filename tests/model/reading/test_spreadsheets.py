"""Workbooks: the sheet with homes, its cells as texts, and what is said about it."""

import datetime as dt

import pytest

from realtor_model.listing import US_LISTINGS
from realtor_model.reading import TableFile, UnreadableFile, files, open_file
from tests.model.reading.test_text_files import cells, codes, marks
from tests.model.reading.workbooks import XLS, Dated, Failed, Formula, Rows, xlsx

HEADER = ["state", "zip_code", "bed", "prev_sold_date"]
HOMES: Rows = [HEADER, ["Texas", "00601", 3, Dated(43644)], ["Ohio", 43215, 2.5, "2020-01-02"]]
READ = [["Texas", "00601", "3", "2019-06-28"], ["Ohio", "43215", "2.5", "2020-01-02"]]
DAYS_1904 = (dt.date(1904, 1, 1) - dt.date(1899, 12, 30)).days


def opened(content: bytes, sheet: str | None = None) -> TableFile:
    return open_file(content, US_LISTINGS, sheet=sheet)


def test_cells_are_the_texts_that_a_csv_would_have() -> None:
    row = ["Texas", 77008, 43644, 0.1, True, False, Dated(43644), Dated(43644.25), 1e20, None]
    table = opened(xlsx({"h": [["state", "zip_code", *"abcdefgh"], row]}))
    assert cells(table) == [
        ["Texas", "77008", "43644", "0.1", "true", "false", "2019-06-28", "2019-06-28T06:00:00",
         "1e+20", ""]
    ]  # fmt: skip
    assert marks(table) == [None]


def test_dates_of_both_calendars() -> None:
    table = opened(xlsx({"h": [HEADER, ["Texas", 1, 3, Dated(43644 - DAYS_1904)]]}, date_1904=True))
    assert cells(table)[0][3] == "2019-06-28"
    assert table.date_1904
    assert not opened(xlsx({"h": HOMES})).date_1904


def test_excel_97() -> None:
    table = opened(XLS)
    assert table.names == ("state", "zip_code", "prev_sold_date", "bed")
    assert cells(table) == [["Texas", "77008", "2019-06-28", "3"]]
    assert codes(table) == {"title_lines"}


def test_sheet_with_homes_is_chosen_and_the_others_are_offered() -> None:
    content = xlsx(
        {"Notes": [["bed rooms"], ["as of May"]], "Empty": [], "Homes": HOMES, "Copy": HOMES},
    )
    table = opened(content)
    assert (table.sheet, table.sheets) == ("Homes", ("Notes", "Empty", "Homes", "Copy"))
    assert cells(table) == READ
    assert "sheet_chosen" in codes(table)
    assert opened(content, "Notes").names == ("bed rooms",)
    with pytest.raises(UnreadableFile) as refused:
        opened(content, "nowhere")
    assert refused.value.problem.code == "no_such_sheet"


def test_hidden_sheet_is_chosen_only_for_its_headers() -> None:
    sheets = {"old": HOMES, "new": HOMES}
    assert opened(xlsx(sheets, hidden=frozenset({"old"}))).sheet == "new"
    sheets = {"old": HOMES, "new": [["a", "b"], ["1", "2"]]}
    assert opened(xlsx(sheets, hidden=frozenset({"old"}))).sheet == "old"


def test_titles_and_blank_rows() -> None:
    table = opened(xlsx({"h": [[], ["Homes for valuation"], [], HEADER, [], HOMES[1], [" "],
                               HOMES[2]]}))  # fmt: skip
    assert cells(table) == READ
    assert table.first_line == 5
    counted = {note.code: dict(note.params) for note in table.notes}
    assert counted == {"title_lines": {"lines": 1, "header_line": 4}, "blank_rows": {"rows": 2}}


def test_errors_and_formulas_without_a_value_are_missing_and_counted() -> None:
    rows: Rows = [
        HEADER,
        ["Texas", Formula("A1&B1", "77008"), Failed("#N/A"), Failed("#REF!")],
        ["Ohio", Formula("1+1"), Formula("SUM(A1<5)"), None],
    ]
    table = opened(xlsx({"other": [["x"], [Failed("#N/A")]], "h": rows}))
    assert cells(table) == [["Texas", "77008", "", ""], ["Ohio", "", "", ""]]
    counts = {note.code: note.params.get("count") for note in table.notes}
    assert counts["error_cells"] == 2
    assert counts["formulas_without_value"] == 2


def test_empty_columns_are_left_out_and_others_named() -> None:
    table = opened(xlsx({"h": [["state", None, "bed", None], ["Texas", None, 3, "new"]]}))
    assert table.names == ("state", "bed", "column 4")
    assert cells(table) == [["Texas", "3", "new"]]


def test_market_header_twice_is_refused() -> None:
    with pytest.raises(UnreadableFile, match="bed"):
        opened(xlsx({"h": [["state", "bed", "bed"], ["Texas", 3, 3]]}))


@pytest.mark.parametrize("rows", [[], [HEADER], [HEADER, [" "]]])
def test_workbook_without_rows(rows: Rows) -> None:
    with pytest.raises(UnreadableFile) as refused:
        opened(xlsx({"h": rows}))
    assert refused.value.problem.code == "no_table_in_workbook"


def test_workbook_that_unpacks_to_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    content = xlsx({"h": [HEADER, *[["Texas", "x" * 99, 3, None]] * 1_000]})
    monkeypatch.setattr(files, "MAX_UNPACKED", len(content) + 1_000)
    with pytest.raises(UnreadableFile) as refused:
        opened(content)
    assert refused.value.problem.code == "file_too_large"


def test_sheet_with_a_stray_cell_is_not_handed_to_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "MAX_CELLS", 400)
    assert cells(opened(xlsx({"h": HOMES}))) == READ
    far: Rows = [*HOMES, *[[]] * 100, [None, None, None, "stray"]]
    with pytest.raises(UnreadableFile) as refused:
        opened(xlsx({"h": HOMES, "other": far}))
    assert refused.value.problem.code == "sheet_too_large"
