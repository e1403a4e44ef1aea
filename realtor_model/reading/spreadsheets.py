"""Workbooks (.xlsx, .xlsm, .xls, .xlsb, .ods): the sheet with homes as a table of strings."""

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from realtor_model.listing import ListingContract
from realtor_model.messages import CodedMessage, message
from realtor_model.reading.encodings import opened
from realtor_model.reading.old_workbooks import ReadSheet, read_sheets
from realtor_model.reading.sheet_xml import SheetXml, is_xlsx, read_sheet_xml
from realtor_model.reading.table_file import (
    TableFile,
    UnreadableFile,
    clean_header,
    header_row,
    header_score,
    text_schema,
    unique_names,
)

# The header is one of these rows.
HEADER_ROWS = 30
BATCH_ROWS = 16_384
# Larger numbers are not whole by intention: a float does not distinguish its neighbours.
_MAX_WHOLE = 1e15


class _XlsxSheet(NamedTuple):
    """A sheet in memory, whose cells become Python's objects one row at a time."""

    name: str
    visible: bool
    cells: CalamineSheet

    @property
    def rows(self) -> Iterator[Sequence[object]]:
        return self.cells.iter_rows()


_Sheet = _XlsxSheet | ReadSheet


class _Candidate(NamedTuple):
    """A sheet with rows below a header.

    Attributes:
        header: place of the header's row in the sheet.
        score: columns of the market that it names.
    """

    sheet: _Sheet
    header: int
    score: int


def open_workbook(
    source: Path | bytes, contract: ListingContract, *, sheet: str | None = None
) -> TableFile:
    """Open a sheet of a workbook as a table of strings.

    Whole numbers have no decimals, dates are ISO 8601, booleans "true" and "false". Blank rows are
    left out.

    Args:
        source: the file, or its bytes.
        contract: of the market; the sheet that names most of its columns is read.
        sheet: the sheet to read instead.

    Raises:
        UnreadableFile: the workbook is damaged, protected or too large, no sheet has a header and
            rows, `sheet` is not one of its sheets, or the header names a column of the market
            twice.
    """
    all_sheets: Sequence[_Sheet] = _sheets(source) if is_xlsx(source) else read_sheets(source)
    sheets = [each.name for each in sorted(all_sheets, key=lambda each: not each.visible)]
    if sheet is not None and sheet not in sheets:
        raise UnreadableFile("no_such_sheet", sheet=sheet, sheets=sheets)
    asked = [each for each in all_sheets if sheet in (None, each.name)]
    chosen = _chosen(sorted(asked, key=lambda each: not each.visible), contract)
    return _table(chosen, sheets, read_sheet_xml(source, chosen.sheet.name), contract)


def _sheets(source: Path | bytes) -> list[_XlsxSheet]:
    try:
        workbook = CalamineWorkbook.from_filelike(opened(source))
        return [
            _XlsxSheet(
                each.name,
                each.visible is SheetVisibleEnum.Visible,
                workbook.get_sheet_by_name(each.name),
            )
            for each in workbook.sheets_metadata
            if each.typ is SheetTypeEnum.WorkSheet
        ]
    except PasswordError:
        raise UnreadableFile("protected_workbook") from None
    except CalamineError as problem:
        raise UnreadableFile("damaged_file", format="Excel", problem=str(problem)) from problem


def _chosen(sheets: Sequence[_Sheet], contract: ListingContract) -> _Candidate:
    """The first of the sheets whose header names most columns of the market."""
    best: _Candidate | None = None
    for sheet in sheets:
        head = [
            [clean_header(_text(cell)) for cell in row]
            for row in itertools.islice(_from_first_text(sheet), HEADER_ROWS)
        ]
        if not head:
            continue
        place = header_row(head, contract)
        candidate = _Candidate(sheet, _leading(sheet) + place, header_score(head[place], contract))
        if any(map(_has_cells, _rows(candidate))) and (
            best is None or candidate.score > best.score
        ):
            best = candidate
    if best is None:
        raise UnreadableFile("no_table_in_workbook")
    return best


def _leading(sheet: _Sheet) -> int:
    """The number of blank rows above the first one with a cell."""
    return sum(1 for _ in itertools.takewhile(lambda row: not _has_cells(row), sheet.rows))


def _from_first_text(sheet: _Sheet) -> Iterator[Sequence[object]]:
    return itertools.dropwhile(lambda row: not _has_cells(row), sheet.rows)


def _has_cells(row: Sequence[object]) -> bool:
    return any(cell != "" and not (isinstance(cell, str) and not cell.strip()) for cell in row)


def _table(
    chosen: _Candidate, sheets: Sequence[str], known: SheetXml, contract: ListingContract
) -> TableFile:
    headers = next(itertools.islice(chosen.sheet.rows, chosen.header, None))
    used = {i for row in _rows(chosen) for i, cell in enumerate(row) if cell != ""}
    cleaned = [clean_header(_text(header)) for header in headers]
    kept = [i for i, header in enumerate(cleaned) if header or i in used]
    names, about_names = unique_names([cleaned[i] for i in kept], contract, kept)
    schema = text_schema(names)
    counts: Counter[str] = Counter()
    return TableFile(
        names,
        schema,
        partial(_batches, chosen, kept, schema, counts),
        (*_notes(chosen, sheets, known), *about_names),
        first_line=chosen.header + 2,
        sheets=tuple(sheets),
        sheet=chosen.sheet.name,
        date_1904=known.date_1904,
        row_counts=counts,
    )


def _notes(chosen: _Candidate, sheets: Sequence[str], known: SheetXml) -> Iterator[CodedMessage]:
    others = [name for name in sheets if name != chosen.sheet.name]
    if others:
        yield message("sheet_chosen", sheet=chosen.sheet.name, other_sheets=others)
    above = itertools.islice(chosen.sheet.rows, chosen.header)
    if titles := sum(map(_has_cells, above)):
        yield message("title_lines", lines=titles, header_line=chosen.header + 1)
    if known.errors:
        yield message("error_cells", count=known.errors)
    if known.formulas_without_value:
        yield message("formulas_without_value", count=known.formulas_without_value)


def _rows(chosen: _Candidate) -> Iterator[Sequence[object]]:
    return itertools.islice(chosen.sheet.rows, chosen.header + 1, None)


def _batches(
    chosen: _Candidate, kept: Sequence[int], schema: pa.Schema, counts: Counter[str]
) -> Iterator[pa.RecordBatch]:
    counts.clear()
    rows = _rows(chosen)
    while part := list(itertools.islice(rows, BATCH_ROWS)):
        filled = [row for row in part if _has_cells(row)]
        if blank := len(part) - len(filled):
            counts["blank_rows"] += blank
        columns = [pa.array([_text(row[i]) for row in filled], pa.string()) for i in kept]
        fits = pa.nulls(len(filled), pa.int32())
        yield pa.RecordBatch.from_arrays([*columns, fits], schema=schema)


def _text(cell: object) -> str:
    """A cell as a text file would write it.

    >>> [_text(cell) for cell in (77008.0, 2.5, True, dt.date(2019, 6, 28), "00601", "")]
    ['77008', '2.5', 'true', '2019-06-28', '00601', '']
    """
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < _MAX_WHOLE else repr(cell)
    if isinstance(cell, dt.date | dt.time):
        return cell.isoformat()
    return str(cell)
