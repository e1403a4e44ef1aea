"""Price levels near a home's own coordinates, from the train rows around it.

The price level of a listing is what its price says beyond its size: the residual of log price in a
regression on log living area. Listings are averaged in cells of 250 m, so that the fitted state
stays small and a home is found in a fraction of a millisecond.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.features.place_context import on_sphere
from realtor_model.features.places import Located, Places, locate
from realtor_model.listing import COORDINATES, Columns

if TYPE_CHECKING:
    from scipy.spatial import KDTree

Floats = NDArray[np.float64]

TABLE_COLUMNS = (*COORDINATES, "level", "listings")
_CELL_KM = 0.25
_KM_PER_DEGREE = 111.195
# Cells that count near and around a home; and the number of listings within whose distance a
# cell's weight falls to 1/e.
_CELLS, _FALL = (8, 32), (3, 12)
# A cell counts for at most so many listings: one condominium must not outweigh its surroundings.
_MOST_LISTINGS = 10
_SHORTEST_KM = 0.05
# The nearest zip places a home that has no zip, up to this distance.
_ZIP_WITHIN_KM = 50.0


def own_points(columns: Columns) -> Floats:
    """Latitude and longitude (n, 2) of homes, degrees; NaN where one of them is missing."""
    points = np.column_stack([columns[key] for key in COORDINATES])
    points[np.isnan(points).any(axis=1)] = np.nan
    return points


def price_levels(log_price: Floats, house_size: Floats) -> Floats:
    """The price level (n,) of each listing, log dollars; that of land is NaN.

    Without a single known size in the market the level is the log price itself.

    Args:
        log_price: (n,).
        house_size: (n,), NaN where missing.
    """
    size = np.log(house_size)
    known = np.isfinite(size)
    if not known.any():
        return log_price
    spread = size[known] - size[known].mean()
    slope = float(spread @ log_price[known] / max(float(spread @ spread), 1e-9))
    level: Floats = log_price - slope * (size - size[known].mean())
    return level


@dataclass(frozen=True)
class PointPrices:
    """Price levels by cell.

    Attributes:
        table: `TABLE_COLUMNS`, one row for each cell: the mean position of its listings (degrees),
            their mean price level, and their number.
    """

    table: pd.DataFrame

    @classmethod
    def fit(cls, points: Floats, levels: Floats) -> Self:
        """The cells of n listings.

        Args:
            points: (n, 2), degrees; NaN where unknown.
            levels: (n,), NaN where unknown.
        """
        known = np.isfinite(points).all(axis=1) & np.isfinite(levels)
        latitude, longitude = points[known].T
        north = np.floor(latitude * _KM_PER_DEGREE / _CELL_KM)
        # Cells of one row of whole degrees have one width.
        width = _KM_PER_DEGREE * np.cos(np.radians(np.round(latitude)))
        east = np.floor(longitude * width / _CELL_KM)
        listings = pd.DataFrame(
            {"latitude": latitude, "longitude": longitude, "level": levels[known]}
        )
        groups = listings.groupby([north, east])
        table = groups.mean().assign(listings=groups.size().astype(np.int64))
        # As stored in PostgreSQL and Parquet: a rebuilt encoder is bit-equal.
        return cls(table.reset_index(drop=True)[list(TABLE_COLUMNS)])

    def at(self, points: Floats) -> Floats:
        """Price levels near and around homes (n, 2); the mean level where a point is unknown.

        Args:
            points: (n, 2), degrees; NaN where unknown.
        """
        count = self.table["listings"].to_numpy(np.float64)
        level = self.table["level"].to_numpy(np.float64)
        mean = float((count * level).sum() / max(count.sum(), 1.0)) if len(level) else 0.0
        levels = np.full((len(points), 2), mean)
        known = np.isfinite(points).all(axis=1)
        if not len(level) or not known.any():
            return levels
        distances, cells = self._tree.query(
            on_sphere(points[known]), k=np.arange(1, min(_CELLS[-1], len(level)) + 1)
        )
        for column, (cells_used, fall) in enumerate(zip(_CELLS, _FALL, strict=True)):
            distance, cell = distances[:, :cells_used], cells[:, :cells_used]
            listed = count[cell]
            reached = np.minimum((listed.cumsum(axis=1) < fall).sum(axis=1), cell.shape[1] - 1)
            scale = np.maximum(distance[np.arange(len(cell)), reached], _SHORTEST_KM)
            weight = np.minimum(listed, _MOST_LISTINGS) * np.exp(-distance / scale[:, None])
            levels[known, column] = (weight * level[cell]).sum(axis=1) / weight.sum(axis=1)
        return levels

    @cached_property
    def _tree(self) -> "KDTree":
        return _tree(self.table[list(COORDINATES)].to_numpy(np.float64))


class NearestZip:
    """The zip whose centre is nearest to a home that has coordinates and no zip.

    Args:
        context: the context table; its rows of zips have keys of five digits.
    """

    def __init__(self, context: pd.DataFrame) -> None:
        self._rows = np.flatnonzero([len(key) == 5 and key.isdigit() for key in context.index])
        self._tree = _tree(context[list(COORDINATES)].to_numpy(np.float64)[self._rows])

    def rows(self, points: Floats) -> NDArray[np.int64]:
        """Rows (n,) of the context table; -1 where no zip lies within 50 km.

        Args:
            points: (n, 2), degrees, all known.
        """
        distance, zips = self._tree.query(on_sphere(points))
        return np.where(distance <= _ZIP_WITHIN_KM, self._rows[zips], -1)


def _tree(degrees: Floats) -> "KDTree":
    # Only markets with coordinates need it, and it takes a tenth of a second.
    from scipy.spatial import KDTree

    return KDTree(on_sphere(degrees))


def located(
    columns: Columns, places: Places, points: Floats | None, nearest_zip: NearestZip | None
) -> Located:
    """Codes and places of n rows; the nearest zip gives the place of a home that has only a point.

    Args:
        points: (n, 2), the homes' own coordinates, NaN where unknown; None in markets without.
        nearest_zip: None in markets without coordinates.
    """
    at = locate(columns, places)
    if points is None or nearest_zip is None:
        return at
    alone = np.flatnonzero(pd.isna(columns["zip_code"]) & np.isfinite(points[:, 0]))
    if not len(alone):
        return at
    rows = nearest_zip.rows(points[alone])
    place = at.place.copy()
    place[alone] = np.where(rows >= 0, rows, place[alone])
    return replace(at, place=place)
