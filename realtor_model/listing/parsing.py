"""How one received text or date is read, and how a value is shown in a message."""

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from realtor_model.listing.contract import FIRST_DATE, LAST_DATE, RANGES, STATUSES, TEXTS
from realtor_model.messages import CodedMessage, message

_VALUE_SHOWN = 200
_LONGEST_TEXT = 100
# Control characters (NUL is refused by PostgreSQL) and halves of a surrogate pair (not encodable).
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_ZIP = re.compile(r"([0-9]{1,5})(?:\.0*|-[0-9]{4})?")
_ISO_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ].*)?")


NOT_A_NUMBER = message("not_a_number")
NOT_A_WHOLE_NUMBER = message("not_a_whole_number")
NOT_TEXT = message("not_text")
NOT_A_ZIP_CODE = message("not_a_zip_code")
NOT_A_DATE = message("not_a_date", first=str(FIRST_DATE), last=str(LAST_DATE))
NOT_A_STATUS = message("not_a_choice", choices=list(STATUSES))
OUT_OF_RANGE: Mapping[str, CodedMessage] = MappingProxyType(
    {
        name: message("out_of_range", low=limits.low, high=limits.high, unit=limits.unit)
        for name, limits in RANGES.items()
    }
)


class InvalidValue(ValueError):
    """A received value that no column of its kind takes; `rule` says what it must be."""

    def __init__(self, rule: CodedMessage) -> None:
        self.rule = rule
        super().__init__(rule.text)


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        raise InvalidValue(NOT_TEXT)
    if _UNPRINTABLE.search(value):
        raise InvalidValue(message("not_printable"))
    if len(value) > _LONGEST_TEXT:
        raise InvalidValue(message("text_too_long", limit=_LONGEST_TEXT))
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
    raise InvalidValue(NOT_A_ZIP_CODE)


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
    raise InvalidValue(NOT_A_DATE)


PARSERS: Mapping[str, Callable[[object], object]] = MappingProxyType(
    {**dict.fromkeys(TEXTS, _text), "zip_code": _zip_code, "prev_sold_date": _date}
)
# The pieces of a batch, and requests, mostly repeat places and dates.
REMEMBERING_PARSERS = {
    name: lru_cache(maxsize=50_000, typed=True)(parse) for name, parse in PARSERS.items()
}


def parse_text(name: str, value: object) -> object:
    """A received text or date of the column `name` as the column stores it; None for nothing.

    Texts lose surrounding blanks, and blank ones are None; zip codes get their leading zeros back;
    dates are `datetime.date`.

    Raises:
        InvalidValue: it cannot be read; the text says what it must be.

    >>> parse_text("zip_code", 6016.0)
    '06016'
    """
    if value is None:
        return None
    try:
        return REMEMBERING_PARSERS[name](value)
    except TypeError:
        # Lists and objects have no hash to remember them by.
        return PARSERS[name](value)


def printable(text: str) -> str:
    """`text` as JSON and PostgreSQL accept it: no NUL, no half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")


def shown(text: str) -> str:
    """The first 200 characters of `text`, printable, for a message or a table."""
    return printable(text)[:_VALUE_SHOWN]
