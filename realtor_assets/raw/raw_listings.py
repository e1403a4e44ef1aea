"""Reads RAW listings whose price is in the market's `price_range`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from realtor_assets.pipeline_settings import listing_contract
from realtor_assets.resources import Database
from realtor_model.features import Columns, columns_from_frame, take
from realtor_model.listing import (
    TARGET,
    Home,
    ListingContract,
    home_model,
    properties_from_columns,
)

# Listings that are made homes of at a time.
_HOMES_READ = 1_000


@dataclass(frozen=True)
class Listings:
    """n listings.

    Attributes:
        frame: n rows with the market's columns, row_hash, load_id and batch_number.
        contract: of the market.
    """

    frame: pd.DataFrame
    contract: ListingContract = field(default_factory=listing_contract)

    @property
    def columns(self) -> Columns:
        """The market's `keys` as arrays (n,), as the encoder takes them."""
        return columns_from_frame(self.frame, self.contract)

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
        "SELECT row_hash::text AS row_hash, load_id, batch_number,"
        f" {quoted(listing_contract().table_keys)}"
        f" FROM raw_{split} WHERE {in_domain()} {of_loads} ORDER BY raw_{split}.row_hash"
    )


def in_domain() -> str:
    """SQL that is true for prices in the market's `price_range`."""
    low, high = listing_contract().price_range
    return f"{TARGET} BETWEEN {low} AND {high}"


def quoted(keys: Iterable[str]) -> str:
    """The keys as SQL: a market may call a column like a word of SQL, such as `order`."""
    return ", ".join(f'"{key}"' for key in keys)


def requested_homes(listings: Listings, contract: ListingContract, most: int) -> list[Home]:
    """The first `most` listings that a model can be asked about, as it takes them.

    A service requires a place and a size; RAW also holds listings without, which are left out.

    Args:
        contract: of the model; the listings may be of another version of the market.
    """
    return list(islice(_valid_homes(listings, contract), most))


def _valid_homes(listings: Listings, contract: ListingContract) -> Iterator[Home]:
    model, columns = home_model(contract), contract.completed(listings.columns)
    for start in range(0, len(listings), _HOMES_READ):
        rows = take(columns, slice(start, start + _HOMES_READ))
        for home in properties_from_columns(rows, contract):
            try:
                yield model.model_validate(home.model_dump())
            except ValidationError:
                continue
