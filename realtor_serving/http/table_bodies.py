"""Batches as tables: reads CSV, Parquet and Arrow bodies within limits and writes answers."""

import io
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from realtor_model.listing import TARGET, ListingContract, matched_columns
from realtor_model.messages import CodedMessage
from realtor_model.reading import ROW_CELLS, UnreadableFile, decoded
from realtor_model.reading.arrow_types import validated
from realtor_model.reading.home_tables import Homes, read_homes
from realtor_model.reading.text_files import open_text
from realtor_model.valuation.table_estimates import ESTIMATES, SEPARATOR
from realtor_serving.contract.problems import in_words
from realtor_serving.contract.schemas import MAX_BATCH
from realtor_serving.valuation.answers import ValuedBatch

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
TABLES = (CSV, PARQUET, ARROW)

# Limit of a table in memory: a small body can unpack to gigabytes.
MAX_TABLE_BYTES = 128 * 1024**2
# A body can declare a wrong size; the real one is known only after unpacking. Therefore Arrow's
# memory pool is limited in each worker. pyarrow reads these variables when it is imported.
ARROW_LIMIT = {
    "ARROW_DEFAULT_MEMORY_POOL": "mimalloc",
    "MIMALLOC_RESERVE_OS_MEMORY": "384MiB",
    "MIMALLOC_DISALLOW_OS_ALLOC": "1",
}
_ROWS_AT_A_TIME = 256


class UnreadableTable(Exception):
    """The body is not a table of homes, or is too large; the text says why."""


def media_type(header: str) -> str:
    """The media type of a Content-Type header, without its parameters."""
    return header.partition(";")[0].strip().lower()


def answer_type(accept: str, sent: str) -> str:
    """Media type of the answer: the first known one in the Accept header, else `sent`."""
    accepted = (media_type(part) for part in accept.split(","))
    return next((kind for kind in accepted if kind in (JSON, *TABLES)), sent)


class ReceivedTable(NamedTuple):
    """The table in a body, and notes on what was detected in it."""

    table: pa.Table
    notes: tuple[CodedMessage, ...]


def read_table(body: bytes, kind: str, contract: ListingContract) -> ReceivedTable:
    """The table in `body`. A CSV may be any text file: all its columns are text.

    Args:
        body: the request body.
        kind: its media type, one of `TABLES`.
        contract: of the market of the homes.

    Raises:
        UnreadableTable: the body cannot be read, has no rows, more than `MAX_BATCH` rows, no input
            as a column, two columns of one name, or needs too much memory.
    """
    notes: tuple[CodedMessage, ...] = ()
    try:
        if kind == CSV:
            file = open_text(body, contract)
            table, notes = _gathered(file.batches()), file.notes
        else:
            table = _gathered(_batches(body, kind))
    except pa.ArrowMemoryError as problem:
        raise _too_large() from problem
    except UnreadableFile as problem:
        raise UnreadableTable(str(problem)) from problem
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise UnreadableTable(f"the body is no {kind} that can be read: {problem}") from problem
    if not table.num_rows:
        raise UnreadableTable(f"the table has no rows; from 1 to {MAX_BATCH:,} can be valued")
    if not _inputs_in(table, contract):
        raise UnreadableTable(
            f"none of the table's columns is one of {', '.join(contract.by_name)}; it has "
            f"{', '.join(table.column_names)[:200]}"
        )
    return ReceivedTable(table, notes)


def _inputs_in(table: pa.Table, contract: ListingContract) -> list[str]:
    """The headers of the table that are inputs."""
    matched = matched_columns(table.column_names, contract)
    return [header for header, column in matched.items() if column.key != TARGET]


