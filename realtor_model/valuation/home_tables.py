"""Read and value tables of homes: each row gets an estimate or an error.

NumPy and Arrow read whole columns. Only suspicious rows are read one by one, by the market's
`home_model`, so that a row of a table is read exactly like a home in a request.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
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
    KEYS,
    LAST_DATE,
    TARGET,
    US_LISTINGS,
    WHOLE_TOLERANCE,
    Column,
    Home,
    Kind,
    ListingContract,
    Role,
    field_problems,
    home_model,
    matched_columns,
    own_statuses,
    parse,
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

_STATUS = KEYS[Role.STATUS]
_PLACES = (KEYS[Role.STATE], KEYS[Role.ZIP_CODE])
_POINT = (KEYS[Role.LATITUDE], KEYS[Role.LONGITUDE])
# JSON types of a column's values. Others are read one by one.
_NUMERIC: tuple[type, ...] = (int, float)
_BOOLEAN: tuple[type, ...] = (bool, int, float)
_TEXT: tuple[type, ...] = (str,)

Mask = NDArray[np.bool_]


class Homes(NamedTuple):
    """n rows of a table.

    Attributes:
        columns: the market's `keys`, arrays (n,); undefined in rows with an error.
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
    rows: Sequence[Any], contract: ListingContract = US_LISTINGS
) -> tuple[dict[str, NDArray[Any]], dict[int, ValidationError]]:
    """Read n rows of JSON.

    Args:
        rows: n decoded JSON values; each should be an object with inputs of the market.
        contract: of the market.

    Returns:
        The market's `keys` as arrays (n,), with undefined values in rows that have an error; and
        row -> its error.

    >>> columns, errors = read_rows([{"state": "Texas", "bed": 3}, {"state": "Texas", "bed": -1}])
    >>> columns["bed"][0].item(), list(errors)
    (3.0, [1])
    """
    n = len(rows)
    # A row that is not an object is treated as an empty home, so `Home` reads it below.
    objects = [row if isinstance(row, Mapping) else {} for row in rows]
    known = contract.by_name.keys()
    suspect = np.fromiter((not row.keys() <= known for row in objects), bool, n)
    columns: dict[str, NDArray[Any]] = {}
    for key, column in _inputs(contract):
        if column is None:
            columns[key] = contract.missing(key, n)
            continue
        name, usual = column.name, _json_types(column)
        values = [row.get(name) for row in objects]
        # The exact type: to Python, true is a number too.
        if not set(map(type, values)) <= {*usual, type(None)}:
            strange = [type(value) not in (*usual, type(None)) for value in values]
            suspect |= np.array(strange)
            values = [None if odd else value for value, odd in zip(values, strange, strict=True)]
        if column.range is not None:
            given = np.fromiter((value is not None for value in values), bool, n)
            try:
                numbers = np.array(values, np.float64)
            except OverflowError:
                numbers = np.array([_float(value) for value in values])
            columns[key], odd = _possible(column, numbers, given)
            suspect |= odd
        else:
            codes: dict[Any, int] = {}
            at = [codes.setdefault(value, len(codes)) for value in values]
            parsed, unreadable = _parsed(column, codes, contract)
            columns[key] = parsed[at]
            suspect |= unreadable[at]
    suspect |= _not_enough(columns, contract)
    at_fault = np.flatnonzero(suspect).tolist()
    return columns, _read_one_by_one([(row, rows[row]) for row in at_fault], columns, contract)


