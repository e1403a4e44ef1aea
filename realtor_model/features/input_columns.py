"""The 11 inputs as arrays: the form in which listings and single homes reach the encoder."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.listing import INPUTS, NUMBERS, TEXTS, Columns


def columns_from_frame(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """The 11 inputs of n listings as arrays.

    Args:
        frame: typed listings, from `realtor_model.listing.check` or read back from RAW.

    Returns:
        Input name to array (n,): float64 with NaN for numbers and ids, object with str or None for
        texts, datetime64[D] with NaT for the date.
    """
    columns: dict[str, NDArray[Any]] = {}
    for name in INPUTS:
        values = frame[name]
        if name in NUMBERS:
            columns[name] = values.to_numpy(np.float64, na_value=np.nan)
        elif name in TEXTS:
            columns[name] = values.astype(object).where(values.notna(), None).to_numpy(object)
        else:
            columns[name] = pd.to_datetime(values).to_numpy("datetime64[D]")
    return columns


def take(arrays: Columns, rows: NDArray[Any] | slice) -> dict[str, NDArray[Any]]:
    """The same columns with only `rows`: positions, a mask (n,), or a slice."""
    return {name: values[rows] for name, values in arrays.items()}
