"""Arrow's encodings of a column, and the types that files of each kind can hold."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_PLAIN = (
    pa.types.is_primitive,
    pa.types.is_decimal,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_null,
)
_AS_TEXT = (
    pa.types.is_nested,
    pa.types.is_interval,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)


def decoded(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as one array without dictionary, run-end or view encoding, of a type for computing.

    >>> decoded(pa.array(["Texas", "Texas"], pa.string_view()).cast(pa.string())).type
    DataType(string)
    >>> values = pa.array(["Texas"], pa.string_view())
    >>> decoded(pa.DictionaryArray.from_arrays(pa.array([0, None]), values)).to_pylist()
    ['Texas', None]
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        return pc.take(decoded(column.dictionary), column.indices)
    if pa.types.is_run_end_encoded(column.type):
        places = pa.array(range(len(column.values)), pa.int64())
        runs = pa.RunEndEncodedArray.from_arrays(column.run_ends, places)
        chosen = pc.run_end_decode(runs.slice(column.offset, len(column)))
        return pc.take(decoded(column.values), chosen)
    if pa.types.is_string_view(column.type):
        return pc.cast(column, pa.string())
    if pa.types.is_binary_view(column.type):
        return pc.cast(column, pa.binary())
    # Arrow computes little with the small types.
    if pa.types.is_float16(column.type):
        return pc.cast(column, pa.float32())
    if pa.types.is_decimal32(column.type) or pa.types.is_decimal64(column.type):
        return pc.cast(column, pa.decimal128(column.type.precision, column.type.scale))
    return column


def validated(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch of an Arrow file, whose offsets and texts Arrow does not check when it reads it.

    Raises:
        pyarrow.ArrowInvalid: its columns point beyond their memory, which would end the process.
    """
    batch.validate(full=True)
    return batch


def listed(column: pa.Array) -> list[Any]:
    """The values as Python objects; a date that Python cannot represent becomes its error."""
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        return [_alone(entry) for entry in column]


def _alone(entry: pa.Scalar) -> Any:
    try:
        return entry.as_py()
    except (OverflowError, ValueError) as problem:
        # A new error: the traceback of this one would keep the table in memory.
        return type(problem)(*problem.args)


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of the type need similar memory in Python and in Arrow; lists need more."""
    return any(is_kind(kind) for is_kind in _PLAIN)


def type_names(column: pa.Array) -> list[Any]:
    """[the type] instead of each value of a type that no input has: a list may be of any length."""
    return [[str(column.type)] if given else None for given in column.is_valid().to_pylist()]


def written_type(kind: pa.DataType, file_kind: str) -> pa.DataType:
    """The type by which a column of the type `kind` is written.

    Args:
        file_kind: "csv", "parquet" or "arrow".

    >>> written_type(pa.dictionary(pa.int32(), pa.string_view()), "parquet")
    DataType(string)
    >>> written_type(pa.list_(pa.int64()), "csv"), written_type(pa.float64(), "csv")
    (DataType(string), DataType(double))
    """
    if file_kind == "arrow":
        return kind
    if pa.types.is_run_end_encoded(kind):
        return written_type(kind.value_type, file_kind)
    if pa.types.is_dictionary(kind):
        value = written_type(kind.value_type, "csv")
        return kind if value == kind.value_type else written_type(value, file_kind)
    if pa.types.is_string_view(kind):
        return pa.string()
    if isinstance(kind, pa.BaseExtensionType):
        return written_type(kind.storage_type, file_kind) if file_kind == "csv" else kind
    as_text = _AS_TEXT if file_kind == "csv" else (pa.types.is_interval,)
    return pa.string() if any(is_kind(kind) for is_kind in as_text) else kind


def converted(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column of the type `kind`, which is the `written_type` of its own.

    Lists and structures become JSON, bytes that are not UTF-8 hexadecimal digits.
    """
    if column.type == kind:
        return column
    plain = decoded(column)
    try:
        return plain if plain.type == kind else pc.cast(plain, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([_text(value) for value in plain.to_pylist()], pa.string())


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, bytes):
        return json.dumps(value, default=str)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()
