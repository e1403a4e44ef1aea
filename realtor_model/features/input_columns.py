"""The 11 inputs as columns: the one form in which listings and single homes reach the encoder."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.listing import INPUTS, NUMBERS, TEXTS, WHOLE_NUMBERS, Property

Columns = Mapping[str, NDArray[Any]]

_UNDATED = np.array(["NaT"], "datetime64[D]")


def columns_from_frame(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """The 11 inputs of a typed raw frame (as `check` makes it, or as read back from RAW).

    Returns arrays (n,): float64 with NaN for numbers and ids, object arrays of str or None for
    text, datetime64[D] with NaT for the date.
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
    """The 11 inputs of `properties`; arrays (n,) of the same types as `columns_from_frame`."""
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
    """The homes of columns that `columns_from_properties` could have made; not checked again."""
    values: list[list[Any]] = []
    for name in INPUTS:
        whole = int if name in WHOLE_NUMBERS else float
        kept = columns[name].tolist()
        if name in NUMBERS:
            kept = [None if value != value else whole(value) for value in kept]
        values.append(kept)
    for entries in zip(*values, strict=True):
        yield Property.model_construct(**dict(zip(INPUTS, entries, strict=True)))


def as_sold(columns: Columns) -> dict[str, NDArray[Any]]:
    """The same homes as if they were sold now, which is what a valuation answers.

    The date is taken out: on a sold listing it is the day of the sale itself.
    """
    return _with_status(columns, "sold")


def as_asked(columns: Columns) -> dict[str, NDArray[Any]]:
    """The same homes as if they were listed for sale now: what is usually asked for them."""
    return _with_status(columns, "for_sale")


def take(arrays: Columns, rows: NDArray[Any] | slice) -> dict[str, NDArray[Any]]:
    """The `rows` (positions, or a mask) of every array."""
    return {name: values[rows] for name, values in arrays.items()}


def _with_status(columns: Columns, status: str) -> dict[str, NDArray[Any]]:
    n = len(columns["status"])
    return {
        **columns,
        "status": np.full(n, status, object),
        "prev_sold_date": _UNDATED.repeat(n),
    }
