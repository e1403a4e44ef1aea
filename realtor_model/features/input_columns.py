"""The 11 inputs as arrays: the form in which listings and single homes reach the encoder."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.listing import INPUTS, NUMBERS, TEXTS, WHOLE_NUMBERS, Property

Columns = Mapping[str, NDArray[Any]]

_UNDATED = np.array(["NaT"], "datetime64[D]")


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


def columns_from_properties(properties: Sequence[Property]) -> dict[str, NDArray[Any]]:
    """The 11 inputs of n homes as arrays (n,), typed as by `columns_from_frame`.

    >>> columns_from_properties([Property(bed=3, state="Texas", house_size=1800)])["bed"]
    array([3.])
    """
    columns: dict[str, NDArray[Any]] = {}
    for name in INPUTS:
        values = [getattr(item, name) for item in properties]
        if name in NUMBERS:
            numbers = [np.nan if value is None else value for value in values]
            columns[name] = np.array(numbers, np.float64)
        elif name in TEXTS:
            columns[name] = np.array(values, object)
        else:
            columns[name] = np.array(values, "datetime64[D]")
    return columns


def properties_from_columns(columns: Columns) -> Iterator[Property]:
    """The homes in `columns`, without a new check of their values."""
    values: list[list[Any]] = []
    for name in INPUTS:
        whole = int if name in WHOLE_NUMBERS else float
        entries = columns[name].tolist()
        if name in NUMBERS:
            entries = [None if value != value else whole(value) for value in entries]
        values.append(entries)
    for home in zip(*values, strict=True):
        yield Property.model_construct(**dict(zip(INPUTS, home, strict=True)))


def as_sold(columns: Columns) -> dict[str, NDArray[Any]]:
    """The same homes as if sold now: the question that a valuation answers.

    The date is removed, because on a sold listing it is the date of that sale.
    """
    return _with_status(columns, "sold")


def as_asked(columns: Columns) -> dict[str, NDArray[Any]]:
    """The same homes as if listed for sale now: for estimates of the asking price."""
    return _with_status(columns, "for_sale")


def take(arrays: Columns, rows: NDArray[Any] | slice) -> dict[str, NDArray[Any]]:
    """The same columns with only `rows`: positions, a mask (n,), or a slice."""
    return {name: values[rows] for name, values in arrays.items()}


def _with_status(columns: Columns, status: str) -> dict[str, NDArray[Any]]:
    n = len(columns["status"])
    return {
        **columns,
        "status": np.full(n, status, object),
        "prev_sold_date": _UNDATED.repeat(n),
    }