def read_homes(table: pa.Table | pa.RecordBatch, contract: ListingContract = US_LISTINGS) -> Homes:
    """Read the homes of a table of n rows.

    Args:
        table: any of the market's inputs as columns, under their names or one of their headers;
            other columns are ignored. Numbers and dates may be typed or text; null, NaN and blank
            text are missing values.
        contract: of the market.

    >>> homes = read_homes(pa.table({"state": ["Texas", "Texas"], "bed": ["3", "many"]}))
    >>> homes.valid.tolist(), homes.error_codes.tolist()
    ([True, False], [None, 'not_a_number'])
    """
    n = table.num_rows
    headers = input_headers(table.schema.names, contract)
    received = {column.name: _received(table, header, column) for header, column in headers.items()}
    suspect = np.zeros(n, bool)
    columns: dict[str, NDArray[Any]] = {}
    for key, column in _inputs(contract):
        values = None if column is None else received.get(column.name)
        if column is None or values is None:
            columns[key] = _absent(key, column, contract).repeat(n)
            continue
        if column.range is not None:
            columns[key], odd = _numbers(column, values)
        elif column.kind is Kind.DATE and _is_day(values.type):
            columns[key], odd = _days(values)
        elif column.kind is Kind.BOOLEAN and pa.types.is_boolean(values.type):
            # Copied, because Arrow's own memory cannot be written to.
            columns[key] = np.array(pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False))
            continue
        else:
            columns[key], odd = _distinct(column, values, n, contract)
        suspect |= odd
    suspect |= _not_enough(columns, contract)
    errors, error_codes = np.full((2, n), None, object)
    rows = np.flatnonzero(suspect)
    if len(rows):
        chosen = pa.array(rows)
        taken = [listed(pc.take(column, chosen)) for column in received.values()]
        entries = (dict(zip(received, row, strict=True)) for row in zip(*taken, strict=True))
        chosen_rows = zip(rows.tolist(), entries, strict=True)
        for row, error in _read_one_by_one(chosen_rows, columns, contract).items():
            problems = field_problems(error)
            errors[row] = SEPARATOR.join(problem.line for problem in problems)
            error_codes[row] = SEPARATOR.join(problem.code for problem in problems)
    return Homes(columns, errors, error_codes)


def input_headers(headers: Iterable[Hashable], contract: ListingContract) -> dict[str, Column]:
    """Header -> the input it is, for each header of a table that is one.

    >>> [*input_headers(["Beds", "roof", "price"], US_LISTINGS)]
    ['Beds']
    """
    matched = matched_columns(headers, contract)
    return {header: column for header, column in matched.items() if column.key != TARGET}


def estimate(model: ValuationModel, table: pa.Table | pa.RecordBatch) -> pa.RecordBatch:
    """Value the n homes of a table as sold.

    Args:
        model: the model that values them.
        table: homes, as in `read_homes`.

    Returns:
        n rows with the columns `ESTIMATES`; prices in the market's currency, null in rows with an
        error. Warnings and errors of a row are joined by `SEPARATOR`, their codes in the same
        order.
    """
    homes = read_homes(table, model.contract)
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
    """The problems of a row that is not a home of the market, joined by `SEPARATOR`."""
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


def _received(table: pa.Table | pa.RecordBatch, header: str, column: Column) -> pa.Array:
    """The decoded values under `header`, in the unit of `column`.

    NaN becomes null, because some writers store missing values as NaN.
    """
    values = decoded(table.column(header))
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
    if column.factor(header) == 1.0:
        return values
    converted = [in_unit(value, column, header) for value in listed(values)]
    try:
        return pa.array(converted, pa.float64())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # Some are not numbers; as texts, all of them can be read and shown.
        return pa.array([None if value is None else str(value) for value in converted])


def in_unit(value: object, column: Column, header: str) -> object:
    """A received value in the unit of `column`; what is not a number stays as it is.

    Args:
        value: as received.
        column: the column it belongs to.
        header: the header it came under.

    >>> from realtor_model.listing import Range
    >>> lot = Column("lot", Kind.NUMBER, range=Range(0, 10, "acres"), headers={"m2": "square feet"})
    >>> in_unit("21780", lot, "m2"), in_unit("half an acre", lot, "m2")
    (0.5, 'half an acre')
    """
    factor = column.factor(header)
    number = np.nan if isinstance(value, bool) else _float(value)
    if factor == 1.0 or not np.isfinite(number):
        return value
    return float(np.rint(number * factor)) if column.is_whole else number * factor


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


@cache
def _inputs(contract: ListingContract) -> tuple[tuple[str, Column | None], ...]:
    """The market's `keys`, and the input of each; None where the market has none."""
    return tuple((key, contract.by_key.get(key)) for key in contract.keys)


@cache
def _json_types(column: Column) -> tuple[type, ...]:
    """The JSON types whose values `read_rows` reads as whole columns."""
    if column.range is not None:
        return _NUMERIC
    if column.kind is Kind.BOOLEAN:
        return _BOOLEAN
    # Categories are often coded by numbers; 1 and 1.0 are the same code, as they are one dict key.
    return (*_TEXT, *_NUMERIC) if _is_coded(column) else _TEXT


def _is_coded(column: Column) -> bool:
    """Whether the texts of a column may be given as numbers."""
    return column.kind is Kind.CATEGORY and column.role in (Role.INPUT, Role.ID, Role.BROKER)


