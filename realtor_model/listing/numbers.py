"""Numbers as people write them: 1,800 · 1.800,5 · $350,000 · 2 ½ · 1.2M · 214 m²."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal, NamedTuple

from realtor_model.listing.contract import LONGEST_TEXT

DecimalSign = Literal[".", ","]
DECIMAL_SIGNS: tuple[DecimalSign, ...] = (".", ",")

_CURRENCY = r"(?:US\s?\$|USD|MXN|COP|EUR|CAD|[$€£¥])"
# A fraction, perhaps behind a whole number. NFKC writes no blank between those of 2½, but a slash
# of its own; with a usual slash, 12/3 is no mixed number. 0-1/4 is a range.
_FRACTION = re.compile(r"(?:([1-9]\d*)(?:[ -]|(?=\d⁄)))?(\d)[/⁄](\d)")  # noqa: RUF001
# A sign, perhaps a currency, the digits, and what follows them.
_PARTS = re.compile(
    rf"([+-]?)\s*{_CURRENCY}?\s*([+-]?)(\d[\d.,' ]*|[.,]\d+)(.*)", re.IGNORECASE | re.DOTALL
)
_TRAILING_CURRENCY = re.compile(rf"\s*{_CURRENCY}$", re.IGNORECASE)
_GROUPED = {
    ".": re.compile(r"(?:\d{1,3}(?:[,' ]\d{3})+|\d+)(?:\.\d*)?|\.\d+"),
    ",": re.compile(r"(?:\d{1,3}(?:[.' ]\d{3})+|\d+)(?:,\d*)?|,\d+"),
}
# What is left out of the digits, and the decimal sign of Python.
_PLAIN = {".": str.maketrans("", "", ",' "), ",": str.maketrans(",", ".", ".' ")}
_EXPONENT = re.compile(r"e([+-]?\d{1,2})", re.IGNORECASE)


class WrittenNumber(NamedTuple):
    """One reading of a text.

    Attributes:
        value: the number.
        decimal: the decimal sign that gives it; None if the other sign gives the same number.
        words: the text behind the number, such as a unit; "" if there is none.
    """

    value: float
    decimal: DecimalSign | None
    words: str


def read_number(text: str) -> list[WrittenNumber]:
    """The readings of a text: none, one, or two, which differ by their decimal sign.

    >>> read_number("$1,800.50 sq ft")
    [WrittenNumber(value=1800.5, decimal='.', words='sq ft')]
    >>> [(each.value, each.decimal) for each in read_number("1.800")]
    [(1.8, '.'), (1800.0, ',')]
    >>> read_number("2 ½"), read_number("many")
    ([WrittenNumber(value=2.5, decimal=None, words='')], [])
    """
    if len(text) > LONGEST_TEXT:
        return []
    text = unicodedata.normalize("NFKC", text).strip().replace("\u2212", "-")
    text = " ".join(text.split())
    if fraction := _FRACTION.match(text):
        whole, upper, lower = fraction.groups()
        # 2/1 is no fraction: perhaps two full baths and a half one.
        if int(upper) >= int(lower):
            return []
        value = int(whole or 0) + int(upper) / int(lower)
        return [WrittenNumber(value, None, text[fraction.end() :].strip())]
    parts = _PARTS.fullmatch(text)
    if parts is None or (parts[1] and parts[2]):
        return []
    digits = parts[3].rstrip(" ")
    # A dot or a comma at the end belongs to the sentence, not to the number.
    words = _TRAILING_CURRENCY.sub("", parts[4]).strip()
    sign = -1.0 if "-" in (parts[1], parts[2]) else 1.0
    # Of three digits, a power may be too large for a float.
    if exponent := _EXPONENT.fullmatch(words):
        words, sign = "", sign * 10.0 ** int(exponent[1])
    readings = [WrittenNumber(sign * each.value, each.decimal, words) for each in _values(digits)]
    if len(readings) == 2 and readings[0].value == readings[1].value:
        return [readings[0]._replace(decimal=None)]
    return readings


def _values(digits: str) -> Iterator[WrittenNumber]:
    for decimal in DECIMAL_SIGNS:
        if _GROUPED[decimal].fullmatch(digits):
            yield WrittenNumber(float(digits.translate(_PLAIN[decimal])), decimal, "")
