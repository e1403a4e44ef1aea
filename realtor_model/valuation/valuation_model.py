"""A trained valuation model: what it values, explains and compares."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.estimators import Estimator
from realtor_model.features import Columns, FeatureEncoder, take
from realtor_model.features.places import Located
from realtor_model.listing import RANGES, WHOLE_NUMBERS
from realtor_model.valuation.comparables import Comparison, Neighbourhoods, SoldHomes, adjust
from realtor_model.valuation.explanation import Explanation, explain
from realtor_model.valuation.intervals import DEVIATION, RANGE, Ranges
from realtor_model.valuation.market_statistics import MarketStatistics

Floats = NDArray[np.float64]


Mask = NDArray[np.bool_]


_NO_SALE = "no sale is among the listings learned from: the price is nearer to an asking price"


_LAND = "neither house_size nor bed nor bath is told: it is valued as land"


# Upper limits of the forecast standard deviation: the half width, relative to the price, of the
# range that holds 68 % of prices. HouseCanary's scale: high up to 15 %, medium up to 30 %.
CONFIDENCE_LIMITS = {"medium": 0.30, "high": 0.15}


_GRADES = np.array(["low", *CONFIDENCE_LIMITS], object)


_NARROWEST_FIRST = np.sort([*CONFIDENCE_LIMITS.values()])


class NoSoldHomes(Exception):
    """A bundle that was made without sold homes was asked for comparables."""


@dataclass(frozen=True)
class Valuations:
    """Values of n homes.

    price, low, high: (n,) dollars. deviation: (n,) half width of the calibrated 68 % range,
    relative to the price (AVMs publish it as forecast standard deviation). confidence: (n,)
    "high", "medium" or "low", by it, which knows nothing of what training never met: one grade
    lower where the state, the city or the zip is new, no zip is told, or a number is outside the
    range learned from; one more where the home is placed no nearer than by its state. warnings: by
    row, in plain words, what makes its valuation a guess; most have none. unknown: for state, city
    and zip_code, which rows (n,) name one that training never saw.
    """

    price: Floats
    low: Floats
    high: Floats
    deviation: Floats
    confidence: NDArray[np.object_]
    warnings: dict[int, list[str]]
    unknown: dict[str, Mask]


@dataclass(frozen=True)
class ValuationModel:
    """What training makes, the registry keeps and the service serves.

    profile: `drift.profile` of the train rows. metadata: JSON; data_version, batches, as_of,
    train_rows, trained_at, metrics by split, and whatever else belongs to the model's papers.
    sold_homes: the train rows' newest sales, for comparison. market: statistics of the train rows.
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
        """Prices (n,), dollars, of the listings as they are: of a for-sale row, what is asked."""
        return np.exp(self._predict_log(columns))

    def value(self, columns: Columns) -> Valuations:
        """Price, range and confidence of n rows; give it `as_sold` columns to value homes."""
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
        # Most homes have none of it, and one home alone must not wait for the rest.
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
        """The `count` sold homes most like the one home `columns`, and what they tell of its price.

        Args:
            columns: one home, `as_sold`.
            count: sales wanted; fewer where the widest neighbourhood has no more.
            exclude: ids of sales that are left out.

        Raises:
            NoSoldHomes: the bundle carries none.
        """
        if self.sold_homes is None:
            raise NoSoldHomes("this model carries no sold homes to compare with")
        found = self._neighbourhoods.like(columns, count, exclude)
        # As they were sold, on the day they were: what time has done since is an adjustment.
        sales = self.explain(take(self.sold_homes.columns, found.rows))
        return adjust(self.explain(columns), sales, self.sold_homes.price[found.rows], found)

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
    ) -> dict[int, list[str]]:
        texts: dict[int, list[str]] = {}

        def say(rows: Mask, text: str) -> None:
            for row in rows.nonzero()[0].tolist():
                texts.setdefault(row, []).append(text)

        if self._saw_no_sale:
            say(columns["status"] == "sold", _NO_SALE)
        for name, mask in unknown.items():
            for row in mask.nonzero()[0].tolist():
                place = f"{name.replace('_', ' ')} {columns[name][row]}"
                texts.setdefault(row, []).append(
                    f"{place} is not among the listings learned from: the home is valued by what "
                    "surrounds it"
                )
        if (at.codes["zip_code"] < 0).any():
            untold = pd.isna(columns["zip_code"]) & ~np.logical_or.reduce(list(unknown.values()))
            wide = self.encoder.wide(at)
            for named, rows in (("city", untold & ~wide), ("state", untold & wide)):
                say(
                    rows, f"no zip code is told: the home is valued by what is usual in its {named}"
                )
        if np.isnan(columns["house_size"] + columns["bed"]).any():
            no_size, no_bed = np.isnan(columns["house_size"]), np.isnan(columns["bed"])
            land = no_size & no_bed & np.isnan(columns["bath"])
            say(land, _LAND)
            for name, missing in (("house_size", no_size), ("bed", no_bed)):
                say(
                    missing & ~land,
                    f"{name} is not told: the home is valued like the listings that leave it out",
                )
        for name, row in outside:
            low, high = self.encoder.ranges[name]
            if name in WHOLE_NUMBERS:
                low, high = math.ceil(low), math.floor(high)
            texts.setdefault(row, []).append(
                f"{name} {columns[name][row]:,.10g} is outside the range learned from, "
                f"{low:,.6g} to {high:,.6g} {RANGES[name].unit}"
            )
        return texts

    def _predict_log(self, columns: Columns) -> Floats:
        return self.estimator.predict_log(self.encoder.transform(columns))