def _numbers(column: Column, received: pa.Array) -> tuple[NDArray[np.float64], Mask]:
    """Numbers (n,), NaN where missing, and a mask of the rows that `Home` has to read."""
    if _is_text(received.type):
        blank = pc.equal(pc.utf8_trim_whitespace(received), "")
        received = pc.if_else(blank, None, received)
    given = received.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(received.type):
        return np.full(len(received), np.nan), given
    try:
        numbers = pc.cast(received, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        numbers = np.array([_float(value) for value in listed(received)], np.float64)
    return _possible(column, np.where(given, numbers, np.nan), given)


def _possible(
    column: Column, numbers: NDArray[np.float64], given: Mask
) -> tuple[NDArray[np.float64], Mask]:
    """Numbers (n,), rounded in whole-number columns, and a mask of given but invalid values."""
    limits = column.range
    assert limits is not None
    fine = (limits.low <= numbers) & (numbers <= limits.high)
    if column.is_whole:
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


def _distinct(
    column: Column, received: pa.Array, n: int, contract: ListingContract
) -> tuple[NDArray[Any], Mask]:
    """Parsed values (n,), and a mask of unreadable ones; each distinct value is parsed once."""
    try:
        encoded = pc.dictionary_encode(received)
    except pa.ArrowNotImplementedError:
        missing = _absent(column.key, column, contract)
        return missing.repeat(n), received.is_valid().to_numpy(zero_copy_only=False)
    values = [*listed(encoded.dictionary), None]
    codes = pc.fill_null(encoded.indices, len(values) - 1).to_numpy(zero_copy_only=False)
    parsed, odd = _parsed(column, values, contract)
    return parsed[codes], odd[codes]


def _parsed(
    column: Column, values: Collection[object], contract: ListingContract
) -> tuple[NDArray[Any], Mask]:
    """Parse k values of a column that is not a number; and a mask of the unreadable ones."""
    absent = _absent(column.key, column, contract)[0]
    parsed = _absent(column.key, column, contract).repeat(len(values))
    odd = np.zeros(len(values), bool)
    statuses = own_statuses(contract) if column.key == _STATUS else None
    for code, value in enumerate(values):
        try:
            stored = parse(column, value)
        except ValueError:
            odd[code] = True
            continue
        if stored is None:
            parsed[code] = absent
        elif column.choices and stored not in column.choices:
            odd[code] = True
        else:
            parsed[code] = stored if statuses is None else statuses[str(stored)]
    return parsed, odd


@lru_cache(maxsize=1_000)
def _absent(key: str, column: Column | None, contract: ListingContract) -> NDArray[Any]:
    """The value of `key` in a home that does not give it, as an array (1,)."""
    if column is None or column.default is None:
        return contract.missing(key, 1)
    statuses = own_statuses(contract) if key == _STATUS else None
    default = column.default if statuses is None else statuses[column.default]
    return np.array([default], contract.dtype(key))


def _not_enough(columns: Mapping[str, NDArray[Any]], contract: ListingContract) -> Mask:
    """Mask (n,) of rows that cannot be valued: without a place, or without a size."""
    keys = {column.key for column in contract.places}
    nowhere = [_missing(columns[key]) for key in _PLACES if key in keys]
    if keys.issuperset(_POINT):
        nowhere.append(np.isnan(columns[_POINT[0]]) | np.isnan(columns[_POINT[1]]))
    sizes = [np.isnan(columns[column.key]) for column in contract.sizes]
    missing: Mask = np.logical_and.reduce(nowhere) | np.logical_and.reduce(sizes)
    return missing


def _read_one_by_one(
    rows: Iterable[tuple[int, Any]], columns: dict[str, NDArray[Any]], contract: ListingContract
) -> dict[int, ValidationError]:
    """Write the rows that are homes into `columns`; return row -> error for the others."""
    model = home_model(contract)
    passed: list[Home] = []
    at: list[int] = []
    errors: dict[int, ValidationError] = {}
    for row, entries in rows:
        try:
            passed.append(model.model_validate(entries))
        except ValidationError as error:
            errors[row] = without_frames(error)
        else:
            at.append(row)
    for key, read in columns_from_properties(passed, contract).items():
        columns[key][at] = read
    return errors


def _missing(values: NDArray[np.object_]) -> Mask:
    missing: Mask = pd.isna(values)
    return missing


def _is_day(kind: pa.DataType) -> bool:
    """Whether the type is a date, or a timestamp without a time zone (the same day anywhere)."""
    return bool(pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