def homes_of(table: pa.Table, contract: ListingContract) -> Homes:
    """The homes in the rows of a table.

    Raises:
        UnreadableTable: a column cannot be decoded, or needs too much memory.
    """
    try:
        for header in _inputs_in(table, contract):
            plain = decoded(table.column(header))
            _bounded(0, plain.nbytes)
            position = table.column_names.index(header)
            table = table.set_column(position, header, plain)
        return read_homes(table, contract)
    except pa.ArrowMemoryError as problem:
        raise _too_large() from problem
    except pa.ArrowException as problem:
        raise UnreadableTable(f"a column cannot be read: {problem}") from problem


def answer_table(sent: pa.Table | None, batch: ValuedBatch) -> pa.Table:
    """The table of answers: the columns of `sent`, then those of `ESTIMATES`.

    Args:
        sent: the table of the request; None if it was JSON.
        batch: the valuations and errors of its rows.
    """
    estimates: dict[int, dict[str, Any]] = {
        row: {
            "error": SEPARATOR.join(map(in_words, row_problems)),
            "error_codes": SEPARATOR.join(problem.code for problem in row_problems),
        }
        for row, row_problems in batch.errors.items()
    }
    for row, value in zip(batch.positions, batch.valued.rows(), strict=True):
        estimates[row] = {
            "estimated_price": value["price"],
            "estimated_low": value["low"],
            "estimated_high": value["high"],
            "confidence": value["confidence"],
            "warnings": SEPARATOR.join(value["warnings"]) or None,
            "warning_codes": SEPARATOR.join(detail["code"] for detail in value["warning_details"])
            or None,
        }
    answers = pa.Table.from_pylist([estimates[row] for row in range(len(estimates))], ESTIMATES)
    if sent is None:
        return answers
    replaced = {*ESTIMATES.names, ROW_CELLS}
    own_columns = [name for name in sent.column_names if name not in replaced]
    columns = [*(sent.column(name) for name in own_columns), *answers.columns]
    return pa.table(columns, names=[*own_columns, *ESTIMATES.names])


def write_table(table: pa.Table, kind: str) -> bytes:
    """`table` as a body of the media type `kind`.

    Raises:
        UnreadableTable: this format cannot hold the table, or it needs too much memory.
    """
    sink = pa.BufferOutputStream()
    try:
        if kind == PARQUET:
            pa.parquet.write_table(table, sink)
        elif kind == ARROW:
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        else:
            pa.csv.write_csv(table, sink, pa.csv.WriteOptions(quoting_style="needed"))
    except pa.ArrowMemoryError as problem:
        raise _too_large() from problem
    except pa.ArrowException as problem:
        raise UnreadableTable(f"the answer cannot be {kind}: {problem}") from problem
    return bytes(sink.getvalue())


def _batches(body: bytes, kind: str) -> Iterator[pa.RecordBatch]:
    if kind == PARQUET:
        file = pa.parquet.ParquetFile(io.BytesIO(body))
        groups = (file.metadata.row_group(i) for i in range(file.num_row_groups))
        _bounded(file.metadata.num_rows, sum(group.total_byte_size for group in groups))
        yield from file.iter_batches(batch_size=_ROWS_AT_A_TIME)
    else:
        yield from map(validated, pa.ipc.open_stream(body))


def _gathered(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    gathered: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        rows, size = rows + batch.num_rows, size + batch.nbytes
        _bounded(rows, size)
        gathered.append(batch)
    if not gathered:
        return pa.table({})
    # Arrow cannot look up a column by a name that occurs twice.
    if len(set(gathered[0].schema.names)) < len(gathered[0].schema.names):
        raise UnreadableTable("the table has two columns of one name")
    return pa.Table.from_batches(gathered)


def _bounded(rows: int, size: int) -> None:
    if rows > MAX_BATCH:
        raise UnreadableTable(f"the table has more than {MAX_BATCH:,} rows, the most of a batch")
    if size > MAX_TABLE_BYTES:
        raise _too_large()


def _too_large() -> UnreadableTable:
    return UnreadableTable(f"the table takes more than {MAX_TABLE_BYTES:,} bytes of memory")
