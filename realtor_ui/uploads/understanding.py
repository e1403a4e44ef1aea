"""What a file of homes holds: matched columns, homes, prices, and rows that cannot be valued."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from realtor_model.listing import FieldProblem, ListingContract, Role, Source, TableReading
from realtor_model.listing.headers import suggestions
from realtor_model.reading.home_tables import Homes, read_homes, understand_batches
from realtor_model.reading.prices import read_prices
from realtor_ui.responses import ModelInfo
from realtor_ui.uploads.opening import OpenedFile

Chosen = Mapping[str, str | None]
Sureness = Literal["name", "header", "resembles", "chosen"]


@dataclass(frozen=True)
class Understanding:
    """How a file of n rows is read, and its homes.

    Attributes:
        reading: which header is which column, and how its values are written.
        resembling: the columns whose header only resembles one of theirs.
        homes: the rows as homes; None if no column gives a place, or none a size.
        prices: array (n,), NaN where a row has none; None if the file has no price column.
    """

    reading: TableReading
    resembling: frozenset[str]
    homes: Homes | None
    prices: NDArray[np.float64] | None

    @property
    def problems(self) -> Mapping[int, tuple[FieldProblem, ...]]:
        """Row -> why it cannot be valued."""
        return {} if self.homes is None else self.homes.problems

    @cached_property
    def valid(self) -> NDArray[np.intp]:
        """The rows that can be valued, ascending."""
        return np.empty(0, np.intp) if self.homes is None else self.homes.valid

    @property
    def inputs(self) -> list[str]:
        """The names of the matched columns, without the price."""
        return [name for name in self.reading.matching.sources if name != self.price]

    @property
    def price(self) -> str:
        """The name of the price column in the market."""
        return self.reading.contract.by_role[Role.TARGET].name

    def sureness(self, name: str) -> Sureness:
        """How sure the match of a column is."""
        if name in self.resembling:
            return "resembles"
        return self.reading.matching.sources[name][0].certainty

    def first_values(self, name: str, count: int = 3) -> list[Any]:
        """The first values of a column as they were read, in rows that can be valued."""
        if self.homes is None:
            return []
        if name == self.price:
            values = self.prices if self.prices is not None else np.empty(0)
        else:
            values = self.homes.columns[self.reading.contract.by_name[name].key][self.valid]
        given = (value for value in values.tolist() if value is not None and value == value)
        return [value for value, _ in zip(given, range(count), strict=False)]


def understand_file(
    opened: OpenedFile, info: ModelInfo, contract: ListingContract, chosen: Chosen
) -> Understanding:
    """Read a file.

    Args:
        opened: the file.
        info: of the model that will value its homes.
        contract: of the model's market.
        chosen: name of a column -> its header as the user chose it, or None for no header.
    """
    reading = _reading(opened, contract, chosen)
    resembling = {
        name: header
        for header, name in suggestions(reading.matching, contract).items()
        if name not in chosen
    }
    if resembling:
        reading = _reading(opened, contract, {**resembling, **chosen})
    sources = reading.matching.sources
    has_prices = contract.by_role[Role.TARGET].name in sources
    prices = read_prices(opened.table, reading) if has_prices else None
    if lacking(sources, info):
        return Understanding(reading, frozenset(resembling), None, prices)
    homes = read_homes(opened.rows, contract, reading)
    return Understanding(reading, frozenset(resembling), homes, prices)


def _reading(opened: OpenedFile, contract: ListingContract, chosen: Chosen) -> TableReading:
    return understand_batches(
        opened.table.column_names,
        opened.batches(),
        contract,
        chosen,
        calendar_1904=opened.date_1904,
    )


def lacking(matched: Mapping[str, tuple[Source, ...]], info: ModelInfo) -> list[str]:
    """The keys of the texts about missing columns without which no home can be valued.

    Args:
        matched: name of a column -> its sources.
        info: of the model.
    """
    missing = []
    if not any(all(name in matched for name in names) for names in info.market.places):
        missing.append("many.missing_place")
    if info.market.sizes and not any(name in matched for name in info.market.sizes):
        missing.append("many.missing_size")
    return missing
