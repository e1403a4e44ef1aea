"""How one received text or date is read, and how a value is shown."""

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from realtor_model.listing.contract import FIRST_DATE, LAST_DATE, TEXTS

_VALUE_SHOWN = 200
_LONGEST_TEXT = 100
# Control characters (NUL is refused by PostgreSQL) and halves of a surrogate pair (not encodable).
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_ZIP = re.compile(r"([0-9]{1,5})(?:\.0*|-[0-9]{4})?")
_ISO_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ].*)?")


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        raise ValueError("must be text")
    if _UNPRINTABLE.search(value):
        raise ValueError("must be printable text")
    if len(value) > _LONGEST_TEXT:
        raise ValueError(f"must be text of at most {_LONGEST_TEXT} characters")
    return value.strip() or None


def _zip_code(value: object) -> str | None:
    if isinstance(value, str):
        if not value.strip():
            return None
        digits = _ZIP.fullmatch(value.strip())
        if digits and int(digits[1]):
            return digits[1].zfill(5)
    elif isinstance(value, int | float | Decimal | np.number) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if number.is_integer() and 0 < number <= 99_999:
            return f"{int(number):05d}"
    raise ValueError("must be a zip code of 5 digits")


def _date(value: object) -> dt.date | None:
    if isinstance(value, dt.datetime):
        value = value.date()
    if isinstance(value, str):
        if not value.strip():
            return None
        text = _ISO_DATE.fullmatch(value.strip())
        if text:
            try:
                value = dt.date.fromisoformat(text[1])
            except ValueError:
                value = None
    if isinstance(value, dt.date) and FIRST_DATE <= value <= LAST_DATE:
        return value
    raise ValueError(f"must be a date YYYY-MM-DD from {FIRST_DATE} to {LAST_DATE}")


PARSERS: Mapping[str, Callable[[object], object]] = MappingProxyType(
    {**dict.fromkeys(TEXTS, _text), "zip_code": _zip_code, "prev_sold_date": _date}
)
# A batch comes in pieces, and each has mostly the places and dates of those before it.
REMEMBERING_PARSERS = {
    name: lru_cache(maxsize=50_000, typed=True)(parse) for name, parse in PARSERS.items()
}


def parse_text(name: str, value: object) -> object:
    """A received text or date of the column `name` as it is kept; None for nothing.

    Raises:
        ValueError: it cannot be read; the text says what it must be.
    """
    return None if value is None else REMEMBERING_PARSERS[name](value)


def printable(text: str) -> str:
    """`text` as JSON and PostgreSQL take it."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")


def shown(text: str) -> str:
    """`text` in an error or a table: printable, and at most 200 characters of it."""
    return printable(text)[:_VALUE_SHOWN]
