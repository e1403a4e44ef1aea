"""The meaning of a listing's date: the sale itself, or the sale before it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtor_model.features.input_columns import Columns

Floats = NDArray[np.float64]

_LONGEST_TENURE = 36_525.0
_OLDEST_SALE_MONTH = -24


class Sale(NamedTuple):
    """The dates of n rows. Values are meaningless where `outcome` and `previous` are both False.

    Attributes:
        sold: (n,), the listing is a sale.
        outcome: (n,), it is a sale with a known date.
        previous: (n,), the date is that of the previous sale. On a sold listing it is the sale's
            own date: a tenure computed from it would reveal that the home was sold.
        days: (n,), days from the date to `as_of`, 0 to 36,525.
        months: (n,), months from January 1970 to the date.
        month: (n,), month of the year, 1 to 12.
        months_ago: (n,), months from `as_of` to the date, -24 to 0.
    """

    sold: NDArray[np.bool_]
    outcome: NDArray[np.bool_]
    previous: NDArray[np.bool_]
    days: Floats
    months: NDArray[np.int64]
    month: NDArray[np.int64]
    months_ago: NDArray[np.int64]


def sale_of(columns: Columns, as_of: np.datetime64[Any]) -> Sale:
    """The meaning of each row's date, with `as_of` as today."""
    date = columns["prev_sold_date"]
    sold = columns["status"] == "sold"
    known = ~np.isnat(date)
    if not known.any():
        # The usual case of a valuation: as if sold now, so without a date.
        zeros = np.zeros(len(date), np.int64)
        return Sale(sold, known, known, np.zeros(len(date)), zeros, zeros, zeros)
    outcome = sold & known
    today = np.array(as_of)
    days = (today - date).astype(np.float64)
    months = date.astype("datetime64[M]").astype(np.int64)
    now = int(today.astype("datetime64[M]").astype(np.int64))
    return Sale(
        sold=sold,
        outcome=outcome,
        previous=known & ~sold,
        days=np.minimum(np.maximum(days, 0.0), _LONGEST_TENURE),
        months=months,
        month=months % 12 + 1,
        months_ago=np.minimum(np.maximum(months - now, _OLDEST_SALE_MONTH), 0),
    )
