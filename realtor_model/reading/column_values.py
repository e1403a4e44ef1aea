"""Columns of tables and of JSON rows: received values become arrays, a whole column at a time.

A value that cannot be read so is marked as odd: `read_home` reads its row by itself.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from realtor_model.listing import (
    FIRST_DATE,
    KEYS,
    LAST_DATE,
    WHOLE_TOLERANCE,
    Column,
    InvalidValue,
    Kind,
    ListingContract,
    Role,
    is_missing,
    own_statuses,
    parse,
    parse_number,
    parsed_value,
)
from realtor_model.listing.convention import Convention
from realtor_model.listing.headers import Source
from realtor_model.listing.parsing import ZERO_IS_UNKNOWN, with_unit
from realtor_model.listing.units import factor
from realtor_model.reading.arrow_types import is_plain, listed, type_names

_STATUS = KEYS[Role.STATUS]
# JSON types of a column's values. Others are read one by one.
_NUMERIC: tuple[type, ...] = (int, float)
_BOOLEAN: tuple[type, ...] = (bool, int, float)
_TEXT: tuple[type, ...] = (str,)

Mask = NDArray[np.bool_]


class ColumnValues(NamedTuple):
    """One source of a column, read.

    Attributes:
        values: (n,).
        odd: mask (n,) of the values that cannot be read as a whole column.
        given: mask (n,) of the values that are not missing.
        zeros: mask (n,) of the zeros that are read as unknown; None if there are none.
        received: the n values as received.
    """

    values: NDArray[Any]
    odd: Mask
    given: Mask
    zeros: Mask | None
    received: pa.Array | Sequence[object]


def arrow_values(
    column: Column,
    received: Mapping[str, pa.Array],
    source: Source,
    convention: Convention,
    contract: ListingContract,
) -> ColumnValues:
    """One source of a column."""
    if len(source.headers) > 1:
        lists = {header: listed(received[header]) for header in source.headers}
        added = added_parts(column, lists, source, convention)
        return json_values(column, added, Convention(), contract)
    values = received[source.headers[0]]
    if not is_plain(values.type):
        given = given_mask(values)
        absent = absent_value(column.key, column, contract).repeat(len(values))
        return ColumnValues(absent, given, given, None, values)
    if source.unit_header is not None:
        values = _with_units(values, received[source.unit_header])
    if column.range is not None:
        return _numbers(column, values, convention)
    if column.kind is Kind.DATE and _is_day(values.type):
        return _days(values)
    if column.kind is Kind.BOOLEAN and pa.types.is_boolean(values.type):
        given = given_mask(values)
        # Copied, because Arrow's own memory cannot be written to.
        booleans = np.array(pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False))
        return ColumnValues(booleans, ~np.ones_like(given), given, None, values)
    return _distinct(column, values, convention, contract)


def _with_units(values: pa.Array, units: pa.Array) -> pa.Array:
    """Numbers (n,) as texts with their units."""
    if not is_plain(units.type):
        return values
    pairs = zip(listed(values), listed(units), strict=True)
    return pa.array([with_unit(value, unit) for value, unit in pairs], pa.string())


def added_parts(
    column: Column, block: Mapping[Any, Sequence[object]], source: Source, convention: Convention
) -> Sequence[object]:
    """The values under one header; or the sums of those under several, where they can be added."""
    if source.unit_header is not None:
        pairs = zip(block[source.headers[0]], block[source.unit_header], strict=True)
        return [with_unit(value, unit) for value, unit in pairs]
    if len(source.headers) == 1:
        return block[source.headers[0]]
    sums: list[object] = []
    for raw in zip(*(block[header] for header in source.headers), strict=True):
        try:
            sums.append(parsed_value(column, list(raw), source, convention))
        except InvalidValue:
            # Not a number, so that `read_home` reads the row and says which part is wrong.
            sums.append(list(raw))
    return sums


def json_values(
    column: Column, values: Sequence[object], convention: Convention, contract: ListingContract
) -> ColumnValues:
    """One source of a column of JSON values."""
    n, usual = len(values), _json_types(column)
    odd = np.zeros(n, bool)
    received = values
    # The exact type: to Python, true is a number too.
    if not set(map(type, values)) <= {*usual, type(None)}:
        odd = np.array([type(value) not in (*usual, type(None)) for value in values])
        values = [None if strange else value for value, strange in zip(values, odd, strict=True)]
    given = np.fromiter((value is not None for value in values), bool, n) | odd
    if column.range is not None:
        try:
            numbers = np.array(values, np.float64)
        except OverflowError:
            numbers = np.array([_float(value, otherwise=np.inf) for value in values])
        given &= ~np.isnan(numbers) | odd
        read = _possible(column, numbers, given & ~odd, convention, received)
        return read._replace(odd=read.odd | odd, given=read.given | odd)
    codes: dict[Any, int] = {}
    at = [codes.setdefault(value, len(codes)) for value in values]
    parsed, unreadable, missing = _parsed(column, codes, convention, contract)
    return ColumnValues(
        parsed[at], odd | unreadable[at], given & ~missing[at] | odd, None, received
    )


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


def _numbers(column: Column, received: pa.Array, convention: Convention) -> ColumnValues:
    """Numbers (n,), NaN where missing."""
    if pa.types.is_boolean(received.type):
        given = given_mask(received)
        return ColumnValues(np.full(len(received), np.nan), given, given, None, received)
    values = received
    if is_text(received.type):
        if convention.decimal != ".":
            return _written_numbers(column, received, convention)
        blank = pc.equal(pc.utf8_trim_whitespace(received), "")
        values = pc.if_else(blank, None, received)
    try:
        numbers = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return _written_numbers(column, received, convention)
    except pa.ArrowNotImplementedError:
        numbers = np.array([_float(value) for value in listed(values)], np.float64)
    given = given_mask(values)
    return _possible(column, np.where(given, numbers, np.nan), given, convention, received)


def _written_numbers(column: Column, received: pa.Array, convention: Convention) -> ColumnValues:
    """Numbers of texts that are more than digits; each distinct text is read once."""
    encoded = pc.dictionary_encode(received)
    texts = listed(encoded.dictionary)
    numbers = np.full(len(texts) + 1, np.nan)
    odd, given, zeros = (np.zeros(len(texts) + 1, bool) for _ in range(3))
    for code, text in enumerate(texts):
        given[code] = not is_missing(text)
        try:
            number = parse_number(column, text, convention)
        except InvalidValue:
            odd[code] = True
            continue
        zeros[code] = number is None and given[code]
        given[code] = number is not None
        numbers[code] = np.nan if number is None else number
    codes = pc.fill_null(encoded.indices, len(texts)).to_numpy(zero_copy_only=False)
    given |= odd
    some_zeros = zeros[codes] if zeros.any() else None
    return ColumnValues(numbers[codes], odd[codes], given[codes], some_zeros, received)


def _possible(
    column: Column,
    numbers: NDArray[np.float64],
    given: Mask,
    convention: Convention,
    received: pa.Array | Sequence[object],
) -> ColumnValues:
    """Numbers (n,) in the column's unit, rounded in whole-number columns, and checked."""
    limits = column.range
    assert limits is not None
    zeros = None
    if column.role in ZERO_IS_UNKNOWN:
        zeros = given & (numbers == 0)
        if zeros.any():
            numbers, given = np.where(zeros, np.nan, numbers), given & ~zeros
        else:
            zeros = None
    if convention.unit is not None:
        numbers = numbers * factor(convention.unit, limits.unit)
    if column.is_whole and column.is_area:
        numbers = np.rint(numbers)
    fine = (limits.low <= numbers) & (numbers <= limits.high)
    if column.is_whole:
        numbers = np.where(fine, numbers, np.nan)
        rounded = np.rint(numbers)
        fine &= np.abs(numbers - rounded) <= WHOLE_TOLERANCE
        numbers = rounded
    return ColumnValues(numbers, given & ~fine, given, zeros, received)


