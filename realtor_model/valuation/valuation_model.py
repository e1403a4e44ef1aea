"""A trained valuation model: values homes, explains values, and compares homes with sales."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.estimators import Estimator
from realtor_model.features import Columns, FeatureEncoder, is_land, take
from realtor_model.features.places import Located
from realtor_model.listing import RANGES, WHOLE_NUMBERS
from realtor_model.messages import CodedMessage, message
from realtor_model.valuation.comparables import Comparison, Neighbourhoods, SoldHomes, adjust
from realtor_model.valuation.explanation import Explanation, explain
from realtor_model.valuation.intervals import DEVIATION, RANGE, Ranges
from realtor_model.valuation.market_statistics import MarketStatistics

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Upper limits of the forecast standard deviation: the half width, relative to the price, of the
# range that holds 68 % of prices. HouseCanary's scale: high up to 15 %, medium up to 30 %.
CONFIDENCE_LIMITS = {"medium": 0.30, "high": 0.15}

_GRADES = np.array(["low", *CONFIDENCE_LIMITS], object)
_NARROWEST_FIRST = np.sort([*CONFIDENCE_LIMITS.values()])
_NO_SALES = message("no_sales_learned")
_LAND = message("valued_as_land")
_PLACED_BY_CITY = message("no_zip_code", placed_by="city")
_PLACED_BY_STATE = message("no_zip_code", placed_by="state")


@lru_cache(maxsize=10_000)
def _unknown_place(name: str, value: str) -> CodedMessage:
    """The warning of a place; requests name the same ones again and again."""
    return message("unknown_place", input=name, value=value)


class NoSoldHomes(Exception):
    """Comparables were asked of a bundle that was made without sold homes."""


@dataclass(frozen=True)
class Valuations:
    """Values of n homes.

    Attributes:
        price, low, high: (n,) dollars.
        deviation: (n,) half width of the calibrated 68 % range, relative to the price (AVMs publish
            it as forecast standard deviation).
        confidence: (n,) "high", "medium" or "low": the grade of the deviation; one grade lower
            where the state, the city or the zip is new, the zip is missing, or a number is outside
            the range learned from; one more where the home is placed only by its state.
        warnings: by row, what makes its valuation less certain; rows without any are left out.
        unknown: for state, city and zip_code, a mask (n,) of rows that name one new to the model.
    """

    price: Floats
    low: Floats
    high: Floats
    deviation: Floats
    confidence: NDArray[np.object_]
    warnings: dict[int, list[CodedMessage]]
    unknown: dict[str, Mask]


@dataclass(frozen=True)
class ValuationModel:
    """The model that training makes, the registry stores and the service serves.

    Attributes:
        candidate: name of the kind of model.
        encoder, estimator, ranges: the three steps of a valuation.
        profile: `drift.profile` of the train rows.
        metadata: JSON; data_version, batches, as_of, train_rows, trained_at, metrics by split, and
            whatever else describes the model.
        sold_homes: the newest sales of the train rows, for comparison; older bundles lack them.
        market: statistics of the train rows; older bundles lack them.
    """

    candidate: str
    encoder: FeatureEncoder
    estimator: Estimator
    ranges: Ranges
    profile: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    sold_homes: SoldHomes | None = None
    market: MarketStatistics | None = None

    @property
    def price_range(self) -> tuple[float, float]:
        """Lowest and highest price that the model learned from, dollars."""
        low, high = self.estimator.log_range
        return math.exp(low), math.exp(high)

    def predict(self, columns: Columns) -> Floats:
        """Prices (n,), dollars, of listings as they are: a for-sale row gets its asking price."""
        return np.exp(self._predict_log(columns))

    def value(self, columns: Columns) -> Valuations:
        """Price, range and confidence of n rows; pass `as_sold` columns to value homes as sold."""
        at = self.encoder.locate(columns)
        unknown = self.encoder.unknown(columns, at)
        matrix = self.encoder.transform(columns, at)
        log_price = self.estimator.predict_log(matrix)
        (low, high), (less, more) = self.ranges.interval(matrix, log_price, (RANGE, DEVIATION))
        deviation = (np.exp(more - log_price) - np.exp(less - log_price)) / 2.0
        grade = len(_NARROWEST_FIRST) - _NARROWEST_FIRST.searchsorted(deviation)
        outside = self.encoder.outside(columns)
        no_zip = at.codes["zip_code"] < 0
        doubtful = no_zip | unknown["state"] | unknown["city"]
        if outside:
            doubtful[[row for _, row in outside]] = True
        grade -= doubtful
        # Most homes have a zip, and each check adds to the time of a single valuation.
        if no_zip.any():
            grade -= self.encoder.wide(at)
        confidence = _GRADES[np.maximum(grade, 0)]
        warnings = self._warnings(columns, at, unknown, outside)
        return Valuations(
            np.exp(log_price), np.exp(low), np.exp(high), deviation, confidence, warnings, unknown
        )

    def explain(self, columns: Columns) -> Explanation:
        """The exact SHAP values of n rows; see `Explanation`."""
        matrix = self.encoder.transform(columns)
        base, contributions = self.estimator.contributions(matrix)
        return explain(
            base, contributions, self.estimator.predict_log(matrix), self.estimator.feature_names
        )

    def compare(
        self, columns: Columns, *, count: int = 5, exclude: Collection[str] = ()
    ) -> Comparison:
        """The `count` sold homes most like the one home `columns`, their prices adjusted to it.

        Args:
            columns: one home, `as_sold`.
            count: sales wanted; fewer where the widest neighbourhood has fewer.
            exclude: ids of sales to leave out.

        Raises:
            NoSoldHomes: the bundle carries none.
        """
        if self.sold_homes is None:
            raise NoSoldHomes("this model carries no sold homes to compare with")
        similar = self._neighbourhoods.like(columns, count, exclude)
        # As of the day of each sale: the change of prices since then is one of the adjustments.
        sales = self.explain(take(self.sold_homes.columns, similar.rows))
        return adjust(self.explain(columns), sales, self.sold_homes.price[similar.rows], similar)

    @cached_property
    def _neighbourhoods(self) -> Neighbourhoods:
        assert self.sold_homes is not None
        return Neighbourhoods(self.sold_homes, self.encoder, self.estimator)

    @cached_property
    def _saw_no_sale(self) -> bool:
        status = self.profile.get("features", {}).get("status")
        return status is not None and "sold" not in status["categories"]

    def _warnings(
        self,
        columns: Columns,
        at: Located,
        unknown: dict[str, Mask],
        outside: list[tuple[str, int]],
    ) -> dict[int, list[CodedMessage]]:
        warnings: dict[int, list[CodedMessage]] = {}

        def warn(rows: Mask, warning: CodedMessage) -> None:
            for row in rows.nonzero()[0].tolist():
                warnings.setdefault(row, []).append(warning)

        if self._saw_no_sale:
            warn(columns["status"] == "sold", _NO_SALES)
        for name, mask in unknown.items():
            for row in mask.nonzero()[0].tolist():
                warning = _unknown_place(name, columns[name][row])
                warnings.setdefault(row, []).append(warning)
        if (at.codes["zip_code"] < 0).any():
            missing = pd.isna(columns["zip_code"]) & ~np.logical_or.reduce(list(unknown.values()))
            if missing.any():
                wide = self.encoder.wide(at)
                warn(missing & ~wide, _PLACED_BY_CITY)
                warn(missing & wide, _PLACED_BY_STATE)
        if np.isnan(columns["house_size"] + columns["bed"]).any():
            no_size, no_bed = np.isnan(columns["house_size"]), np.isnan(columns["bed"])
            land = is_land(no_size, no_bed, np.isnan(columns["bath"]))
            warn(land, _LAND)
            for name, absent in (("house_size", no_size), ("bed", no_bed)):
                warn(absent & ~land, message("input_missing", input=name))
        for name, row in outside:
            warnings.setdefault(row, []).append(self._outside(name, columns[name][row].item()))
        return warnings

    def _outside(self, name: str, value: float) -> CodedMessage:
        low, high = self.encoder.ranges[name]
        if name in WHOLE_NUMBERS:
            low, high, value = math.ceil(low), math.floor(high), int(value)
        return message(
            "outside_learned_range",
            input=name,
            value=value,
            low=low,
            high=high,
            unit=RANGES[name].unit,
        )

    def _predict_log(self, columns: Columns) -> Floats:
        return self.estimator.predict_log(self.encoder.transform(columns))
