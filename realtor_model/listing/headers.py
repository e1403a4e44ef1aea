"""Which column of a market each header of a file or a request is."""

import difflib
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from realtor_model.listing.column import Column, Role
from realtor_model.listing.contract import LONGEST_TEXT, ListingContract
from realtor_model.listing.units import compact, unit_of, without_unit

Certainty = Literal["name", "header", "chosen"]
# Below this ratio of difflib a header does not resemble another one.
_LEAST_SIMILARITY = 0.84
_SHORTEST_RESEMBLING = 5
# Unused headers that are compared with those of the market.
_MOST_COMPARED = 500
# Sources of a column. Exports have three or four; each one is read in every row.
_MOST_SOURCES = 6
_LAST = 10**6
# Headers of rates: $/Square Feet, Precio €/m².
_RATE = re.compile(r"[$€£]\s*/|/\s*(sq|ft|m2|m²)", re.IGNORECASE)

# Words that name a size beside its unit: land (sq ft). Alone, land and building are often values
# in dollars, and finished and heated are yes or no.
_BESIDE_UNIT: Mapping[str, Role] = {
    "land": Role.LOT_SIZE,
    "deeded": Role.LOT_SIZE,
    **dict.fromkeys(
        ("living", "building", "bldg", "gross", "finished", "totalfinished", "calculatedfinished",
         "heated", "abovegrade", "total", "approx", "est", "construidos", "utiles"),
        Role.LIVING_AREA,
    ),
}  # fmt: skip
_LAND_UNITS = ("acres", "hectares")
# Header -> the header beside which it is a number of a parcel: assessors count lots in a block.
_NUMBERED_IN = {"lot": "block"}


@dataclass(frozen=True)
class Source:
    """Where the values of a column come from: one header, or several whose values are added.

    Attributes:
        headers: the header; or those of the column's parts.
        weights: what the values under each header are multiplied by before they are added.
        unit: the unit that the header states; None: it states none.
        unit_header: the header of the column with the unit of each value; None: there is none.
        certainty: "name": the header is the column's own name; "header": one of its other headers;
            "chosen": a person said so.
    """

    headers: tuple[Any, ...]
    weights: tuple[float, ...] = (1.0,)
    unit: str | None = None
    certainty: Certainty = "header"
    unit_header: Any | None = None

    @property
    def may_infer_unit(self) -> bool:
        """Whether the values have to show the unit, because the header does not."""
        return self.unit is None and self.certainty != "name"


@dataclass(frozen=True)
class Matching:
    """The columns of a table that are columns of the market.

    Attributes:
        contract: of the market.
        sources: name of a column -> its sources, the best one first. A value that is missing in one
            is taken from the next: exports have a lot in acres or in square feet.
        unused: the headers that are no column.
    """

    contract: ListingContract
    sources: Mapping[str, tuple[Source, ...]]
    unused: tuple[Any, ...]

    @property
    def columns(self) -> dict[Any, Column]:
        """Header -> the column that it belongs to, without the unused headers."""
        by_name = {column.name: column for column in self.contract.columns}
        return {
            header: by_name[name]
            for name, sources in self.sources.items()
            for source in sources
            for header in source.headers
        }

    @property
    def unit_headers(self) -> frozenset[Any]:
        """The headers of columns with the unit of each value of another column."""
        each = (source.unit_header for of in self.sources.values() for source in of)
        return frozenset(header for header in each if header is not None)


@dataclass(frozen=True)
class _Known:
    """A header that means a column; the lowest rank counts where several do."""

    column: Column
    rank: int
    unit: str | None


@cache
def _known_headers(contract: ListingContract) -> Mapping[str, _Known]:
    known: dict[str, _Known] = {}
    for column in contract.columns:
        known[compact(column.name)] = _Known(column, -1, None)
    for column in contract.columns:
        for rank, (header, unit) in enumerate(column.headers.items()):
            known.setdefault(compact(header), _Known(column, rank, unit))
    return known


