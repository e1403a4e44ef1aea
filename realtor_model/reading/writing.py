"""Tables written as CSV, Parquet or Arrow, whatever the types of their columns."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from realtor_model.reading.arrow_types import converted, written_type

FileKind = Literal["csv", "parquet", "arrow"]


def write_table(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, sink: Path | BinaryIO, kind: FileKind
) -> None:
    """Write rows to a file or a stream.

    Args:
        batches: the rows.
        schema: of all batches.
        sink: the file, which is overwritten, or a stream, which stays open.
        kind: of the file; "arrow" is an Arrow stream.
    """
    with table_writer(sink, schema, kind) as write:
        for batch in batches:
            write(batch)


@contextmanager
def table_writer(
    sink: Path | BinaryIO, schema: pa.Schema, kind: FileKind
) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """A function that writes one batch of `schema` after another; see `write_table`.

    CSV and Parquet cannot hold all types of Arrow: such columns are written decoded, or as text.
    """
    fields = [field.with_type(written_type(field.type, kind)) for field in schema]
    target = pa.schema(fields)
    with _writer(sink, target, kind) as writer:

        def write(batch: pa.RecordBatch) -> None:
            columns = zip(batch.columns, target.types, strict=True)
            arrays = [converted(column, wanted) for column, wanted in columns]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=target))

        yield write


def _writer(sink: Path | BinaryIO, schema: pa.Schema, kind: FileKind) -> Any:
    if kind == "csv":
        options = pa.csv.WriteOptions(quoting_style="needed")
        return pa.csv.CSVWriter(sink, schema, write_options=options)
    if kind == "arrow":
        return pa.ipc.new_stream(sink, schema)
    # Numbers rarely repeat, so dictionary encoding makes their columns slower and larger.
    named = [field.name for field in schema if not _is_number(field.type)]
    return pa.parquet.ParquetWriter(sink, schema, use_dictionary=named)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
