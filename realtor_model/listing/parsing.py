"""Parsers of received values, by column, and the display of values in messages."""

import datetime as dt
import hashlib
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache, lru_cache
from types import MappingProxyType

import numpy as np

from realtor_model.listing.column import Column, Kind, Role
from realtor_model.listing.contract import (
    FIRST_DATE,
    FOR_SALE,
    LAST_DATE,
    READY_TO_BUILD,
    SOLD,
    WHOLE_TOLERANCE,
)
from realtor_model.listing.us_states import state_name
from realtor_model.messages import CodedMessage, message

_VALUE_SHOWN = 200
_LONGEST_TEXT = 100
# Control characters (PostgreSQL refuses NUL) and lone surrogates (UTF-8 cannot encode them).
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_ZIP = re.compile(r"([0-9]{1,5})(?:\.0*|-[0-9]{4})?")
_ISO_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ].*)?")
# The short form of ISO 8601, which many exports use: 20141013T000000.
_SHORT_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T[0-9]{6})?")
_TRUE = frozenset({"true", "t", "yes", "y", "1", "si", "sí", "s"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})

NOT_A_NUMBER = message("not_a_number")
NOT_A_WHOLE_NUMBER = message("not_a_whole_number")
NOT_TEXT = message("not_text")
NOT_A_ZIP_CODE = message("not_a_zip_code")
NOT_A_BOOLEAN = message("not_a_boolean")
NOT_A_DATE = message("not_a_date", first=str(FIRST_DATE), last=str(LAST_DATE))


class InvalidValue(ValueError):
    """A received value is not valid in its column.

    Attributes:
        rule: what a valid value must be.
    """

    def __init__(self, rule: CodedMessage) -> None:
        self.rule = rule
        super().__init__(rule.text)


@cache
def out_of_range(column: Column) -> CodedMessage:
    """The rule that numbers of `column` are in its range."""
    assert column.range is not None
    low, high, unit = column.range
    return message("out_of_range", low=low, high=high, unit=unit)


@cache
def not_a_choice(column: Column) -> CodedMessage:
    """The rule that values of `column` are one of its choices."""
    return message("not_a_choice", choices=list(column.choices))


def parse_number(column: Column, value: object) -> float | int | None:
    """Parse a number: int in a column of whole numbers, else float; None if missing or blank.

    Raises:
        InvalidValue: it is not a number, not in the column's range, or not whole.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = math.nan
    if isinstance(value, str | int | float | Decimal) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
    if not math.isfinite(number):
        raise InvalidValue(NOT_A_NUMBER)
    assert column.range is not None
    if not column.range.low <= number <= column.range.high:
        raise InvalidValue(out_of_range(column))
    if not column.is_whole:
        return number
    if abs(number - round(number)) > WHOLE_TOLERANCE:
        raise InvalidValue(NOT_A_WHOLE_NUMBER)
    return round(number)


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        raise InvalidValue(NOT_TEXT)
    if _UNPRINTABLE.search(value):
        raise InvalidValue(message("not_printable"))
    if len(value) > _LONGEST_TEXT:
        raise InvalidValue(message("text_too_long", limit=_LONGEST_TEXT))
    return value.strip() or None


def _state_parser(column: Column) -> Callable[[object], object]:
    """The parser of states: of the United States' one name, and among choices the one it means."""
    if not column.in_us:
        return _text
    chosen = {state_name(choice): choice for choice in column.choices}

    def parse_state(value: object) -> str | None:
        text = _text(value)
        if text is None or text in column.choices:
            return text
        name = state_name(text)
        return text if name is None else chosen.get(name, name)

    return parse_state


def _category(value: object) -> str | None:
    """A text; a number or true and false as text: categories are often coded by numbers."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, int | float | Decimal | np.number):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return str(int(number)) if number.is_integer() else repr(number)
    return _text(value)


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
        text = value.strip()
        if not text:
            return None
        if short := _SHORT_DATE.fullmatch(text):
            text = "-".join(short.groups())
        iso = _ISO_DATE.fullmatch(text)
        value = None
        if iso:
            try:
                value = dt.date.fromisoformat(iso[1])
            except ValueError:
                value = None
    if isinstance(value, dt.date) and FIRST_DATE <= value <= LAST_DATE:
        return value
    raise InvalidValue(NOT_A_DATE)


def _boolean(value: object) -> bool | None:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, str):
        text = value.strip().casefold()
        if not text:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
    elif isinstance(value, int | float | Decimal | np.number) and value in (0, 1):
        return bool(value)
    raise InvalidValue(NOT_A_BOOLEAN)


def _id(value: object) -> int | None:
    """A text id as a whole number: the first 6 bytes of its hash, which floats hold exactly."""
    text = _category(value)
    if text is None:
        return None
    digest = hashlib.blake2b(text.casefold().encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big")


_BY_KIND: Mapping[Kind, Callable[[object], object]] = MappingProxyType(
    {Kind.BOOLEAN: _boolean, Kind.CATEGORY: _category, Kind.DATE: _date}
)
_BY_ROLE: Mapping[Role, Callable[[object], object]] = MappingProxyType(
    {
        Role.ZIP_CODE: _zip_code,
        Role.ID: _id,
        Role.BROKER: _id,
        **dict.fromkeys((Role.STATUS, Role.CITY), _text),
    }
)


@cache
def parser(column: Column) -> Callable[[object], object]:
    """The function that parses one value of a column that is not a number.

    It returns a text without surrounding blanks, a state of the United States by its name ("Texas"
    for "TX", unless a choice says otherwise), a zip code of 5 digits with its leading zeros, a
    whole number for a text id, a `datetime.date` or a bool; None if the value is blank. It raises
    `InvalidValue`; the text says what a value must be. It does not check choices.
    """
    if column.role is Role.STATE:
        return _state_parser(column)
    return _BY_ROLE.get(column.role) or _BY_KIND[column.kind]


@cache
def remembering_parser(column: Column) -> Callable[[object], object]:
    """`parser(column)` with a cache, because batches and requests repeat places and dates."""
    return lru_cache(maxsize=50_000, typed=True)(parser(column))


def parse(column: Column, value: object) -> object:
    """Parse a value of `column` that is not a number; see `parser`. None stays None.

    >>> from realtor_model.listing import US_LISTINGS
    >>> parse(US_LISTINGS.by_name["zip_code"], 6016.0)
    '06016'
    >>> parse(US_LISTINGS.by_name["prev_sold_date"], "2021-05-28T00:00:00")
    datetime.date(2021, 5, 28)
    """
    if value is None:
        return None
    try:
        return remembering_parser(column)(value)
    except TypeError:
        # Lists and dicts are not hashable, so the cache cannot hold them.
        return parser(column)(value)


def status_of(column: Column, value: str) -> str:
    """The model's own status for a market's: sold, ready_to_build, or for_sale for all others."""
    if value in column.sold:
        return SOLD
    return READY_TO_BUILD if value == READY_TO_BUILD else FOR_SALE


def printable(text: str) -> str:
    """Replace the characters that JSON or PostgreSQL refuse: NUL and lone surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")


def shown(text: str) -> str:
    """The first 200 characters of `printable(text)`, for a message or a table.

    >>> len(shown("a" * 300))
    200
    """
    return printable(text)[:_VALUE_SHOWN]
