"""The feature encoder: fitted on train rows, then a pure function from inputs to features.

`FeatureEncoder.transform` depends only on its input and on the fitted state, which is exactly three
tables: `encoding_mappings`, `preprocessing_statistics`, `zip_context`. The state and the city that
a US zip implies are constants of the code (`listing.zip_places`).
"""

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.features.encoder_state import EncoderState, EncoderTables
from realtor_model.features.feature_names import (
    MISSING,
    NEIGHBOURS,
    POINT_PRICES,
    effect_features,
    features_of,
    value_feature,
)
from realtor_model.features.input_columns import take
from realtor_model.features.measures import MEASURES, Numbers, is_land
from realtor_model.features.place_context import CONTEXT, place_context
from realtor_model.features.places import (
    LEVELS,
    Level,
    Located,
    Places,
    added_categories,
    locate,
    property_fold,
)
from realtor_model.features.point_prices import (
    NearestZip,
    PointPrices,
    located,
    own_points,
    price_levels,
)
from realtor_model.features.price_levels import Fitting, Means, targets_of
from realtor_model.listing import COORDINATES, US_LISTINGS, Column, Columns, ListingContract

Floats = NDArray[np.float64]

_ACRES_FLOOR = 0.01
_SIZE = "house_size"
# Rows per chunk of a transformation, so that a chunk fits the processor's cache.
_CHUNK = 4_096


