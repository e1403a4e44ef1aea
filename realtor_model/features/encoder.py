"""Fitted maps and statistics, and the pure function that turns columns into the matrix.

`FeatureEncoder.transform` depends on the columns and on the fitted state alone, and the fitted
state is exactly three tables: `encoding_mappings`, `preprocessing_statistics`, `zip_context`.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.features.columns import Columns, take
from realtor_model.features.context import CONTEXT, nearest, place_context
from realtor_model.features.names import NEIGHBOURS, features_without
from realtor_model.features.places import LEVELS, Level, Located, Places, locate, property_fold

Floats = NDArray[np.float64]

MEASURES = ("bed", "bath", "acre_lot", "house_size")
_COUNTS = ("bed", "bath")
_PREVIOUS_SALE = ("days_since_prev_sale", "prev_sale_month")
# Values beyond these train quantiles count as the quantile: one house of a million square feet must
# not bend a linear model, and trees don't mind.
_EXTREMES = (0.0005, 0.9995)
_LONGEST_TENURE = 36_525.0
_OLDEST_SALE_MONTH = -24
_ACRES_FLOOR = 0.01
# Rows that are transformed at a time: what stays in the processor's cache is quicker.
_CHUNK = 4_096

# Listings of the parent that are added to each category (empirical Bayes, fixed weight).
SMOOTHING: Mapping[str, float] = {
    "state": 20.0, "zip3": 15.0, "zip_code": 10.0, "city": 10.0, "brokered_by": 10.0,
}  # fmt: skip
_TARGETS = ("log_price", "log_price_per_sqft")
_MAPPING_COLUMNS = ("column_name", "category", "parent", "code", "listings", *_TARGETS)

# Neighbouring zips with listings, of which one counts as so many listings at most: a zip of a
# thousand must not drown what surrounds it.
_NEIGHBOURING_ZIPS = 32
_MOST_LISTINGS = 10.0
# The distance over which a neighbour's weight falls to 1/e is that of the so-manieth zip.
_NEAR, _AROUND = 3, 12
_SHORTEST_DISTANCE = 1.0


class EncoderTables(NamedTuple):
    """The fitted state, whole.

    encoding_mappings: column_name (one of `LEVELS`), category, parent (text), code, listings
        (int64), log_price, log_price_per_sqft (float64).
    preprocessing_statistics: feature, statistic (text), value (float64).
    zip_context: place (text), `CONTEXT` and neighbours' prices (float32).
    """

    encoding_mappings: pd.DataFrame
    preprocessing_statistics: pd.DataFrame
    zip_context: pd.DataFrame


@dataclass(frozen=True)
class _Means:
    """Target statistics fitted on some rows.

    `country` is (2,): mean log price and log price per square foot. `levels[name]` is
    (categories + 1, 3): listings, and the two shrunken means; NaN where the rows have no listing,
    and in the last row, where the code -1 of an unknown category points. For brokers the means are
    relative to the homes' locations. `neighbours` is (places, 2): log price per square foot near
    and around each place of the context.
    """

    country: Floats
    levels: dict[str, Floats]
    neighbours: Floats


class FeatureEncoder:
    """Fitted maps and statistics; turns columns into a float32 matrix (n, len(feature_names)).

    Categories are matched without regard to case. Codes count from the most frequent category, 0;
    a missing or unknown one is -1. The shrunken means of an unknown zip are those of its first
    three digits, else its city, else its state, else the country's, and so is its context; an
    unknown broker changes nothing.
    """

    def __init__(
        self,
        feature_names: tuple[str, ...],
        levels: dict[str, Level],
        context: pd.DataFrame,
        means: _Means,
        statistics: dict[tuple[str, str], float],
    ) -> None:
        self.feature_names = feature_names
        self._levels = levels
        self._means = means
        self._statistics = statistics
        self._places = Places.of(levels, context.index)
        # Features that are looked up as they are, side by side in the matrix and in the table.
        kept = [name for name in CONTEXT if name in feature_names]
        self._context = context
        self._points = context[["latitude", "longitude"]].to_numpy(np.float64)
        self._looked_up = context[kept].to_numpy(np.float32)
        self._computed = [
            (position, name) for position, name in enumerate(feature_names) if name not in kept
        ]
        self._context_at = slice(len(self._computed), len(feature_names))
        assert feature_names[self._context_at] == tuple(kept), "the context comes last"
        self._as_of = np.datetime64(int(statistics["as_of", "days since 1970"]), "D")

        def of_measures(statistic: str) -> Floats:
            return np.array([[statistics[name, statistic]] for name in MEASURES])

        self._low, self._high = of_measures("low"), of_measures("high")
        self._imputed = of_measures("imputed")
        self._mean, self._deviation = of_measures("mean"), of_measures("deviation")
        self._typical = {name: statistics[name, "imputed"] for name in _PREVIOUS_SALE}

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The range of bed, bath, acre_lot and house_size in the train rows, but for extremes."""
        ends = zip(MEASURES, self._low[:, 0], self._high[:, 0], strict=True)
        return {name: (float(low), float(high)) for name, low, high in ends}

    @classmethod
    def fit(
        cls,
        columns: Columns,
        price: Floats,
        *,
        as_of: dt.date | np.datetime64[Any],
        without: Collection[str] = (),
        folds: int = 5,
        seed: int = 0,
    ) -> tuple[Self, NDArray[np.float32]]:
        """Fit on train rows; returns the encoder and the train matrix (n, n_features).

        Args:
            columns: n train rows.
            price: dollars, float64 (n,), positive.
            as_of: the date that the data speaks for; tenure and sale month count from it.
            without: groups of `FEATURE_GROUPS` that are left out.
            folds: the target statistics of a train row come from the other folds. Listings of one
                property (street, city, zip) share a fold, so no row sees its own price.
            seed: of the folds.

        Raises:
            ValueError: no rows, a price that is not positive, lengths that differ, one fold, a
                group that does not exist.
        """
        price = np.asarray(price, np.float64)
        if not 0 < len(price) == len(columns["status"]) or not np.all(price > 0):
            raise ValueError("fit needs rows, and a positive price for each of them")
        if folds < 2:
            raise ValueError(f"folds is {folds}; out-of-fold statistics need at least 2")
        context = place_context()
        levels = Places.fit(columns)
        at = locate(columns, Places.of(levels, context.index))
        targets = _targets(columns, price)
        fitting = _Fitting(levels, context)
        everywhere = np.arange(len(context))
        encoder = cls(
            features_without(without),
            levels,
            context,
            fitting.means(at, targets, everywhere),
            _statistics(columns, as_of),
        )
        matrix = np.empty((len(price), len(encoder.feature_names)), np.float32)
        fold = property_fold(columns, folds, seed)
        for index in np.unique(fold):
            inside, others = np.flatnonzero(fold == index), np.flatnonzero(fold != index)
            where = at.rows(inside)
            means = fitting.means(at.rows(others), targets[others], np.unique(where.place))
            matrix[inside] = encoder._in_chunks(take(columns, inside), where, means)
        return encoder, matrix

    def locate(self, columns: Columns) -> Located:
        """Where n rows are: what `transform` and `unknown` look up, for both of them to use."""
        return locate(columns, self._places)

    def transform(self, columns: Columns, at: Located | None = None) -> NDArray[np.float32]:
        """The matrix (n, n_features) of any rows, all finite; a row's values depend on it alone."""
        return self._in_chunks(columns, at or self.locate(columns), self._means)

    def coordinates(self, columns: Columns) -> Floats:
        """Latitude and longitude (n, 2), degrees, of the centre of each row's zip.

        Of an unknown zip those of its first three digits, else its city, its state, the country.
        """
        return self._points[self.locate(columns).place]

    def unknown(self, columns: Columns, at: Located) -> dict[str, NDArray[np.bool_]]:
        """For state, city and zip_code: which rows (n,) name one that training never saw."""
        unknown = {}
        for name in ("state", "city", "zip_code"):
            mask = at.codes[name] < 0
            unknown[name] = mask & pd.notna(columns[name]) if mask.any() else mask
        return unknown

    def outside(self, columns: Columns) -> list[tuple[str, int]]:
        """Which bed, bath, acre_lot and house_size lie outside of `ranges`: name and row."""
        values = _measures(columns)
        at = np.argwhere((values < self._low) | (values > self._high))
        return [(MEASURES[measure], row) for measure, row in at.tolist()]

    def described(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """What the clean tables keep of n rows for people and analysis, and no model sees.

        The code (n,) of each row's state, city, zip and broker, -1 if unknown; bed, bath, acre_lot
        and house_size in train standard deviations from the train mean, imputed where missing;
        year and quarter of the previous sale, NaN where unknown; square feet per acre. A tree does
        not see the difference to the features, or finds noise to learn by heart (docs/MODEL.md).
        """
        codes = locate(columns, self._places).codes
        _, filled = self._filled(columns)
        scaled = (filled - self._mean) / self._deviation
        sale = _sale(columns, self._as_of)
        year = 1970.0 + sale.months // 12
        quarter = sale.months % 12 // 3 + 1.0
        size, acres = filled[MEASURES.index("house_size")], filled[MEASURES.index("acre_lot")]
        return {
            **{f"{name}_code": codes[name] for name in LEVELS if name != "zip3"},
            **{f"{name}_z": row for name, row in zip(MEASURES, scaled, strict=True)},
            "prev_sale_year": np.where(sale.previous, year, np.nan),
            "prev_sale_quarter": np.where(sale.previous, quarter, np.nan),
            "sqft_per_acre": size / np.maximum(acres, _ACRES_FLOOR),
        }

    def to_tables(self) -> EncoderTables:
        """The fitted state, whole."""
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
        positions = {(name, "position"): float(i) for i, name in enumerate(self.feature_names)}
        statistics = pd.DataFrame(
            [(*key, value) for key, value in (self._statistics | country | positions).items()],
            columns=["feature", "statistic", "value"],
        )
        neighbours = pd.DataFrame(
            self._means.neighbours.astype(np.float32), self._context.index, columns=NEIGHBOURS
        )
        zip_context = pd.concat([self._context, neighbours], axis=1)
        return EncoderTables(mappings, statistics, zip_context.rename_axis("place").reset_index())

    @classmethod
    def from_tables(
        cls, mappings: pd.DataFrame, statistics: pd.DataFrame, zip_context: pd.DataFrame
    ) -> Self:
        """The encoder whose `to_tables` these are, rows in any order; `transform` is bit-equal.

        Raises:
            ValueError: a column or a statistic is missing.
        """
        for table, frame, needed in (
            ("encoding_mappings", mappings, _MAPPING_COLUMNS),
            ("zip_context", zip_context, ("place", *CONTEXT, *NEIGHBOURS)),
        ):
            if absent := [name for name in needed if name not in frame.columns]:
                raise ValueError(f"{table} lacks {', '.join(absent)}")
        levels, tables = {}, {}
        for name in LEVELS:
            rows = mappings[mappings["column_name"] == name].sort_values("code")
            levels[name] = Level(
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
        positions = sorted(
            (value, feature) for (feature, kind), value in values.items() if kind == "position"
        )
        fitted = {key: value for key, value in values.items() if key[1] != "position"}
        places = zip_context.set_index("place")
        context = places[list(CONTEXT)].astype(np.float32)
        neighbours = places[list(NEIGHBOURS)].to_numpy(np.float64)
        try:
            country = np.array([fitted.pop((target, "mean")) for target in _TARGETS])
            means = _Means(country, tables, neighbours)
            return cls(tuple(name for _, name in positions), levels, context, means, fitted)
        except KeyError as problem:
            raise ValueError(f"preprocessing_statistics lacks {problem}") from problem

    def _filled(self, columns: Columns) -> tuple[NDArray[np.bool_], Floats]:
        """Which of `MEASURES` are missing (4, n), and their values (4, n), held and imputed."""
        values = _measures(columns)
        missing = np.isnan(values)
        # np.clip takes 5 times as long for the one row of a request.
        held = np.minimum(np.maximum(values, self._low), self._high)
        return missing, np.where(missing, self._imputed, held)

    def _in_chunks(self, columns: Columns, at: Located, means: _Means) -> NDArray[np.float32]:
        n = len(columns["status"])
        if n <= _CHUNK:
            return self._matrix(columns, at, means)
        matrix = np.empty((n, len(self.feature_names)), np.float32)
        for start in range(0, n, _CHUNK):
            rows = slice(start, start + _CHUNK)
            matrix[rows] = self._matrix(take(columns, rows), at.rows(rows), means)
        return matrix

    def _matrix(self, columns: Columns, at: Located, means: _Means) -> NDArray[np.float32]:
        found = {name: table[at.codes[name]] for name, table in means.levels.items()}
        state, city, location = _locations(found, means.country)
        broker = _first_known(found["brokered_by"][:, 1:], _NO_EFFECT)
        neighbours = means.neighbours[at.place]

        missing, (bed, bath, acre_lot, house_size) = self._filled(columns)
        log_acre = np.log(acre_lot + _ACRES_FLOOR)
        log_size = np.log(np.maximum(house_size, 1.0))
        sale = _sale(columns, self._as_of)
        features: dict[str, NDArray[Any]] = {
            "bed": bed,
            "bath": bath,
            "log_acre_lot": log_acre,
            "log_house_size": log_size,
            "bed_bath_ratio": bed / np.maximum(bath, 1.0),
            "log_sqft_per_acre": log_size - log_acre,
            "sqft_per_bed": house_size / np.maximum(bed, 1.0),
            "bed_missing": missing[0],
            "bath_missing": missing[1],
            "acre_lot_missing": missing[2],
            "house_size_missing": missing[3],
            "land_only": missing[0] & missing[1] & missing[3],
            "is_sold": sale.sold,
            "is_ready_to_build": columns["status"] == "ready_to_build",
            "prev_sale_known": sale.previous,
            "days_since_prev_sale": np.where(
                sale.previous, sale.days, self._typical["days_since_prev_sale"]
            ),
            "prev_sale_month": np.where(
                sale.previous, sale.months % 12 + 1, self._typical["prev_sale_month"]
            ),
            "sale_month": np.where(sale.outcome, sale.months_ago, 0.0),
            "state_log_price_per_sqft": state[:, 1],
            "city_log_price": city[:, 0],
            "city_log_price_per_sqft": city[:, 1],
            "zip_log_price": location[:, 0],
            "zip_log_price_per_sqft": location[:, 1],
            "city_log_listings": np.log1p(found["city"][:, 0]),
            "zip_log_listings": np.log1p(found["zip_code"][:, 0]),
            "broker_log_price_effect": broker[:, 0],
            "broker_log_price_per_sqft_effect": broker[:, 1],
            NEIGHBOURS[0]: neighbours[:, 0],
            NEIGHBOURS[1]: neighbours[:, 1],
        }
        # By feature first: whole rows are written at a time.
        computed = np.empty((len(self._computed), len(bed)), np.float32)
        for position, name in self._computed:
            computed[position] = features[name]
        matrix = np.empty((len(bed), len(self.feature_names)), np.float32)
        matrix[:, : len(computed)] = computed.T
        matrix[:, self._context_at] = self._looked_up[at.place]
        return matrix


def _measures(columns: Columns) -> Floats:
    """The values (4, n) of `MEASURES`."""
    values = np.empty((len(MEASURES), len(columns["status"])))
    for row, name in enumerate(MEASURES):
        values[row] = columns[name]
    return values


_UNKNOWN = np.array([[0.0, np.nan, np.nan]])
_NO_EFFECT = np.zeros(2)


# ---- target statistics ----------------------------------------------------------------------


def _targets(columns: Columns, price: Floats) -> Floats:
    """Log price and log price per square foot (n, 2); the latter NaN without a size."""
    log_price = np.log(price)
    return np.column_stack([log_price, log_price - np.log(columns["house_size"])])


class _Fitting:
    """What the target statistics of every fold have in common."""

    def __init__(self, levels: dict[str, Level], context: pd.DataFrame) -> None:
        self._levels = levels
        self._parents = {
            "zip3": _find(levels["state"], levels["zip3"].parents),
            "zip_code": _find(levels["zip3"], levels["zip_code"].parents),
            "city": _find(levels["state"], levels["city"].parents),
        }
        self._points = context[["latitude", "longitude"]].to_numpy(np.float64)
        # Where each zip of the train rows lies in the context; -1 for zips that do not exist.
        self._zip_at = context.index.get_indexer(pd.Index(list(levels["zip_code"].codes)))

    def means(self, at: Located, targets: Floats, places: NDArray[np.intp]) -> _Means:
        """Fit on rows that are located `at` places; neighbours are found for `places` only.

        A category's mean is shrunk to its parent's: (sum + k · parent) / (n + k).
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
        found = {name: table[at.codes[name]] for name, table in tables.items()}
        _, _, location = _locations(found, country)
        no_effect = np.zeros((len(self._levels["brokered_by"].codes), 2))
        tables["brokered_by"] = _shrunk(
            "brokered_by", at.codes["brokered_by"], targets - location, no_effect
        )
        neighbours = np.full((len(self._points), 2), country[1])
        neighbours[places] = self._neighbours(
            at.codes["zip_code"], targets[:, 1], places, country[1]
        )
        # Kept in float32, like all that the matrix looks up: rebuilt from tables it is the same.
        return _Means(country, tables, neighbours.astype(np.float32).astype(np.float64))

    def _neighbours(
        self, codes: NDArray[np.int64], target: Floats, places: NDArray[np.intp], country: float
    ) -> Floats:
        """Mean of `target` near and around `places`, (len(places), 2); nearer zips weigh more."""
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


# ---- numbers and dates ----------------------------------------------------------------------


def _statistics(
    columns: Columns, as_of: dt.date | np.datetime64[Any]
) -> dict[tuple[str, str], float]:
    reference = np.datetime64(str(as_of), "D")
    statistics = {("as_of", "days since 1970"): float(reference.astype(np.int64))}
    for name in MEASURES:
        known = _known(columns[name])
        low, high = np.quantile(known, _EXTREMES)
        imputed = _mode(known) if name in _COUNTS else float(np.median(known))
        filled = np.where(np.isnan(columns[name]), imputed, np.clip(columns[name], low, high))
        statistics |= {
            (name, "imputed"): imputed,
            (name, "low"): float(low),
            (name, "high"): float(high),
            (name, "mean"): float(filled.mean()),
            (name, "deviation"): float(filled.std()) or 1.0,
        }
    sale = _sale(columns, reference)
    for name, values in zip(_PREVIOUS_SALE, (sale.days, sale.months % 12 + 1.0), strict=True):
        statistics[name, "imputed"] = float(np.median(_known(values[sale.previous])))
    return statistics


def _mode(values: Floats) -> float:
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[counts.argmax()])


def _known(values: NDArray[Any]) -> Floats:
    """The values that are not missing; a zero when all are."""
    known: Floats = values[~np.isnan(values)]
    return known if known.size else np.zeros(1)


class _Sale(NamedTuple):
    """What the date of n rows says, (n,) each; arrays are meaningless where their mask is False.

    sold: the listing is a sale. outcome: and its date is known. previous: the date is that of the
    previous sale: on a sold listing it is the outcome's own, and tenure would tell that it was
    sold. days: since the date, at most a century. months: since 1970. months_ago: up to `as_of`,
    0 or less.
    """

    sold: NDArray[np.bool_]
    outcome: NDArray[np.bool_]
    previous: NDArray[np.bool_]
    days: Floats
    months: NDArray[np.int64]
    months_ago: NDArray[np.int64]


def _sale(columns: Columns, as_of: np.datetime64[Any]) -> _Sale:
    date = columns["prev_sold_date"]
    sold = columns["status"] == "sold"
    known = ~np.isnat(date)
    if not known.any():
        # As everything that is valued: a home is valued as if it were sold, and now.
        nothing = np.zeros(len(date), np.int64)
        return _Sale(sold, known, known, nothing.astype(np.float64), nothing, nothing)
    outcome = sold & known
    today = np.array(as_of)
    days = (today - date).astype(np.float64)
    months = date.astype("datetime64[M]").astype(np.int64)
    now = int(today.astype("datetime64[M]").astype(np.int64))
    return _Sale(
        sold=sold,
        outcome=outcome,
        previous=known & ~sold,
        days=np.minimum(np.maximum(days, 0.0), _LONGEST_TENURE),
        months=months,
        months_ago=np.minimum(np.maximum(months - now, _OLDEST_SALE_MONTH), 0),
    )
