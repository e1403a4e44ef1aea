"""Categories of places and brokers, and the lookup of rows in them."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.listing import Column, Columns, Kind, ListingContract
from realtor_model.listing.place_keys import city_key, state_key
from realtor_model.listing.us_states import STATES
from realtor_model.listing.zip_places import place_of

Ints = NDArray[np.int64]

# The levels of every market. Categories that a market adds are levels of their own.
_PLACE_LEVELS = ("state", "zip3", "zip_code", "city")
LEVELS = (*_PLACE_LEVELS, "brokered_by")
# Up to so many rows are looked up one by one; of more rows, each distinct place once.
_ROWS_WALKED = 64
# Cached lookups: at most 20 MB, if every name is as long as allowed.
_REMEMBERED = 50_000
COUNTRY = ""
_US_STATES = frozenset(map(state_key, STATES))


@dataclass(frozen=True)
class Level:
    """The categories of one column.

    Attributes:
        codes: category -> code.
        parents: by code, the category one level up; "" is the country.
    """

    codes: dict[str, int]
    parents: tuple[str, ...]


@dataclass(frozen=True)
class Located:
    """Codes and places of n rows.

    Attributes:
        codes: level -> codes (n,), -1 if unknown.
        place: rows (n,) of the context table.
        contradicted: mask (n,) of the rows whose zip code lies in another state than the stated
            one. They have the codes of the zip's state and city.
    """

    codes: Mapping[str, Ints]
    place: Ints
    contradicted: NDArray[np.bool_]

    def rows(self, rows: NDArray[Any] | slice) -> "Located":
        """The same for only `rows`."""
        codes = {name: codes[rows] for name, codes in self.codes.items()}
        return Located(codes, self.place[rows], self.contradicted[rows])


class PlaceKeys(NamedTuple):
    """The categories of one row, and whether its zip code contradicts its state."""

    state: str | None
    zip3: str | None
    zip_code: str | None
    city: str | None
    contradicted: bool


@dataclass(frozen=True)
class Places:
    """The lookup of names: fitted levels, and the rows of the context table by place.

    Attributes:
        levels: level -> its categories, by the keys of this version.
        context: place -> row of the context table.
        state_of: first three digits of a zip -> state.
        in_us: whether the market is in the United States.
    """

    levels: Mapping[str, Level]
    context: Mapping[str, int]
    state_of: Mapping[str, str]
    in_us: bool

    @classmethod
    def of(cls, levels: Mapping[str, Level], context: "pd.Index[Any]", *, in_us: bool) -> Self:
        """The lookup of fitted `levels` and the context's index; a zip3 gives a missing state.

        Of spellings that older versions kept apart, the one with the most listings counts.
        """
        zip3 = levels["zip3"]
        states = [_current(state, in_us) for state in zip3.parents]
        current = {
            name: replace(levels[name], codes=_by_current_key(levels[name].codes, in_us))
            for name in ("state", "city")
        }
        rows = {str(key): row for row, key in enumerate(context)}
        return cls(
            {**levels, **current},
            _by_current_key(rows, in_us),
            dict(zip(zip3.codes, states, strict=True)),
            in_us,
        )

    @staticmethod
    def fit(columns: Columns, contract: ListingContract) -> dict[str, Level]:
        """The categories in n train rows, most frequent first."""
        in_us = contract.in_us
        state_of = _states_of_zip3(columns, in_us)
        combinations, member = _combinations(columns)
        listings = np.bincount(member, minlength=len(combinations))
        counts: dict[str, Counter[str]] = {name: Counter() for name in LEVELS}
        for (state, city, zip_code), n in zip(combinations, listings.tolist(), strict=True):
            keys = _keys(state, city, zip_code, state_of, in_us)
            for name in _PLACE_LEVELS:
                if (key := getattr(keys, name)) is not None:
                    counts[name][key] += n
        brokers = columns["brokered_by"]
        ids, sizes = np.unique(brokers[~np.isnan(brokers)], return_counts=True)
        counts["brokered_by"] = Counter(
            dict(zip(map(_broker, ids.tolist()), sizes.tolist(), strict=True))
        )
        levels = {name: _level(name, counts[name], state_of) for name in LEVELS}
        for column in added_categories(contract):
            levels[column.key] = _level(column.key, _category_counts(columns[column.key]), {})
        return levels

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The levels that a market adds."""
        return tuple(name for name in self.levels if name not in LEVELS)

    @cached_property
    def find(self) -> Callable[[str | None, str | None, str | None], tuple[int, ...]]:
        """Function of (state, city, zip_code): codes of state, zip3, zip_code and city, the row of
        the context table, and whether the zip contradicts the state, as 0 or 1. It caches, because
        listings and requests repeat places.
        """
        return lru_cache(maxsize=_REMEMBERED)(self._find)

    def _find(self, state: str | None, city: str | None, zip_code: str | None) -> tuple[int, ...]:
        keys = _keys(state, city, zip_code, self.state_of, self.in_us)
        codes = (
            -1 if (key := getattr(keys, name)) is None else self.levels[name].codes.get(key, -1)
            for name in _PLACE_LEVELS
        )
        smallest_first = (keys.zip_code, keys.zip3, keys.city, keys.state, COUNTRY)
        place = next(key for key in smallest_first if key is not None and key in self.context)
        return (*codes, self.context[place], int(keys.contradicted))


