"""The one path from a listing's columns to the model's matrix: training, HTTP and batch.

`FeatureEncoder.transform` is a pure function of the columns and of the fitted state, and the fitted
state is exactly two tables, `encoding_mappings` and `preprocessing_statistics`.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.listing import INPUTS, NUMBERS, TEXTS, Property

# Part of every data version: changing what a feature means, and this text, rebuilds the tables.
FEATURE_VERSION = "1"

Columns = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]
Keys = list[str | None]

# Feature -> the input that a person entered, by which explanations add features up.
INPUT_OF: Mapping[str, str] = MappingProxyType(
    {
        "bed": "bed",
        "bath": "bath",
        "acre_lot": "acre_lot",
        "house_size": "house_size",
        "log_acre_lot": "acre_lot",
        "log_house_size": "house_size",
        "bed_missing": "bed",
        "bath_missing": "bath",
        "acre_lot_missing": "acre_lot",
        "house_size_missing": "house_size",
        "land_only": "house_size",
        "bed_bath_ratio": "bath",
        "log_sqft_per_acre": "acre_lot",
        "sqft_per_bed": "house_size",
        "is_sold": "status",
        "is_ready_to_build": "status",
        "state_code": "state",
        "city_code": "city",
        "zip_code_code": "zip_code",
        "broker_code": "brokered_by",
        "state_log_price": "state",
        "state_log_price_per_sqft": "state",
        "city_log_price": "city",
        "city_log_price_per_sqft": "city",
        "zip_log_price": "zip_code",
        "zip_log_price_per_sqft": "zip_code",
        "zip_log_price_for_size": "zip_code",
        "broker_log_price_effect": "brokered_by",
        "broker_log_price_per_sqft_effect": "brokered_by",
        "city_log_listings": "city",
        "zip_log_listings": "zip_code",
        "prev_sale_known": "prev_sold_date",
        "days_since_prev_sale": "prev_sold_date",
        "prev_sale_year": "prev_sold_date",
        "prev_sale_month": "prev_sold_date",
        "prev_sale_quarter": "prev_sold_date",
        "sale_month": "prev_sold_date",
    }
)
FEATURE_NAMES = tuple(INPUT_OF)
# A larger house and one more bathroom never lower a value; more bedrooms in the same space may.
# The sign is the one of the feature when the input grows.
MONOTONE: Mapping[str, int] = MappingProxyType(
    {
        "bath": 1,
        "bed_bath_ratio": -1,
        "house_size": 1,
        "log_house_size": 1,
        "log_sqft_per_acre": 1,
        "sqft_per_bed": 1,
        "zip_log_price_for_size": 1,
    }
)

MEASURES = ("bed", "bath", "acre_lot", "house_size")
_PREVIOUS_SALE = ("days_since_prev_sale", "prev_sale_year", "prev_sale_month", "prev_sale_quarter")
# Values beyond these train quantiles count as the quantile: one house of a million square feet must
# not bend a linear model, and trees don't mind.
_EXTREMES = (0.0005, 0.9995)
_LONGEST_TENURE = 36_525.0
_OLDEST_SALE_MONTH = -24.0
_ACRES_FLOOR = 0.01

LEVELS = ("state", "zip3", "zip_code", "city", "brokered_by")
# Listings of the parent that are added to each category (empirical Bayes, fixed weight).
SMOOTHING: Mapping[str, float] = MappingProxyType(
    {"state": 20.0, "zip3": 15.0, "zip_code": 10.0, "city": 10.0, "brokered_by": 10.0}
)
_PLACES = (("state", None), ("zip3", "state"), ("zip_code", "zip3"), ("city", "state"))
_TARGETS = ("log_price", "log_price_per_sqft")
_MAPPING_COLUMNS = ("column_name", "category", "parent", "code", "listings", *_TARGETS)


# ---- columns --------------------------------------------------------------------------------


def columns_from_frame(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """The 11 inputs of a typed raw frame (as `check` makes it, or as read back from RAW).

    Returns arrays (n,): float64 with NaN for numbers and ids, object arrays of str or None for
    text, datetime64[D] with NaT for the date.
    """
    columns: dict[str, NDArray[Any]] = {}
    for name in INPUTS:
        values = frame[name]
        if name in NUMBERS:
            columns[name] = values.to_numpy(np.float64, na_value=np.nan)
        elif name in TEXTS:
            columns[name] = values.astype(object).where(values.notna(), None).to_numpy(object)
        else:
            columns[name] = pd.to_datetime(values).to_numpy("datetime64[D]")
    return columns


def columns_from_properties(properties: Sequence[Property]) -> dict[str, NDArray[Any]]:
    """The 11 inputs of `properties`; arrays (n,) of the same types as `columns_from_frame`."""
    columns: dict[str, NDArray[Any]] = {}
    for name in INPUTS:
        values = [getattr(item, name) for item in properties]
        if name in NUMBERS:
            numbers = [np.nan if value is None else value for value in values]
            columns[name] = np.array(numbers, np.float64)
        elif name in TEXTS:
            columns[name] = np.array(values, object)
        else:
            columns[name] = np.array(values, "datetime64[D]")
    return columns


def as_sold(columns: Columns) -> dict[str, NDArray[Any]]:
    """The same homes as if they were sold now, which is what a valuation answers.

    The date is taken out: on a sold listing it is the day of the sale itself.
    """
    n = len(columns["status"])
    return {
        **columns,
        "status": np.full(n, "sold", object),
        "prev_sold_date": np.full(n, np.datetime64("NaT"), "datetime64[D]"),
    }


# ---- the encoder ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Level:
    """The categories of one column. `parents[code]` is a category one level up; "" the country."""

    codes: dict[str, int]
    parents: tuple[str, ...]


@dataclass(frozen=True)
class _Means:
    """Target statistics fitted on some rows.

    `country` is (2,): mean log price and log price per square foot. `levels[name]` is
    (categories + 1, 3): listings, and the two shrunken means; NaN where the rows have no listing,
    and in the last row, where the code -1 of an unknown category points.
    For brokers the means are relative to the homes' locations.
    """

    country: Floats
    levels: dict[str, Floats]


class FeatureEncoder:
    """Fitted maps and statistics; turns columns into a float32 matrix (n, len(feature_names)).

    Categories are matched without regard to case. Codes count from the most frequent category, 0;
    a missing or unknown one is -1. The shrunken means of an unknown zip are those of its first
    three digits, else its city, else its state, else the country's; an unknown broker changes
    nothing.
    """

    feature_names = FEATURE_NAMES

    def __init__(
        self,
        levels: dict[str, _Level],
        means: _Means,
        statistics: dict[tuple[str, str], float],
    ) -> None:
        self._levels = levels
        self._means = means
        self._statistics = statistics
        self._state_of = dict(zip(levels["zip3"].codes, levels["zip3"].parents, strict=True))
        self._as_of = np.datetime64(int(statistics["as_of", "days since 1970"]), "D")
        self._ranges = {
            name: (statistics[name, "low"], statistics[name, "high"]) for name in MEASURES
        }
        self._medians = {name: statistics[name, "median"] for name in (*MEASURES, *_PREVIOUS_SALE)}

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The range of bed, bath, acre_lot and house_size in the train rows, but for extremes."""
        return dict(self._ranges)

    @classmethod
    def fit(
        cls,
        columns: Columns,
        price: Floats,
        *,
        as_of: dt.date | np.datetime64[Any],
        folds: int = 5,
        seed: int = 0,
    ) -> tuple[Self, NDArray[np.float32]]:
        """Fit on train rows; returns the encoder and the train matrix (n, n_features).

        Args:
            columns: n train rows.
            price: dollars, float64 (n,), positive.
            as_of: the date that the data speaks for; tenure and sale month count from it.
            folds: the target statistics of a train row come from the other folds. Listings of one
                property (street, city, zip) share a fold, so no row sees its own price.
            seed: of the folds.

        Raises:
            ValueError: no rows, a price that is not positive, lengths that differ, one fold.
        """
        price = np.asarray(price, np.float64)
        if not 0 < len(price) == len(columns["status"]) or not np.all(price > 0):
            raise ValueError("fit needs rows, and a positive price for each of them")
        if folds < 2:
            raise ValueError(f"folds is {folds}; out-of-fold statistics need at least 2")
        keys = _keys(columns, state_of := _states_of_zip3(columns))
        levels = {name: _fit_level(name, keys, state_of) for name in LEVELS}
        places = {name: _find(level, keys[name]) for name, level in levels.items()}
        targets = _targets(columns, price)
        encoder = cls(levels, _fit_means(levels, places, targets), _statistics(columns, as_of))
        matrix = np.empty((len(price), len(FEATURE_NAMES)), np.float32)
        fold = _property_fold(columns, folds, seed)
        for index in np.unique(fold):
            inside, others = np.flatnonzero(fold == index), np.flatnonzero(fold != index)
            means = _fit_means(levels, _take(places, others), targets[others])
            matrix[inside] = encoder._matrix(_take(columns, inside), _take(places, inside), means)
        return encoder, matrix

    def transform(self, columns: Columns) -> NDArray[np.float32]:
        """The matrix (n, n_features) of any rows, all finite; a row's values depend on it alone."""
        return self._matrix(columns, self._places(columns), self._means)

    def unknown(self, columns: Columns) -> dict[str, NDArray[np.bool_]]:
        """For state, city and zip_code: which rows (n,) name one that training never saw."""
        keys = _keys(columns, self._state_of)
        return {
            name: np.array(
                [key is not None and key not in self._levels[name].codes for key in keys[name]],
                bool,
            )
            for name in ("state", "city", "zip_code")
        }

    def to_tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The fitted state, whole.

        Returns:
            encoding_mappings: column_name (one of `LEVELS`), category, parent (text), code,
            listings (int64), log_price, log_price_per_sqft (float64).
            preprocessing_statistics: feature, statistic (text), value (float64).
        """
        mappings = pd.concat(
            [
                pd.DataFrame(
                    {
                        "column_name": name,
                        "category": list(level.codes),
                        "parent": list(level.parents),
                        "code": np.arange(len(level.codes)),
                        "listings": self._means.levels[name][:-1, 0].astype(np.int64),
                        **dict(zip(_TARGETS, self._means.levels[name][:-1, 1:].T, strict=True)),
                    }
                ).astype({"column_name": object, "category": object, "parent": object})
                for name, level in self._levels.items()
            ],
            ignore_index=True,
        )
        country = {
            (target, "mean"): float(value)
            for target, value in zip(_TARGETS, self._means.country, strict=True)
        }
        statistics = pd.DataFrame(
            [(*key, value) for key, value in (self._statistics | country).items()],
            columns=["feature", "statistic", "value"],
        )
        return mappings, statistics

    @classmethod
    def from_tables(cls, mappings: pd.DataFrame, statistics: pd.DataFrame) -> Self:
        """The encoder whose `to_tables` these are, rows in any order; `transform` is bit-equal.

        Raises:
            ValueError: a column or a statistic is missing.
        """
        absent = [name for name in _MAPPING_COLUMNS if name not in mappings.columns]
        if absent:
            raise ValueError(f"encoding_mappings lacks {', '.join(absent)}")
        levels, tables = {}, {}
        for name in LEVELS:
            rows = mappings[mappings["column_name"] == name].sort_values("code")
            levels[name] = _Level(
                {str(category): code for code, category in enumerate(rows["category"])},
                tuple(map(str, rows["parent"])),
            )
            known = rows[["listings", *_TARGETS]].to_numpy(np.float64)
            tables[name] = np.vstack([known, _UNKNOWN])
        values = {
            (str(feature), str(statistic)): float(value)
            for feature, statistic, value in zip(
                statistics["feature"], statistics["statistic"], statistics["value"], strict=True
            )
        }
        try:
            country = np.array([values.pop((target, "mean")) for target in _TARGETS])
            return cls(levels, _Means(country, tables), values)
        except KeyError as problem:
            raise ValueError(f"preprocessing_statistics lacks {problem}") from problem

    def _places(self, columns: Columns) -> dict[str, NDArray[np.int64]]:
        keys = _keys(columns, self._state_of)
        return {name: _find(level, keys[name]) for name, level in self._levels.items()}

    def _matrix(
        self, columns: Columns, places: Mapping[str, NDArray[np.int64]], means: _Means
    ) -> NDArray[np.float32]:
        found = {name: table[places[name]] for name, table in means.levels.items()}
        codes = {name: np.where(rows[:, 0] > 0, places[name], -1) for name, rows in found.items()}
        state, city, location = _locations(found, means.country)
        broker = _first_known(found["brokered_by"][:, 1:], _NO_EFFECT)

        missing = {name: np.isnan(columns[name]) for name in MEASURES}
        filled = {
            name: np.where(missing[name], self._medians[name], _clip(columns[name], low, high))
            for name, (low, high) in self._ranges.items()
        }
        log_acre = np.log(filled["acre_lot"] + _ACRES_FLOOR)
        log_size = np.log(np.maximum(filled["house_size"], 1.0))
        sold = columns["status"] == "sold"
        previous = _previous_sale(columns, sold, self._as_of)
        known = ~np.isnan(previous["days_since_prev_sale"])
        features: dict[str, NDArray[Any]] = {
            **filled,
            "log_acre_lot": log_acre,
            "log_house_size": log_size,
            **{f"{name}_missing": rows for name, rows in missing.items()},
            "land_only": missing["bed"] & missing["bath"] & missing["house_size"],
            "bed_bath_ratio": filled["bed"] / np.maximum(filled["bath"], 1.0),
            "log_sqft_per_acre": log_size - log_acre,
            "sqft_per_bed": filled["house_size"] / np.maximum(filled["bed"], 1.0),
            "is_sold": sold,
            "is_ready_to_build": columns["status"] == "ready_to_build",
            "state_code": codes["state"],
            "city_code": codes["city"],
            "zip_code_code": codes["zip_code"],
            "broker_code": codes["brokered_by"],
            "state_log_price": state[:, 0],
            "state_log_price_per_sqft": state[:, 1],
            "city_log_price": city[:, 0],
            "city_log_price_per_sqft": city[:, 1],
            "zip_log_price": location[:, 0],
            "zip_log_price_per_sqft": location[:, 1],
            "zip_log_price_for_size": location[:, 1] + log_size,
            "broker_log_price_effect": broker[:, 0],
            "broker_log_price_per_sqft_effect": broker[:, 1],
            "city_log_listings": np.log1p(found["city"][:, 0]),
            "zip_log_listings": np.log1p(found["zip_code"][:, 0]),
            "prev_sale_known": known,
            **{
                name: np.where(known, values, self._medians[name])
                for name, values in previous.items()
            },
            "sale_month": _sale_month(columns, sold, self._as_of),
        }
        matrix = np.empty((len(sold), len(FEATURE_NAMES)), np.float32)
        for position, name in enumerate(FEATURE_NAMES):
            matrix[:, position] = features[name]
        return matrix


_UNKNOWN = np.array([[0.0, np.nan, np.nan]])
_NO_EFFECT = np.zeros(2)


# ---- categories -----------------------------------------------------------------------------


def _texts(values: NDArray[Any]) -> Keys:
    return [None if value is None else value.strip().casefold() for value in values.tolist()]


def _keys(columns: Columns, state_of: Mapping[str, str]) -> dict[str, Keys]:
    """The categories of each row, by level. A missing state is the one that the zip lies in."""
    zips = columns["zip_code"].tolist()
    zip3s = [None if value is None else value[:3] for value in zips]
    states = [
        state_of.get(zip3) if state is None and zip3 is not None else state
        for state, zip3 in zip(_texts(columns["state"]), zip3s, strict=True)
    ]
    return {
        "state": states,
        "zip3": zip3s,
        "zip_code": zips,
        "city": [
            None if city is None else f"{city}|{state or ''}"
            for city, state in zip(_texts(columns["city"]), states, strict=True)
        ],
        "brokered_by": [
            str(int(value)) if value == value else None  # NaN is not itself
            for value in columns["brokered_by"].tolist()
        ],
    }


def _find(level: _Level, keys: Keys) -> NDArray[np.int64]:
    get = level.codes.get
    return np.array([-1 if key is None else get(key, -1) for key in keys], np.int64)


def _states_of_zip3(columns: Columns) -> dict[str, str]:
    """The state that most listings of each zip3 name."""
    votes: dict[str, Counter[str]] = {}
    pairs = Counter(zip(columns["zip_code"].tolist(), _texts(columns["state"]), strict=True))
    for (zip_code, state), listings in pairs.items():
        if zip_code is not None and state is not None:
            votes.setdefault(zip_code[:3], Counter())[state] += listings
    return {
        zip3: max(counts, key=lambda state: (counts[state], state))
        for zip3, counts in votes.items()
    }


def _fit_level(name: str, keys: Mapping[str, Keys], state_of: Mapping[str, str]) -> _Level:
    counts = Counter(key for key in keys[name] if key is not None)
    # By listings and never by price: the code of a zip with one listing would tell its price.
    categories = sorted(counts, key=lambda category: (-counts[category], category))
    parent_of = {
        "state": lambda _: "",
        "zip3": lambda zip3: state_of.get(zip3, ""),
        "zip_code": lambda zip_code: zip_code[:3],
        "city": lambda city: city.rpartition("|")[2],
        "brokered_by": lambda _: "",
    }[name]
    return _Level(
        {category: code for code, category in enumerate(categories)},
        tuple(map(parent_of, categories)),
    )


# ---- target statistics ----------------------------------------------------------------------


def _targets(columns: Columns, price: Floats) -> Floats:
    """Log price and log price per square foot (n, 2); the latter NaN without a size."""
    log_price = np.log(price)
    return np.column_stack([log_price, log_price - np.log(columns["house_size"])])


def _fit_means(
    levels: Mapping[str, _Level], places: Mapping[str, NDArray[np.int64]], targets: Floats
) -> _Means:
    """Means by category, each shrunk to its parent's: (sum + k · parent) / (n + k)."""
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
        parents = np.broadcast_to(country, (len(levels[name].codes), 2))
        if above is not None:
            parents = tables[above][_find(levels[above], list(levels[name].parents)), 1:]
            parents = np.where(np.isnan(parents), country, parents)
        tables[name] = _shrunk(name, places[name], targets, parents)
    found = {name: table[places[name]] for name, table in tables.items()}
    _, _, location = _locations(found, country)
    no_effect = np.zeros((len(levels["brokered_by"].codes), 2))
    tables["brokered_by"] = _shrunk(
        "brokered_by", places["brokered_by"], targets - location, no_effect
    )
    return _Means(country, tables)


