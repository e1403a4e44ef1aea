"""The numbers and dates of homes beside those of the train rows: held, imputed, out of range."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from realtor_model.features.input_columns import Columns
from realtor_model.features.sale_dates import Sale, sale_of

Floats = NDArray[np.float64]

MEASURES = ("bed", "bath", "acre_lot", "house_size")
_COUNTS = ("bed", "bath")
_PREVIOUS_SALE = ("days_since_prev_sale", "prev_sale_month")
# Values beyond these train quantiles count as the quantile: one house of a million square feet must
# not bend a linear model, and trees don't mind.
_EXTREMES = (0.0005, 0.9995)


class Numbers:
    """What the train rows say of numbers and dates.

    Attributes:
        statistics: (feature, statistic) -> value, all of it.
        typical: what stands for the days since the previous sale and for its month, if unknown.
    """

    def __init__(self, statistics: Mapping[tuple[str, str], float]) -> None:
        self.statistics = dict(statistics)
        self.typical = {name: statistics[name, "imputed"] for name in _PREVIOUS_SALE}
        self._as_of = np.datetime64(int(statistics["as_of", "days since 1970"]), "D")

        def of_measures(statistic: str) -> Floats:
            return np.array([[statistics[name, statistic]] for name in MEASURES])

        self._low, self._high = of_measures("low"), of_measures("high")
        self._imputed = of_measures("imputed")
        self._mean, self._deviation = of_measures("mean"), of_measures("deviation")

    @classmethod
    def fit(cls, columns: Columns, as_of: dt.date | np.datetime64[Any]) -> Self:
        """Those of the rows `columns`; dates count from `as_of`."""
        return cls(_statistics(columns, as_of))

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The range of bed, bath, acre_lot and house_size in the train rows, but for extremes."""
        ends = zip(MEASURES, self._low[:, 0], self._high[:, 0], strict=True)
        return {name: (float(low), float(high)) for name, low, high in ends}

    def outside(self, columns: Columns) -> list[tuple[str, int]]:
        """Which bed, bath, acre_lot and house_size lie outside of `ranges`: name and row."""
        values = _measures(columns)
        beyond = (values < self._low) | (values > self._high)
        # Most are not, and to find out where costs three times as much as whether.
        if not beyond.any():
            return []
        return [(MEASURES[measure], row) for measure, row in np.argwhere(beyond).tolist()]

    def filled(self, columns: Columns) -> tuple[NDArray[np.bool_], Floats]:
        """Which of `MEASURES` are missing (4, n), and their values (4, n), held and imputed."""
        values = _measures(columns)
        missing = np.isnan(values)
        # np.clip takes 5 times as long for the one row of a request.
        held = np.minimum(np.maximum(values, self._low), self._high)
        return missing, np.where(missing, self._imputed, held)

    def scaled(self, filled: Floats) -> Floats:
        """What `filled` gives (4, n), in train standard deviations from the train mean."""
        return (filled - self._mean) / self._deviation

    def sale(self, columns: Columns) -> Sale:
        """What the date of each row says."""
        return sale_of(columns, self._as_of)


def _measures(columns: Columns) -> Floats:
    """The values (4, n) of `MEASURES`."""
    values = np.empty((len(MEASURES), len(columns["status"])))
    for row, name in enumerate(MEASURES):
        values[row] = columns[name]
    return values


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
    sale = sale_of(columns, reference)
    for name, values in zip(_PREVIOUS_SALE, (sale.days, sale.month), strict=True):
        statistics[name, "imputed"] = float(np.median(_known(values[sale.previous])))
    return statistics


def _mode(values: Floats) -> float:
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[counts.argmax()])


def _known(values: NDArray[Any]) -> Floats:
    """The values that are not missing; a zero when all are."""
    known: Floats = values[~np.isnan(values)]
    return known if known.size else np.zeros(1)