def locate(columns: Columns, places: Places) -> Located:
    """Codes and places of n rows."""
    if len(columns["state"]) <= _ROWS_WALKED:
        rows = zip(
            columns["state"].tolist(),
            columns["city"].tolist(),
            columns["zip_code"].tolist(),
            strict=True,
        )
        table = np.array([places.find(*row) for row in rows], np.int64).reshape(-1, 6)
    else:
        combinations, member = _combinations(columns)
        table = np.array([places.find(*row) for row in combinations], np.int64)[member]
    brokers = _locate_brokers(columns["brokered_by"], places.levels["brokered_by"])
    codes = {name: table[:, i] for i, name in enumerate(_PLACE_LEVELS)}
    codes["brokered_by"] = brokers
    for name in places.categories:
        codes[name] = _category_codes(columns[name], places.levels[name])
    return Located(codes, table[:, 4], table[:, 5] != 0)


def added_categories(contract: ListingContract) -> tuple[Column, ...]:
    """The categories that a market adds."""
    return tuple(column for column in contract.extras if column.kind is Kind.CATEGORY)


def property_fold(columns: Columns, folds: int, seed: int) -> Ints:
    """The fold (n,) of each row, 0 to `folds` - 1: a hash of the property (street, city, zip).

    All listings of one property are in one fold, whatever the spelling of its city.
    """
    city, cities = pd.factorize(columns["city"])
    folded = np.array([*map(city_key, cities), None], object)
    identity = pd.DataFrame(
        {
            "street": columns["street"],
            "city": pd.Series(folded[city], dtype=object),
            "zip_code": pd.Series(columns["zip_code"], dtype=object),
        }
    )
    hashed = pd.util.hash_pandas_object(identity, index=False).to_numpy(np.uint64)
    shuffled = pd.util.hash_array(hashed + np.uint64(seed))
    return (shuffled % np.uint64(folds)).astype(np.int64)


def _combinations(
    columns: Columns,
) -> tuple[list[tuple[str | None, str | None, str | None]], Ints]:
    """The distinct (state, city, zip_code), and which one each row (n,) has."""
    mixed = np.zeros(len(columns["state"]), np.int64)
    for name in ("state", "city", "zip_code"):
        codes, distinct = pd.factorize(columns[name])
        mixed = mixed * (len(distinct) + 1) + codes + 1
    member, first_mixed = pd.factorize(mixed)
    first = np.empty(len(first_mixed), np.int64)
    # Backwards, so that the first row of each combination is the last one written.
    first[member[::-1]] = np.arange(len(mixed) - 1, -1, -1)
    names = (columns[name][first].tolist() for name in ("state", "city", "zip_code"))
    return list(zip(*names, strict=True)), member.astype(np.int64)


def _locate_brokers(brokers: NDArray[np.float64], level: Level) -> Ints:
    get = level.codes.get
    if len(brokers) <= _ROWS_WALKED:
        # NaN is not equal to itself.
        known = [get(_broker(id_), -1) if id_ == id_ else -1 for id_ in brokers.tolist()]
        return np.array(known, np.int64)
    member, ids = pd.factorize(brokers)
    codes = [get(_broker(id_), -1) for id_ in ids.tolist()]
    return np.array([*codes, -1], np.int64)[member]