def _shrunk(name: str, places: NDArray[np.int64], targets: Floats, parents: Floats) -> Floats:
    size = len(parents)
    table = np.empty((size + 1, 3))
    table[-1] = _UNKNOWN
    inside = places >= 0
    table[:-1, 0] = np.bincount(places[inside], minlength=size)
    for column in range(targets.shape[1]):
        known = inside & ~np.isnan(targets[:, column])
        sums = np.bincount(places[known], targets[known, column], minlength=size)
        counts = np.bincount(places[known], minlength=size)
        weight = SMOOTHING[name]
        table[:-1, column + 1] = (sums + weight * parents[:, column]) / (counts + weight)
    table[table[:, 0] == 0] = _UNKNOWN
    return table


def _locations(found: Mapping[str, Floats], country: Floats) -> tuple[Floats, Floats, Floats]:
    """The means (n, 2) of each row's state, city and zip, from the nearest known place."""
    own = {name: rows[:, 1:] for name, rows in found.items()}
    state = _first_known(own["state"], country)
    around = _first_known(own["zip3"], state)
    city = _first_known(own["city"], around)
    return state, city, _first_known(own["zip_code"], _first_known(own["zip3"], city))


def _first_known(values: Floats, otherwise: Floats) -> Floats:
    return np.where(np.isnan(values), otherwise, values)


