"""Reads RAW listings whose price is in `VALUATION_PRICE_RANGE`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_assets.resources import Database
from realtor_model.features import Columns, columns_from_frame
from realtor_model.json_values import json_records
from realtor_model.listing import COLUMNS, INPUTS, TARGET, VALUATION_PRICE_RANGE

_LOW, _HIGH = VALUATION_PRICE_RANGE
IN_DOMAIN = f"price BETWEEN {_LOW} AND {_HIGH}"


@dataclass(frozen=True)
class Listings:
    """n listings.

    Attributes:
        frame: n rows with the 12 columns, row_hash, load_id and batch_number.
    """

    frame: pd.DataFrame

    @property
    def columns(self) -> Columns:
        """The 11 inputs as arrays (n,), as the encoder takes them."""
        return columns_from_frame(self.frame)

    @property
    def price(self) -> NDArray[np.float64]:
        """Prices (n,), dollars."""
        return self.frame[TARGET].to_numpy(np.float64)

    @property
    def batches(self) -> list[int]:
        """The upstream's batch numbers in these rows."""
        return sorted(int(batch) for batch in self.frame["batch_number"].unique())

    def __len__(self) -> int:
        return len(self.frame)


def read_listings(
    database: Database,
    split: str,
    *,
    loads: Sequence[int] | None = None,
    most: int | None = None,
) -> Listings:
    """The listings of a split, ordered by `row_hash`.

    Args:
        split: "train", "validation" or "test".
        loads: only rows that these loads inserted; None: all.
        most: at most so many rows: the first by hash, which is as good as a random sample.
    """
    limit = "" if most is None else f" LIMIT {most}"
    table = database.read(listings_query(split, loads) + limit)
    return Listings(table.to_pandas(date_as_object=False, self_destruct=True))


def listings_query(split: str, loads: Sequence[int] | None = None) -> str:
    """SQL for the listings of `split`, all or those of `loads`, ordered by `row_hash`."""
    of_loads = "" if loads is None else f"AND load_id = ANY('{{{','.join(map(str, loads))}}}')"
    return (
        f"SELECT row_hash::text AS row_hash, load_id, batch_number, {', '.join(COLUMNS)}"
        f" FROM raw_{split} WHERE {IN_DOMAIN} {of_loads} ORDER BY raw_{split}.row_hash"
    )


def requested_homes(listings: Listings, most: int) -> list[dict[str, Any]]:
    """The first `most` listings as homes of a request: the inputs of `Property`, as JSON has them.

    The service requires a size; RAW also holds listings without one, which are left out.
    """
    frame = listings.frame[list(INPUTS)]
    sized = frame[["house_size", "acre_lot", "bed"]].notna().any(axis=1)
    chosen = frame[sized].head(most)
    return json_records(chosen.assign(prev_sold_date=chosen["prev_sold_date"].dt.date))