def _float(value: object, otherwise: float = np.nan) -> float:
    """The value as a float; NaN for None, `otherwise` for what is no number or too large a one."""
    if value is None:
        return np.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return otherwise


def _days(received: pa.Array) -> ColumnValues:
    """Dates (n,), NaT where missing; those outside `FIRST_DATE` to `LAST_DATE` are odd."""
    days = received.to_numpy(zero_copy_only=False).astype("datetime64[D]")
    odd: Mask = (days < np.datetime64(FIRST_DATE)) | (days > np.datetime64(LAST_DATE))
    return ColumnValues(days, odd, ~np.isnat(days), None, received)


def _distinct(
    column: Column, received: pa.Array, convention: Convention, contract: ListingContract
) -> ColumnValues:
    """Parsed values (n,); each distinct value is parsed once."""
    encoded = pc.dictionary_encode(received)
    values = [*listed(encoded.dictionary), None]
    codes = pc.fill_null(encoded.indices, len(values) - 1).to_numpy(zero_copy_only=False)
    parsed, odd, missing = _parsed(column, values, convention, contract)
    return ColumnValues(parsed[codes], odd[codes], ~missing[codes], None, received)


def _parsed(
    column: Column,
    values: Collection[object],
    convention: Convention,
    contract: ListingContract,
) -> tuple[NDArray[Any], Mask, Mask]:
    """Parse k values of a column that is not a number; masks of unreadable and missing ones."""
    parsed = absent_value(column.key, column, contract).repeat(len(values))
    odd, missing = np.zeros((2, len(values)), bool)
    statuses = own_statuses(contract) if column.key == _STATUS else None
    for code, value in enumerate(values):
        try:
            stored = parse(column, value, convention)
        # A date that Python cannot represent is its error.
        except ValueError:
            odd[code] = True
            continue
        if stored is None:
            missing[code] = True
        else:
            parsed[code] = stored if statuses is None else statuses[str(stored)]
    return parsed, odd, missing


@lru_cache(maxsize=1_000)
def absent_value(key: str, column: Column | None, contract: ListingContract) -> NDArray[Any]:
    """The value of `key` in a home that does not give it, as an array (1,)."""
    if column is None or column.default is None:
        return contract.missing(key, 1)
    statuses = own_statuses(contract) if key == _STATUS else None
    default = column.default if statuses is None else statuses[column.default]
    return np.array([default], contract.dtype(key))


def values_at(received: pa.Array | Sequence[object], rows: NDArray[np.intp]) -> list[object]:
    """The received values of some rows."""
    if isinstance(received, pa.Array):
        if not is_plain(received.type):
            return type_names(received.take(pa.array(rows)))
        return listed(pc.take(received, pa.array(rows)))
    return [received[row] for row in rows.tolist()]


def given_mask(values: pa.Array) -> Mask:
    """Mask (n,) of the values that are not null."""
    given: Mask = values.is_valid().to_numpy(zero_copy_only=False)
    return given


def _is_day(kind: pa.DataType) -> bool:
    """Whether the type is a date, or a timestamp without a time zone (the same day anywhere)."""
    return bool(pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None))


def is_text(kind: pa.DataType) -> bool:
    """Whether values of the type are texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
