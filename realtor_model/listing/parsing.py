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
    LONGEST_TEXT,
    READY_TO_BUILD,
    SOLD,
    WHOLE_TOLERANCE,
)
from realtor_model.listing.convention import PLAIN, Convention
from realtor_model.listing.dates import day_of_number, read_date
from realtor_model.listing.numbers import WrittenNumber, read_number
from realtor_model.listing.units import compact, factor, unit_of
from realtor_model.listing.us_states import state_name
from realtor_model.messages import CodedMessage, message

_VALUE_SHOWN = 200
# Control characters (PostgreSQL refuses NUL), characters that turn the direction of a line, and
# lone surrogates (UTF-8 cannot encode them).
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# Five digits, perhaps without the leading zeros; or with the four of ZIP+4.
_ZIP = re.compile(r"([0-9]{1,5})(?:\.0*)?")
_ZIP_PLUS_4 = re.compile(r"([0-9]{5})[- ]?[0-9]{4}")
_TRUE = frozenset({"true", "t", "yes", "y", "1", "si", "sí", "s"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})
# What files write where a value is missing, in small letters.
MISSING_WORDS = frozenset(
    {"", "na", "n/a", "n.a.", "#n/a", "#na", "nan", "null", "none", "nil", "nat", "<na>", "-", "--",
     "---", "\N{EN DASH}", "\N{EM DASH}", ".", "?", "unknown", "not available", "not applicable",
     "missing", "tbd", "#value!", "#ref!", "#div/0!", "#name?", "#null!", "#num!", "\\n", "(null)",
     "desconocido", "desconocida", "no disponible", "no aplica", "sin dato", "sin datos", "s/d",
     "n/d"}
)  # fmt: skip
# Zero of these stands for an unknown value: no home for sale has no bathroom or no size.
ZERO_IS_UNKNOWN = frozenset({Role.BATHROOMS, Role.LIVING_AREA})
_IDS = frozenset({Role.ID, Role.BROKER})
_STUDIO = frozenset({"studio", "efficiency", "estudio", "monoambiente"})
_MULTIPLIERS = {"k": 1e3, "m": 1e6, "mm": 1e6, "mil": 1e3}

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


def is_missing(value: object) -> bool:
    """Whether a received value stands for a missing one: null, NaN, blank, NA, N/A, -, …

    >>> is_missing(" N/A "), is_missing(0), is_missing("0")
    (True, False, False)
    """
    if isinstance(value, str):
        return value.strip().casefold() in MISSING_WORDS
    return value is None or value != value  # NaN, of any type


def with_unit(value: object, unit: object) -> object:
    """A number as a text with its unit, as another column gives it; other values unchanged.

    >>> with_unit(102.5, "SquareMeters"), with_unit("5,000", "sqft"), with_unit("-", "sqft")
    ('102.500000000 SquareMeters', '5,000 sqft', '-')
    """
    if is_missing(value) or isinstance(value, bool | np.bool_):
        return value
    # Nine decimals, so that no decimal dot is taken for one of thousands.
    text = f"{value:.9f}" if isinstance(value, float | np.floating) else str(value)
    is_bare = not any(letter.isalpha() for letter in text)
    return f"{text} {unit}" if is_bare and unit_of(str(unit)) else text


def parse_number(
    column: Column, value: object, convention: Convention = PLAIN
) -> float | int | None:
    """Parse a number: int in a column of whole numbers, else float; None if missing.

    Args:
        column: of the market.
        value: a number, or a text such as 1,800 · 1.800,5 · $350,000 · 3 bd · 214 m² · 2 ½.
        convention: how the column's values are written.

    Returns:
        The number in the column's unit. 0 bathrooms and a living area of 0 are missing values. An
        area is rounded in a column of whole numbers. A text id, such as an address in words, is a
        number made from its hash.

    Raises:
        InvalidValue: it is not a number, not in the column's range, or not whole.

    >>> from realtor_model.listing import US_LISTINGS
    >>> size, lot = US_LISTINGS.by_name["house_size"], US_LISTINGS.by_name["acre_lot"]
    >>> parse_number(size, "1,800 sq ft"), parse_number(size, "214 m²"), parse_number(lot, "0,25")
    (1800, 2303, 0.25)
    """
    if is_missing(value):
        return None
    try:
        return _parsed_number(column, value, convention)
    except InvalidValue:
        if column.role in _IDS and isinstance(value, str):
            # An address in words, or a longer number, identifies a property just as well.
            return _hash_of(str(value), 4) % int(column.range.high) if column.range else None
        raise