@cache
def _known_parts(contract: ListingContract) -> Mapping[str, tuple[Column, float]]:
    return {
        compact(header): (column, weight)
        for column in contract.columns
        for header, weight in column.parts.items()
    }


def _meaning(header: object, contract: ListingContract) -> _Known | None:
    """The column that a header means, with the unit in it: `Lot Size (sq ft)`, `sqft_lot`."""
    key = compact(str(header))
    known = _known_headers(contract)
    if _RATE.search(str(header)):
        return None
    if exact := known.get(key):
        # Some headers are a unit only: sqft, acres.
        unit = unit_of(key) if exact.column.is_area and exact.rank >= 0 else None
        return replace(exact, unit=exact.unit or unit)
    for rest, unit in without_unit(key):
        column = known.get(rest) or _named_beside_unit(rest, unit, contract)
        if column is not None and column.column.is_area:
            return _Known(column.column, max(column.rank, 0), unit)
    return None


def _named_beside_unit(word: str, unit: str, contract: ListingContract) -> _Known | None:
    role = _BESIDE_UNIT.get(word)
    if word == "total" and unit in _LAND_UNITS:
        role = Role.LOT_SIZE
    column = None if role is None else contract.by_role.get(role)
    return None if column is None else _Known(column, len(column.headers), unit)


def match_headers(
    headers: Iterable[Hashable],
    contract: ListingContract,
    chosen: Mapping[str, Hashable | None] | None = None,
) -> Matching:
    """Match the headers of a table with the columns of a market; the price is one of them.

    The column's own name comes first; then the headers of at least two of its parts (full and half
    baths); then its other headers, in the order of their declaration.

    Args:
        headers: of the table.
        contract: of the market.
        chosen: name of a column -> its header as a person chose it, or None for no header.

    >>> from realtor_model.listing import US_LISTINGS
    >>> matched = match_headers(["full_baths", "half_baths", "Lot (m²)", "roof"], US_LISTINGS)
    >>> [source.headers for source in matched.sources["bath"]]
    [('full_baths', 'half_baths')]
    >>> matched.sources["acre_lot"][0].unit, matched.unused
    ('square meters', ('roof',))
    """
    listed = list(headers)
    chosen = chosen or {}
    taken = {header for header in chosen.values() if header is not None}
    units = _unit_headers(listed)
    ranked: dict[str, list[tuple[int, Source]]] = {}
    for name, rank, source in _candidates(listed, contract):
        if name not in chosen and not taken.intersection(source.headers):
            ranked.setdefault(name, []).append((rank, source))
    sources: dict[str, tuple[Source, ...]] = {}
    for column in contract.columns:
        header = chosen.get(column.name)
        if header is not None:
            sources[column.name] = (_chosen(column, header, contract),)
        elif of_column := ranked.get(column.name):
            of_column.sort(key=lambda candidate: candidate[0])
            sources[column.name] = tuple(source for _, source in of_column[:_MOST_SOURCES])
        if column.is_area and column.name in sources:
            of_area = sources[column.name]
            sources[column.name] = tuple(_beside_its_units(each, units) for each in of_area)
    matching = Matching(contract, sources, ())
    used = {*matching.columns, *matching.unit_headers}
    return replace(matching, unused=tuple(each for each in listed if each not in used))


def _unit_headers(headers: Iterable[Hashable]) -> dict[str, Hashable]:
    """Compact header of a size -> header of its units: LivingAreaUnits, lotAreaUnit."""
    unit_headers = {}
    for header in headers:
        key = compact(str(header))
        stem = key.removesuffix("s").removesuffix("unit")
        if stem and key.startswith(f"{stem}unit"):
            # LotSizeArea and lotAreaValue have LotSizeUnits and lotAreaUnit.
            unit_headers.update(dict.fromkeys((stem, f"{stem}area", f"{stem}value"), header))
    return unit_headers