def _take(arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    return {name: values[rows] for name, values in arrays.items()}


def _property_fold(columns: Columns, folds: int, seed: int) -> NDArray[np.int64]:
    """The fold (n,) of each row: a hash of the property, so that its listings stay together."""
    identity = pd.DataFrame(
        {
            "street": columns["street"],
            "city": pd.Series(_texts(columns["city"]), dtype=object),
            "zip_code": pd.Series(columns["zip_code"], dtype=object),
        }
    )
    hashed = pd.util.hash_pandas_object(identity, index=False).to_numpy(np.uint64)
    shuffled = pd.util.hash_array(hashed + np.uint64(seed))
    return (shuffled % np.uint64(folds)).astype(np.int64)


# ---- numbers and dates ----------------------------------------------------------------------


def _statistics(
    columns: Columns, as_of: dt.date | np.datetime64[Any]
) -> dict[tuple[str, str], float]:
    reference = np.datetime64(str(as_of), "D")
    statistics = {("as_of", "days since 1970"): float(reference.astype(np.int64))}
    for name in MEASURES:
        known = _known(columns[name])
        low, high = np.quantile(known, _EXTREMES)
        statistics |= {
            (name, "median"): float(np.median(known)),
            (name, "low"): float(low),
            (name, "high"): float(high),
        }
    for name, values in _previous_sale(columns, columns["status"] == "sold", reference).items():
        statistics[name, "median"] = float(np.median(_known(values)))
    return statistics


def _clip(values: NDArray[Any], low: float, high: float) -> Floats:
    # np.clip takes 5 times as long for the one row of a request.
    clipped: Floats = np.minimum(np.maximum(values, low), high)
    return clipped


def _known(values: Floats) -> Floats:
    """The values that are not missing; a zero when all are."""
    known = values[~np.isnan(values)]
    return known if known.size else np.zeros(1)


def _previous_sale(
    columns: Columns, sold: NDArray[np.bool_], as_of: np.datetime64[Any]
) -> dict[str, Floats]:
    """When the home last changed hands, (n,) each; NaN when unknown, and for sold rows.

    On a sold listing the date is the outcome's own: tenure would tell that it was sold.
    """
    date = columns["prev_sold_date"]
    unknown = np.isnat(date) | sold
    tenure = _clip((np.array(as_of) - date).astype(np.float64), 0.0, _LONGEST_TENURE)
    months = _months(date)
    values = (tenure, 1970.0 + months // 12, months % 12 + 1, months % 12 // 3 + 1)
    return {
        name: np.where(unknown, np.nan, value)
        for name, value in zip(_PREVIOUS_SALE, values, strict=True)
    }


def _sale_month(columns: Columns, sold: NDArray[np.bool_], as_of: np.datetime64[Any]) -> Floats:
    """Months from `as_of` back to the sale, for sold rows; 0, the newest, for all others."""
    date = columns["prev_sold_date"]
    months = _months(date) - _months(np.array([as_of]))
    return np.where(sold & ~np.isnat(date), _clip(months, _OLDEST_SALE_MONTH, 0.0), 0.0)


def _months(dates: NDArray[Any]) -> NDArray[np.int64]:
    return dates.astype("datetime64[M]").astype(np.int64)