def _parsed_number(column: Column, value: object, convention: Convention) -> float | int | None:
    if isinstance(value, str):
        try:
            return _checked_number(column, _number_of(value, convention), convention.unit)
        except InvalidValue:
            return _checked_text(column, value, convention)
    if isinstance(value, bool | np.bool_) or not isinstance(
        value, int | float | Decimal | np.number
    ):
        raise InvalidValue(NOT_A_NUMBER)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    return _checked_number(column, number, convention.unit)


def _number_of(text: str, convention: Convention) -> float:
    """A text of digits and at most a decimal dot; NaN for others, which `read_number` reads."""
    # Python reads 1_000, infinity and nan, too.
    if (
        convention.decimal == "."
        and not text.strip().removeprefix("-").replace(".", "", 1).isdecimal()
    ):
        return math.nan
    return float(text) if convention.decimal == "." else math.nan


def _checked_number(column: Column, number: float, unit: str | None) -> float | int | None:
    """A number in `unit`, as `parse_number` returns it."""
    if not math.isfinite(number):
        raise InvalidValue(NOT_A_NUMBER)
    assert column.range is not None
    if number == 0 and column.role in ZERO_IS_UNKNOWN:
        return None
    if unit is not None and column.is_area:
        number *= factor(unit, column.range.unit)
    whole = round(number) if column.is_whole else number
    if not column.range.low <= (whole if column.is_area else number) <= column.range.high:
        raise InvalidValue(out_of_range(column))
    if column.is_whole and not column.is_area and abs(number - whole) > WHOLE_TOLERANCE:
        raise InvalidValue(NOT_A_WHOLE_NUMBER)
    return whole


def _checked_text(column: Column, text: str, convention: Convention) -> float | int | None:
    """A number from a text that is more than digits; of two readings the convention's, or the
    only valid one.
    """
    if column.role is Role.BEDROOMS and text.strip().casefold() in _STUDIO:
        return 0
    readings = read_number(text)
    readings.sort(key=lambda reading: reading.decimal not in (None, convention.decimal))
    invalid = InvalidValue(NOT_A_NUMBER)
    for reading in readings:
        try:
            number, unit = _measured(column, reading, convention.unit)
            return _checked_number(column, number, unit)
        except InvalidValue as problem:
            if reading is readings[0]:
                invalid = problem
    raise invalid


def _measured(column: Column, reading: WrittenNumber, unit: str | None) -> tuple[float, str | None]:
    """The number and its unit, by the words behind it.

    Raises:
        InvalidValue: the words are no unit of the column.
    """
    words = compact(reading.words)
    if not reading.words:
        return reading.value, unit
    if column.is_area and (named := unit_of(reading.words)):
        return reading.value, named
    if column.role is Role.TARGET and words in _MULTIPLIERS:
        return reading.value * _MULTIPLIERS[words], unit
    if words and words in _words_for(column):
        return reading.value, unit
    raise InvalidValue(NOT_A_NUMBER)


@cache
def _words_for(column: Column) -> frozenset[str]:
    """The words that may follow a number of the column: its names and its unit."""
    assert column.range is not None
    names = [column.name, column.range.unit, *column.labels.values(), *column.headers]
    return frozenset(map(compact, names))


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        raise InvalidValue(NOT_TEXT)
    if is_missing(value):
        return None
    if _UNPRINTABLE.search(value.strip()):
        raise InvalidValue(message("not_printable"))
    if len(value) > LONGEST_TEXT:
        raise InvalidValue(message("text_too_long", limit=LONGEST_TEXT))
    return " ".join(value.split())


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


def _choice(column: Column) -> Callable[[object], object]:
    """The parser of a category with declared choices: their case and punctuation do not count."""
    exact = frozenset(column.choices)
    by_word = {
        compact(word): choice
        for choice in column.choices
        for word in (*column.synonyms.get(choice, ()), choice)
    }

    def parse_choice(value: object) -> str | None:
        if isinstance(value, str) and value in exact:
            return value
        text = _category(value) if column.role is Role.INPUT else _text(value)
        if text is None:
            return None
        choice = text if text in exact else by_word.get(compact(text))
        if choice is None:
            raise InvalidValue(not_a_choice(column))
        return choice

    return parse_choice


def _state(column: Column) -> Callable[[object], object]:
    """The parser of states: of the United States' one name, and among choices the one it means."""
    chosen = {state_name(choice): choice for choice in column.choices}
    otherwise = _choice(column) if column.choices else _text

    def parse_state(value: object) -> object:
        text = _text(value)
        name = None if text is None else state_name(text)
        if text is None or text in column.choices or name is None:
            return otherwise(value)
        return chosen[name] if name in chosen else name if not chosen else otherwise(value)

    return parse_state


