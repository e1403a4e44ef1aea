"""Listings as arrays: the form in which listings and single homes reach the encoder."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.listing import US_LISTINGS, Columns, ListingContract


def columns_from_frame(
    frame: pd.DataFrame, contract: ListingContract = US_LISTINGS
) -> dict[str, NDArray[Any]]:
    """The inputs of n listings as arrays.

    Args:
        frame: typed listings, from `realtor_model.listing.check` or read back from RAW. A column
            that it lacks has missing values.
        contract: of the market.

    Returns:
        Key to array (n,): float64 with NaN for numbers, ids and booleans, object with str or None
        for categories, datetime64[D] with NaT for dates.
    """
    columns: dict[str, NDArray[Any]] = {}
    for key in contract.keys:
        if key not in frame.columns:
            columns[key] = contract.missing(key, len(frame))
            continue
        values = frame[key]
        if contract.is_number(key):
            # Booleans with missing values arrive as objects.
            numbers = values.astype("Float64") if values.dtype == object else values
            columns[key] = numbers.to_numpy(np.float64, na_value=np.nan)
        elif contract.is_date(key):
            columns[key] = pd.to_datetime(values).to_numpy("datetime64[D]")
        else:
            columns[key] = values.astype(object).where(values.notna(), None).to_numpy(object)
    return columns


def take(arrays: Columns, rows: NDArray[Any] | slice) -> dict[str, NDArray[Any]]:
    """The same columns with only `rows`: positions, a mask (n,), or a slice."""
    return {name: values[rows] for name, values in arrays.items()}
