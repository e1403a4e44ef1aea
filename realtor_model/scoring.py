"""Tables of homes valued: every row gets its estimate, or the reason why there is none.

Columns are read whole, as NumPy and Arrow do it; only rows in which something looks wrong are read
one by one, by `Property` itself. So a row means here what it means in a request.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ValidationError

from realtor_model.bundle import ValuationModel
from realtor_model.features import as_sold, columns_from_properties, take
from realtor_model.listing import (
    INPUTS,
    NUMBERS,
    RANGES,
    STATUSES,
    WHOLE_NUMBERS,
    WHOLE_TOLERANCE,
    Property,
    parse_text,
)

ESTIMATES = pa.schema(
    [
        ("estimated_price", pa.float64()),
        ("estimated_low", pa.float64()),
        ("estimated_high", pa.float64()),
        ("confidence", pa.string()),
        ("warnings", pa.string()),
        ("error", pa.string()),
    ]
)
# Rows that are valued at a time: enough that few names are looked up more than once.
CHUNK_ROWS = 32_768

_MOST_REASONS = 20

Mask = NDArray[np.bool_]


class Homes(NamedTuple):
    """n rows read: the 11 inputs as columns, meaningless where errors (n,) says why."""

    columns: dict[str, NDArray[Any]]
    errors: NDArray[np.object_]

    @property
    def valid(self) -> Mask:
        """The rows (n,) that can be valued."""
        return _missing(self.errors)


def read_homes(table: pa.Table | pa.RecordBatch) -> Homes:
    """The homes of a table with any of the 11 inputs as columns; other columns are left alone.

    Numbers and dates may be typed or text; null, NaN and blank text are missing values.
    """
    n = table.num_rows
    received = {name: _whole(table, name) for name in INPUTS if name in table.schema.names}
    suspect = np.zeros(n, bool)
    columns: dict[str, NDArray[Any]] = {}
    for name in INPUTS:
        values = received.get(name)
        if name in NUMBERS:
            columns[name], odd = _numbers(name, values, n)
        else:
            columns[name], odd = _distinct(name, values, n)
        suspect |= odd
    nowhere = _missing(columns["state"]) & _missing(columns["zip_code"])
    sizes = [np.isnan(columns[name]) for name in ("house_size", "acre_lot", "bed")]
    suspect |= nowhere | np.logical_and.reduce(sizes)
    errors = np.full(n, None, object)
    rows = np.flatnonzero(suspect)
    if len(rows):
        _read_one_by_one(received, rows, columns, errors)
    return Homes(columns, errors)


def estimate(model: ValuationModel, table: pa.Table | pa.RecordBatch) -> pa.RecordBatch:
    """`ESTIMATES` of the n rows of `table`, valued as sold, in dollars."""
    homes = read_homes(table)
    rows = np.flatnonzero(homes.valid)
    columns = as_sold(take(homes.columns, rows))
    values = model.value(columns)
    n = table.num_rows
    missing = ~homes.valid

    def spread(answers: NDArray[Any], kind: pa.DataType) -> pa.Array:
        whole = np.empty(n, answers.dtype)
        whole[rows] = answers
        return pa.array(whole, kind, mask=missing)

    warnings = np.full(len(rows), None, object)
    for row, texts in values.warnings.items():
        warnings[row] = "; ".join(texts)
    dollars = [np.round(each, 2) for each in (values.price, values.low, values.high)]
    return pa.RecordBatch.from_arrays(
        [
            *(spread(each, pa.float64()) for each in dollars),
            spread(values.confidence, pa.string()),
            spread(warnings, pa.string()),
            pa.array(homes.errors, pa.string()),
        ],
        schema=ESTIMATES,
    )


def reasons(error: ValidationError) -> str:
    """Why a row is no `Property`, in one line."""
    told = []
    for each in error.errors(include_url=False, include_context=False)[:_MOST_REASONS]:
        where, text = ".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")
        # The contract's own messages begin with the field.
        told.append(text if text.startswith(where) else f"{where}: {text}")
    return "; ".join(told)


def _whole(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    """A column in one piece, decoded; NaN is how some writers say that there is nothing."""
    column = table.column(name)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    return column


def _numbers(name: str, received: pa.Array | None, n: int) -> tuple[NDArray[np.float64], Mask]:
    """The values, NaN where there is none, and which have to be looked at one by one."""
    if received is None:
        return np.full(n, np.nan), np.zeros(n, bool)
    if _is_text(received.type):
        blank = pc.equal(pc.utf8_trim_whitespace(received), "")
        received = pc.if_else(blank, None, received)
    given = received.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(received.type):
        return np.full(n, np.nan), given
    try:
        numbers = pc.cast(received, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        numbers = np.array([_float(value) for value in received.to_pylist()], np.float64)
    numbers = np.where(given, numbers, np.nan)
    limits = RANGES[name]
    fine = (limits.low <= numbers) & (numbers <= limits.high)
    if name in WHOLE_NUMBERS:
        numbers = np.where(fine, numbers, np.nan)
        rounded = np.rint(numbers)
        fine &= np.abs(numbers - rounded) <= WHOLE_TOLERANCE
        numbers = rounded
    return numbers, given & ~fine


def _float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return np.nan


def _distinct(name: str, received: pa.Array | None, n: int) -> tuple[NDArray[Any], Mask]:
    """Texts and dates: each distinct value is read once."""
    kind: Any = "datetime64[D]" if name == "prev_sold_date" else object
    absent = "for_sale" if name == "status" else None
    if received is None:
        return np.full(n, absent, kind), np.zeros(n, bool)
    try:
        encoded = pc.dictionary_encode(received)
    except pa.ArrowNotImplementedError:
        return np.full(n, absent, kind), received.is_valid().to_numpy(zero_copy_only=False)
    values = encoded.dictionary.to_pylist()
    codes = pc.fill_null(encoded.indices, len(values)).to_numpy(zero_copy_only=False)
    parsed = np.full(len(values) + 1, absent, kind)
    odd = np.zeros(len(values) + 1, bool)
    for code, value in enumerate(values):
        try:
            found = parse_text(name, value)
        except ValueError:
            odd[code] = True
            continue
        parsed[code] = absent if found is None else found
        odd[code] = name == "status" and parsed[code] not in STATUSES
    return parsed[codes], odd[codes]


def _read_one_by_one(
    received: dict[str, pa.Array],
    rows: NDArray[np.intp],
    columns: dict[str, NDArray[Any]],
    errors: NDArray[np.object_],
) -> None:
    chosen = pa.array(rows)
    values: Sequence[list[Any]] = [pc.take(each, chosen).to_pylist() for each in received.values()]
    passed: list[Property] = []
    at: list[int] = []
    for row, entries in zip(rows.tolist(), zip(*values, strict=True), strict=True):
        try:
            passed.append(Property.model_validate(dict(zip(received, entries, strict=True))))
        except ValidationError as error:
            errors[row] = reasons(error)
        else:
            at.append(row)
    for name, read in columns_from_properties(passed).items():
        columns[name][at] = read


def _missing(values: NDArray[np.object_]) -> Mask:
    missing: Mask = pd.isna(values)
    return missing


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
