"""Fitted maps and statistics, and the pure function that turns columns into the matrix.

`FeatureEncoder.transform` depends on the columns and on the fitted state alone, and the fitted
state is exactly three tables: `encoding_mappings`, `preprocessing_statistics`, `zip_context`.
"""

import datetime as dt
from collections.abc import Collection
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.features.encoder_state import EncoderState, EncoderTables
from realtor_model.features.feature_names import NEIGHBOURS, features_without
from realtor_model.features.input_columns import Columns, take
from realtor_model.features.measures import MEASURES, Numbers
from realtor_model.features.place_context import CONTEXT, place_context
from realtor_model.features.places import LEVELS, Located, Places, locate, property_fold
from realtor_model.features.price_levels import Fitting, Means, targets_of

Floats = NDArray[np.float64]

_ACRES_FLOOR = 0.01
# Rows that are transformed at a time: what stays in the processor's cache is quicker.
_CHUNK = 4_096


class FeatureEncoder:
    """Fitted maps and statistics; turns columns into a float32 matrix (n, len(feature_names)).

    Categories are matched without regard to case. Codes count from the most frequent category, 0;
    a missing or unknown one is -1. The shrunken means of an unknown zip are those of its first
    three digits, else its city, else its state, else the country's, and so is its context; an
    unknown broker changes nothing.
    """

    def __init__(self, state: EncoderState) -> None:
        self.feature_names = state.feature_names
        self._state = state
        self._numbers = state.numbers
        context = state.context
        self._places = Places.of(state.levels, context.index)
        # Features that are looked up as they are, side by side in the matrix and in the table.
        kept = [name for name in CONTEXT if name in self.feature_names]
        self._points = context[["latitude", "longitude"]].to_numpy(np.float64)
        # A zip and its first three digits are digits; a city is named with its state.
        self._wide = np.array(
            [not (key.isdigit() or "|" in key) for key in map(str, context.index)]
        )
        self._looked_up = context[kept].to_numpy(np.float32)
        self._computed = [
            (position, name) for position, name in enumerate(self.feature_names) if name not in kept
        ]
        self._context_at = slice(len(self._computed), len(self.feature_names))
        assert self.feature_names[self._context_at] == tuple(kept), "the context comes last"

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The range of bed, bath, acre_lot and house_size in the train rows, but for extremes."""
        return self._numbers.ranges

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
        targets = targets_of(columns, price)
        fitting = Fitting(levels, context)
        everywhere = np.arange(len(context))
        encoder = cls(
            EncoderState(
                features_without(without),
                levels,
                context,
                fitting.means(at, targets, everywhere),
                Numbers.fit(columns, as_of),
            )
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
        return self._in_chunks(columns, at or self.locate(columns), self._state.means)

    def coordinates(self, columns: Columns) -> Floats:
        """Latitude and longitude (n, 2), degrees, of the centre of each row's zip.

        Of an unknown zip those of its first three digits, else its city, its state, the country.
        """
        return self._points[self.locate(columns).place]

    def unknown(self, columns: Columns, at: Located) -> dict[str, NDArray[np.bool_]]:
        """For state, city and zip_code: which rows (n,) name one that training never saw."""
        codes = {name: at.codes[name] for name in ("state", "city", "zip_code")}
        # Mostly none: a sign that is in one of the codes is in all of them together.
        somewhere = (codes["state"] | codes["city"] | codes["zip_code"]) < 0
        if not somewhere.any():
            return dict.fromkeys(codes, somewhere)
        return {name: (code < 0) & pd.notna(columns[name]) for name, code in codes.items()}

    def wide(self, at: Located) -> NDArray[np.bool_]:
        """Which rows (n,) are placed no nearer than by their state, or by the country."""
        wide: NDArray[np.bool_] = self._wide[at.place]
        return wide & (at.codes["zip_code"] < 0) & (at.codes["city"] < 0)

    def outside(self, columns: Columns) -> list[tuple[str, int]]:
        """Which bed, bath, acre_lot and house_size lie outside of `ranges`: name and row."""
        return self._numbers.outside(columns)

    def described(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """What the clean tables keep of n rows for people and analysis, and no model sees.

        The code (n,) of each row's state, city, zip and broker, -1 if unknown; bed, bath, acre_lot
        and house_size in train standard deviations from the train mean, imputed where missing;
        year and quarter of the previous sale, NaN where unknown; square feet per acre. A tree does
        not see the difference to the features, or finds noise to learn by heart (docs/MODEL.md).
        """
        codes = locate(columns, self._places).codes
        _, filled = self._numbers.filled(columns)
        scaled = self._numbers.scaled(filled)
        sale = self._numbers.sale(columns)
        size, acres = filled[MEASURES.index("house_size")], filled[MEASURES.index("acre_lot")]
        return {
            **{f"{name}_code": codes[name] for name in LEVELS if name != "zip3"},
            **{f"{name}_z": row for name, row in zip(MEASURES, scaled, strict=True)},
            "prev_sale_year": np.where(sale.previous, 1970 + sale.months // 12, np.nan),
            "prev_sale_quarter": np.where(sale.previous, (sale.month + 2) // 3, np.nan),
            "sqft_per_acre": size / np.maximum(acres, _ACRES_FLOOR),
        }

    def to_tables(self) -> EncoderTables:
        """The fitted state, whole."""
        return self._state.to_tables()

    @classmethod
    def from_tables(
        cls, mappings: pd.DataFrame, statistics: pd.DataFrame, zip_context: pd.DataFrame
    ) -> Self:
        """The encoder whose `to_tables` these are, rows in any order; `transform` is bit-equal.

        Raises:
            ValueError: a column or a statistic is missing.
        """
        tables = EncoderTables(mappings, statistics, zip_context)
        return cls(EncoderState.from_tables(tables))

    def _in_chunks(self, columns: Columns, at: Located, means: Means) -> NDArray[np.float32]:
        n = len(columns["status"])
        if n <= _CHUNK:
            return self._matrix(columns, at, means)
        matrix = np.empty((n, len(self.feature_names)), np.float32)
        for start in range(0, n, _CHUNK):
            rows = slice(start, start + _CHUNK)
            matrix[rows] = self._matrix(take(columns, rows), at.rows(rows), means)
        return matrix

    def _matrix(self, columns: Columns, at: Located, means: Means) -> NDArray[np.float32]:
        prices = means.at(at)
        numbers = self._numbers
        missing, (bed, bath, acre_lot, house_size) = numbers.filled(columns)
        no_bed, no_bath, no_acres, no_size = missing
        log_acre = np.log(acre_lot + _ACRES_FLOOR)
        log_size = np.log(np.maximum(house_size, 1.0))
        sale = numbers.sale(columns)
        features: dict[str, NDArray[Any]] = {
            "bed": bed,
            "bath": bath,
            "log_acre_lot": log_acre,
            "log_house_size": log_size,
            "bed_bath_ratio": bed / np.maximum(bath, 1.0),
            "log_sqft_per_acre": log_size - log_acre,
            "sqft_per_bed": house_size / np.maximum(bed, 1.0),
            "bed_missing": no_bed,
            "bath_missing": no_bath,
            "acre_lot_missing": no_acres,
            "house_size_missing": no_size,
            "land_only": no_bed & no_bath & no_size,
            "is_sold": sale.sold,
            "is_ready_to_build": columns["status"] == "ready_to_build",
            "prev_sale_known": sale.previous,
            "days_since_prev_sale": np.where(
                sale.previous, sale.days, numbers.typical["days_since_prev_sale"]
            ),
            "prev_sale_month": np.where(
                sale.previous, sale.month, numbers.typical["prev_sale_month"]
            ),
            "sale_month": np.where(sale.outcome, sale.months_ago, 0.0),
            "state_log_price_per_sqft": prices.state[:, 1],
            "city_log_price": prices.city[:, 0],
            "city_log_price_per_sqft": prices.city[:, 1],
            "zip_log_price": prices.zip_code[:, 0],
            "zip_log_price_per_sqft": prices.zip_code[:, 1],
            "city_log_listings": np.log1p(prices.city_listings),
            "zip_log_listings": np.log1p(prices.zip_listings),
            "broker_log_price_effect": prices.broker[:, 0],
            "broker_log_price_per_sqft_effect": prices.broker[:, 1],
            NEIGHBOURS[0]: prices.neighbours[:, 0],
            NEIGHBOURS[1]: prices.neighbours[:, 1],
        }
        # By feature first: whole rows are written at a time.
        computed = np.empty((len(self._computed), len(bed)), np.float32)
        for position, name in self._computed:
            computed[position] = features[name]
        matrix = np.empty((len(bed), len(self.feature_names)), np.float32)
        matrix[:, : len(computed)] = computed.T
        matrix[:, self._context_at] = self._looked_up[at.place]
        return matrix
