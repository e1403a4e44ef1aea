"""Text files of homes (.csv, .tsv, .txt): layout, header and rows.

Arrow reads the rows. What it cannot read (rows of several widths, quotes after blanks) is read by
Python's `csv`, from the row on where Arrow stopped. Both read in blocks, whatever the file's size.
"""

import codecs
import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from realtor_model.listing import ListingContract
from realtor_model.messages import CodedMessage, message
from realtor_model.reading.encodings import UTF8, TextScan, opened, scan
from realtor_model.reading.table_file import (
    TableFile,
    UnreadableFile,
    clean_header,
    header_row,
    header_score,
    text_schema,
    unique_names,
)

DELIMITERS = (",", ";", "\t", "|")
BLOCK_BYTES = 8 * 1024 * 1024
# The layout is decided by the beginning of a file.
SAMPLE_BYTES = 256 * 1024
# The header is one of these rows.
HEADER_ROWS = 30
# Rows of a batch that Python's `csv` reads.
BATCH_ROWS = 16_384
# No text holds a NUL character, so this row ends a file whose quotes are closed.
_END = "\0"


@dataclass(frozen=True)
class TextLayout:
    """How the rows of a text file are written.

    Attributes:
        encoding: Python's name of it.
        delimiter: between the cells.
        spaced: whether blanks after the delimiter are ignored.
        lines: up to the header and with it.
        kept: places of the cells that are columns.
        spare: places of cells without a header; they are empty, or the row does not fit.
        width: cells of every row that Arrow reads; None if Arrow cannot read the file.
    """

    encoding: str
    delimiter: str
    spaced: bool
    lines: int
    kept: tuple[int, ...]
    spare: tuple[int, ...]
    width: int | None


def open_text(source: Path | bytes, contract: ListingContract) -> TableFile:
    """Open a text file as a table of strings.

    Args:
        source: the file, or its bytes.
        contract: of the market, whose headers show where the table begins.

    Raises:
        UnreadableFile: the file is empty or not text, has no rows, or names a column of the market
            twice.
    """
    scanned = scan(source)
    layout, headers, notes = _layout(source, scanned, contract)
    names, about_names = unique_names(headers, contract, layout.kept)
    counts: Counter[str] = Counter()
    return TableFile(
        names,
        text_schema(names),
        partial(_batches, source, layout, text_schema(names), counts),
        (*notes, *about_names),
        first_line=layout.lines + 1,
        row_counts=counts,
    )


def _layout(
    source: Path | bytes, scanned: TextScan, contract: ListingContract
) -> tuple[TextLayout, list[str], list[CodedMessage]]:
    """The layout of a file, the headers of the kept columns, and notes."""
    text, whole = _sample(source, scanned.encoding)
    if not text.strip():
        raise UnreadableFile("empty_file")
    delimiter = _delimiter(text, contract)
    rows = list(_numbered(text, delimiter, False, HEADER_ROWS))
    place = header_row([[clean_header(cell) for cell in row] for _, row in rows], contract)
    lines, given = rows[place]
    spaced = any(given[1:]) and all(cell[:1] in ("", " ") for cell in given[1:])
    below = list(_numbered(text, delimiter, spaced))
    headers = [clean_header(cell) for line, row in below if line == lines for cell in row]
    body = [row for line, row in below if line > lines and _has_text(row)]
    if not whole and len(body) > 1:
        body.pop()
    if not body:
        raise UnreadableFile("header_without_rows", line=lines)
    used = {i for row in body for i, cell in enumerate(row) if cell.strip()}
    kept = tuple(i for i, header in enumerate(headers) if header or i in used)
    if not kept:
        raise UnreadableFile("header_without_rows", line=lines)
    widths = {len(row) for row in body}
    total = max(len(headers), *widths)
    regular = len(widths) == 1 and scanned.quotes % 2 == 0 and not (spaced and scanned.quotes)
    width = max(widths) if regular and max(widths) > kept[-1] else None
    spare = tuple(i for i in range(total) if i not in kept)
    layout = TextLayout(scanned.encoding, delimiter, spaced, lines, kept, spare, width)
    titles = sum(_has_text(row) for _, row in rows[:place])
    notes = _layout_notes(layout, titles, len(headers))
    if total > len(headers) > max(used):
        notes.append(message("empty_cells_beyond_header"))
    return layout, [headers[i] for i in kept], notes


def _layout_notes(layout: TextLayout, titles: int, headers: int) -> list[CodedMessage]:
    notes = []
    if layout.encoding not in UTF8:
        notes.append(message("text_encoding", encoding=layout.encoding))
    if layout.delimiter == "\t":
        notes.append(message("separated_by_tabs"))
    elif layout.delimiter != ",":
        notes.append(message("separated_by", delimiter=layout.delimiter))
    if layout.spaced:
        notes.append(message("blanks_after_delimiter"))
    if titles:
        notes.append(message("title_lines", lines=titles, header_line=layout.lines))
    if unnamed := sum(place < headers for place in layout.spare):
        notes.append(message("empty_columns_left_out", count=unnamed))
    return notes


def _sample(source: Path | bytes, encoding: str) -> tuple[str, bool]:
    """The beginning of a text, and whether it is all of it."""
    with opened(source) as file:
        head = file.read(SAMPLE_BYTES)
        whole = not file.read(1)
    return codecs.getincrementaldecoder(encoding)().decode(head, final=whole), whole


