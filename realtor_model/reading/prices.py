"""The prices in a table of homes: to compare with estimates, never required."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from realtor_model.listing import (
    Column,
    Convention,
    InvalidValue,
    Role,
    TableReading,
    parse_number,
)
from realtor_model.reading.arrow_types import decoded, is_plain, listed


def read_prices(table: pa.Table | pa.RecordBatch, reading: TableReading) -> NDArray[np.float64]:
    """The prices of the n rows of a table, NaN where there is none that can be read.

    Args:
        table: of homes.
        reading: how the table is read.

    >>> from realtor_model.reading.home_tables import understand
    >>> homes = pa.table({"sold_price": ["$350,000", None], "List Price": ["1", "210k"]})
    >>> read_prices(homes, understand(homes)).tolist()
    [350000.0, 210000.0]
    """
    column = reading.contract.by_role[Role.TARGET]
    prices = np.full(table.num_rows, np.nan)
    for source, convention in reading.sources(column.name):
        of_source = _parsed(column, decoded(table.column(source.headers[0])), convention)
        prices = np.where(np.isnan(prices), of_source, prices)
    return prices


def _parsed(column: Column, received: pa.Array, convention: Convention) -> NDArray[np.float64]:
    """One source of the prices; each distinct value is parsed once."""
    if not is_plain(received.type):
        return np.full(len(received), np.nan)
    encoded = pc.dictionary_encode(received)
    numbers = [_price(column, value, convention) for value in listed(encoded.dictionary)]
    parsed = np.array([*numbers, np.nan])
    codes = pc.fill_null(encoded.indices, len(numbers)).to_numpy(zero_copy_only=False)
    of_rows: NDArray[np.float64] = parsed[codes]
    return of_rows


def _price(column: Column, value: object, convention: Convention) -> float:
    try:
        number = parse_number(column, value, convention)
    except InvalidValue:
        return np.nan
    return np.nan if number is None else float(number)
