"""How a table of homes is read: which header is which column, and how its values are written."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from realtor_model.listing.contract import ListingContract
from realtor_model.listing.convention import Convention, Evidence
from realtor_model.listing.headers import Matching, Source, match_headers, suggestions
from realtor_model.listing.numbers import DecimalSign
from realtor_model.messages import CodedMessage, message

# Header -> the values of a block of rows.
Block = Mapping[Any, Iterable[object]]
_NAMES_SHOWN = 20


@dataclass(frozen=True)
class TableReading:
    """How the columns of one table are read.

    Attributes:
        matching: which header is which column.
        conventions: (name of a column, position of the source) -> how its values are written.
    """

    matching: Matching
    conventions: Mapping[tuple[str, int], Convention]

    @property
    def contract(self) -> ListingContract:
        """The listing contract of the market."""
        return self.matching.contract

    def sources(self, name: str) -> list[tuple[Source, Convention]]:
        """The sources of a column, the best one first, with their conventions."""
        of_column = self.matching.sources.get(name, ())
        return [(source, self.conventions[name, at]) for at, source in enumerate(of_column)]

    @cached_property
    def notes(self) -> tuple[CodedMessage, ...]:
        """What a person should know: units, decimal signs and orders of days that were decided by
        the values, the headers that no column uses, and those that resemble one.
        """
        notes: list[CodedMessage] = []
        commas: list[str] = []
        decimals = {each.name for each in self.contract.columns if each.range and not each.is_whole}
        for name in self.matching.sources:
            for source, convention in self.sources(name):
                header = " + ".join(map(str, source.headers))
                if source.unit_header is not None:
                    units = str(source.unit_header)
                    notes.append(
                        message("read_in_units_of", header=header, input=name, units=units)
                    )
                    convention = replace(convention, unit=None)
                notes.extend(_notes_of(name, header, convention))
                if convention.decimal == "," and name in decimals:
                    commas.append(header)
        if commas:
            notes.append(message("read_with_decimal_comma", header=", ".join(commas)))
        resembling = suggestions(self.matching, self.contract)
        notes += [
            message("resembling_header", header=str(header), input=name)
            for header, name in resembling.items()
        ]
        unused = [str(each) for each in self.matching.unused if each not in resembling]
        if unused:
            shown = unused[:_NAMES_SHOWN]
            if len(unused) > _NAMES_SHOWN:
                shown.append("…")
            notes.append(message("unused_columns", count=len(unused), columns=shown))
        return tuple(notes)


def _notes_of(name: str, header: str, convention: Convention) -> list[CodedMessage]:
    notes = []
    if convention.unit is not None:
        notes.append(message("read_in_unit", header=header, input=name, unit=convention.unit))
    notes += [
        message("read_in_day_order", header=header, separator=separator, order=order)
        for separator, order in convention.day_order
    ]
    return notes


def read_conventions(
    headers: Iterable[Hashable],
    blocks: Iterable[Block],
    contract: ListingContract,
    chosen: Mapping[str, Hashable | None] | None = None,
    *,
    calendar_1904: bool = False,
) -> TableReading:
    """Decide how the columns of a table are read.

    Args:
        headers: of the table.
        blocks: its rows. As many blocks are read as it takes to decide; usually it is one.
        contract: of the market.
        chosen: name of a column -> its header as a person chose it, or None for no header.
        calendar_1904: whether dates that are numbers count from 1904, as in some workbooks.

    >>> from realtor_model.listing import US_LISTINGS
    >>> rows = {"Lot Size": ["5.227", "12.000,5"], "sold_date": ["28/6/2019", "6/7/2019"]}
    >>> reading = read_conventions(rows, [rows], US_LISTINGS)
    >>> [note.code for note in reading.notes]
    ['read_in_unit', 'read_in_day_order', 'read_with_decimal_comma']
    """
    matching = match_headers(headers, contract, chosen)
    by_name = {column.name: column for column in contract.columns}
    evidence = {
        (name, at): Evidence(by_name[name], source.unit, source.may_infer_unit)
        for name, sources in matching.sources.items()
        for at, source in enumerate(sources)
    }
    for block in blocks:
        open_questions = [key for key, each in evidence.items() if not each.is_settled]
        if not open_questions:
            break
        for name, at in open_questions:
            for header in matching.sources[name][at].headers:
                if header in block:
                    evidence[name, at].add(block[header])
    signs = [each.decimal for each in evidence.values() if each.decimal is not None]
    file_decimal: DecimalSign = max(signs, key=signs.count) if signs else "."
    conventions = {
        key: each.convention(file_decimal, calendar_1904=calendar_1904)
        for key, each in evidence.items()
    }
    return TableReading(matching, conventions)