def _category_counts(values: NDArray[Any]) -> Counter[str]:
    codes, distinct = pd.factorize(values)
    listings = np.bincount(codes[codes >= 0], minlength=len(distinct)).tolist()
    counts: Counter[str] = Counter()
    for text, n in zip(distinct, listings, strict=True):
        counts[_folded(text)] += n
    return counts


def _category_codes(values: NDArray[Any], level: Level) -> Ints:
    get = level.codes.get
    if len(values) <= _ROWS_WALKED:
        known = [-1 if text is None else get(_folded(text), -1) for text in values.tolist()]
        return np.array(known, np.int64)
    member, distinct = pd.factorize(values)
    codes = [get(_folded(text), -1) for text in distinct]
    return np.array([*codes, -1], np.int64)[member]


def _broker(value: float) -> str:
    return str(int(value))


def _keys(
    state: str | None,
    city: str | None,
    zip_code: str | None,
    state_of: Mapping[str, str],
    in_us: bool,
) -> PlaceKeys:
    """The categories of one row.

    A missing state or city is taken from the zip, as is one that contradicts it.
    """
    zip3 = None if zip_code is None else zip_code[:3]
    stated = None if state is None else _state_key(state, in_us)
    if stated is None and zip3 is not None:
        stated = state_of.get(zip3)
    zip_place = None if zip_code is None or not in_us else place_of(zip_code)
    # Other countries have zip codes of five digits, too.
    if zip_place is None or (stated is not None and stated not in _US_STATES):
        return PlaceKeys(stated, zip3, zip_code, _city_in(city, stated), False)
    lies_in = set(map(state_key, zip_place.states))
    contradicted = state is not None and stated not in lies_in
    if stated not in lies_in:
        stated = state_key(zip_place.state)
    if city is None or contradicted:
        city = zip_place.city
    return PlaceKeys(stated, zip3, zip_code, _city_in(city, stated), contradicted)


def _city_in(city: str | None, state: str | None) -> str | None:
    return None if city is None else f"{city_key(city)}|{state or ''}"


def _by_current_key(rows: Mapping[str, int], in_us: bool) -> dict[str, int]:
    """`rows` by the keys of this version; of several with one key the lowest row."""
    current: dict[str, int] = {}
    for key, row in rows.items():
        current.setdefault(_current(key, in_us), row)
    return current


def _current(key: str, in_us: bool) -> str:
    """The key of a zip, a state, or "city|state", that an older version may have made.

    >>> _current("st. louis|mo", True), _current("saintlouis|missouri", True)
    ('saintlouis|missouri', 'saintlouis|missouri')
    """
    if key.isdigit():
        return key
    city, bar, state = key.rpartition("|")
    # Most keys are current ones, whose city need not be folded again.
    if city and not (city.isascii() and city.isalnum()):
        city = city_key(city)
    return f"{city}{bar}{_state_key(state, in_us)}"


def _state_key(state: str, in_us: bool) -> str:
    return state_key(state) if in_us else _folded(state)


def _folded(text: str) -> str:
    return text.strip().casefold()


def _states_of_zip3(columns: Columns, in_us: bool) -> dict[str, str]:
    """The state of most listings of each zip3."""
    combinations, member = _combinations(columns)
    listings = np.bincount(member, minlength=len(combinations)).tolist()
    votes: dict[str, Counter[str]] = {}
    for row, n in zip(combinations, listings, strict=True):
        keys = _keys(*row, {}, in_us)
        if keys.zip3 is not None and keys.state is not None:
            votes.setdefault(keys.zip3, Counter())[keys.state] += n
    return {
        zip3: max(counts, key=lambda state: (counts[state], state))
        for zip3, counts in votes.items()
    }


def _level(name: str, counts: Mapping[str, int], state_of: Mapping[str, str]) -> Level:
    # By listings, never by price: else the code of a zip with one listing reveals its price.
    categories = sorted(counts, key=lambda category: (-counts[category], category))
    parents: Mapping[str, Callable[[str], str]] = {
        "zip3": lambda zip3: state_of.get(zip3, ""),
        "zip_code": lambda zip_code: zip_code[:3],
        "city": lambda city: city.rpartition("|")[2],
    }
    parent_of = parents.get(name, lambda _: "")
    return Level(
        {category: code for code, category in enumerate(categories)},
        tuple(map(parent_of, categories)),
    )
