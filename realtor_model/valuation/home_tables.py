"""Read and value tables of homes: each row gets an estimate or an error.

NumPy and Arrow read whole columns. Only suspicious rows are read one by one, by `Property`, so that
a row of a table is read exactly like a home in a request.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ValidationError

from realtor_model.features import as_sold, columns_from_properties, take
from realtor_model.listing import (
    FIRST_DATE,
    INPUTS,
    LAST_DATE,
    NUMBERS,
    RANGES,
    STATUSES,
    WHOLE_NUMBERS,
    WHOLE_TOLERANCE,
    Property,
    field_problems,
    parse_text,
    without_frames,
)
from realtor_model.valuation.valuation_model import ValuationModel

ESTIMATES = pa.schema(
    [
        ("estimated_price", pa.float64()),
        ("estimated_low", pa.float64()),
        ("estimated_high", pa.float64()),
        ("confidence", pa.string()),
        ("warnings", pa.string()),
        ("warning_codes", pa.string()),
        ("error", pa.string()),
        ("error_codes", pa.string()),
    ]
)
# Rows valued at a time: large chunks look up fewer place names repeatedly.
CHUNK_ROWS = 32_768
SEPARATOR = "; "

_KNOWN = frozenset(INPUTS)

Mask = NDArray[np.bool_]


class Homes(NamedTuple):
    """n rows of a table.

    Attributes:
        columns: the 11 inputs, arrays (n,); their values are undefined in rows with an error.
        errors: (n,) the row's problems as text, joined by `SEPARATOR`, or None.
        error_codes: (n,) the codes of the same problems, joined by `SEPARATOR`, or None.
    """

    columns: dict[str, NDArray[Any]]
    errors: NDArray[np.object_]
    error_codes: NDArray[np.object_]

    @property
    def valid(self) -> Mask:
        """Mask (n,) of the rows that can be valued."""
        return _missing(self.errors)


def read_rows(
    rows: Sequence[Any],
) -> tuple[dict[str, NDArray[Any]], dict[int, ValidationError]]:
    """Read n rows of JSON.

    Args:
        rows: n decoded JSON values; each should be an object with inputs of `Property`.

    Returns:
        The 11 inputs as arrays (n,), with undefined values in rows that have an error; and row ->
        its error.

    >>> columns, errors = read_rows([{"state": "Texas", "bed": 3}, {"state": "Texas", "bed": -1}])
    >>> columns["bed"][0].item(), list(errors)
    (3.0, [1])
    """
    n = len(rows)
    # A row that is not an object is treated as an empty home, so `Property` reads it below.
    objects = [row if isinstance(row, Mapping) else {} for row in rows]
    suspect = np.fromiter((not row.keys() <= _KNOWN for row in objects), bool, n)
    columns: dict[str, NDArray[Any]] = {}
    for name in INPUTS:
        values = [row.get(name) for row in objects]
        usual = (int, float) if name in NUMBERS else (str,)
        # The exact type: to Python, true is a number too.
        if not set(map(type, values)) <= {*usual, type(None)}:
            strange = [type(value) not in (*usual, type(None)) for value in values]
            suspect |= np.array(strange)
            values = [None if odd else value for value, odd in zip(values, strange, strict=True)]
        if name in NUMBERS:
            given = np.fromiter((value is not None for value in values), bool, n)
            try:
                numbers = np.array(values, np.float64)
            except OverflowError:
                numbers = np.array([_float(value) for value in values])
            columns[name], odd = _possible(name, numbers, given)
            suspect |= odd
        else:
            codes: dict[Any, int] = {}
            at = [codes.setdefault(value, len(codes)) for value in values]
            parsed, unreadable = _parsed(name, codes)
            columns[name] = parsed[at]
            suspect |= unreadable[at]
    suspect |= _not_enough(columns)
    at_fault = np.flatnonzero(suspect).tolist()
    return columns, _read_one_by_one([(row, rows[row]) for row in at_fault], columns)


def read_homes(table: pa.Table | pa.RecordBatch) -> Homes:
    """Read the homes of a table of n rows.

    Args:
        table: any of the 11 inputs as columns, other columns are ignored. Numbers and dates may be
            typed or text; null, NaN and blank text are missing values.

    >>> homes = read_homes(pa.table({"state": ["Texas", "Texas"], "bed": ["3", "many"]}))
    >>> homes.valid.tolist(), homes.error_codes.tolist()
    ([True, False], [None, 'not_a_number'])
    """
    n = table.num_rows
    received = {name: _whole(table, name) for name in INPUTS if name in table.schema.names}
    suspect = np.zeros(n, bool)
    columns: dict[str, NDArray[Any]] = {}
    for name in INPUTS:
        values = received.get(name)
        if name in NUMBERS:
            columns[name], odd = _numbers(name, values, n)
        elif name == "prev_sold_date" and values is not None and _is_day(values.type):
            columns[name], odd = _days(values)
        else:
            columns[name], odd = _distinct(name, values, n)
        suspect |= odd
    suspect |= _not_enough(columns)
    errors, error_codes = np.full((2, n), None, object)
    rows = np.flatnonzero(suspect)
    if len(rows):
        chosen = pa.array(rows)
        taken = [listed(pc.take(column, chosen)) for column in received.values()]
        entries = (dict(zip(received, row, strict=True)) for row in zip(*taken, strict=True))
        chosen_rows = zip(rows.tolist(), entries, strict=True)
        for row, error in _read_one_by_one(chosen_rows, columns).items():
            problems = field_problems(error)
            errors[row] = SEPARATOR.join(problem.line for problem in problems)
            error_codes[row] = SEPARATOR.join(problem.code for problem in problems)
    return Homes(columns, errors, error_codes)


def estimate(model: ValuationModel, table: pa.Table | pa.RecordBatch) -> pa.RecordBatch:
    """Value the n homes of a table as sold.

    Args:
        model: the model that values them.
        table: homes, as in `read_homes`.

    Returns:
        n rows with the columns `ESTIMATES`; prices in dollars, null in rows with an error. Warnings
        and errors of a row are joined by `SEPARATOR`, their codes in the same order.
    """
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

    warnings, warning_codes = np.full((2, len(rows)), None, object)
    for row, coded in values.warnings.items():
        warnings[row] = SEPARATOR.join(warning.text for warning in coded)
        warning_codes[row] = SEPARATOR.join(warning.code for warning in coded)
    dollars = [np.round(prices, 2) for prices in (values.price, values.low, values.high)]
    return pa.RecordBatch.from_arrays(
        [
            *(spread(prices, pa.float64()) for prices in dollars),
            spread(values.confidence, pa.string()),
            spread(warnings, pa.string()),
            spread(warning_codes, pa.string()),
            pa.array(homes.errors, pa.string()),
            pa.array(homes.error_codes, pa.string()),
        ],
        schema=ESTIMATES,
    )


def reasons(error: ValidationError) -> str:
    """The problems of a row that is not a `Property`, joined by `SEPARATOR`."""
    return SEPARATOR.join(problem.line for problem in field_problems(error))


def decoded(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Decode a column into one array without dictionary, run-end or string-view encoding.

    >>> decoded(pa.array(["Texas", "Texas"]).dictionary_encode()).type
    DataType(string)
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    if pa.types.is_string_view(column.type):
        column = pc.cast(column, pa.string())
    return column


def _whole(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    """A decoded column with NaN as null, because some writers store missing values as NaN."""
    column = decoded(table.column(name))
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    return column


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


def _numbers(name: str, received: pa.Array | None, n: int) -> tuple[NDArray[np.float64], Mask]:
    """Numbers (n,), NaN where missing, and a mask of the rows that `Property` has to read."""
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
        numbers = np.array([_float(value) for value in listed(received)], np.float64)
    return _possible(name, np.where(given, numbers, np.nan), given)


def _possible(
    name: str, numbers: NDArray[np.float64], given: Mask
) -> tuple[NDArray[np.float64], Mask]:
    """Numbers (n,), rounded in whole-number columns, and a mask of given but invalid values."""
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


def _days(received: pa.Array) -> tuple[NDArray[Any], Mask]:
    """Dates (n,), NaT where missing, and a mask of those outside `FIRST_DATE` to `LAST_DATE`."""
    days = received.to_numpy(zero_copy_only=False).astype("datetime64[D]")
    odd: Mask = (days < np.datetime64(FIRST_DATE)) | (days > np.datetime64(LAST_DATE))
    return days, odd


def _distinct(name: str, received: pa.Array | None, n: int) -> tuple[NDArray[Any], Mask]:
    """Texts or dates (n,), and a mask of unreadable values; each distinct value is parsed once."""
    missing, unreadable = _parsed(name, [None])
    if received is None:
        return missing.repeat(n), unreadable.repeat(n)
    try:
        encoded = pc.dictionary_encode(received)
    except pa.ArrowNotImplementedError:
        return missing.repeat(n), received.is_valid().to_numpy(zero_copy_only=False)
    values = [*listed(encoded.dictionary), None]
    codes = pc.fill_null(encoded.indices, len(values) - 1).to_numpy(zero_copy_only=False)
    parsed, odd = _parsed(name, values)
    return parsed[codes], odd[codes]


def _parsed(name: str, values: Collection[object]) -> tuple[NDArray[Any], Mask]:
    """Parse k texts or dates of the column `name`; return them and a mask of unreadable values."""
    absent = "for_sale" if name == "status" else None
    parsed = np.full(len(values), absent, "datetime64[D]" if name == "prev_sold_date" else object)
    odd = np.zeros(len(values), bool)
    for code, value in enumerate(values):
        try:
            stored = parse_text(name, value)
        except ValueError:
            odd[code] = True
            continue
        parsed[code] = absent if stored is None else stored
        odd[code] = name == "status" and parsed[code] not in STATUSES
    return parsed, odd


def _not_enough(columns: Mapping[str, NDArray[Any]]) -> Mask:
    """Mask (n,) of rows that cannot be valued: without a place, or without a size."""
    nowhere = _missing(columns["state"]) & _missing(columns["zip_code"])
    sizes = [np.isnan(columns[name]) for name in ("house_size", "acre_lot", "bed")]
    missing: Mask = nowhere | np.logical_and.reduce(sizes)
    return missing


def _read_one_by_one(
    rows: Iterable[tuple[int, Any]], columns: dict[str, NDArray[Any]]
) -> dict[int, ValidationError]:
    """Write the rows that `Property` accepts into `columns`; return row -> error for the others."""
    passed: list[Property] = []
    at: list[int] = []
    errors: dict[int, ValidationError] = {}
    for row, entries in rows:
        try:
            passed.append(Property.model_validate(entries))
        except ValidationError as error:
            errors[row] = without_frames(error)
        else:
            at.append(row)
    for name, read in columns_from_properties(passed).items():
        columns[name][at] = read
    return errors


def _missing(values: NDArray[np.object_]) -> Mask:
    missing: Mask = pd.isna(values)
    return missing


def _is_day(kind: pa.DataType) -> bool:
    """Whether the type is a date, or a timestamp without a time zone (the same day anywhere)."""
    return bool(pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
