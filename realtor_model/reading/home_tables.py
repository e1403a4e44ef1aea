"""Reads tables of homes and rows of JSON: each row is a home or has problems.

NumPy and Arrow read whole columns. Only rows with an unusual value are read one by one, by
`read_home`, so that a row of a table is read exactly like a home in a request.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from realtor_model.listing import (
    KEYS,
    TARGET,
    US_LISTINGS,
    Column,
    FieldProblem,
    Home,
    InvalidHome,
    ListingContract,
    Role,
    columns_from_properties,
    match_headers,
    read_conventions,
    read_home,
)
from realtor_model.listing.parsing import shown
from realtor_model.listing.table_reading import TableReading
from realtor_model.messages import CodedMessage, message
from realtor_model.reading.arrow_types import decoded, is_plain, listed, type_names
from realtor_model.reading.column_values import (
    ColumnValues,
    Mask,
    absent_value,
    added_parts,
    arrow_values,
    given_mask,
    is_text,
    json_values,
    values_at,
)
from realtor_model.reading.table_file import ROW_CELLS

_STATUS = KEYS[Role.STATUS]
_PLACES = (KEYS[Role.STATE], KEYS[Role.ZIP_CODE])
_POINT = (KEYS[Role.LATITUDE], KEYS[Role.LONGITUDE])
# Rows of a column that are looked at for its unit.
_ROWS_FOR_UNITS = 10_000


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

    def add(self, key: str, column: Column | None, sources: Iterator[ColumnValues]) -> None:
        """Add a column: in each row the first given value of its sources.

        Sources are read as long as a row has no value.
        """
        first = next(sources, None)
        if column is None or first is None:
            self._columns[key] = absent_value(key, column, self._contract).repeat(self._n)
            return
        values, odd, given, zeros, received = first
        is_final = isinstance(received, pa.Array) and column.range is None
        if not column.moves_estimate and is_final and odd.any():
            rows = np.flatnonzero(odd)
            values[rows] = absent_value(key, column, self._contract)[0]
            for row, value in zip(rows.tolist(), values_at(received, rows), strict=True):
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
        if not is_text(values.type):
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
                json_values(
                    column, added_parts(column, block, source, convention), convention, contract
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
                arrow_values(column, received, source, convention, contract)
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
    for row in np.flatnonzero(given_mask(cells)).tolist():
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
        if header in received or is_text(table.schema.field(header).type)
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


@cache
def _inputs(contract: ListingContract) -> tuple[tuple[str, Column | None], ...]:
    """The market's `keys`, and the input of each; None where the market has none."""
    return tuple((key, contract.by_key.get(key)) for key in contract.keys)


def _not_enough(columns: Mapping[str, NDArray[Any]], contract: ListingContract) -> Mask:
    """Mask (n,) of rows that cannot be valued: without a place, or without a size."""
    keys = {column.key for column in contract.places}
    nowhere = [pd.isna(columns[key]) for key in _PLACES if key in keys]
    if keys.issuperset(_POINT):
        nowhere.append(np.isnan(columns[_POINT[0]]) | np.isnan(columns[_POINT[1]]))
    sizes = [np.isnan(columns[column.key]) for column in contract.sizes]
    missing: Mask = np.logical_and.reduce(nowhere) | np.logical_and.reduce(sizes)
    return missing