def _zip_code(value: object) -> str | None:
    if isinstance(value, str):
        if is_missing(value):
            return None
        text = value.strip()
        digits = _ZIP_PLUS_4.fullmatch(text) or _ZIP.fullmatch(text)
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


def _date(value: object, convention: Convention = PLAIN) -> dt.date | None:
    day: dt.date | None = None
    if isinstance(value, str):
        if is_missing(value):
            return None
        day = read_date(value, convention.order_of(value), calendar_1904=convention.calendar_1904)
    elif isinstance(value, dt.datetime):
        day = value.date()
    elif isinstance(value, dt.date):
        day = value
    elif isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_):
        # An integer that no float holds is still compared exactly.
        number = float(value) if isinstance(value, np.number) else value
        day = day_of_number(number, calendar_1904=convention.calendar_1904)
    if day is None or not FIRST_DATE <= day <= LAST_DATE:
        raise InvalidValue(NOT_A_DATE)
    return day


def _boolean(value: object) -> bool | None:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, str):
        text = value.strip().casefold()
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if is_missing(text):
            return None
    elif isinstance(value, int | float | Decimal | np.number) and value in (0, 1):
        return bool(value)
    raise InvalidValue(NOT_A_BOOLEAN)


def _id(value: object) -> int | None:
    """A text id as a whole number: the first 6 bytes of its hash, which floats hold exactly."""
    text = _category(value)
    if text is None:
        return None
    return _hash_of(text, 6)


def _hash_of(text: str, size: int) -> int:
    folded = " ".join(printable(text).casefold().split())
    return int.from_bytes(hashlib.blake2b(folded.encode(), digest_size=size).digest(), "big")


_BY_KIND: Mapping[Kind, Callable[[object], object]] = MappingProxyType(
    {Kind.BOOLEAN: _boolean, Kind.CATEGORY: _category}
)
_BY_ROLE: Mapping[Role, Callable[[object], object]] = MappingProxyType(
    {
        Role.ZIP_CODE: _zip_code,
        Role.ID: _id,
        Role.BROKER: _id,
        **dict.fromkeys((Role.STATUS, Role.STATE, Role.CITY), _text),
    }
)


@cache
def parser(column: Column, convention: Convention = PLAIN) -> Callable[[object], object]:
    """The function that parses one value of a column that is not a number.

    It returns a text without surplus blanks, a choice of the column, a state of the United States
    by its name ("Texas" for "TX"), a zip code of 5 digits with its leading zeros, a whole number
    for a text id, a `datetime.date` or a bool; None if the value is missing. It raises
    `InvalidValue`; the text says what a value must be.
    """
    if column.kind is Kind.DATE:
        return lambda value: _date(value, convention)
    if column.role is Role.STATE and column.in_us:
        return _state(column)
    if column.choices and column.role not in _IDS:
        return _choice(column)
    return _BY_ROLE.get(column.role) or _BY_KIND[column.kind]


@cache
def remembering_parser(
    column: Column, convention: Convention = PLAIN
) -> Callable[[object], object]:
    """`parser` with a cache, because batches and requests repeat places and dates.

    Long texts, such as a zip code before many blanks, are not kept in memory.
    """
    parse_value = parser(column, convention)
    remembered = lru_cache(maxsize=50_000, typed=True)(parse_value)

    def parse_short(value: object) -> object:
        is_long = isinstance(value, str) and len(value) > LONGEST_TEXT
        return parse_value(value) if is_long else remembered(value)

    return parse_short


def parse(column: Column, value: object, convention: Convention = PLAIN) -> object:
    """Parse a value of `column` that is not a number; see `parser`. None stays None.

    >>> from realtor_model.listing import US_LISTINGS
    >>> parse(US_LISTINGS.by_name["zip_code"], 6016.0)
    '06016'
    >>> parse(US_LISTINGS.by_name["prev_sold_date"], "2021-05-28T00:00:00")
    datetime.date(2021, 5, 28)
    >>> parse(US_LISTINGS.by_name["status"], "FOR SALE")
    'for_sale'
    """
    if value is None or value != value:  # NaN
        return None
    try:
        return remembering_parser(column, convention)(value)
    except TypeError:
        # Lists and dicts are not hashable, so the cache cannot hold them.
        return parser(column, convention)(value)


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
