"""The trained valuation model: valuations, explanations and comparable sales."""

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
from realtor_model.listing import ListingContract
from realtor_model.listing.zip_places import place_of
from realtor_model.messages import CodedMessage, message
from realtor_model.valuation.comparables import Comparison, Neighbourhoods, SoldHomes, adjust
from realtor_model.valuation.explanation import Explanation, counted_for_place, explain
from realtor_model.valuation.intervals import DEVIATION, RANGE, Ranges
from realtor_model.valuation.market_statistics import MarketStatistics

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Upper limits of the forecast standard deviation of each grade of confidence (HouseCanary's scale).
# The forecast standard deviation is the half width of the 68 % interval, relative to the price.
CONFIDENCE_LIMITS = {"medium": 0.30, "high": 0.15}

_GRADES = np.array(["low", *CONFIDENCE_LIMITS], object)
_NARROWEST_FIRST = np.sort([*CONFIDENCE_LIMITS.values()])
_NO_SALES = message("no_sales_learned")
_LAND = message("valued_as_land")
_PLACED_BY_CITY = message("no_zip_code", placed_by="city")
_PLACED_BY_STATE = message("no_zip_code", placed_by="state")


@lru_cache(maxsize=10_000)
def _unknown_place(name: str, value: str) -> CodedMessage:
    """The warning about an unknown place; cached, because requests repeat the same places."""
    return message("unknown_place", input=name, value=value)


@lru_cache(maxsize=10_000)
def _contradiction(state: str, zip_code: str) -> CodedMessage:
    """The warning that a zip code does not lie in the stated state."""
    place = place_of(zip_code)
    assert place is not None, "only a known zip code can contradict"
    return message(
        "place_contradiction",
        state=state,
        zip_code=zip_code,
        zip_city=place.city,
        zip_state=place.state,
    )


class NoSoldHomes(Exception):
    """The model has no sold homes to compare with."""


@dataclass(frozen=True)
class Valuations:
    """Valuations of n homes.

    Attributes:
        price: (n,) float64, dollars.
        low, high: (n,) float64, ends of the 80 % interval, dollars.
        deviation: (n,) float64, half width of the 68 % interval, relative to the price (the
            forecast standard deviation of AVMs).
        confidence: (n,) "high", "medium" or "low", graded by `CONFIDENCE_LIMITS`. It is one grade
            lower where the state, city or zip is unknown, the zip is missing or contradicts the
            state, or a number is outside the learned range; and another grade lower where only the
            state places the home.
        warnings: row -> its warnings; rows without a warning are left out.
        unknown: for state, city and zip_code a mask (n,) of the rows that name a place the model
            was not trained on.
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
    """The model that training produces, the registry stores and the service serves.

    Attributes:
        candidate: name of the candidate in `CANDIDATES`.
        encoder: computes features from inputs.
        estimator: predicts log prices from features.
        ranges: computes prediction intervals.
        profile: `drift.profile` of the train rows.
        metadata: JSON: data_version, batches, as_of, train_rows, trained_at, metrics by split, and
            other facts about the model.
        sold_homes: the newest sales of the train rows; None in older bundles.
        market: statistics of the train rows; None in older bundles.
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
    def contract(self) -> ListingContract:
        """The listing contract of the market that the model was trained for."""
        return self.encoder.contract

    @property
    def price_range(self) -> tuple[float, float]:
        """Lowest and highest price of the train rows, dollars."""
        low, high = self.estimator.log_range
        return math.exp(low), math.exp(high)

    def predict(self, columns: Columns) -> Floats:
        """Predict the prices of n listings in their own status: asking prices where for sale.

        Args:
            columns: the market's keys, arrays (n,).

        Returns:
            Prices, float64 (n,), dollars.
        """
        return np.exp(self._predict_log(columns))

    def value(self, columns: Columns) -> Valuations:
        """Value n homes: price, interval, confidence and warnings.

        Args:
            columns: the market's keys, arrays (n,); pass them through `as_sold` for the sale price.
        """
        columns = self.contract.completed(columns)
        at = self.encoder.locate(columns)
        unknown = self.encoder.unknown(columns, at)
        matrix = self.encoder.transform(columns, at)
        log_price = self.estimator.predict_log(matrix)
        (low, high), (less, more) = self.ranges.interval(matrix, log_price, (RANGE, DEVIATION))
        deviation = (np.exp(more - log_price) - np.exp(less - log_price)) / 2.0
        grade = len(_NARROWEST_FIRST) - _NARROWEST_FIRST.searchsorted(deviation)
        outside = self.encoder.outside(columns)
        no_zip = at.codes["zip_code"] < 0
        if self.contract.has_coordinates:
            no_zip &= ~self.encoder.has_own_point(columns)
        doubtful = no_zip | unknown["state"] | unknown["city"] | at.contradicted
        if outside:
            doubtful[[row for _, row in outside]] = True
        grade -= doubtful
        # Skipped in the usual case, where every home has a zip: it would slow a single valuation.
        if no_zip.any():
            grade -= self.encoder.wide(at)
        confidence = _GRADES[np.maximum(grade, 0)]
        warnings = self._warnings(columns, at, no_zip, unknown, outside)
        return Valuations(
            np.exp(log_price), np.exp(low), np.exp(high), deviation, confidence, warnings, unknown
        )

    def explain(self, columns: Columns) -> Explanation:
        """Explain the predictions of n rows by exact SHAP values.

        What a missing zip code, city, state or coordinates contribute counts for the input that
        places the home.

        Args:
            columns: the market's keys, arrays (n,).
        """
        explanation = self._by_input(columns)
        return counted_for_place(explanation, self._placed_by(columns))

    def compare(
        self, columns: Columns, *, count: int = 5, exclude: Collection[str] = ()
    ) -> Comparison:
        """Find the sales most similar to a home, and adjust their prices to it.

        Args:
            columns: the market's keys of one home, arrays (1,), after `as_sold`.
            count: sales wanted; fewer are returned where the largest radius holds fewer.
            exclude: ids of sales to leave out.

        Raises:
            NoSoldHomes: the model has no sold homes.
        """
        if self.sold_homes is None:
            raise NoSoldHomes("this model carries no sold homes to compare with")
        similar = self._neighbourhoods.like(columns, count, exclude)
        # Each sale is explained as of its own date, so the adjustments include the change of prices
        # since then.
        sold = take(self.sold_homes.columns, similar.rows)
        home, sales = self._by_input(columns), self._by_input(sold)
        # An input can be compared only where both have it.
        own, theirs = self._placed_by(columns), self._placed_by(sold)
        placed_by = {key: own[key] & theirs[key] for key in own}
        return adjust(
            counted_for_place(home, placed_by),
            counted_for_place(sales, placed_by),
            self.sold_homes.price[similar.rows],
            similar,
        )

    def _by_input(self, columns: Columns) -> Explanation:
        matrix = self.encoder.transform(columns)
        base, contributions = self.estimator.contributions(matrix)
        return explain(
            base,
            contributions,
            self.estimator.predict_log(matrix),
            self.estimator.feature_names,
            self.contract,
        )

    def _placed_by(self, columns: Columns) -> dict[str, Mask]:
        columns = self.contract.completed(columns)
        return self.encoder.placed_by(columns, self.encoder.locate(columns))

    @cached_property
    def _neighbourhoods(self) -> Neighbourhoods:
        assert self.sold_homes is not None
        return Neighbourhoods(self.sold_homes, self.encoder, self.estimator)

    @cached_property
    def _saw_no_sale(self) -> bool:
        """Whether the train rows contain no sale."""
        status = self.profile.get("features", {}).get("status")
        return status is not None and "sold" not in status["categories"]

    def _warnings(
        self,
        columns: Columns,
        at: Located,
        no_zip: Mask,
        unknown: dict[str, Mask],
        outside: list[tuple[str, int]],
    ) -> dict[int, list[CodedMessage]]:
        """The warnings of each row that has any."""
        warnings: dict[int, list[CodedMessage]] = {}

        def warn(rows: Mask, warning: CodedMessage) -> None:
            for row in rows.nonzero()[0].tolist():
                warnings.setdefault(row, []).append(warning)

        if self._saw_no_sale:
            warn(columns["status"] == "sold", _NO_SALES)
        for row in at.contradicted.nonzero()[0].tolist():
            warning = _contradiction(columns["state"][row], columns["zip_code"][row])
            warnings.setdefault(row, []).append(warning)
        for name, mask in unknown.items():
            for row in mask.nonzero()[0].tolist():
                warning = _unknown_place(self.contract.by_key[name].name, columns[name][row])
                warnings.setdefault(row, []).append(warning)
        if no_zip.any():
            missing = pd.isna(columns["zip_code"]) & ~np.logical_or.reduce(list(unknown.values()))
            missing &= no_zip
            if missing.any():
                wide = self.encoder.wide(at)
                warn(missing & ~wide, _PLACED_BY_CITY)
                warn(missing & wide, _PLACED_BY_STATE)
        if np.isnan(columns["house_size"] + columns["bed"]).any():
            no_size, no_bed = np.isnan(columns["house_size"]), np.isnan(columns["bed"])
            land = is_land(no_size, no_bed, np.isnan(columns["bath"]))
            warn(land, _LAND)
            for key, absent in (("house_size", no_size), ("bed", no_bed)):
                if key in self.contract.by_key:
                    name = self.contract.by_key[key].name
                    warn(absent & ~land, message("input_missing", input=name))
        for key, row in outside:
            warnings.setdefault(row, []).append(self._outside(key, columns[key][row].item()))
        return warnings

    def _outside(self, key: str, value: float) -> CodedMessage:
        low, high = self.encoder.ranges[key]
        column = self.contract.by_key[key]
        assert column.range is not None
        if column.is_whole:
            low, high, value = math.ceil(low), math.floor(high), int(value)
        return message(
            "outside_learned_range",
            input=column.name,
            value=value,
            low=low,
            high=high,
            unit=column.range.unit,
        )

    def _predict_log(self, columns: Columns) -> Floats:
        return self.estimator.predict_log(self.encoder.transform(columns))