def _beside_its_units(source: Source, units: Mapping[str, Hashable]) -> Source:
    if source.unit is not None or len(source.headers) > 1:
        return source
    return replace(source, unit_header=units.get(compact(str(source.headers[0]))))


def _candidates(
    headers: list[Hashable], contract: ListingContract
) -> Iterator[tuple[str, int, Source]]:
    """Name of a column, rank, and source, for each that the headers offer."""
    parts: dict[str, dict[float, Hashable]] = {}
    short = [header for header in headers if len(str(header)) <= LONGEST_TEXT]
    keys = {compact(str(header)) for header in short}
    for header in short:
        if _NUMBERED_IN.get(compact(str(header))) in keys:
            continue
        known = _meaning(header, contract)
        if known is not None:
            is_name = known.rank < 0
            # Of two spellings of the name, the exact one comes first.
            rank = -4 if header == known.column.name else -3 if is_name else known.rank
            certainty: Certainty = "name" if is_name else "header"
            yield known.column.name, rank, Source((header,), (1.0,), known.unit, certainty)
        if part := _known_parts(contract).get(compact(str(header))):
            column, weight = part
            parts.setdefault(column.name, {}).setdefault(weight, header)
    for name, by_weight in parts.items():
        if 1.0 in by_weight:
            rank = -1 if len(by_weight) > 1 else _LAST
            yield name, rank, Source(tuple(by_weight.values()), tuple(by_weight))


def _chosen(column: Column, header: Hashable, contract: ListingContract) -> Source:
    known = _meaning(header, contract)
    unit = known.unit if known is not None and known.column is column else None
    if unit is None and column.is_area:
        unit = next((unit for _, unit in without_unit(compact(str(header)))), None)
    return Source((header,), (1.0,), unit, "name" if header == column.name else "chosen")


def matched_columns(headers: Iterable[Hashable], contract: ListingContract) -> dict[Any, Column]:
    """Header -> the column that it belongs to, for each header that belongs to one.

    >>> from realtor_model.listing import US_LISTINGS
    >>> [column.name for column in matched_columns(["Beds", "roof"], US_LISTINGS).values()]
    ['bed']
    """
    return match_headers(headers, contract).columns


def suggestions(matching: Matching, contract: ListingContract) -> dict[Any, str]:
    """Unused header -> the unmatched column whose headers it resembles: a person has to confirm it.

    >>> from realtor_model.listing import US_LISTINGS
    >>> suggestions(match_headers(["bedroms", "altitude"], US_LISTINGS), US_LISTINGS)
    {'bedroms': 'bed'}
    """
    open_columns = [each for each in contract.columns if each.name not in matching.sources]
    short = [header for header in matching.unused if len(str(header)) <= LONGEST_TEXT]
    keys = {header: compact(str(header)) for header in short}
    long_enough = [header for header, key in keys.items() if len(key) >= _SHORTEST_RESEMBLING]
    resembling: dict[Any, str] = {}
    for header in long_enough[:_MOST_COMPARED]:
        scores = {
            column.name: _similarity(keys[header], column)
            for column in open_columns
            if column.name not in resembling.values()
        }
        best = max(scores, key=scores.__getitem__, default=None)
        if best is not None and scores[best] >= _LEAST_SIMILARITY:
            resembling[header] = best
    return resembling


def _similarity(key: str, column: Column) -> float:
    """The largest ratio of a header to one of a column's; 0 where none can reach the least one."""
    matcher = difflib.SequenceMatcher(None, b=key)
    ratios = [0.0]
    for known in (column.name, *column.headers):
        matcher.set_seq1(compact(known))
        # Cheap upper bounds come first.
        if min(matcher.real_quick_ratio(), matcher.quick_ratio()) >= _LEAST_SIMILARITY:
            ratios.append(matcher.ratio())
    return max(ratios)
