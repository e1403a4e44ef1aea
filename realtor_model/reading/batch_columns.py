"""Columns of received batches: values as received become typed, whole columns at a time."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from realtor_model.listing import (
    COORDINATES,
    KEYS,
    WHOLE_TOLERANCE,
    Column,
    Convention,
    InvalidValue,
    Kind,
    ListingContract,
    Role,
    Source,
    TableReading,
    is_missing,
    own_statuses,
    parse_number,
    parsed_value,
    read_conventions,
)
from realtor_model.listing.convention import PLAIN
from realtor_model.listing.parsing import (
    NOT_A_NUMBER,
    NOT_A_WHOLE_NUMBER,
    NOT_TEXT,
    ZERO_IS_UNKNOWN,
    remembering_parser,
    with_unit,
)
from realtor_model.listing.property import place_required
from realtor_model.listing.units import factor
from realtor_model.messages import CodedMessage

_LARGEST_EXACT_INTEGER = 2.0**53


_ID = KEYS[Role.ID]


# Rows of a column that are looked at for its unit.
_ROWS_FOR_UNITS = 10_000


_PLACE_AND_SIZE = [
    KEYS[role]
    for role in (
        Role.STATE, Role.CITY, Role.ZIP_CODE, Role.LIVING_AREA, Role.LOT_SIZE, Role.BEDROOMS,
        Role.BATHROOMS,
    )
]  # fmt: skip


_Mask = NDArray[np.bool_]


_Problems = dict[CodedMessage, _Mask]


Unreadable = list[tuple[str, CodedMessage, _Mask]]


def understand_frame(
    headers: Sequence[Hashable], frames: Iterable[pd.DataFrame], contract: ListingContract
) -> TableReading:
    """Decide how a batch is read, from as many of its frames as it takes; usually the first one."""
    return read_conventions(headers, map(_Block, frames), contract)


class _Block(Mapping[Any, Iterable[object]]):
    """The values that decide: the first ones of each column, and then each distinct one."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __getitem__(self, header: Hashable) -> Iterable[object]:
        values = self._frame[header]
        # pandas' own missing values first: NA is no truth value for `is_missing`.
        given: list[object] = values.iloc[:_ROWS_FOR_UNITS].dropna().tolist()
        if is_numeric_dtype(values.dtype):
            return given
        first = [value for value in given if not is_missing(value)]
        texts = values[[isinstance(each, str) for each in values]]
        return [*first, *texts.unique().tolist()]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._frame.columns)

    def __len__(self) -> int:
        return len(self._frame.columns)


def absent_values(
    key: str, column: Column | None, contract: ListingContract, n: int
) -> "pd.Series[Any]":
    """n values of a column that the batch does not have: its default, or missing ones."""
    if column is not None and column.role is Role.STATUS and column.default is not None:
        meanings = own_statuses(contract) or {}
        return pd.Series(np.full(n, meanings.get(column.default, column.default), object))
    return pd.Series(contract.missing(key, n))


def _any(problems: _Problems, n: int) -> _Mask:
    broken: _Mask = np.logical_or.reduce([np.zeros(n, bool), *problems.values()])
    return broken


def _read_source(
    frame: pd.DataFrame,
    column: Column,
    source: Source,
    convention: Convention,
    dtype: str,
    contract: ListingContract,
) -> tuple[Any, _Problems]:
    """The values of one source of a column, and for each rule the rows that break it."""
    if len(source.headers) > 1:
        received = pd.Series(_added(frame, column, source, convention), dtype=object)
        convention = PLAIN
    else:
        received = frame[source.headers[0]].reset_index(drop=True)
        if source.unit_header in frame.columns:
            pairs = zip(received, frame[source.unit_header], strict=True)
            received = pd.Series([_with_unit(*pair) for pair in pairs], dtype=object)
    if column.range is not None:
        return _read_numbers(received, column, convention)
    meanings = own_statuses(contract) if column.role is Role.STATUS else None
    return _read_distinct(received, column, convention, dtype, meanings or {})


def _with_unit(value: object, unit: object) -> object:
    # pandas.NA is no truth value.
    return None if value is pd.NA else with_unit(value, unit)


