"""How the app writes figures, dates and values of inputs, in the language of its user."""

from collections.abc import Mapping
from datetime import UTC, date, datetime

from realtor_ui.market_texts import MarketTexts, unit_text
from realtor_ui.responses import ModelInfo, Value
from realtor_ui.texts import Texts

# Shown where there is no value.
NO_VALUE = "\N{EN DASH}"
CONFIDENCE_COLOURS = {"high": "green", "medium": "orange", "low": "red"}
# The unit of years in a declaration.
YEAR = "(year)"
# Smallest share of all reasons for a price, and the stars that an input gets from there on.
STAR_LIMITS = ((0.25, 4), (0.10, 3), (0.03, 2), (0.0, 1))


def money(texts: Texts, amount: float) -> str:
    """$295,218, or EUR 295,218: an amount in the currency of the market."""
    return f"{texts.always['money']}{amount:,.0f}"


def short_money(texts: Texts, amount: float) -> str:
    """$185, $215k, $1.2M"""
    if amount < 1_000:
        return money(texts, amount)
    sign = texts.always["money"]
    return f"{sign}{amount / 1e3:,.0f}k" if amount < 999_500 else f"{sign}{amount / 1e6:,.1f}M"


def signed_money(texts: Texts, amount: float) -> str:
    """+$1,200 or -$1,200"""
    return f"{'+' if amount >= 0 else '-'}{money(texts, abs(amount))}"


def difference(texts: Texts, share: float) -> str:
    """A relative difference, to be followed by what it is compared with.

    >>> from realtor_ui.texts import catalogue
    >>> difference(catalogue("en"), 0.12), difference(catalogue("en"), -0.031)
    ('12% above', '3% below')
    """
    percent = f"{abs(share):.0%}"
    if percent == "0%":
        return texts("unit.same")
    return texts("unit.above" if share > 0 else "unit.below", share=percent)


def share_of_homes(texts: Texts, share: float) -> str:
    """A share, to be followed by a kind of homes: "8 in 10", or "75% of" if tenths do not fit.

    >>> from realtor_ui.texts import catalogue
    >>> share_of_homes(catalogue("es"), 0.8)
    '8 de cada 10'
    """
    tenths = round(10 * share, 6)
    if tenths.is_integer():
        return texts("unit.in_ten", n=int(tenths))
    return texts("unit.percent_of", share=f"{share:.0%}")


def escape_dollars(words: str) -> str:
    """Markdown with its dollar signs escaped: Streamlit reads text between two as a formula."""
    return words.replace("$", r"\$")


def input_value(texts: MarketTexts, name: str, value: Value) -> str:
    """The value of an input with its unit, or "not given"."""
    if value is None:
        return texts("unit.not_given")
    column = texts.inputs.get(name)
    if column is None:
        return str(value)
    if column.type == "boolean":
        return texts("unit.yes" if value else "unit.no")
    if column.type == "category" and column.choices:
        return texts.choice(name, str(value))
    if not column.is_number:
        return str(value)
    number = float(value)
    if column.role == "bedrooms" and number == 0:
        return texts("unit.studio")
    # Years and ids are names, not amounts.
    if column.is_id or column.unit == YEAR:
        return f"{number:.0f}"
    is_long = column.type == "integer" or abs(number) >= 1e6
    written = f"{number:,.0f}" if is_long else f"{number:,g}"
    unit = unit_text(texts, column)
    # A note in brackets explains a scale; it is no unit to count in.
    return written if not unit or unit[0] == "(" else f"{written} {unit}"


def place_name(texts: MarketTexts, home: Mapping[str, Value], *roles: str) -> str:
    """The values of some roles in a home, joined by blanks: "Hartford 06114".

    A home without any of them is placed by its coordinates.
    """
    values = [texts.info.value_of(home, role) for role in roles]
    name = " ".join(str(each) for each in values if each)
    at = point(texts.info, home)
    return name or ("" if at is None else f"{at[0]:g}, {at[1]:g}")


def point(info: ModelInfo, home: Mapping[str, Value]) -> tuple[float, float] | None:
    """Latitude and longitude of a home, if it has coordinates of its own."""
    latitude, longitude = (info.value_of(home, role) for role in ("latitude", "longitude"))
    if latitude is None or longitude is None:
        return None
    return float(latitude), float(longitude)


def feature_value(texts: MarketTexts, name: str, value: float) -> str:
    """The value of a feature; logarithms are shown on their original scale."""
    if value != value:
        return NO_VALUE
    column = texts.inputs.get(name)
    if column is not None and column.role == "input" and column.type != "category":
        return input_value(texts, name, value)
    if "_log_" in name or name.startswith("log_"):
        if "effect" in name:
            return f"{pow(2.718281828459045, value) - 1:+.1%}"
        linear = pow(2.718281828459045, value)
        return f"{linear:,.0f}" if linear >= 100 else f"{linear:,.3g}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.3g}"


def segment_name(texts: Texts, by: str, name: str) -> str:
    """The name of a group of homes: a status, a kind, a price band, a place."""
    # A band has no figures of its own in the history, only its English name.
    low, to, high = name.partition(" to ")
    if by == "price band" and to:
        return texts("segment.band", low=low, high=high)
    return texts.named("status", name) if by == "status" else texts.named("segment", name)


def stars(amounts: dict[str, float]) -> dict[str, int]:
    """1 to 4 stars for each name, by its share of the sum of |amounts|."""
    total = sum(map(abs, amounts.values())) or 1.0
    return {
        name: next(count for least, count in STAR_LIMITS if abs(amount) / total >= least)
        for name, amount in amounts.items()
    }


def age_text(texts: Texts, since: datetime, now: datetime | None = None) -> str:
    """How long ago: "today", "yesterday", "12 days ago", "5 months ago"."""
    days = ((now or datetime.now(UTC)) - as_utc(since)).days
    if days < 1:
        return texts("age.today")
    if days == 1:
        return texts("age.yesterday")
    return texts("age.days", n=days) if days < 90 else texts("age.months", n=days // 30)


def date_text(texts: Texts, when: date | datetime | None) -> str:
    """March 5, 2026; a dash if there is no date."""
    if when is None:
        return NO_VALUE
    month = texts(f"month.{when.month}")
    return texts("age.date", day=when.day, month=month, year=when.year)


def as_utc(when: datetime) -> datetime:
    """`when` with a time zone: UTC if it has none."""
    return when if when.tzinfo else when.replace(tzinfo=UTC)
