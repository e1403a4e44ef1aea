"""The 12 columns of a listing and their valid values."""

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

TARGET = "price"
COLUMNS = (
    "brokered_by", "status", "price", "bed", "bath", "acre_lot", "street", "city", "state",
    "zip_code", "house_size", "prev_sold_date",
)  # fmt: skip
INPUTS = tuple(name for name in COLUMNS if name != TARGET)
STATUSES = ("for_sale", "sold", "ready_to_build")
# Dollars. Prices outside are symbolic prices, rents, typing errors, or prices of unique homes. Such
# rows are stored as received, but are used for neither training nor evaluation.
VALUATION_PRICE_RANGE = (10_000.0, 10_000_000.0)

# An ordinary home: the example in the docs, the API and MLflow, and the smoke test of a new model.
EXAMPLE_HOME: Mapping[str, str | float] = MappingProxyType(
    {
        "state": "Texas",
        "city": "Houston",
        "zip_code": "77008",
        "house_size": 1800,
        "bed": 3,
        "bath": 2,
        "acre_lot": 0.12,
    }
)

FIRST_DATE, LAST_DATE = dt.date(1900, 1, 1), dt.date(2100, 12, 31)


class Range(NamedTuple):
    """The valid values of a numeric column, both ends included.

    >>> str(RANGES["bed"])
    'from 1 to 100 bedrooms'
    """

    low: float
    high: float
    unit: str

    def __str__(self) -> str:
        return f"from {self.low:,g} to {self.high:,.12g} {self.unit}"


# Possible values, not plausible ones. A price of 2**31 - 1 is an integer overflow.
RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "brokered_by": Range(0, 2**31 - 1, "(an id)"),
        "price": Range(1, 1_999_999_999, "dollars"),
        "bed": Range(1, 100, "bedrooms"),
        "bath": Range(1, 100, "bathrooms"),
        "acre_lot": Range(0, 100_000, "acres"),
        "street": Range(0, 2**31 - 1, "(an id)"),
        "house_size": Range(50, 1_000_000, "square feet"),
    }
)
WHOLE_NUMBERS = ("brokered_by", "bed", "bath", "street", "house_size")
NUMBERS = ("brokered_by", "bed", "bath", "acre_lot", "street", "house_size")
TEXTS = ("status", "city", "state", "zip_code")
WHOLE_TOLERANCE = 1e-9
