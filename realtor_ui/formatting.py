"""How the app writes figures, values, and what the service says, in the language of its user."""

import re
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
# What stands where there is nothing to say.
NO_VALUE = "\N{EN DASH}"
CONFIDENCE_COLOURS = {"high": "green", "medium": "orange", "low": "red"}
# Of all reasons for a price, the share from which on an input gets so many stars.
STAR_LIMITS = ((0.25, 4), (0.10, 3), (0.03, 2), (0.0, 1))

# What the service says, and the text in which the app says it.
_SAID = (
    (re.compile(r"no sale is among the listings learned from.*"), "said.no_sale"),
    (re.compile(r"(?P<kind>state|city|zip code) (?P<name>.*) is not among the listings.*"),
     "said.unknown_place"),
    (re.compile(r"no zip code is told.* in its city"), "said.usual_city"),
    (re.compile(r"no zip code is told.* in its state"), "said.usual_state"),
    (re.compile(r"(?P<input>\w+) is not told.*"), "said.left_out"),
    (re.compile(r"neither house_size nor bed nor bath is told.*"), "said.land"),
    (re.compile(r"(?P<input>\w+) (?P<value>\S+) is outside the range learned from, "
                r"(?P<low>\S+) to (?P<high>\S+) .*"), "said.outside_learned"),
    (re.compile(r"(?P<input>\w+) is (?P<value>.*); it must be from (?P<low>\S+) to (?P<high>\S+)"
                r" .*"), "said.out_of_range"),
    (re.compile(r"(?P<input>\w+) is (?P<value>.*); it must be a number"), "said.no_number"),
    (re.compile(r"(?P<input>\w+) is (?P<value>.*); it must be a whole number"), "said.no_whole"),
    (re.compile(r"(?P<input>\w+) is (?P<value>.*); it must be a zip code of 5 digits"),
     "said.no_zip"),
    (re.compile(r"(?P<input>\w+) is (?P<value>.*); it must be a date .*"), "said.no_date"),
    (re.compile(r"(?P<input>\w+) is (?P<value>.*); it must be one of (?P<choices>.*)"),
     "said.no_choice"),
    (re.compile(r"state or zip_code is required.*"), "said.no_place"),
    (re.compile(r"one of house_size, acre_lot and bed is required"), "said.no_size"),
)  # fmt: skip
_KINDS = {"state": "state", "city": "city", "zip code": "zip_code"}


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


def signed_share(share: float) -> str:
    """+12 % or -12 %"""
    return f"{share:+.0%}"


def escape_dollars(words: str) -> str:
    """Markdown in which dollar signs are dollars: between two of them would be a formula."""
    return words.replace("$", r"\$")


def input_value(texts: Texts, name: str, value: Value) -> str:
    """The value of an input as a person would write it."""
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
    """A feature's figure; of a logarithm, what it is the logarithm of."""
    if value != value:
        return NO_VALUE
    if "_log_" in name or name.startswith("log_"):
        if "effect" in name:
            return f"{pow(2.718281828459045, value) - 1:+.1%}"
        linear = pow(2.718281828459045, value)
        return f"{linear:,.0f}" if linear >= 100 else f"{linear:,.3g}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:,.3g}"


def segment_name(texts: Texts, by: str, name: str) -> str:
    """A group of homes as people call it: a status, a kind, a band of prices, a place."""
    band = name.partition(" to ")
    if by == "price band" and band[1]:
        return texts("segment.band", low=band[0], high=band[2])
    if by == "status":
        return texts.named("status", name)
    return texts.named("segment", name)


def said(texts: Texts, message: str) -> str:
    """What the service says of one value, in the language of the catalogue."""
    for pattern, key in _SAID:
        if found := pattern.fullmatch(message.strip()):
            parts = found.groupdict()
            if "value" in parts:
                parts["value"] = parts["value"].strip("'")
            if "input" in parts:
                parts["input"] = texts.named("input", parts["input"])
            if "kind" in parts:
                parts["kind"] = texts.named("input", _KINDS[parts["kind"]])
            return texts(key, **parts)
    return message[:1].upper() + message[1:]


def stars(amounts: dict[str, float]) -> dict[str, int]:
    """1 to 4 for each name, by its share of the sum of |amounts|."""
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
    """5 March 2026"""
    month = texts(f"month.{when.month}")
    return texts("age.date", day=when.day, month=month, year=when.year)


def as_utc(when: datetime) -> datetime:
    """`when` with its time zone: UTC when it tells none."""
    return when if when.tzinfo else when.replace(tzinfo=UTC)
