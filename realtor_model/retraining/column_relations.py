"""Which columns go with one another, and whether they still do: how shuffled columns are noticed.

Each column of a batch can look as it always did while its values sit in the wrong rows: no
comparison of single columns sees that.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.features import MEASURES, Columns
from realtor_model.features.place_context import place_context
from realtor_model.listing import TARGET
from realtor_model.listing.place_keys import city_key, state_key
from realtor_model.listing.zip_places import zip_places
from realtor_model.messages import CodedMessage, message

Floats = NDArray[np.float64]

_NEAR_KM = 40.0
_EARTH_KM = 6_371.0


class _Measure(NamedTuple):
    """How a relation is measured, and when it has vanished.

    It counts where training had `was` or more; it has vanished where fewer than `now` (of a share:
    of what it was) is left in `rows` rows or more.
    """

    words: str
    was: float
    now: float
    rows: int


# Batches that are cut by price or size weaken a correlation without any fault: of bed, bath and
# size .28 is the least seen in real or synthetic batches cut so, of price with size and place .19.
# A shuffled column leaves 0 with a deviation of 1 / sqrt(n).
_MEASURES: Mapping[str, _Measure] = {
    "correlation": _Measure(
        "rank correlation {now:.2f}, was {was:.2f} in training", 0.35, 0.12, 300
    ),
    "worth": _Measure("rank correlation {now:.2f}, was {was:.2f} in training", 0.15, 0.08, 1_000),
    "share": _Measure("true of {now:.0%} of the rows, was {was:.0%} in training", 0.6, 0.5, 300),
}
# Fewer train rows can't tell a relation from chance.
_TRAIN_ROWS = 300
_WORTH = "its size at the zip's usual value"
_SIZE = "house_size"
_OF_WORTH = (_SIZE, "zip_code")
_PLACES = (("zip_code", "state"), ("zip_code", "city"), ("city", "state"))

_Pair = tuple[str, str]


def relations(
    columns: Columns, price: Floats | None = None, added: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """How strongly columns of rows (n,) go with one another, as JSON.

    Each: one, other (columns), measure, strength, n (rows where both are known). Spearman's rank
    correlation of each two of bed, bath, lot and house size and price, and of the price with
    house_size times the zip's median home value (American Community Survey), and of house_size with
    each of the numbers `added` by the market; the share of zips
    that lie in their state, of cities known in their state, and of cities that lie within 40 km of
    their zip.
    """
    numbers = {name: columns[name] for name in MEASURES}
    if price is not None:
        numbers[TARGET] = price
    correlations = [
        _correlated(one, other, "correlation", numbers[one], numbers[other])
        for one, other in combinations(numbers, 2)
    ]
    correlations += [
        _correlated(_SIZE, name, "correlation", columns[_SIZE], columns[name]) for name in added
    ]
    if price is not None:
        correlations.append(_correlated(TARGET, _WORTH, "worth", price, _usual_worth(columns)))
    return correlations + _placed(columns)


def detect_broken_relations(
    reference: Mapping[str, Any], columns: Columns, price: Floats | None = None
) -> list[CodedMessage]:
    """The columns of rows (n,) that no longer go with those they went with in training.

    Each message is `relation_lost`: the column, the others, and the strength of each relation.

    A column is named when each of its relations that was strong in the `drift.profile` has
    vanished: correlations that are merely weaker are what batches cut by price or size look like.
    A price is judged by its correlation with size and place alone: within a narrow band of prices
    it goes with no single number.

    It finds a shuffled bed, bath, house_size, zip_code, city, state (in 300 rows or more; among
    homes of one state a shuffled city reads as the zip that no longer goes with it) and price
    (1,000). It can't see a shuffled street, brokered_by, acre_lot, status or prev_sold_date, which
    go with nothing closely enough, nor columns that were shuffled together. A profile without
    `pairs` gives no message.
    """
    was = {(each["one"], each["other"]): each for each in reference.get("pairs", [])}
    vanished: dict[_Pair, str] = {}
    held: set[str] = set()
    added = [other for one, other in was if one == _SIZE and other in columns]
    for now in relations(columns, price, added) if was else []:
        before = was.get((now["one"], now["other"]))
        measure = _MEASURES[now["measure"]]
        if before is None or now["n"] < measure.rows or before["n"] < _TRAIN_ROWS:
            continue
        strength = abs(before["strength"])
        if strength < measure.was or (now["measure"] == "correlation" and now["other"] == TARGET):
            continue
        pair = (now["one"], now["other"])
        limit = measure.now * (strength if now["measure"] == "share" else 1.0)
        if abs(now["strength"]) < limit:
            vanished[pair] = measure.words.format(now=now["strength"], was=before["strength"])
        else:
            held |= set(pair)
    return _named(vanished, held)


def _named(vanished: dict[_Pair, str], held: set[str]) -> list[CodedMessage]:
    """One message for each column that explains vanished pairs, the one with most pairs first."""
    messages = []
    while vanished:
        # Within one state every zip fits its state: only the city can show a shuffled zip.
        free = {column for pair in vanished for column in pair if column not in held}
        pairs_of = {
            column: [pair for pair in vanished if column in pair]
            for column in free - {_WORTH} or {pair[0] for pair in vanished if pair in _PLACES}
        }
        if not pairs_of:
            break
        blamed = max(sorted(pairs_of), key=lambda column: len(pairs_of[column]))
        others = {pair[pair[0] == blamed]: vanished[pair] for pair in pairs_of[blamed]}
        measured = [f"{other} ({strength})" for other, strength in others.items()]
        messages.append(
            message("relation_lost", column=blamed, others=list(others), measured=measured)
        )
        explained = {blamed, _WORTH} if blamed in _OF_WORTH else {blamed}
        vanished = {pair: words for pair, words in vanished.items() if not explained & set(pair)}
    return messages


def _correlated(one: str, other: str, measure: str, left: Floats, right: Floats) -> dict[str, Any]:
    known = np.isfinite(left) & np.isfinite(right)
    of_left, of_right = (pd.Series(each[known]).rank().to_numpy() for each in (left, right))
    varied = known.any() and of_left.std() > 0.0 and of_right.std() > 0.0
    strength = float(np.corrcoef(of_left, of_right)[0, 1]) if varied else 0.0
    return _relation(one, other, measure, strength, int(known.sum()))


def _relation(one: str, other: str, measure: str, strength: float, n: int) -> dict[str, Any]:
    return {"one": one, "other": other, "measure": measure, "strength": strength, "n": n}


def _usual_worth(columns: Columns) -> Floats:
    """House size at the median home value of the zip, (n,), up to a factor; NaN where unknown."""
    value = place_context()["zip_log_home_value"]
    at = value.index.get_indexer(_texts(columns["zip_code"]))
    worth: Floats = columns["house_size"] * np.exp(
        np.append(value.to_numpy(np.float64), np.nan)[at]
    )
    return worth


def _placed(columns: Columns) -> list[dict[str, Any]]:
    zips = _texts(columns["zip_code"])
    states, cities = _texts(columns["state"], state_key), _texts(columns["city"], city_key)
    lies_in = _state_of_zip().reindex(zips).fillna("").to_numpy(object)
    places = place_context().index
    degrees = np.append(
        np.radians(place_context()[["latitude", "longitude"]].to_numpy(np.float64)),
        [[np.nan, np.nan]],
        axis=0,
    )
    state, city = states.to_numpy(object) != "", cities.to_numpy(object) != ""
    # By the zip's state, not by the row's: a wrong state must not part a zip from its city.
    of_zip = degrees[places.get_indexer(zips)]
    of_city = degrees[places.get_indexer(_joined(cities, lies_in))]
    in_state = places.get_indexer(_joined(cities, states)) >= 0
    near = _distance_km(of_zip, of_city) <= _NEAR_KM
    located = lies_in != ""
    return [
        _share("zip_code", "state", lies_in == states.to_numpy(object), located & state),
        _share("zip_code", "city", near, located & city),
        _share("city", "state", in_state, city & state),
    ]


def _share(
    one: str, other: str, agrees: NDArray[np.bool_], known: NDArray[np.bool_]
) -> dict[str, Any]:
    strength = float(agrees[known].mean()) if known.any() else 0.0
    return _relation(one, other, "share", strength, int(known.sum()))


@lru_cache(maxsize=1)
def _state_of_zip() -> "pd.Series[Any]":
    """The state (its key) in which each zip lies."""
    keys = {zip_code: state_key(place.state) for zip_code, place in zip_places().items()}
    return pd.Series(keys, dtype=object)


def _texts(values: NDArray[Any], key: Callable[[str], str] = str) -> "pd.Index[Any]":
    """Keys of texts; "" where missing. Each distinct text once: a batch has few places."""
    codes, distinct = pd.factorize(values)
    keys = np.array([*map(key, distinct), ""], object)
    texts: pd.Index[Any] = pd.Index(keys[codes], dtype=object)
    return texts


def _joined(cities: Iterable[str], states: Iterable[str]) -> "pd.Index[Any]":
    return pd.Index(
        [f"{city}|{state}" for city, state in zip(cities, states, strict=True)], dtype=object
    )


def _distance_km(one: Floats, other: Floats) -> Floats:
    """Great circles between points (n, 2), latitude and longitude in radians; NaN where unknown."""
    half = np.sin((one - other) / 2.0) ** 2
    across = half[:, 0] + np.cos(one[:, 0]) * np.cos(other[:, 0]) * half[:, 1]
    distance: Floats = 2.0 * _EARTH_KM * np.arcsin(np.sqrt(np.minimum(across, 1.0)))
    return distance
