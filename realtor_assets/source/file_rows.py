"""The rows of a user's file, which is opened by the same reader as at every other door."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from realtor_assets.source.payload_errors import PayloadUnreadable
from realtor_model.listing import Column, ListingContract, TableReading
from realtor_model.listing.parsing import shown
from realtor_model.reading import ROW_CELLS, TableFile, UnreadableFile, decoded, open_file
from realtor_model.reading.arrow_types import is_plain, type_names
from realtor_model.reading.home_tables import understand_batches
from realtor_model.reading.received_batch import SchemaChanged, required_columns

PIECE_ROWS = 50_000
HEADERS_SHOWN = 40
_BLOCK = 2**20


class FileRows(NamedTuple):
    """Consecutive rows of a file; `unused`, `misfits`, `width` and `reading` as in `Piece`."""

    rows: pd.DataFrame
    unused: Mapping[str, int]
    misfits: Mapping[int, int]
    width: int
    reading: TableReading


def file_rows(document: IO[bytes], contract: ListingContract) -> Iterator[FileRows]:
    """The rows of a file, in order, in pieces of at most `PIECE_ROWS`.

    The file is unpacked to a temporary one: its encoding and layout are known only after a first
    pass over it.

    Raises:
        PayloadUnreadable: it is no table that can be read, or lacks the price, a place or a size.
    """
    with TemporaryDirectory(prefix="realtor-") as folder:
        path = Path(folder) / "file"
        with path.open("wb") as file:
            shutil.copyfileobj(document, file, _BLOCK)
        try:
            table = open_file(path, contract)
            used = list(columns_to_learn_from(table, contract))
            reading = understand_batches(
                table.names, table.batches(), contract, calendar_1904=table.date_1904
            )
            used += sorted(reading.matching.unit_headers)
            for batch in table.batches():
                for start in range(0, batch.num_rows, PIECE_ROWS):
                    yield _piece(batch.slice(start, PIECE_ROWS), table.names, used, reading)
        except UnreadableFile as problem:
            raise PayloadUnreadable(str(problem)) from problem


def columns_to_learn_from(table: TableFile, contract: ListingContract) -> dict[str, Column]:
    """Header -> column of the market, in the order of the file.

    Raises:
        UnreadableFile: the file lacks the price, a place or a size.
    """
    try:
        columns = required_columns(table.names, contract)
    except SchemaChanged as problem:
        raise UnreadableFile(
            "columns_missing",
            columns=problem.missing,
            headers=[shown(name) for name in table.names[:HEADERS_SHOWN]],
        ) from problem
    return {name: columns[name] for name in table.names if name in columns}


def _piece(
    batch: pa.RecordBatch, names: tuple[str, ...], used: list[str], reading: TableReading
) -> FileRows:
    rows = pd.DataFrame({name: _series(plain(batch.column(name))) for name in used})
    unused = {name: _filled(batch.column(name)) for name in names if name not in used}
    cells = batch.column(ROW_CELLS).to_pylist() if ROW_CELLS in batch.schema.names else []
    misfits = {at: number for at, number in enumerate(cells) if number is not None}
    return FileRows(rows, unused, misfits, len(names), reading)


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as text, numbers or booleans, the values that the listing contract reads."""
    column = decoded(column)
    if pa.types.is_interval(column.type):
        return column
    if pa.types.is_temporal(column.type) or pa.types.is_decimal(column.type):
        return column.cast(pa.string())
    return column


def _series(column: pa.Array) -> "pd.Series[Any]":
    """A column for the listing contract, which refuses values of other types as lists."""
    values = column.to_pandas() if is_plain(column.type) else type_names(column)
    return pd.Series(values, dtype=None if is_plain(column.type) else object)


def _filled(column: pa.Array) -> int:
    """In how many rows a column has a value."""
    if pa.types.is_string(column.type):
        return int(pc.sum(pc.not_equal(pc.utf8_trim_whitespace(column), "")).as_py() or 0)
    return int(len(column) - column.null_count)