class FeatureEncoder:
    """Turns n rows of inputs into a float32 matrix (n, len(feature_names)), all finite.

    Categories are matched without regard to case; states and cities in any spelling
    (`listing.place_keys`). A zip code gives a missing state and city, and replaces those that
    contradict it. The most frequent category has the code 0; a
    missing or unknown category has the code -1. An unknown zip takes shrunken means and context
    from its first three digits, else its city, else its state, else the country. An unknown broker
    has no effect.

    Attributes:
        feature_names: names of the matrix's columns, in order.
    """

    def __init__(self, state: EncoderState) -> None:
        self.feature_names = state.feature_names
        self._state = state
        self._numbers = state.numbers
        context = state.context
        self._places = Places.of(state.levels, context.index, in_us=state.contract.in_us)
        # Context features are copied as they are; they stand side by side in matrix and table.
        looked_up = [name for name in CONTEXT if name in self.feature_names]
        self._points = context[["latitude", "longitude"]].to_numpy(np.float64)
        # Keys of zips and zip3s are digits, keys of cities contain "|"; the others are wide.
        self._wide = np.array(
            [not (key.isdigit() or "|" in key) for key in map(str, context.index)]
        )
        self._looked_up = context[looked_up].to_numpy(np.float32)
        self._nearest_zip = NearestZip(context) if state.contract.has_coordinates else None
        self._computed = [
            (position, name)
            for position, name in enumerate(self.feature_names)
            if name not in looked_up
        ]
        self._context_at = slice(len(self._computed), len(self.feature_names))
        self._categories = added_categories(state.contract)
        # For each category with declared choices: by code, the position among them; -1 if unknown.
        self._positions = {
            column.key: _choice_positions(column, state.levels[column.key])
            for column in self._categories
        }
        assert self.feature_names[self._context_at] == tuple(looked_up), "the context comes last"

    @property
    def contract(self) -> ListingContract:
        """The listing contract of the market that the encoder was fitted for."""
        return self._state.contract

    @property
    def monotone(self) -> Mapping[str, int]:
        """Feature -> 1 if the price never falls as it rises, -1 if it never rises."""
        return features_of(self.contract).monotone

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each numeric input in the train rows, without extremes."""
        return self._numbers.ranges

    @classmethod
    def fit(
        cls,
        columns: Columns,
        price: Floats,
        *,
        as_of: dt.date | np.datetime64[Any],
        contract: ListingContract = US_LISTINGS,
        without: Collection[str] = (),
        folds: int = 5,
        seed: int = 0,
    ) -> tuple[Self, NDArray[np.float32]]:
        """Fit an encoder on train rows, and transform these out of fold.

        Args:
            columns: n train rows.
            price: sale or asking prices, dollars, shape (n,), all positive.
            as_of: reference date of the data; tenure and sale month count from it.
            contract: of the market; `columns` has its keys.
            without: groups of `FEATURE_GROUPS` to leave out.
            folds: number of folds, >= 2. The target statistics of a train row are computed from the
                other folds; listings of one property (street, city, zip) share a fold, so no row
                contains its own price.
            seed: seed of the assignment to folds.

        Returns:
            The encoder, and the out-of-fold matrix of the train rows, float32 (n, n_features).

        Raises:
            ValueError: there are no rows, a price is not positive, the lengths differ, folds < 2,
                or a group does not exist.
        """
        price = np.asarray(price, np.float64)
        if not 0 < len(price) == len(columns["status"]) or not np.all(price > 0):
            raise ValueError("fit needs rows, and a positive price for each of them")
        if folds < 2:
            raise ValueError(f"folds is {folds}; out-of-fold statistics need at least 2")
        context = place_context()
        levels = Places.fit(columns, contract)
        targets = targets_of(columns, price)
        points = nearest_zip = point_prices = None
        if contract.has_coordinates:
            points, nearest_zip = own_points(columns), NearestZip(context)
            price_level = price_levels(targets[:, 0], columns[_SIZE])
            point_prices = PointPrices.fit(points, price_level)
        places = Places.of(levels, context.index, in_us=contract.in_us)
        at = located(columns, places, points, nearest_zip)
        fitting = Fitting(levels, context)
        everywhere = np.arange(len(context))
        encoder = cls(
            EncoderState(
                features_of(contract).without(without),
                levels,
                context,
                fitting.means(at, targets, everywhere),
                Numbers.fit(columns, as_of, contract),
                contract,
                point_prices,
            )
        )
        matrix = np.empty((len(price), len(encoder.feature_names)), np.float32)
        fold = property_fold(columns, folds, seed)
        for index in np.unique(fold):
            inside, others = np.flatnonzero(fold == index), np.flatnonzero(fold != index)
            where = at.rows(inside)
            means = fitting.means(at.rows(others), targets[others], np.unique(where.place))
            if points is not None:
                point_prices = PointPrices.fit(points[others], price_level[others])
            matrix[inside] = encoder._in_chunks(take(columns, inside), where, means, point_prices)
        return encoder, matrix

    def locate(self, columns: Columns) -> Located:
        """Codes and places of n rows, which `transform`, `unknown` and `wide` share."""
        points = own_points(columns) if self.contract.has_coordinates else None
        return located(columns, self._places, points, self._nearest_zip)

    def transform(self, columns: Columns, at: Located | None = None) -> NDArray[np.float32]:
        """The features of n rows, float32 (n, n_features), all finite.

        A row's features do not depend on the other rows.

        Args:
            at: `locate(columns)`, if the caller has it already.
        """
        columns = self.contract.completed(columns)
        state = self._state
        return self._in_chunks(columns, at or self.locate(columns), state.means, state.point_prices)

    def coordinates(self, columns: Columns) -> Floats:
        """Latitude and longitude of each row, float64 (n, 2), degrees.

        Where a home's own ones are not known, those of its zip. An unknown zip has those of its
        first three digits, else its city, state, or the country.
        """
        columns = self.contract.completed(columns)
        points = self._points[self.locate(columns).place]
        if not self.contract.has_coordinates:
            return points
        own = own_points(columns)
        return np.where(np.isnan(own), points, own)

    def has_own_point(self, columns: Columns) -> NDArray[np.bool_]:
        """Mask (n,) of the rows with coordinates of their own, in a market that has them."""
        return ~np.isnan(own_points(columns)[:, 0])

    def unknown(self, columns: Columns, at: Located) -> dict[str, NDArray[np.bool_]]:
        """Masks (n,) for state, city and zip_code: the row's one is not among the train rows.

        A state and a city that the zip code contradicts do not count: they are not used.
        """
        codes = {name: at.codes[name] for name in ("state", "city", "zip_code")}
        # The OR of the codes is negative if any code is -1, which is rare.
        somewhere = (codes["state"] | codes["city"] | codes["zip_code"]) < 0
        if not somewhere.any():
            return dict.fromkeys(codes, somewhere)
        masks = {name: (code < 0) & pd.notna(columns[name]) for name, code in codes.items()}
        return {
            name: mask if name == "zip_code" else mask & ~at.contradicted
            for name, mask in masks.items()
        }

    def placed_by(self, columns: Columns, at: Located) -> dict[str, NDArray[np.bool_]]:
        """Masks (n,) of the rows that an input places, by its key, the narrowest input first.

        A state and a city that are missing, or contradict the zip code, place nothing.
        """
        masks = {"zip_code": pd.notna(columns["zip_code"])}
        if self.contract.has_coordinates:
            masks[COORDINATES[0]] = self.has_own_point(columns)
        for name in ("city", "state"):
            masks[name] = pd.notna(columns[name]) & ~at.contradicted
        return masks

    def wide(self, at: Located) -> NDArray[np.bool_]:
        """Mask (n,) of the rows whose place is known only to the state, or not at all."""
        wide: NDArray[np.bool_] = self._wide[at.place]
        return wide & (at.codes["zip_code"] < 0) & (at.codes["city"] < 0)

    def outside(self, columns: Columns) -> list[tuple[str, int]]:
        """Values outside `ranges`, as (input, row)."""
        return self._numbers.outside(columns)

    def described(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """Columns (n,) of the clean tables that are for analysis; no model uses them.

        Codes of state, city, zip and broker, -1 if unknown; z-scores of bed, bath, acre_lot and
        house_size, imputed where missing; year and quarter of the previous sale, NaN where unknown;
        square feet per acre. They give a tree no information beyond the features, or only noise to
        overfit (docs/MODEL.md).
        """
        codes = locate(columns, self._places).codes
        _, filled = self._numbers.filled(columns)
        scaled = self._numbers.scaled(filled)[: len(MEASURES)]
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
        """The complete fitted state."""
        return self._state.to_tables()

    @classmethod
    def from_tables(
        cls,
        encoding_mappings: pd.DataFrame,
        preprocessing_statistics: pd.DataFrame,
        zip_context: pd.DataFrame,
        point_prices: pd.DataFrame | None = None,
        contract: ListingContract = US_LISTINGS,
    ) -> Self:
        """The encoder with this fitted state; its `transform` is bit-equal to the original's.

        Args:
            encoding_mappings, preprocessing_statistics, zip_context, point_prices: what
                `to_tables` returned, rows in any order.
            contract: of the market that the encoder was fitted for.

        Raises:
            ValueError: a column or a statistic is missing.
        """
        tables = EncoderTables(
            encoding_mappings, preprocessing_statistics, zip_context, point_prices
        )
        return cls(EncoderState.from_tables(tables, contract))

    def _in_chunks(
        self, columns: Columns, at: Located, means: Means, point_prices: PointPrices | None
    ) -> NDArray[np.float32]:
        n = len(columns["status"])
        if n <= _CHUNK:
            return self._matrix(columns, at, means, point_prices)
        matrix = np.empty((n, len(self.feature_names)), np.float32)
        for start in range(0, n, _CHUNK):
            rows = slice(start, start + _CHUNK)
            matrix[rows] = self._matrix(take(columns, rows), at.rows(rows), means, point_prices)
        return matrix

    def _matrix(
        self, columns: Columns, at: Located, means: Means, point_prices: PointPrices | None
    ) -> NDArray[np.float32]:
        prices = means.at(at)
        numbers = self._numbers
        missing, filled = numbers.filled(columns)
        bed, bath, acre_lot, house_size, *added = filled
        no_bed, no_bath, no_acres, no_size, *no_added = missing
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
            "land_only": is_land(no_size, no_bed, no_bath),
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
            "broker_log_price_effect": prices.effects["brokered_by"][:, 0],
            "broker_log_price_per_sqft_effect": prices.effects["brokered_by"][:, 1],
            NEIGHBOURS[0]: prices.neighbours[:, 0],
            NEIGHBOURS[1]: prices.neighbours[:, 1],
        }
        for name, values, flags in zip(numbers.added, added, no_added, strict=True):
            features[name], features[f"{name}{MISSING}"] = values, flags
        for column in self._categories:
            effects = zip(effect_features(column), prices.effects[column.key].T, strict=True)
            features.update(effects)
            if column.choices:
                features[value_feature(column)] = self._positions[column.key][at.codes[column.key]]
        points = None
        if point_prices is not None:
            points = own_points(columns)
            features.update(zip(POINT_PRICES, point_prices.at(points).T, strict=True))
        # Filled feature by feature: writing whole rows of `computed` is faster than columns.
        computed = np.empty((len(self._computed), len(bed)), np.float32)
        for position, name in self._computed:
            computed[position] = features[name]
        matrix = np.empty((len(bed), len(self.feature_names)), np.float32)
        matrix[:, : len(computed)] = computed.T
        matrix[:, self._context_at] = self._looked_up[at.place]
        if points is not None:
            for key, own in zip(COORDINATES, points.T, strict=True):
                if key in self.feature_names:
                    at_key = self.feature_names.index(key)
                    matrix[:, at_key] = np.where(np.isnan(own), matrix[:, at_key], own)
        return matrix


def _choice_positions(column: Column, level: Level) -> Floats:
    """For each code of `level` its position among the choices of `column`, and -1 at the end."""
    choices = {choice.strip().casefold(): i for i, choice in enumerate(column.choices)}
    positions = [choices.get(category, -1) for category in level.codes]
    return np.array([*positions, -1], np.float64)
