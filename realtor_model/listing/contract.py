"""The listing contract: the columns of a market's listings, declared once.

Everything else follows from the declaration: what a request and a batch may hold, the tables, the
features, the form of the app, the docs.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtor_model.listing.column import (
    COORDINATES,
    CORE_KEYS,
    KEYS,
    NO_WORDS,
    Column,
    Kind,
    Role,
    Words,
)

# n homes or listings: key -> array (n,). Numbers and booleans are float64 (NaN where missing),
# categories object (str or None), dates datetime64[D] (NaT where missing). All `CORE_KEYS` but the
# target are there, also those that the market does not have.
Columns = Mapping[str, NDArray[Any]]

FIRST_DATE, LAST_DATE = dt.date(1900, 1, 1), dt.date(2100, 12, 31)
WHOLE_TOLERANCE = 1e-9
# Characters of a text, a written number, a written date or a header of the market. Longer ones are
# none, and are refused at once: normalising and parsing take quadratic time for some texts.
LONGEST_TEXT = 100
TARGET = KEYS[Role.TARGET]
US_DOLLARS = "USD"
# The statuses that the model distinguishes. A market's own statuses are one of the first two.
SOLD, FOR_SALE, READY_TO_BUILD = "sold", "for_sale", "ready_to_build"
STATUSES = (FOR_SALE, SOLD, READY_TO_BUILD)

_NUMBER_KEYS = frozenset(
    KEYS[role]
    for role in (
        Role.BROKER, Role.TARGET, Role.BEDROOMS, Role.BATHROOMS, Role.LOT_SIZE, Role.ID,
        Role.LIVING_AREA, Role.LATITUDE, Role.LONGITUDE,
    )
)  # fmt: skip
_DATE_KEYS = frozenset({KEYS[Role.SALE_DATE]})
# What a column's declaration says about data.
_FACTS = ("name", "kind", "role", "range", "choices", "sold", "default", "required",
          "in_every_batch", "monotone", "headers", "parts", "synonyms")  # fmt: skip
_SIZE_ROLES = (Role.LIVING_AREA, Role.LOT_SIZE, Role.BEDROOMS)


@dataclass(frozen=True, eq=False)
class ListingContract:
    """The columns of a market's listings.

    Attributes:
        name: of the market.
        title: language -> what people call the market.
        currency: ISO 4217 code of all prices.
        price_range: prices that models are trained and judged on, both ends included. Listings with
            other prices are stored only.
        columns: the declared columns.
    """

    name: str
    columns: tuple[Column, ...]
    title: Words = NO_WORDS
    currency: str = US_DOLLARS
    price_range: tuple[float, float] = (10_000.0, 10_000_000.0)
    declaration: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def inputs(self) -> tuple[Column, ...]:
        """The declared columns that a home to value may have: all but the target."""
        return tuple(column for column in self.columns if column.role is not Role.TARGET)

    @cached_property
    def extras(self) -> tuple[Column, ...]:
        """The columns that the market adds, in the order of their keys."""
        added = (column for column in self.columns if column.role is Role.INPUT)
        return tuple(sorted(added, key=lambda column: column.key))

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The keys of `Columns`: the core ones, then coordinates and what the market adds."""
        return tuple(key for key in self.table_keys if key != TARGET)

    @cached_property
    def _key_set(self) -> frozenset[str]:
        return frozenset(self.keys)

    @cached_property
    def table_keys(self) -> tuple[str, ...]:
        """The columns of a listing in RAW: `keys` and the target."""
        coordinates = COORDINATES if self.has_coordinates else ()
        return (*CORE_KEYS, *coordinates, *(column.key for column in self.extras))

    @cached_property
    def in_us(self) -> bool:
        """Whether the market is in the United States: only there a zip code implies its place."""
        return self.currency == US_DOLLARS

    @cached_property
    def has_coordinates(self) -> bool:
        """Whether homes have a latitude and a longitude of their own."""
        return Role.LATITUDE in self.by_role

    @cached_property
    def by_role(self) -> Mapping[Role, Column]:
        """Role -> its column, without the plain inputs."""
        return MappingProxyType(
            {column.role: column for column in self.columns if column.role is not Role.INPUT}
        )

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """Name -> input."""
        return MappingProxyType({column.name: column for column in self.inputs})

    @cached_property
    def by_key(self) -> Mapping[str, Column]:
        """Key -> declared column, the target included."""
        return MappingProxyType({column.key: column for column in self.columns})

    @cached_property
    def places(self) -> tuple[Column, ...]:
        """The columns that can place a home: state, zip, or both coordinates together."""
        roles = (Role.STATE, Role.ZIP_CODE, Role.LATITUDE, Role.LONGITUDE)
        return tuple(self.by_role[role] for role in roles if role in self.by_role)

    @cached_property
    def sizes(self) -> tuple[Column, ...]:
        """The columns that say how large a home is; a home needs one of them."""
        return tuple(self.by_role[role] for role in _SIZE_ROLES if role in self.by_role)

    @cached_property
    def example_home(self) -> Mapping[str, str | float | bool]:
        """An ordinary home: the example in the docs and the API, and a new model's smoke test."""
        return MappingProxyType(
            {column.name: column.example for column in self.inputs if column.example is not None}
        )

    @cached_property
    def version(self) -> str:
        """A hash of what the declaration says about data; words and examples do not count.

        Part of the data version and the bundle: another version is another market for the model.
        """
        columns = [
            {name: getattr(column, name) for name in _FACTS}
            for column in sorted(self.columns, key=lambda column: column.key)
        ]
        facts = json.dumps([self.currency, self.price_range, columns], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()[:12]

    def is_number(self, key: str) -> bool:
        """Whether the arrays of `key` are float64: numbers, ids and booleans."""
        column = self.by_key.get(key)
        if column is None or column.role is not Role.INPUT:
            return key in _NUMBER_KEYS
        return column.kind in (Kind.NUMBER, Kind.INTEGER, Kind.BOOLEAN)

    def is_date(self, key: str) -> bool:
        """Whether the arrays of `key` are datetime64[D]."""
        column = self.by_key.get(key)
        return key in _DATE_KEYS or (column is not None and column.kind is Kind.DATE)

    def dtype(self, key: str) -> "np.dtype[Any]":
        """The dtype of the arrays of `key`."""
        if self.is_number(key):
            return np.dtype(np.float64)
        return np.dtype("datetime64[D]" if self.is_date(key) else object)

    def missing(self, key: str, n: int) -> NDArray[Any]:
        """n missing values of `key`. The status of a market without one is sold."""
        if key == KEYS[Role.STATUS] and Role.STATUS not in self.by_role:
            return np.full(n, SOLD, object)
        empty: Any = np.nan if self.is_number(key) else "NaT" if self.is_date(key) else None
        return np.full(n, empty, self.dtype(key))

    def completed(self, columns: Columns) -> Columns:
        """`columns` with missing values for the keys that they lack.

        Champion and challenger may have different columns and are still compared on the same homes.
        """
        if columns.keys() >= self._key_set:
            return columns
        lacking = [key for key in self.keys if key not in columns]
        n = len(columns[KEYS[Role.STATUS]])
        return {**columns, **{key: self.missing(key, n) for key in lacking}}
