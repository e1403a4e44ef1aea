"""Statistics of numbers and dates: imputation, clipping to the train range, z-scores."""

import datetime as dt
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from realtor_model.features.feature_names import value_feature
from realtor_model.listing import Column, Columns, Kind, ListingContract

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# The measures of every market. Those of the columns that a market adds come after them.
MEASURES = ("bed", "bath", "acre_lot", "house_size")
_COUNTS = ("bed", "bath")
_YEAR = 365.25
_PREVIOUS_SALE = ("days_since_prev_sale", "prev_sale_month")
# Values are clipped to these train quantiles: one house of a million square feet would distort a
# linear model, and trees are not affected.
_EXTREMES = (0.0005, 0.9995)
_LONGEST_TENURE = 36_525.0
_OLDEST_SALE_MONTH = -24


class Sale(NamedTuple):
    """The dates of n rows. Values are meaningless where `outcome` and `previous` are both False.

    Attributes:
        sold: (n,), the listing is a sale.
        outcome: (n,), it is a sale with a known date.
        previous: (n,), the date is that of the previous sale. On a sold listing it is the sale's
            own date: a tenure computed from it would reveal that the home was sold.
        days: (n,), days from the date to `as_of`, 0 to 36,525.
        months: (n,), months from January 1970 to the date.
        month: (n,), month of the year, 1 to 12.
        months_ago: (n,), months from `as_of` to the date, -24 to 0.
    """

    sold: NDArray[np.bool_]
    outcome: NDArray[np.bool_]
    previous: NDArray[np.bool_]
    days: Floats
    months: NDArray[np.int64]
    month: NDArray[np.int64]
    months_ago: NDArray[np.int64]


def sale_of(columns: Columns, as_of: np.datetime64[Any]) -> Sale:
    """The meaning of each row's date, with `as_of` as today."""
    date = columns["prev_sold_date"]
    sold = columns["status"] == "sold"
    known = ~np.isnat(date)
    if not known.any():
        # The usual case of a valuation: as if sold now, so without a date.
        zeros = np.zeros(len(date), np.int64)
        return Sale(sold, known, known, np.zeros(len(date)), zeros, zeros, zeros)
    outcome = sold & known
    today = np.array(as_of)
    days = (today - date).astype(np.float64)
    months = date.astype("datetime64[M]").astype(np.int64)
    now = int(today.astype("datetime64[M]").astype(np.int64))
    return Sale(
        sold=sold,
        outcome=outcome,
        previous=known & ~sold,
        days=np.minimum(np.maximum(days, 0.0), _LONGEST_TENURE),
        months=months,
        month=months % 12 + 1,
        months_ago=np.minimum(np.maximum(months - now, _OLDEST_SALE_MONTH), 0),
    )


