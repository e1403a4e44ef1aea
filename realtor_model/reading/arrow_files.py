"""Parquet and Arrow files, whose columns keep their types."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from realtor_model.listing import ListingContract
from realtor_model.messages import message
from realtor_model.reading.arrow_types import validated
from realtor_model.reading.table_file import TableFile, UnreadableFile, unique_names

BATCH_ROWS = 131_072
# A small file in memory can hold much more: repeated values, compressed pages.
MAX_UNPACKED = 1024**3
ARROW_FILE, ARROW_STREAM = b"ARROW1", b"\xff\xff\xff\xff"
# What pandas calls an index without a name. One with a name is a column like the others.
_INDEX = re.compile(r"__index_level_\d+__")


def open_parquet(source: Path | bytes, contract: ListingContract) -> TableFile:
    """Open a Parquet file.

    Args:
        source: the file, or its bytes.
        contract: of the market.

    Raises:
        UnreadableFile: the file is damaged, unpacks to more than `MAX_UNPACKED` in memory, or
            names a column of the market twice.
    """
    with _readable(source, "Parquet") as stream, pa.parquet.ParquetFile(stream) as file:
        schema = file.schema_arrow
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
    # A file on disk is read group by group.
    if isinstance(source, bytes) and size > MAX_UNPACKED:
        raise UnreadableFile("file_too_large", megabytes=MAX_UNPACKED // 1024**2)
    return _table(schema, partial(_parquet_batches, source), contract)


def open_arrow(source: Path | bytes, head: bytes, contract: ListingContract) -> TableFile:
    """Open an Arrow file or stream, which its first bytes `head` tell apart.

    Raises:
        UnreadableFile: the file is damaged, or names a column of the market twice.
    """
    read = _file_batches if head.startswith(ARROW_FILE) else _stream_batches
    with _readable(source, "Arrow") as stream, _ipc(stream, head) as reader:
        return _table(reader.schema, partial(read, source), contract)


def _table(
    schema: pa.Schema,
    read: Callable[[], Iterator[pa.RecordBatch]],
    contract: ListingContract,
) -> TableFile:
    kept = [i for i, name in enumerate(schema.names) if not _INDEX.fullmatch(name)]
    left_out = [message("index_left_out", header=name) for name in schema.names
                if _INDEX.fullmatch(name)]  # fmt: skip
    headers = [schema.names[i] if schema.names[i].strip() else "" for i in kept]
    names, notes = unique_names(headers, contract, kept)
    own = pa.schema([schema.field(i).with_name(name) for i, name in zip(kept, names, strict=True)])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in read():
            columns = [batch.column(i) for i in kept]
            yield pa.RecordBatch.from_arrays(columns, schema=own)

    return TableFile(names, own, batches, (*left_out, *notes))


@contextmanager
def _readable(source: Path | bytes, kind: str) -> Iterator[Any]:
    """The file as a stream; what the library says of a damaged one is one error."""
    try:
        file = pa.OSFile(str(source)) if isinstance(source, Path) else pa.BufferReader(source)
        with file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
        # Arrow raises OSError for damaged contents, too, but without a number.
        if isinstance(problem, OSError) and problem.errno is not None:
            raise
        reason = str(problem).partition("\n")[0]
        raise UnreadableFile("damaged_file", format=kind, problem=reason) from problem


def _parquet_batches(source: Path | bytes) -> Iterator[pa.RecordBatch]:
    with _readable(source, "Parquet") as stream, pa.parquet.ParquetFile(stream) as file:
        yield from file.iter_batches(batch_size=BATCH_ROWS)


def _ipc(stream: Any, head: bytes) -> Any:
    is_file = head.startswith(ARROW_FILE)
    return pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream)


def _stream_batches(source: Path | bytes) -> Iterator[pa.RecordBatch]:
    with _readable(source, "Arrow") as stream, pa.ipc.open_stream(stream) as reader:
        yield from map(validated, reader)


def _file_batches(source: Path | bytes) -> Iterator[pa.RecordBatch]:
    with _readable(source, "Arrow") as stream, pa.ipc.open_file(stream) as reader:
        for place in range(reader.num_record_batches):
            yield validated(reader.get_batch(place))
