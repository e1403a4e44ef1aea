"""A user's file, opened within limits: all of its rows in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from realtor_model.listing import ListingContract
from realtor_model.messages import CodedMessage
from realtor_model.reading import ROW_CELLS, TableFile, UnreadableFile, open_file
from realtor_ui.responses import ModelInfo

MAX_BYTES = 200 * 1024**2
MAX_UNPACKED = 1024**3
SUFFIXES = (
    "csv", "tsv", "txt", "xlsx", "xlsm", "xlsb", "xls", "ods", "parquet", "arrow", "feather",
)  # fmt: skip
_ROWS_IN_BATCH = 10_000
# What stands in a text line whose cells are all blank.
_BLANKS = b" \t,;|\"'"


class TooManyRows(Exception):
    """The file has more rows than the app values."""


@dataclass(frozen=True)
class OpenedFile:
    """The n rows of a file.

    Attributes:
        rows: as the reader of homes takes them, perhaps with the column `ROW_CELLS`.
        notes: what was detected in the file.
        sheets: of a workbook.
        sheet: the one that was read.
        first_line: line of row 0, or its number in the sheet.
        date_1904: whether dates that are numbers count from 1904.
        has_lines: whether the file is a text file.
        blank_rows: the number of blank rows, which are left out.
    """

    rows: pa.Table
    notes: tuple[CodedMessage, ...]
    sheets: tuple[str, ...]
    sheet: str | None
    first_line: int
    date_1904: bool
    has_lines: bool
    blank_rows: int

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @cached_property
    def table(self) -> pa.Table:
        """The rows with the columns of the file."""
        own = [name for name in self.rows.column_names if name != ROW_CELLS]
        return self.rows.select(own)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows that fit the header."""
        rows = self.table
        if ROW_CELLS in self.rows.column_names:
            rows = rows.filter(pc.is_null(self.rows.column(ROW_CELLS)))
        yield from rows.to_batches(max_chunksize=_ROWS_IN_BATCH)


def open_upload(
    content: bytes, contract: ListingContract, *, most_rows: int, sheet: str | None = None
) -> OpenedFile:
    """Open a file.

    Args:
        content: of the file.
        contract: of the market.
        most_rows: that the app values.
        sheet: of a workbook; None: the one with homes.

    Raises:
        UnreadableFile: the file is not a table, or too large.
        TooManyRows: it has more than `most_rows`.
    """
    if len(content) > MAX_BYTES:
        raise UnreadableFile("file_too_large", megabytes=MAX_BYTES // 1024**2)
    file = open_file(content, contract, sheet=sheet)
    return OpenedFile(
        rows=_gathered(file, most_rows),
        notes=file.notes,
        sheets=file.sheets,
        sheet=file.sheet,
        first_line=file.first_line,
        date_1904=file.date_1904,
        has_lines=ROW_CELLS in file.schema.names and file.sheet is None,
        blank_rows=file.row_counts["blank_rows"],
    )


def _gathered(file: TableFile, most_rows: int) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in file.batches():
        batches.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows > most_rows:
            raise TooManyRows
        if size > MAX_UNPACKED:
            raise UnreadableFile("file_too_large", megabytes=MAX_UNPACKED // 1024**2)
    return pa.Table.from_batches(batches, file.schema)


def line_numbers(content: bytes, opened: OpenedFile) -> NDArray[np.int64] | None:
    """The line of each row in a text file, or its number in a sheet, from 1.

    None if it is not known: a row may have several lines, and blank rows of a sheet are left out.

    Args:
        content: of the file.
        opened: the same file.
    """
    counted = opened.first_line + np.arange(len(opened), dtype=np.int64)
    if not opened.has_lines:
        return None if opened.blank_rows else counted
    below = _utf8(content, opened).splitlines()[opened.first_line - 1 :]
    filled = np.flatnonzero([bool(line.strip(_BLANKS)) for line in below])
    return opened.first_line + filled if len(filled) == len(opened) else None


def _utf8(content: bytes, opened: OpenedFile) -> bytes:
    """The text in an encoding whose line breaks are those of ASCII."""
    encodings = [note.params["encoding"] for note in opened.notes if note.code == "text_encoding"]
    wide = str(encodings[0]) if encodings and "16" in str(encodings[0]) else None
    return content.decode(wide).encode() if wide else content


def example_file(info: ModelInfo) -> str:
    """A CSV of one ordinary home, for a person to fill in."""
    home = {
        name: str(each.example).lower() if isinstance(each.example, bool) else each.example
        for name, each in info.inputs.items()
        if each.example is not None
    }
    return pd.DataFrame([home]).to_csv(index=False)
