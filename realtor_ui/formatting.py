"""How the app writes figures, dates and values of inputs, in the language of its user."""

from datetime import UTC, date, datetime

from realtor_ui.responses import Value
from realtor_ui.texts import Texts

STATES = (
    "Alabama", "Alaska", "Arizona", "Arkansas", "California", "Colorado", "Connecticut", "Delaware",
    "District of Columbia", "Florida", "Georgia", "Guam", "Hawaii", "Idaho", "Illinois", "Indiana",
    "Iowa", "Kansas", "Kentucky", "Louisiana", "Maine", "Maryland", "Massachusetts", "Michigan",
    "Minnesota", "Mississippi", "Missouri", "Montana", "Nebraska", "Nevada", "New Hampshire",
    "New Jersey", "New Mexico", "New York", "North Carolina", "North Dakota", "Ohio", "Oklahoma",
    "Oregon", "Pennsylvania", "Puerto Rico", "Rhode Island", "South Carolina", "South Dakota",
    "Tennessee", "Texas", "Utah", "Vermont", "Virgin Islands", "Virginia", "Washington",
    "West Virginia", "Wisconsin", "Wyoming",
)  # fmt: skip
# Shown where there is no value.
NO_VALUE = "\N{EN DASH}"
CONFIDENCE_COLOURS = {"high": "green", "medium": "orange", "low": "red"}
# Smallest share of all reasons for a price, and the stars that an input gets from there on.
STAR_LIMITS = ((0.25, 4), (0.10, 3), (0.03, 2), (0.0, 1))


def dollars(amount: float) -> str:
    """$295,218"""
    return f"${amount:,.0f}"


def short_dollars(amount: float) -> str:
    """$185, $215k, $1.2M"""
    if amount < 1_000:
        return dollars(amount)
    return f"${amount / 1e3:,.0f}k" if amount < 999_500 else f"${amount / 1e6:,.1f}M"


def signed_dollars(amount: float) -> str:
    """+$1,200 or -$1,200"""
    return f"{'+' if amount >= 0 else '-'}{dollars(abs(amount))}"


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


def input_value(texts: Texts, name: str, value: Value) -> str:
    """The value of an input with its unit, or "not given"."""
    if value is None:
        return texts("unit.not_given")
    match name:
        case "house_size":
            return texts("unit.sqft", size=f"{float(value):,.0f}")
        case "acre_lot":
            return texts("unit.acres", size=f"{float(value):,g}")
        case "bed" | "bath":
            return f"{float(value):,.0f}"
        case "status":
            return texts.named("status", str(value))
        case _:
            return str(value)


def feature_value(name: str, value: float) -> str:
    """The value of a feature; logarithms are shown on their original scale."""
    if value != value:
        return NO_VALUE
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


def date_text(texts: Texts, when: date | datetime) -> str:
    """March 5, 2026"""
    month = texts(f"month.{when.month}")
    return texts("age.date", day=when.day, month=month, year=when.year)


def as_utc(when: datetime) -> datetime:
    """`when` with a time zone: UTC if it has none."""
    return when if when.tzinfo else when.replace(tzinfo=UTC)