def _delimiter(text: str, contract: ListingContract) -> str:
    """The delimiter by which the first rows name most columns of the market.

    Where several do, e.g. because no header is known, it is the one that gives most rows the
    number of cells of the header.
    """

    def score(delimiter: str) -> tuple[int, int]:
        rows = [
            [clean_header(cell) for cell in row]
            for _, row in _numbered(text, delimiter, False, HEADER_ROWS)
        ]
        header = rows[header_row(rows, contract)]
        agreeing = sum(len(row) == len(header) for row in rows) if len(header) > 1 else 0
        return header_score(header, contract), agreeing

    return max(DELIMITERS, key=score)


def _numbered(
    text: str, delimiter: str, spaced: bool, limit: int | None = None
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a text with the number of their last lines; blank lines are empty rows."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=spaced)
    try:
        for row in itertools.islice(rows, limit):
            yield rows.line_num, row
    except csv.Error:
        # A cell longer than `csv` reads: the quote that began it is not closed.
        raise UnreadableFile("unclosed_quote", line=rows.line_num) from None


def _has_text(row: Sequence[str]) -> bool:
    return any(cell.strip() for cell in row)


def _batches(
    source: Path | bytes, layout: TextLayout, schema: pa.Schema, counts: Counter[str]
) -> Iterator[pa.RecordBatch]:
    counts.clear()
    done = 0
    if layout.width is not None:
        try:
            for block in _arrow_blocks(source, layout):
                done += block.num_rows
                yield _checked(block, layout, schema, counts)
        except pa.ArrowInvalid:
            # A row of another width. Python reads on after the rows that have been yielded.
            pass
        else:
            return
    rows = itertools.islice(_csv_rows(source, layout), done, None)
    while part := list(itertools.islice(rows, BATCH_ROWS)):
        yield _fitted(part, layout, schema, counts)


def _arrow_blocks(source: Path | bytes, layout: TextLayout) -> Iterator[pa.RecordBatch]:
    """The rows that Arrow reads; a column of strings for each cell."""
    assert layout.width is not None
    names = [str(place) for place in range(layout.width)]
    read = pa.csv.ReadOptions(
        block_size=BLOCK_BYTES,
        skip_rows=layout.lines,
        column_names=names,
        encoding="utf8" if layout.encoding in UTF8 else layout.encoding,
    )
    parse = pa.csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True)
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    stream = pa.OSFile(str(source)) if isinstance(source, Path) else pa.BufferReader(source)
    with stream, pa.csv.open_csv(stream, read, parse, convert) as reader:
        yield from reader


def _checked(
    block: pa.RecordBatch, layout: TextLayout, schema: pa.Schema, counts: Counter[str]
) -> pa.RecordBatch:
    """The kept columns of rows that Arrow read, without blank rows."""
    cells = pa.nulls(block.num_rows, pa.int32())
    for place in layout.spare:
        if place < block.num_columns:
            filled = pc.invert(_blank(block.column(place)))
            cells = pc.if_else(filled, pa.scalar(place + 1, pa.int32()), cells)
    columns = [block.column(place) for place in layout.kept]
    if layout.spaced:
        columns = [pc.utf8_ltrim(column, " ") for column in columns]
    batch = pa.RecordBatch.from_arrays([*columns, cells], schema=schema)
    blank = _blank_rows(columns, cells)
    if blank is not None:
        counts["blank_rows"] += pc.sum(blank).as_py()
        batch = batch.filter(pc.invert(blank))
    _count(counts, "rows_of_other_width", batch.num_rows - batch.column(-1).null_count)
    return batch


def _blank(column: pa.Array) -> pa.Array:
    return pc.or_(pc.equal(pc.binary_length(column), 0), pc.utf8_is_space(column))


def _blank_rows(columns: Sequence[pa.Array], cells: pa.Array) -> pa.Array | None:
    """A mask of the rows without a filled cell; None if there are none."""
    blank = pc.is_null(cells)
    for column in columns:
        blank = pc.and_(blank, _blank(column))
        if not pc.any(blank).as_py():
            return None
    return blank


def _count(counts: Counter[str], code: str, rows: int) -> None:
    if rows:
        counts[code] += rows


def _csv_rows(source: Path | bytes, layout: TextLayout) -> Iterator[list[str]]:
    """The rows below the header, without empty lines.

    Raises:
        UnreadableFile: the file ends within quotes.
    """
    with io.TextIOWrapper(opened(source), layout.encoding, newline="") as text:
        below = itertools.islice(text, layout.lines, None)
        reader = csv.reader(
            itertools.chain(below, [_END]),
            delimiter=layout.delimiter,
            skipinitialspace=layout.spaced,
        )
        begun = 0
        try:
            for row in reader:
                if row == [_END]:
                    return
                if row and row[-1].endswith(_END):
                    break
                begun = reader.line_num
                if row:
                    yield row
        except csv.Error:
            pass
        raise UnreadableFile("unclosed_quote", line=layout.lines + begun + 1)


def _fitted(
    rows: Sequence[list[str]], layout: TextLayout, schema: pa.Schema, counts: Counter[str]
) -> pa.RecordBatch:
    """The kept columns of rows of any width, without blank rows; cut rows get empty cells."""
    filled = [row for row in rows if _has_text(row)]
    _count(counts, "blank_rows", len(rows) - len(filled))
    kept, last = set(layout.kept), layout.kept[-1]
    cells: list[int | None] = []
    for row in filled:
        beyond = [i for i, cell in enumerate(row) if i not in kept and cell.strip()]
        cut = len(row) <= last
        cells.append(beyond[-1] + 1 if beyond else len(row) if cut else None)
    columns = [[row[i] if i < len(row) else "" for row in filled] for i in layout.kept]
    _count(counts, "rows_of_other_width", sum(number is not None for number in cells))
    arrays = [pa.array(column, pa.string()) for column in columns]
    return pa.RecordBatch.from_arrays([*arrays, pa.array(cells, pa.int32())], schema=schema)