def _added(
    frame: pd.DataFrame, column: Column, source: Source, convention: Convention
) -> list[object]:
    """The weighted sums of the values under several headers; a text where one is no number."""
    sums: list[object] = []
    parts = [frame[header].astype(object) for header in source.headers]
    lists = [part.where(part.notna(), None).tolist() for part in parts]
    for raw in zip(*lists, strict=True):
        try:
            sums.append(parsed_value(column, list(raw), source, convention))
        except InvalidValue:
            sums.append(" + ".join(map(str, raw)))
    return sums


def without_place(read: pd.DataFrame, contract: ListingContract) -> Unreadable:
    """The rows without a state, a zip code or coordinates: no model can learn from them."""
    keys = {column.key for column in contract.places}
    placed = [read[key].notna() for key in (KEYS[Role.STATE], KEYS[Role.ZIP_CODE]) if key in keys]
    if keys.issuperset(COORDINATES):
        placed.append(read[list(COORDINATES)].notna().all(axis=1))
    nowhere = ~np.logical_or.reduce([mask.to_numpy(bool) for mask in placed])
    if not nowhere.any():
        return []
    return [(contract.places[0].key, place_required(contract), nowhere)]


def identities(rows: pd.DataFrame, contract: ListingContract) -> Any:
    """Ids of properties (n,) for a batch without an id: a hash of their place and size.

    Listings of one property share the id, if its coordinates, or else its place and all its sizes,
    are the same.
    """
    by = COORDINATES if contract.has_coordinates else _PLACE_AND_SIZE
    hashed = pd.util.hash_pandas_object(rows[list(by)].astype("string"), index=False)
    ids = hashed.to_numpy(np.uint64) >> np.uint64(16)
    column = contract.by_role.get(Role.ID)
    if column is not None and column.range is not None:
        ids %= np.uint64(column.range.high)
    return pd.array(ids.astype(np.int64), "Int64")


def _read_numbers(
    received: "pd.Series[Any]", column: Column, convention: Convention
) -> tuple[Any, _Problems]:
    """Numbers, missing where unreadable, and for each rule a mask of the rows that break it."""
    no_scalar = _not_scalar(received)
    scalars = _scalars(received, no_scalar)
    problems: _Problems = {NOT_A_NUMBER: no_scalar}
    if convention.decimal == ".":
        numbers = _plain_numbers(scalars)
        written = ~np.isfinite(numbers) & ~no_scalar & scalars.notna().to_numpy(bool)
    else:
        numbers = np.full(len(received), np.nan)
        written = scalars.notna().to_numpy(bool)
    if column.role in ZERO_IS_UNKNOWN:
        numbers = np.where(numbers == 0, np.nan, numbers)
    if convention.unit is not None and column.range is not None:
        numbers = numbers * factor(convention.unit, column.range.unit)
    if column.is_whole and column.is_area:
        numbers = np.rint(numbers)
    if written.any():
        numbers = _read_written(scalars, written, numbers, column, convention, problems)
    finite = np.isfinite(numbers)
    values = np.where(finite, numbers, np.nan)
    if not column.is_whole:
        return values, problems
    rounded = np.rint(values)
    fraction = np.abs(values - rounded) > WHOLE_TOLERANCE
    fraction |= np.abs(values) > _LARGEST_EXACT_INTEGER
    problems[NOT_A_WHOLE_NUMBER] = problems.get(NOT_A_WHOLE_NUMBER, np.False_) | fraction
    absent = fraction | ~finite
    integers = np.where(absent, 0.0, rounded).astype(np.int64)
    return pd.arrays.IntegerArray(integers, absent), problems


