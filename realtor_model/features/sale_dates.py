"""What the one date of a listing says: the outcome of a sale, or the sale before it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realtor_model.features.input_columns import Columns

Floats = NDArray[np.float64]

_LONGEST_TENURE = 36_525.0
_OLDEST_SALE_MONTH = -24


class Sale(NamedTuple):
    """What the date of n rows says, (n,) each; arrays are meaningless where their mask is False.

    sold: the listing is a sale. outcome: and its date is known. previous: the date is that of the
    previous sale: on a sold listing it is the outcome's own, and tenure would tell that it was
    sold. days: since the date, at most a century. months: since 1970. month: of the year, 1 to
    12. months_ago: up to `as_of`, 0 or less.
    """

    sold: NDArray[np.bool_]
    outcome: NDArray[np.bool_]
    previous: NDArray[np.bool_]
    days: Floats
    months: NDArray[np.int64]
    month: NDArray[np.int64]
    months_ago: NDArray[np.int64]


def sale_of(columns: Columns, as_of: np.datetime64[Any]) -> Sale:
    """What the date of each row says on the day `as_of`."""
    date = columns["prev_sold_date"]
    sold = columns["status"] == "sold"
    known = ~np.isnat(date)
    if not known.any():
        # As everything that is valued: a home is valued as if it were sold, and now.
        nothing = np.zeros(len(date), np.int64)
        return Sale(sold, known, known, np.zeros(len(date)), nothing, nothing, nothing)
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
