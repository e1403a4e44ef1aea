"""Reads one home as people write it: any known header, unit and format.

Values that decide the estimate are strict: one that cannot be read is a problem of the home. Other
values never cost a home: they are left out with a note.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from realtor_model.listing.column import Column, Role
from realtor_model.listing.contract import ListingContract
from realtor_model.listing.convention import Convention
from realtor_model.listing.headers import Source
from realtor_model.listing.parsing import (
    InvalidValue,
    is_missing,
    parse,
    parse_number,
    shown,
    with_unit,
)
from realtor_model.listing.problems import FieldProblem
from realtor_model.listing.property import Home, home_model, missing_place_or_size
from realtor_model.listing.table_reading import TableReading, read_conventions
from realtor_model.messages import CodedMessage, message

_TOTALS = frozenset(
    {"total", "totals", "grand total", "subtotal", "sum", "average", "mean", "median", "count",
     "suma", "total general", "promedio", "media"}
)  # fmt: skip
_FIELDS_SHOWN = 20


class InvalidHome(ValueError):
    """A home cannot be valued.

    Attributes:
        problems: what is wrong with it, at least one.
    """

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(problem.line for problem in problems))


class ReadHome(NamedTuple):
    """A home, and what its reader should know: values that were left out or read as unknown."""

    home: Home
    notes: tuple[CodedMessage, ...]


def read_home(
    entries: object, contract: ListingContract, reading: TableReading | None = None
) -> ReadHome:
    """Read one home.

    Args:
        entries: a mapping: header -> value, as received.
        contract: of the market.
        reading: how the table of the home is read; None: the home is alone, and unknown headers are
            noted.

    Raises:
        InvalidHome: a value that decides the estimate cannot be read, or the home has no place or
            no size.

    >>> from realtor_model.listing import US_LISTINGS
    >>> read = read_home({"ZIP": "77008", "Sq. Ft.": "1,800", "roof": "slate"}, US_LISTINGS)
    >>> read.home.house_size, [note.text for note in read.notes]
    (1800, ['Not used: roof.'])
    """
    if not isinstance(entries, Mapping):
        not_an_object = message("not_an_object")
        raise InvalidHome((FieldProblem((), not_an_object.code, {}, not_an_object.text, entries),))
    notes: list[CodedMessage] = []
    if reading is None:
        block = {header: [value] for header, value in entries.items()}
        reading = read_conventions(block, [block], contract)
        if unused := [shown(str(header)) for header in reading.matching.unused]:
            notes.append(message("unused_fields", fields=unused[:_FIELDS_SHOWN]))
    values: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    for column in contract.inputs:
        raw, value, invalid = _value_of(column, entries, reading)
        if invalid is None:
            values[column.name] = column.default if value is None else value
            if value is None and not is_missing(raw):
                notes.append(message("zero_is_unknown", input=column.name))
        elif column.moves_estimate:
            problems.append(value_problem(column, raw, invalid))
        else:
            values[column.name] = column.default
            notes.append(message("left_out", input=column.name, value=shown(str(raw))))
    if not problems:
        problems.extend(_lacking(contract, values, entries))
    if problems:
        raise InvalidHome(tuple(problems))
    return ReadHome(home_model(contract).model_construct(**values), tuple(notes))


def value_problem(column: Column, value: object, invalid: InvalidValue) -> FieldProblem:
    """The problem of a value that cannot be read."""
    text = f"{column.name} is {shown(repr(value))}; it {invalid.rule.text}"
    params = {**invalid.rule.params, "input": column.name}
    return FieldProblem((column.name,), invalid.rule.code, params, text, value)


def _value_of(
    column: Column, entries: Mapping[Any, object], reading: TableReading
) -> tuple[object, object, InvalidValue | None]:
    """The first given value of a column as received, the parsed value, or why it is invalid."""
    for source, convention in reading.sources(column.name):
        raw = [entries.get(header) for header in source.headers]
        if all(map(is_missing, raw)):
            continue
        if source.unit_header is not None:
            raw = [with_unit(raw[0], entries.get(source.unit_header))]
        try:
            value = parsed_value(column, raw, source, convention)
        except InvalidValue as invalid:
            return (raw[0] if len(raw) == 1 else raw), None, invalid
        return (raw[0] if len(raw) == 1 else raw), value, None
    return None, None, None


def parsed_value(
    column: Column, raw: list[object], source: Source, convention: Convention
) -> object:
    """The value of a column from those under the headers of a source; None if all are missing.

    Raises:
        InvalidValue: one of them cannot be read, or their sum is not valid.
    """
    if len(raw) > 1:
        parts = [parse_number(_part_of(column), value, convention) for value in raw]
        given = [
            number * weight
            for number, weight in zip(parts, source.weights, strict=True)
            if number is not None
        ]
        return parse_number(column, sum(given)) if given else None
    if column.range is not None:
        return parse_number(column, raw[0], convention)
    return parse(column, raw[0], convention)


@cache
def _part_of(column: Column) -> Column:
    """A column for the parts of `column`: none of its half baths is a number of them, too."""
    return replace(column, role=Role.INPUT)


def _lacking(
    contract: ListingContract, values: Mapping[str, object], entries: Mapping[Any, object]
) -> Iterator[FieldProblem]:
    missing = missing_place_or_size(contract, values)
    if missing is None:
        return
    label = next(
        (value for value in entries.values()
         if isinstance(value, str) and value.strip().casefold() in _TOTALS),
        None,
    )  # fmt: skip
    if label is not None:
        missing = message("total_row", label=shown(label))
    yield FieldProblem((), missing.code, missing.params, missing.text, dict(entries))