def _plain_numbers(scalars: "pd.Series[Any]") -> NDArray[np.float64]:
    """The numbers, and texts of digits; NaN where a value has to be read by itself."""
    try:
        return pd.to_numeric(scalars, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    except OverflowError:
        # pandas refuses the column for one integer that no float holds.
        return np.full(len(scalars), np.nan)


def _read_written(
    scalars: "pd.Series[Any]",
    written: _Mask,
    numbers: NDArray[np.float64],
    column: Column,
    convention: Convention,
    problems: _Problems,
) -> NDArray[np.float64]:
    """Numbers with those of `written`, texts that are more than digits; each is read once."""
    rows = np.flatnonzero(written)
    codes, distinct = pd.factorize(scalars.iloc[rows].astype(object))
    read = np.full(len(distinct), np.nan)
    broken: dict[CodedMessage, _Mask] = {}
    for code, text in enumerate(distinct):
        try:
            number = parse_number(column, text, convention)
        except InvalidValue as invalid:
            broken.setdefault(invalid.rule, np.zeros(len(distinct), bool))[code] = True
            continue
        read[code] = np.nan if number is None else number
    for rule, of_texts in broken.items():
        of_rows = np.zeros(len(numbers), bool)
        of_rows[rows] = of_texts[codes]
        problems[rule] = problems.get(rule, np.False_) | of_rows
    numbers = numbers.copy()
    numbers[rows] = read[codes]
    return numbers


def _read_distinct(
    received: "pd.Series[Any]",
    column: Column,
    convention: Convention,
    dtype: Any,
    meanings: Mapping[Any, str],
) -> tuple[Any, _Problems]:
    """Parse each distinct value once: a batch has few distinct zips and dates.

    Args:
        meanings: what parsed values are replaced by.
    """
    plain = column.kind in (Kind.BOOLEAN, Kind.CATEGORY) and column.role in (
        Role.INPUT, Role.ID, Role.BROKER,
    )  # fmt: skip
    # Booleans are values of these columns, and of no other.
    no_scalar = _not_scalar(received, also_bool=plain)
    scalars = _scalars(received, no_scalar)
    if not isinstance(scalars.dtype, pd.StringDtype):
        scalars = scalars.astype(object)
    codes, distinct = pd.factorize(scalars)
    # One entry more, None: `factorize` codes missing values as -1, the last position.
    parsed = np.full(len(distinct) + 1, None, dtype=object)
    problems: _Problems = {NOT_TEXT: no_scalar}
    parse = remembering_parser(column, convention)
    broken: dict[CodedMessage, _Mask] = {}
    for code, value in enumerate(distinct):
        try:
            read = parse(value)
            parsed[code] = meanings.get(read, read)
        except InvalidValue as invalid:
            broken.setdefault(invalid.rule, np.zeros(len(parsed), bool))[code] = True
    for rule, of_values in broken.items():
        problems[rule] = problems.get(rule, np.False_) | of_values[codes]
    return pd.Series(parsed).astype(dtype).array.take(codes), problems


def _scalars(received: "pd.Series[Any]", no_scalar: _Mask) -> "pd.Series[Any]":
    return received.mask(no_scalar) if no_scalar.any() else received


def _not_scalar(received: "pd.Series[Any]", *, also_bool: bool = False) -> _Mask:
    """Mask of values that a column does not accept: lists, objects, and true and false."""
    if received.dtype != object:
        return np.full(len(received), received.dtype == bool and not also_bool)
    if pd.api.types.infer_dtype(received, skipna=True) in ("string", "empty", "floating"):
        return np.zeros(len(received), dtype=bool)
    refused = [list, dict] if also_bool else [bool, list, dict]
    return received.map(type).isin(refused).to_numpy()


def read_column(
    frame: pd.DataFrame, column: Column, reading: TableReading, dtype: str
) -> tuple[Any, _Problems]:
    """The values of a column: in each row the first one that its sources have.

    Args:
        frame: n rows as received.
        column: of the market; the batch has it.
        reading: how the batch is read.
        dtype: of the typed values.

    Returns:
        n values, missing where unreadable; and for each rule a mask (n,) of the rows that break it.
    """
    contract = reading.contract
    (source, convention), *others = reading.sources(column.name)
    values, problems = _read_source(frame, column, source, convention, dtype, contract)
    for other, other_convention in others:
        gaps = pd.isna(values) & ~_any(problems, len(frame))
        if not gaps.any():
            break
        more, broken = _read_source(frame, column, other, other_convention, dtype, contract)
        values = pd.Series(values).where(~gaps, pd.Series(more)).array
        problems = problems | {
            rule: problems.get(rule, np.False_) | (mask & gaps) for rule, mask in broken.items()
        }
    return values, problems
