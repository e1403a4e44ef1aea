"""Prices and sizes of the train rows in each state, city and zip."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.features import Columns
from realtor_model.listing.place_keys import city_key, state_key

By = Literal["state", "city", "zip"]
BY: tuple[By, ...] = ("state", "city", "zip")

PRICE_QUANTILES = {"price_p10": 0.1, "price_p25": 0.25, "median_price": 0.5, "price_p75": 0.75,
                   "price_p90": 0.9}  # fmt: skip
SQFT_QUANTILES = {"price_per_sqft_p25": 0.25, "median_price_per_sqft": 0.5,
                  "price_per_sqft_p75": 0.75}  # fmt: skip
SIZE_QUANTILES = {"house_size_p25": 0.25, "median_house_size": 0.5, "house_size_p75": 0.75}
LOT_QUANTILES = {"acre_lot_p25": 0.25, "median_acre_lot": 0.5, "acre_lot_p75": 0.75}
# Quantiles by the measure that they describe.
QUANTILES = {"price": PRICE_QUANTILES, "price_per_sqft": SQFT_QUANTILES,
             "house_size": SIZE_QUANTILES, "acre_lot": LOT_QUANTILES}  # fmt: skip
FIGURES = ("listings", "sold", *(name for names in QUANTILES.values() for name in names))
# Before the name of a number that the market adds: the column of its median.
MEDIAN_OF = "median_of_"
# Statistics that older bundles lack.
LATER = (*SIZE_QUANTILES, *LOT_QUANTILES)
_NAME = {"state": "state", "city": "city", "zip": "zip_code"}
_KEY_OF: Mapping[str, Callable[[str], str]] = {
    "state": state_key, "city": city_key, "zip_code": str.strip,
}  # fmt: skip
COLUMNS = ("by", "state", "city", "zip_code", *FIGURES)


@dataclass(frozen=True)
class MarketStatistics:
    """Statistics of each state, city and zip.

    Attributes:
        table: one row for each place, most listings first. Columns: `by` (one of `BY`); state,
            city, zip_code (text or None; a zip has the state and city that most of its listings
            name); listings, sold (int64 counts); quantiles (float32) of price and price per square
            foot (dollars), house size (square feet) and lot (acres), NaN where no listing has a
            value; for each number that the market adds, its median.
    """

    table: pd.DataFrame

    @classmethod
    def of(cls, columns: Columns, price: NDArray[np.float64], added: Sequence[str] = ()) -> Self:
        """Compute the statistics of n listings, whether for sale or sold.

        Args:
            columns: the inputs (n,) status, state, city, zip_code, house_size and acre_lot.
            price: (n,) float64, asking or sale prices, dollars.
            added: keys of the numbers that the market adds; the table has their medians.
        """
        listings = pd.DataFrame(
            {
                "state": pd.Categorical(_spelled(columns["state"], state_key)),
                "city": pd.Categorical(_spelled(columns["city"], city_key)),
                "zip_code": pd.Categorical(columns["zip_code"]),
                "sold": columns["status"] == "sold",
                "price": price,
                "price_per_sqft": price / columns["house_size"],
                "house_size": columns["house_size"],
                "acre_lot": columns["acre_lot"],
                **{key: columns[key] for key in added},
            }
        )
        quantiles = QUANTILES | {key: {f"{MEDIAN_OF}{key}": 0.5} for key in added}
        zips = _statistics(listings, ["zip_code"], quantiles)
        named = listings.groupby(["zip_code", "state", "city"], observed=True).size()
        most = named.sort_values(ascending=False, kind="stable").reset_index()
        names = most.drop_duplicates("zip_code").set_index("zip_code")[["state", "city"]]
        zips = zips.join(names.astype(object), on="zip_code")
        tables = {
            "state": _statistics(listings, ["state"], quantiles),
            "city": _statistics(listings, ["state", "city"], quantiles),
            "zip": zips,
        }
        table = pd.concat(
            [frame.assign(by=by) for by, frame in tables.items()], ignore_index=True
        ).reindex(columns=[*COLUMNS, *(f"{MEDIAN_OF}{key}" for key in added)])
        return cls.from_frame(table.sort_values("listings", ascending=False, kind="stable"))

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Self:
        """Read the statistics from a table; missing quantiles of sizes (`LATER`) become NaN.

        Raises:
            KeyError: another column is missing.
        """
        lacking = [name for name in LATER if name not in frame]
        frame = frame.assign(**dict.fromkeys(lacking, np.nan))
        added = [name for name in frame if str(name).startswith(MEDIAN_OF)]
        table = frame[[*COLUMNS, *added]].reset_index(drop=True)
        texts = table[["by", "state", "city", "zip_code"]].astype(object)
        table[texts.columns] = texts.where(texts.notna(), None)
        figures = dict.fromkeys([*FIGURES, *added], np.float32) | {
            "listings": np.int64,
            "sold": np.int64,
        }
        return cls(table.astype(figures))

    def rows(
        self,
        by: By,
        *,
        state: str | None = None,
        city: str | None = None,
        prefix: str = "",
        most: int = 100,
    ) -> list[dict[str, Any]]:
        """The places with the most listings, as dicts of `COLUMNS`; unknown values are None.

        Args:
            by: kind of place.
            state, city: only places in this state or city, in any spelling.
            prefix: only places whose name or zip begins with it, in any spelling.
            most: upper limit of places.
        """
        table, keys, names = self._kinds[by]
        mask = np.ones(len(table), bool)
        for name, text in (("state", state), ("city", city)):
            if text is not None:
                mask &= keys[name] == _KEY_OF[name](text)
        places = np.flatnonzero(mask)
        if start := prefix.strip():
            # "St" begins Stamford, and Saint Louis.
            name, key = start.casefold(), _KEY_OF[_NAME[by]](start)
            of_place = keys[_NAME[by]]
            begins = [
                names[at].startswith(name) or of_place[at].startswith(key) for at in places.tolist()
            ]
            places = places[np.array(begins, bool)]
        return [_plain(row) for row in table.iloc[places[:most]].to_dict("records")]

    @cached_property
    def _kinds(self) -> dict[By, tuple[pd.DataFrame, dict[str, NDArray[np.object_]], list[str]]]:
        """For each kind of place its rows of `table`, the keys of their state, city and zip, and
        their names in case-folded form.
        """
        kinds = {}
        for by in BY:
            table = self.table[self.table["by"] == by].reset_index(drop=True)
            kinds[by] = (
                table,
                {
                    name: np.array([key(text or "") for text in table[name]], object)
                    for name, key in _KEY_OF.items()
                },
                [(text or "").casefold() for text in table[_NAME[by]]],
            )
        return kinds


def _statistics(
    listings: pd.DataFrame, keys: list[str], quantiles: Mapping[str, Mapping[str, float]]
) -> pd.DataFrame:
    """Counts and quantiles of the listings by `keys`, one row for each group."""
    # A market without states, for example, has no groups, and pandas no quantiles of none.
    if not listings[keys].notna().all(axis=1).any():
        return pd.DataFrame(columns=[*keys, *FIGURES])
    grouped = listings.groupby(keys, observed=True)
    sold = grouped["sold"].agg(["size", "sum"]).set_axis(["listings", "sold"], axis=1)
    parts = [sold]
    for column, levels in quantiles.items():
        values = grouped[column].quantile(np.array(list(levels.values()))).unstack()
        parts.append(values.set_axis(list(levels), axis=1))
    frame = pd.concat(parts, axis=1).reset_index()
    return frame.astype(dict.fromkeys(keys, object))


def _spelled(texts: NDArray[np.object_], key: Callable[[str], str]) -> NDArray[np.object_]:
    """`texts` (n,), in the most frequent spelling among those with the same `key`.

    >>> _spelled(np.array(["Saint Louis", "ST. LOUIS", "Saint Louis"], object), city_key)
    array(['Saint Louis', 'Saint Louis', 'Saint Louis'], dtype=object)
    """
    codes, distinct = pd.factorize(texts)
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
    best: dict[str, int] = {}
    for code in np.argsort(-counts, kind="stable").tolist():
        best.setdefault(key(distinct[code]), code)
    spelled = [distinct[best[key(text)]].strip() for text in distinct]
    return np.array([*spelled, None], object)[codes]


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    # Only NaN needs a replacement. A check of every type would take a second for 50,000 zips.
    return {str(name): None if value != value else value for name, value in row.items()}
