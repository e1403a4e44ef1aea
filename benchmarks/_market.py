"""The synthetic market as train, validation and test rows, with the truth behind each price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtor_local.synthetic_market import generate
from realtor_model.features import columns_from_frame, property_fold, take
from realtor_model.listing import TARGET, US_LISTINGS
from realtor_model.reading.received_batch import normalise

AS_OF = np.datetime64("2022-05-06")


@dataclass(frozen=True)
class Split:
    """Listings of one split: columns, price (n,), and the noise-free log price (n,)."""

    columns: dict[str, NDArray[Any]]
    price: NDArray[np.float64]
    truth: NDArray[np.float64]

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Rows (n,) without a gap: where a value is missing, nobody can reach the noise floor."""
        known = np.ones(len(self.price), bool)
        for name in US_LISTINGS.table_keys:
            if name in (TARGET, "street", "brokered_by"):
                continue
            values = self.columns[name]
            if values.dtype == object:
                known &= np.array([value is not None for value in values.tolist()], bool)
            else:
                known &= ~np.isnat(values) if values.dtype.kind == "M" else ~np.isnan(values)
        return known

    def noise(self, rows: NDArray[np.bool_]) -> float:
        """RMSE of log price, over `rows` (n,), of whoever knows everything but the noise."""
        return float(np.sqrt(np.mean((np.log(self.price[rows]) - self.truth[rows]) ** 2)))


def splits_of(rows: int, seed: int, train: float = 0.7) -> dict[str, Split]:
    """Train, validation and test rows of `rows` listings, by property; the last two alike large."""
    market = generate(rows, seed)
    listings = market.listings
    kept = listings[TARGET].between(*US_LISTINGS.price_range) & listings["state"].notna()
    frame = normalise(listings[kept].reset_index(drop=True))
    truth = market.expected_log_price[kept.to_numpy()]
    columns, price = columns_from_frame(frame), frame[TARGET].to_numpy(np.float64)
    place = property_fold(columns, 1000, seed) / 1000
    middle = (1 + train) / 2
    parts = {
        "train": place < train,
        "validation": (place >= train) & (place < middle),
        "test": place >= middle,
    }
    return {
        name: Split(take(columns, mask), price[mask], truth[mask]) for name, mask in parts.items()
    }
