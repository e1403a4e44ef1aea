"""Parsers of received texts and dates, and the display of values in messages."""

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
# Control characters (PostgreSQL refuses NUL) and lone surrogates (UTF-8 cannot encode them).
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
    """A received value is not valid in its column.

    Attributes:
        rule: what a valid value must be.
    """

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
# Cached, because batches and requests mostly repeat the same places and dates.
REMEMBERING_PARSERS = {
    name: lru_cache(maxsize=50_000, typed=True)(parse) for name, parse in PARSERS.items()
}


def parse_text(name: str, value: object) -> object:
    """Parse a received text or date.

    Args:
        name: a text column, or prev_sold_date.
        value: the received value, of any type.

    Returns:
        A text without surrounding blanks, a zip code of 5 digits with its leading zeros, or a
        `datetime.date`; None if the value is None or blank.

    Raises:
        InvalidValue: the value cannot be read; the text says what it must be.

    >>> parse_text("zip_code", 6016.0)
    '06016'
    >>> parse_text("prev_sold_date", "2021-05-28T00:00:00")
    datetime.date(2021, 5, 28)
    """
    if value is None:
        return None
    try:
        return REMEMBERING_PARSERS[name](value)
    except TypeError:
        # Lists and dicts are not hashable, so the cache cannot hold them.
        return PARSERS[name](value)


def printable(text: str) -> str:
    """Replace the characters that JSON or PostgreSQL refuse: NUL and lone surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")


def shown(text: str) -> str:
    """The first 200 characters of `printable(text)`, for a message or a table.

    >>> len(shown("a" * 300))
    200
    """
    return printable(text)[:_VALUE_SHOWN]
