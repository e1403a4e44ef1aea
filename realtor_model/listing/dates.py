"""Dates as people write them: 2021-05-28T00:00Z · 6/28/2019 · March-15-2022 · 43644."""

import datetime as dt
import re
from typing import Any, Literal

from dateutil.parser import ParserError, parse, parserinfo

from realtor_model.listing.contract import LONGEST_TEXT

# Whether 6/7/2019 is the seventh of June or the sixth of July.
DayOrder = Literal["month first", "day first"]
DAY_ORDERS: tuple[DayOrder, ...] = ("month first", "day first")

_TIME = r"(?:[T ,]+\d{1,2}:\d{2}.*|T\d{4,6}.*)?"
_YEAR_FIRST = re.compile(rf"(\d{{4}})[-/.](\d{{1,2}})[-/.](\d{{1,2}}){_TIME}")
_SHORT = re.compile(rf"(\d{{4}})(\d{{2}})(\d{{2}}){_TIME}")
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){_TIME}")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_WORD = re.compile(r"[^\W\d_]{3,}")
# A day that the text does not name is another one with each of these, so it is noticed.
_UNNAMED = (dt.datetime(2000, 1, 1), dt.datetime(2001, 2, 2))

# Day 1 of Excel's calendars. The first one counts a 29 February 1900, which never was.
_EXCEL_1900, _EXCEL_1904 = dt.date(1899, 12, 30), dt.date(1904, 1, 1)
# Smaller numbers are years rather than days of Excel's calendars, which have day 10,000 in 1927.
_FIRST_SERIAL, _LAST_SERIAL = 10_000, 80_000
_SECONDS, _MILLISECONDS = (1e8, 1e10), (1e11, 1e13)
_CENTURY_TURNS = 69


class _Months(parserinfo):
    """dateutil's words, and those of Spanish."""

    JUMP = [*parserinfo.JUMP, "de", "del"]  # noqa: RUF012  # its way of adding words
    # The stubs know at most three names of a month.
    MONTHS: Any = [  # noqa: RUF012
        ("Jan", "January", "ene", "enero"),
        ("Feb", "February", "febrero"),
        ("Mar", "March", "marzo"),
        ("Apr", "April", "abr", "abril"),
        ("May", "May", "mayo"),
        ("Jun", "June", "junio"),
        ("Jul", "July", "julio"),
        ("Aug", "August", "ago", "agosto"),
        ("Sep", "Sept", "September", "septiembre", "setiembre"),
        ("Oct", "October", "octubre"),
        ("Nov", "November", "noviembre"),
        ("Dec", "December", "dic", "diciembre"),
    ]


_MONTHS = _Months()


def read_date(
    text: str, order: DayOrder = "month first", *, calendar_1904: bool = False
) -> dt.date | None:
    """The day that a text names, or None.

    Args:
        text: of any form above; a time and a zone behind the day are ignored.
        order: which one of 6/7/2019 is meant. Where only one of them exists, it is that one.
        calendar_1904: whether numbers are days of Excel's calendar of 1904.

    >>> str(read_date("6/28/2019")), str(read_date("28-06-2019")), str(read_date("6/7/2019"))
    ('2019-06-28', '2019-06-28', '2019-06-07')
    >>> str(read_date("15 de marzo de 2022")), str(read_date("43644")), read_date("2/30/2021")
    ('2022-03-15', '2019-06-28', None)
    """
    if len(text) > LONGEST_TEXT:
        return None
    text = " ".join(text.split())
    if iso := (_YEAR_FIRST.fullmatch(text) or _SHORT.fullmatch(text)):
        return _day(*map(int, iso.groups()))
    if written := _YEAR_LAST.fullmatch(text):
        first, second, year = int(written[1]), int(written[3]), _four_digits(written[4])
        days = {
            "month first": _day(year, first, second),
            "day first": _day(year, second, first),
        }
        return days[order] or next(filter(None, days.values()), None)
    if _NUMBER.fullmatch(text):
        return day_of_number(float(text), calendar_1904=calendar_1904)
    return _with_words(text)


def order_shown(text: str) -> tuple[str, DayOrder] | None:
    """The separator and the order of a text that only one order makes a date of, or None.

    >>> order_shown("6/28/2019"), order_shown("6/7/2019")
    (('/', 'month first'), None)
    """
    written = _YEAR_LAST.fullmatch(" ".join(text.split()))
    if written is None:
        return None
    first, second = int(written[1]), int(written[3])
    if (first > 12) == (second > 12):
        return None
    return written[2], "day first" if first > 12 else "month first"


def is_ambiguous(text: str) -> bool:
    """Whether both orders make a date of the text, and not the same one.

    >>> is_ambiguous("6/7/2019"), is_ambiguous("6/28/2019")
    (True, False)
    """
    return read_date(text, "month first") != read_date(text, "day first")


def day_of_number(number: float, *, calendar_1904: bool = False) -> dt.date | None:
    """The day of an Excel serial number, of 20210528, or of seconds or milliseconds since 1970.

    >>> str(day_of_number(43644)), str(day_of_number(20210528)), str(day_of_number(1622160000))
    ('2019-06-28', '2021-05-28', '2021-05-28')
    """
    if not 0 <= number < _MILLISECONDS[1]:
        return None
    if _FIRST_SERIAL <= number < _LAST_SERIAL:
        start = _EXCEL_1904 if calendar_1904 else _EXCEL_1900
        return start + dt.timedelta(days=int(number))
    if short := _SHORT.fullmatch(f"{number:.0f}"):
        return _day(*map(int, short.groups()))
    for (low, high), unit in ((_SECONDS, 1.0), (_MILLISECONDS, 1e3)):
        if low <= number < high:
            return dt.datetime.fromtimestamp(float(number) / unit, dt.UTC).date()
    return None


def _day(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def _four_digits(year: str) -> int:
    """The year; of two digits, one from 1969 to 2068, as POSIX reads them."""
    if len(year) == 4:
        return int(year)
    return int(year) + (2000 if int(year) < _CENTURY_TURNS else 1900)


def _with_words(text: str) -> dt.date | None:
    """The day of a text with the name of a month."""
    if not any(_MONTHS.month(word) is not None for word in _WORD.findall(text)):
        return None
    try:
        days = {parse(text, _MONTHS, default=day, ignoretz=True).date() for day in _UNNAMED}
    except (ParserError, OverflowError):
        return None
    return days.pop() if len(days) == 1 else None
