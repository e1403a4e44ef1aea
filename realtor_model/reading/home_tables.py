"""Reads tables of homes and rows of JSON: each row is a home or has problems.

NumPy and Arrow read whole columns. Only rows with an unusual value are read one by one, by
`read_home`, so that a row of a table is read exactly like a home in a request.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from realtor_model.listing import (
    FIRST_DATE,
    KEYS,
    LAST_DATE,
    TARGET,
    US_LISTINGS,
    WHOLE_TOLERANCE,
    Column,
    FieldProblem,
    Home,
    InvalidHome,
    InvalidValue,
    Kind,
    ListingContract,
    Role,
    columns_from_properties,
    is_missing,
    match_headers,
    own_statuses,
    parse,
    parse_number,
    parsed_value,
    read_conventions,
    read_home,
)
from realtor_model.listing.convention import Convention
from realtor_model.listing.headers import Source
from realtor_model.listing.parsing import ZERO_IS_UNKNOWN, shown, with_unit
from realtor_model.listing.table_reading import TableReading
from realtor_model.listing.units import factor
from realtor_model.messages import CodedMessage, message
from realtor_model.reading.arrow_types import decoded, is_plain, listed, type_names
from realtor_model.reading.table_file import ROW_CELLS

_STATUS = KEYS[Role.STATUS]
_PLACES = (KEYS[Role.STATE], KEYS[Role.ZIP_CODE])
_POINT = (KEYS[Role.LATITUDE], KEYS[Role.LONGITUDE])
# JSON types of a column's values. Others are read one by one.
_NUMERIC: tuple[type, ...] = (int, float)
_BOOLEAN: tuple[type, ...] = (bool, int, float)
_TEXT: tuple[type, ...] = (str,)
# Rows of a column that are looked at for its unit.
_ROWS_FOR_UNITS = 10_000

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Homes:
    """n rows of a table.

    Attributes:
        columns: the market's `keys`, arrays (n,); undefined in rows with problems.
        problems: row -> why it cannot be valued.
        notes: row -> values that were left out or read as unknown.
        reading: how the table was read.
    """

    columns: dict[str, NDArray[Any]]
    problems: dict[int, tuple[FieldProblem, ...]]
    notes: dict[int, list[CodedMessage]]
    reading: TableReading

    def __len__(self) -> int:
        return len(self.columns[_STATUS])

    @property
    def valid(self) -> NDArray[np.intp]:
        """The rows that can be valued, ascending."""
        rows = np.ones(len(self), bool)
        rows[list(self.problems)] = False
        return np.flatnonzero(rows)


class _Values(NamedTuple):
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


class _Rows:
    """n rows while their columns are read.

    Attributes:
        suspect: mask (n,) of the rows that `read_home` has to read.
    """

    def __init__(self, reading: TableReading, n: int) -> None:
        self._reading = reading
        self._contract = reading.contract
        self._n = n
        self._columns: dict[str, NDArray[Any]] = {}
        self._notes: dict[int, list[CodedMessage]] = {}
        self.suspect = np.zeros(n, bool)

    def add(self, key: str, column: Column | None, sources: Iterator[_Values]) -> None:
        """Add a column: in each row the first given value of its sources.

        Sources are read as long as a row has no value.
        """
        first = next(sources, None)
        if column is None or first is None:
            self._columns[key] = _absent(key, column, self._contract).repeat(self._n)
            return
        values, odd, given, zeros, received = first
        is_final = isinstance(received, pa.Array) and column.range is None
        if not column.moves_estimate and is_final and odd.any():
            rows = np.flatnonzero(odd)
            values[rows] = _absent(key, column, self._contract)[0]
            for row, value in zip(rows.tolist(), _at(received, rows), strict=True):
                self._note(row, message("left_out", input=column.name, value=shown(str(value))))
            odd = np.zeros(self._n, bool)
        if zeros is not None:
            for row in np.flatnonzero(zeros).tolist():
                self._note(row, message("zero_is_unknown", input=column.name))
        while not given.all() and (other := next(sources, None)) is not None:
            taken = other.given & ~given
            values = np.where(taken, other.values, values)
            odd = odd | (other.odd & taken)
            given = given | other.given
        self.suspect |= odd
        self._columns[key] = values

    def _note(self, row: int, note: CodedMessage) -> None:
        self._notes.setdefault(row, []).append(note)

    def homes(self, entries: Iterable[tuple[int, object]]) -> Homes:
        """The homes.

        Args:
            entries: the suspect rows, and their entries as `read_home` takes them.
        """
        problems: dict[int, tuple[FieldProblem, ...]] = {}
        passed: list[Home] = []
        rows: list[int] = []
        for row, entry in entries:
            try:
                home, notes = read_home(entry, self._contract, self._reading)
            except InvalidHome as invalid:
                problems[row] = invalid.problems
                continue
            passed.append(home)
            rows.append(row)
            if notes:
                self._notes[row] = list(notes)
        for key, read in columns_from_properties(passed, self._contract).items():
            self._columns[key][rows] = read
        return Homes(self._columns, problems, self._notes, self._reading)

    def mark_incomplete(self) -> None:
        """Suspect the rows without a place, and those without a size."""
        self.suspect |= _not_enough(self._columns, self._contract)


def understand(
    table: pa.Table | pa.RecordBatch,
    contract: ListingContract = US_LISTINGS,
    chosen: Mapping[str, str | None] | None = None,
) -> TableReading:
    """Decide how a table is read: its headers, and by whole columns units, signs and orders."""
    return understand_batches(table.schema.names, [table], contract, chosen)


def understand_batches(
    names: Sequence[str],
    batches: Iterable[pa.Table | pa.RecordBatch],
    contract: ListingContract,
    chosen: Mapping[str, str | None] | None = None,
    *,
    calendar_1904: bool = False,
) -> TableReading:
    """The same for a table in batches; usually the first one decides."""
    headers = [name for name in names if name != ROW_CELLS]
    blocks = map(_Block, batches)
    return read_conventions(headers, blocks, contract, chosen, calendar_1904=calendar_1904)


class _Block(Mapping[Any, Iterable[object]]):
    """The values that decide: the first ones of each column, and then each distinct one."""

    def __init__(self, batch: pa.Table | pa.RecordBatch) -> None:
        self._batch = batch

    def __getitem__(self, header: str) -> Iterable[object]:
        values = decoded(self._batch.column(header))
        if not _is_text(values.type):
            return listed(values.slice(0, _ROWS_FOR_UNITS))
        return [*listed(values.slice(0, _ROWS_FOR_UNITS)), *listed(pc.unique(values))]

    def __iter__(self) -> Iterator[str]:
        return iter(self._batch.schema.names)

    def __len__(self) -> int:
        return len(self._batch.schema.names)


def read_rows(rows: Sequence[Any], contract: ListingContract = US_LISTINGS) -> Homes:
    """Read n rows of JSON.

    Args:
        rows: n decoded JSON values; each should be an object with inputs of the market.
        contract: of the market.

    >>> homes = read_rows([{"state": "Texas", "bed": 3}, {"state": "Texas", "bed": -1}])
    >>> homes.columns["bed"][0].item(), list(homes.problems)
    (3.0, [1])
    """
    n = len(rows)
    # A row that is not an object is treated as an empty home, so `read_home` reads it below.
    is_object = np.fromiter((isinstance(row, Mapping) for row in rows), bool, n)
    objects = [row if isinstance(row, Mapping) else {} for row in rows]
    headers = list(dict.fromkeys(header for row in objects for header in row))
    # Only these columns, because each row may have headers of its own.
    matching = match_headers(headers, contract)
    used = (*matching.columns, *matching.unit_headers)
    block = {header: [row.get(header) for row in objects] for header in used}
    reading = read_conventions(headers, [block], contract)
    read = _Rows(reading, n)
    read.suspect |= ~is_object
    for key, column in _inputs(contract):
        sources = [] if column is None else reading.sources(column.name)
        read.add(
            key,
            column,
            (
                _json_values(
                    column, _added(column, block, source, convention), convention, contract
                )
                for source, convention in sources
                if column is not None
            ),
        )
    read.mark_incomplete()
    return read.homes((row, rows[row]) for row in np.flatnonzero(read.suspect).tolist())


def read_homes(
    table: pa.Table | pa.RecordBatch,
    contract: ListingContract = US_LISTINGS,
    reading: TableReading | None = None,
) -> Homes:
    """Read the homes of a table of n rows.

    Args:
        table: any of the market's inputs as columns, under any of their headers; other columns are
            ignored. Numbers and dates may be typed or text.
        contract: of the market.
        reading: how the table is read; None: as `understand` decides.

    >>> homes = read_homes(pa.table({"state": ["Texas", "TX"], "Beds": ["3", "many"]}))
    >>> homes.valid.tolist(), homes.problems[1][0].code
    ([0], 'not_a_number')
    """
    reading = reading or understand(table, contract)
    received = {
        header: _without_nan(decoded(table.column(header))) for header in _read_headers(reading)
    }
    read = _Rows(reading, table.num_rows)
    for key, column in _inputs(contract):
        sources = [] if column is None else reading.sources(column.name)
        read.add(
            key,
            column,
            (
                _arrow_values(column, received, source, convention, contract)
                for source, convention in sources
                if column is not None
            ),
        )
    read.mark_incomplete()
    homes = read.homes(_entries(table, received, np.flatnonzero(read.suspect)))
    homes.problems.update(_misfits(table))
    return homes


def _read_headers(reading: TableReading) -> list[Any]:
    """The headers whose values decide a home: those of its inputs, and of their units."""
    columns = reading.matching.columns.items()
    of_inputs = [header for header, column in columns if column.key != TARGET]
    return [*of_inputs, *reading.matching.unit_headers]


def _misfits(table: pa.Table | pa.RecordBatch) -> Iterator[tuple[int, tuple[FieldProblem, ...]]]:
    """The rows of a file that do not fit its header, with their problem."""
    if ROW_CELLS not in table.schema.names:
        return
    cells = decoded(table.column(ROW_CELLS))
    for row in np.flatnonzero(_given(cells)).tolist():
        coded = message(
            "row_does_not_fit", cells=cells[row].as_py(), columns=len(table.schema.names) - 1
        )
        yield row, (FieldProblem((), coded.code, coded.params, coded.text, None),)


def _entries(
    table: pa.Table | pa.RecordBatch, received: Mapping[str, pa.Array], rows: NDArray[np.intp]
) -> Iterator[tuple[int, dict[str, object]]]:
    """The rows, with the values of all columns of text or of homes."""
    if not len(rows):
        return
    chosen = pa.array(rows)
    columns = {
        header: received[header] if header in received else decoded(table.column(header))
        for header in table.schema.names
        if header in received or _is_text(table.schema.field(header).type)
    }
    taken = [
        listed(pc.take(column, chosen))
        if is_plain(column.type)
        else type_names(column.take(chosen))
        for column in columns.values()
    ]
    for row, *values in zip(rows.tolist(), *taken, strict=True):
        yield row, dict(zip(columns, values, strict=True))


def table_of(frame: pd.DataFrame) -> pa.Table:
    """A frame as a table, without its index; a column of mixed types becomes text.

    >>> table_of(pd.DataFrame({"bed": [3, "studio"]}))["bed"].to_pylist()
    ['3', 'studio']
    """
    columns = {}
    for position, name in enumerate(map(str, frame.columns)):
        values = frame.iloc[:, position]
        try:
            columns[name] = pa.Array.from_pandas(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            texts = values.astype(object).where(values.notna(), None)
            columns[name] = pa.array([None if each is None else str(each) for each in texts])
    return pa.table(columns)


def _without_nan(values: pa.Array) -> pa.Array:
    """NaN becomes null, because some writers store missing values as NaN."""
    if pa.types.is_floating(values.type):
        return pc.if_else(pc.is_nan(values), None, values)
    return values


def _arrow_values(
    column: Column,
    received: Mapping[str, pa.Array],
    source: Source,
    convention: Convention,
    contract: ListingContract,
) -> _Values:
    """One source of a column."""
    if len(source.headers) > 1:
        lists = {header: listed(received[header]) for header in source.headers}
        added = _added(column, lists, source, convention)
        return _json_values(column, added, Convention(), contract)
    values = received[source.headers[0]]
    if not is_plain(values.type):
        given = _given(values)
        absent = _absent(column.key, column, contract).repeat(len(values))
        return _Values(absent, given, given, None, values)
    if source.unit_header is not None:
        values = _with_units(values, received[source.unit_header])
    if column.range is not None:
        return _numbers(column, values, convention)
    if column.kind is Kind.DATE and _is_day(values.type):
        return _days(values)
    if column.kind is Kind.BOOLEAN and pa.types.is_boolean(values.type):
        given = _given(values)
        # Copied, because Arrow's own memory cannot be written to.
        booleans = np.array(pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False))
        return _Values(booleans, ~np.ones_like(given), given, None, values)
    return _distinct(column, values, convention, contract)


def _with_units(values: pa.Array, units: pa.Array) -> pa.Array:
    """Numbers (n,) as texts with their units."""
    if not is_plain(units.type):
        return values
    pairs = zip(listed(values), listed(units), strict=True)
    return pa.array([with_unit(value, unit) for value, unit in pairs], pa.string())


def _added(
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


def _json_values(
    column: Column, values: Sequence[object], convention: Convention, contract: ListingContract
) -> _Values:
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
    return _Values(parsed[at], odd | unreadable[at], given & ~missing[at] | odd, None, received)


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


def _numbers(column: Column, received: pa.Array, convention: Convention) -> _Values:
    """Numbers (n,), NaN where missing."""
    if pa.types.is_boolean(received.type):
        given = _given(received)
        return _Values(np.full(len(received), np.nan), given, given, None, received)
    values = received
    if _is_text(received.type):
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
    given = _given(values)
    return _possible(column, np.where(given, numbers, np.nan), given, convention, received)


def _written_numbers(column: Column, received: pa.Array, convention: Convention) -> _Values:
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
    return _Values(numbers[codes], odd[codes], given[codes], some_zeros, received)


def _possible(
    column: Column,
    numbers: NDArray[np.float64],
    given: Mask,
    convention: Convention,
    received: pa.Array | Sequence[object],
) -> _Values:
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
    return _Values(numbers, given & ~fine, given, zeros, received)


def _float(value: object, otherwise: float = np.nan) -> float:
    """The value as a float; NaN for None, `otherwise` for what is no number or too large a one."""
    if value is None:
        return np.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return otherwise


def _days(received: pa.Array) -> _Values:
    """Dates (n,), NaT where missing; those outside `FIRST_DATE` to `LAST_DATE` are odd."""
    days = received.to_numpy(zero_copy_only=False).astype("datetime64[D]")
    odd: Mask = (days < np.datetime64(FIRST_DATE)) | (days > np.datetime64(LAST_DATE))
    return _Values(days, odd, ~np.isnat(days), None, received)


def _distinct(
    column: Column, received: pa.Array, convention: Convention, contract: ListingContract
) -> _Values:
    """Parsed values (n,); each distinct value is parsed once."""
    encoded = pc.dictionary_encode(received)
    values = [*listed(encoded.dictionary), None]
    codes = pc.fill_null(encoded.indices, len(values) - 1).to_numpy(zero_copy_only=False)
    parsed, odd, missing = _parsed(column, values, convention, contract)
    return _Values(parsed[codes], odd[codes], ~missing[codes], None, received)


def _parsed(
    column: Column,
    values: Collection[object],
    convention: Convention,
    contract: ListingContract,
) -> tuple[NDArray[Any], Mask, Mask]:
    """Parse k values of a column that is not a number; masks of unreadable and missing ones."""
    parsed = _absent(column.key, column, contract).repeat(len(values))
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
    nowhere = [pd.isna(columns[key]) for key in _PLACES if key in keys]
    if keys.issuperset(_POINT):
        nowhere.append(np.isnan(columns[_POINT[0]]) | np.isnan(columns[_POINT[1]]))
    sizes = [np.isnan(columns[column.key]) for column in contract.sizes]
    missing: Mask = np.logical_and.reduce(nowhere) | np.logical_and.reduce(sizes)
    return missing


def _at(received: pa.Array | Sequence[object], rows: NDArray[np.intp]) -> list[object]:
    """The received values of some rows."""
    if isinstance(received, pa.Array):
        if not is_plain(received.type):
            return type_names(received.take(pa.array(rows)))
        return listed(pc.take(received, pa.array(rows)))
    return [received[row] for row in rows.tolist()]


def _given(values: pa.Array) -> Mask:
    given: Mask = values.is_valid().to_numpy(zero_copy_only=False)
    return given


def _is_day(kind: pa.DataType) -> bool:
    """Whether the type is a date, or a timestamp without a time zone (the same day anywhere)."""
    return bool(pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
