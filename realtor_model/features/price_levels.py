"""Target statistics: mean log prices by place and broker, shrunk towards the parent place."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.features.place_context import nearest
from realtor_model.features.places import Level, Located
from realtor_model.listing import Columns

Floats = NDArray[np.float64]

# Weight of the parent's mean, in listings (empirical Bayes with a fixed weight).
SMOOTHING: Mapping[str, float] = {
    "state": 20.0, "zip3": 15.0, "zip_code": 10.0, "city": 10.0,
}  # fmt: skip
# That of 0, in listings, in the effect of a broker or of another category.
_EFFECT_SMOOTHING = 10.0
TARGETS = ("log_price", "log_price_per_sqft")

# So many neighbouring zips count, each with at most so many listings: one zip with a thousand
# listings must not outweigh the others.
_NEIGHBOURING_ZIPS = 32
_MOST_LISTINGS = 10.0
# A neighbour's weight falls to 1/e at the distance of the 3rd ("near") or 12th ("around") zip.
_NEAR, _AROUND = 3, 12
_SHORTEST_DISTANCE = 1.0

UNKNOWN = np.array([[0.0, np.nan, np.nan]])
_NO_EFFECT = np.zeros(2)


class Prices(NamedTuple):
    """Target statistics at the places of n rows.

    Attributes:
        state, city, zip_code: (n, 2), mean log price and mean log price per square foot, of the
            place or the next larger known one.
        effects: level -> (n, 2), the effect of the broker, or of a category that the market adds,
            on both; 0 if unknown.
        neighbours: (n, 2), log price per square foot near and around.
        city_listings, zip_listings: (n,), 0 where unknown.
    """

    state: Floats
    city: Floats
    zip_code: Floats
    effects: Mapping[str, Floats]
    neighbours: Floats
    city_listings: Floats
    zip_listings: Floats


@dataclass(frozen=True)
class Means:
    """Fitted target statistics.

    Attributes:
        country: (2,), mean log price and mean log price per square foot.
        levels: level -> (categories + 1, 3): listings and the two shrunken means. Without listings
            the means are NaN, and so is the last row, which the code -1 of an unknown category
            selects. The means of brokers and added categories are relative to the homes' places.
        neighbours: (places, 2), log price per square foot near and around each place.
    """

    country: Floats
    levels: dict[str, Floats]
    neighbours: Floats

    def at(self, located: Located) -> Prices:
        """The statistics at the places of n rows."""
        rows_of, own = {}, {}
        for name, table in self.levels.items():
            rows_of[name] = rows = table[located.codes[name]]
            own[name] = rows[:, 1:]
        return Prices(
            *_locations(own, self.country),
            {name: _first_known(own[name], _NO_EFFECT) for name in self._with_effects},
            self.neighbours[located.place],
            rows_of["city"][:, 0],
            rows_of["zip_code"][:, 0],
        )

    @cached_property
    def _with_effects(self) -> tuple[str, ...]:
        return tuple(name for name in self.levels if name not in SMOOTHING)


def targets_of(columns: Columns, price: Floats) -> Floats:
    """Log price and log price per square foot, (n, 2); the second is NaN without a size."""
    log_price = np.log(price)
    return np.column_stack([log_price, log_price - np.log(columns["house_size"])])


class Fitting:
    """Fits target statistics: what all folds share is computed once."""

    def __init__(self, levels: dict[str, Level], context: pd.DataFrame) -> None:
        self._levels = levels
        self._parents = {
            "zip3": _find(levels["state"], levels["zip3"].parents),
            "zip_code": _find(levels["zip3"], levels["zip_code"].parents),
            "city": _find(levels["state"], levels["city"].parents),
        }
        self._points = context[["latitude", "longitude"]].to_numpy(np.float64)
        # Row of the context for each zip of the train rows; -1 for zips that do not exist.
        self._zip_at = context.index.get_indexer(pd.Index(list(levels["zip_code"].codes)))

    def means(self, at: Located, targets: Floats, places: NDArray[np.intp]) -> Means:
        """Fit on n rows. A category's mean is shrunk: (sum + k · parent's mean) / (n + k).

        Args:
            at: codes and places of the rows.
            targets: (n, 2), from `targets_of`.
            places: rows of the context table for which neighbours are computed; the others get the
                country's mean.
        """
        known = ~np.isnan(targets)
        listings = known.sum(axis=0)
        country = np.where(known, targets, 0.0).sum(axis=0) / np.maximum(listings, 1)
        tables: dict[str, Floats] = {}
        for name, above in (
            ("state", None),
            ("zip3", "state"),
            ("zip_code", "zip3"),
            ("city", "state"),
        ):
            parents = np.broadcast_to(country, (len(self._levels[name].codes), 2))
            if above is not None:
                parents = tables[above][self._parents[name], 1:]
                parents = np.where(np.isnan(parents), country, parents)
            tables[name] = _shrunk(name, at.codes[name], targets, parents)
        own = {name: table[at.codes[name]][:, 1:] for name, table in tables.items()}
        _, _, location = _locations(own, country)
        for name, level in self._levels.items():
            if name not in SMOOTHING:
                no_effect = np.zeros((len(level.codes), 2))
                tables[name] = _shrunk(name, at.codes[name], targets - location, no_effect)
        neighbours = np.full((len(self._points), 2), country[1])
        neighbours[places] = self._neighbours(
            at.codes["zip_code"], targets[:, 1], places, country[1]
        )
        # Rounded to float32, as stored in the tables, so that a rebuilt encoder is bit-equal.
        return Means(country, tables, neighbours.astype(np.float32).astype(np.float64))

    def _neighbours(
        self, codes: NDArray[np.int64], target: Floats, places: NDArray[np.intp], country: float
    ) -> Floats:
        """Means (len(places), 2) of `target` near and around `places`; near zips weigh more."""
        size = len(self._zip_at)
        known = (codes >= 0) & ~np.isnan(target)
        listings = np.bincount(codes[known], minlength=size)
        sums = np.bincount(codes[known], target[known], minlength=size)
        listed = np.flatnonzero((listings > 0) & (self._zip_at >= 0))
        if len(listed) == 0:
            return np.full((len(places), 2), country)
        mean = sums[listed] / listings[listed]
        distance, zips = nearest(
            self._points[places], self._points[self._zip_at[listed]], _NEIGHBOURING_ZIPS
        )
        worth = np.minimum(listings[listed], _MOST_LISTINGS)[zips]
        result = np.empty((len(places), 2))
        for column, reach in enumerate((_NEAR, _AROUND)):
            fall = distance[:, min(reach, distance.shape[1]) - 1 : reach][:, :1]
            weight = worth * np.exp(-distance / np.maximum(fall, _SHORTEST_DISTANCE))
            result[:, column] = (weight * mean[zips]).sum(axis=1) / weight.sum(axis=1)
        return result


def _find(level: Level, keys: Collection[str]) -> NDArray[np.int64]:
    return np.array([level.codes.get(key, -1) for key in keys], np.int64)


def _shrunk(name: str, places: NDArray[np.int64], targets: Floats, parents: Floats) -> Floats:
    size = len(parents)
    table = np.empty((size + 1, 3))
    table[-1] = UNKNOWN
    inside = places >= 0
    table[:-1, 0] = np.bincount(places[inside], minlength=size)
    for column in range(targets.shape[1]):
        known = inside & ~np.isnan(targets[:, column])
        sums = np.bincount(places[known], targets[known, column], minlength=size)
        counts = np.bincount(places[known], minlength=size)
        weight = SMOOTHING.get(name, _EFFECT_SMOOTHING)
        table[:-1, column + 1] = (sums + weight * parents[:, column]) / (counts + weight)
    table[table[:, 0] == 0] = UNKNOWN
    return table


def _locations(own: Mapping[str, Floats], country: Floats) -> tuple[Floats, Floats, Floats]:
    """The means (n, 2) of each row's state, city and zip, or of the next larger known place.

    Args:
        own: level -> means (n, 2) of the row's own categories, NaN where unknown.
    """
    state = _first_known(own["state"], country)
    around = _first_known(own["zip3"], state)
    city = _first_known(own["city"], around)
    return state, city, _first_known(own["zip_code"], _first_known(own["zip3"], city))


def _first_known(values: Floats, otherwise: Floats) -> Floats:
    return np.where(np.isnan(values), otherwise, values)