class Numbers:
    """Statistics of the numbers and dates in the train rows.

    Attributes:
        statistics: (feature, statistic) -> value.
        typical: imputed values of days_since_prev_sale and prev_sale_month.
        added: value features of the measures that the market adds.
        names: of the m measures: `MEASURES`, and `added`.
    """

    def __init__(
        self, statistics: Mapping[tuple[str, str], float], contract: ListingContract
    ) -> None:
        self.statistics = dict(statistics)
        self._added = added_measures(contract)
        self.added = tuple(map(value_feature, self._added))
        self.names = (*MEASURES, *self.added)
        self.typical = {name: statistics[name, "imputed"] for name in _PREVIOUS_SALE}
        self._as_of = np.datetime64(int(statistics["as_of", "days since 1970"]), "D")

        def of_measures(statistic: str) -> Floats:
            return np.array([[statistics[name, statistic]] for name in self.names])

        # Where no train row lacked an added column, a model has not learned what a gap means: the
        # imputed value then stands for it, without a flag.
        core = np.ones(len(MEASURES), bool)
        self._flagged = np.append(
            core, [statistics[name, "missing"] > 0 for name in self.added]
        ).astype(bool)[:, None]
        self._low, self._high = of_measures("low"), of_measures("high")
        self._imputed = of_measures("imputed")
        self._mean, self._deviation = of_measures("mean"), of_measures("deviation")

    @classmethod
    def fit(
        cls,
        columns: Columns,
        as_of: dt.date | np.datetime64[Any],
        contract: ListingContract,
    ) -> Self:
        """The statistics of n train rows; dates count from `as_of`."""
        return cls(_statistics(columns, as_of, contract), contract)

    @cached_property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each numeric input in the train rows, without extremes.

        By the input's key; dates and booleans have no range.
        """
        ends = zip(self._ranged, self._low[:, 0], self._high[:, 0], strict=True)
        return {key: (float(low), float(high)) for key, low, high in ends if key is not None}

    @cached_property
    def _ranged(self) -> tuple[str | None, ...]:
        """For each measure the key of its input; None for dates, booleans, and constants."""
        varied = (self._low < self._high)[len(MEASURES) :, 0]
        added = (
            column.key if column.range is not None and is_varied else None
            for column, is_varied in zip(self._added, varied, strict=True)
        )
        return (*MEASURES, *added)

    def outside(self, columns: Columns) -> list[tuple[str, int]]:
        """Values outside `ranges`, as (key of the input, row)."""
        values = self._values(columns)
        beyond = (values < self._low) | (values > self._high)
        # Usually none, and `any` costs a third of `argwhere`.
        if not beyond.any():
            return []
        keys = self._ranged
        return [
            (key, row)
            for measure, row in np.argwhere(beyond).tolist()
            if (key := keys[measure]) is not None
        ]

    def filled(self, columns: Columns) -> tuple[NDArray[np.bool_], Floats]:
        """Mask (m, n) of the flagged gaps, and the values (m, n), clipped and imputed."""
        values = self._values(columns)
        missing = np.isnan(values)
        # For the single row of a request np.clip takes 5 times as long.
        clipped = np.minimum(np.maximum(values, self._low), self._high)
        filled = np.where(missing, self._imputed, clipped)
        return missing & self._flagged if self._added else missing, filled

    def scaled(self, filled: Floats) -> Floats:
        """Z-scores (m, n) of the values that `filled` returns."""
        return (filled - self._mean) / self._deviation

    def sale(self, columns: Columns) -> Sale:
        """The meaning of each row's date, as of the reference date."""
        return sale_of(columns, self._as_of)

    def _values(self, columns: Columns) -> Floats:
        """The values (m, n) of the measures."""
        values = np.empty((len(self.names), len(columns["status"])))
        for row, name in enumerate(MEASURES):
            values[row] = columns[name]
        for row, column in enumerate(self._added, len(MEASURES)):
            values[row] = _measure(column, columns, self._as_of)
        return values


def added_measures(contract: ListingContract) -> tuple[Column, ...]:
    """The columns that a market adds and that are measures: all but categories."""
    return tuple(column for column in contract.extras if column.kind is not Kind.CATEGORY)


def _measure(column: Column, columns: Columns, as_of: np.datetime64[Any]) -> Floats:
    """The measure (n,) of an added column: its value, or a date's age in years at `as_of`."""
    values = columns[column.key]
    if column.kind is not Kind.DATE:
        return values
    days: Floats = (np.array(as_of) - values).astype(np.float64)
    return np.where(np.isnat(values), np.nan, days) / _YEAR


def is_land(no_size: Mask, no_bed: Mask, no_bath: Mask) -> Mask:
    """Mask (n,) of land: listings without size, bedrooms and bathrooms.

    Args:
        no_size, no_bed, no_bath: masks (n,) of where house_size, bed and bath are missing.
    """
    return no_size & no_bed & no_bath


def _statistics(
    columns: Columns, as_of: dt.date | np.datetime64[Any], contract: ListingContract
) -> dict[tuple[str, str], float]:
    reference = np.datetime64(str(as_of), "D")
    statistics = {("as_of", "days since 1970"): float(reference.astype(np.int64))}
    added = added_measures(contract)
    measures = {name: columns[name] for name in MEASURES}
    measures |= {value_feature(column): _measure(column, columns, reference) for column in added}
    booleans = {column.key for column in added if column.kind is Kind.BOOLEAN}
    counts = {*_COUNTS, *booleans}
    for name, values in measures.items():
        known = _known(values)
        low, high = (0.0, 1.0) if name in booleans else np.quantile(known, _EXTREMES)
        imputed = _mode(known) if name in counts else float(np.median(known))
        filled = np.where(np.isnan(values), imputed, np.clip(values, low, high))
        statistics |= {
            (name, "imputed"): imputed,
            (name, "low"): float(low),
            (name, "high"): float(high),
            (name, "mean"): float(filled.mean()),
            (name, "deviation"): float(filled.std()) or 1.0,
        }
    for name in map(value_feature, added):
        statistics[name, "missing"] = float(np.isnan(measures[name]).mean())
    sale = sale_of(columns, reference)
    for name, values in zip(_PREVIOUS_SALE, (sale.days, sale.month), strict=True):
        statistics[name, "imputed"] = float(np.median(_known(values[sale.previous])))
    return statistics


def _mode(values: Floats) -> float:
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[counts.argmax()])


def _known(values: NDArray[Any]) -> Floats:
    """The values that are not NaN; a single 0 if all are."""
    known: Floats = values[~np.isnan(values)]
    return known if known.size else np.zeros(1)
