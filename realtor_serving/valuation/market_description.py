"""A market as /model-info describes it: its name, its currency, and its inputs."""

from collections.abc import Iterator
from typing import Any

from realtor_model.listing import (
    COORDINATES,
    Column,
    Kind,
    ListingContract,
    Role,
    home_model,
)
from realtor_model.listing.units import factor
from realtor_serving.contract.schemas import ColumnWords, MarketInfo

LANGUAGES = ("en", "es")
# The order of the inputs in a form: what people know of any home, what the market adds, the rest.
_FIRST = (
    Role.STATE, Role.CITY, Role.ZIP_CODE, Role.LATITUDE, Role.LONGITUDE, Role.LIVING_AREA,
    Role.LOT_SIZE, Role.BEDROOMS, Role.BATHROOMS,
)  # fmt: skip
_LAST = (Role.STATUS, Role.SALE_DATE, Role.BROKER, Role.ID)


def title_of(contract: ListingContract) -> str:
    """What people call the market, in English."""
    return contract.title.get("en", contract.name)


def market_info(contract: ListingContract) -> MarketInfo:
    """The facts about a market."""
    target = contract.by_role[Role.TARGET]
    point = [column.name for column in contract.places if column.key in COORDINATES]
    alone = [[column.name] for column in contract.places if column.key not in COORDINATES]
    return MarketInfo(
        name=contract.name,
        title=_words(contract.title, contract.name),
        currency=contract.currency,
        version=contract.version,
        has_coordinates=contract.has_coordinates,
        price=ColumnWords(
            name=target.name,
            label=_words(target.labels, target.name),
            help=_words(target.help, target.label),
            headers=_headers(target),
        ),
        places=[*alone, point] if point else alone,
        sizes=[column.name for column in contract.sizes],
        declaration=dict(contract.declaration),
    )


def described_inputs(contract: ListingContract) -> dict[str, dict[str, Any]]:
    """Name -> description of each input, in the order of a form; see `ModelInfo.inputs`.

    >>> from realtor_model.listing import US_LISTINGS
    >>> bath = described_inputs(US_LISTINGS)["bath"]
    >>> bath["type"], bath["low"], bath["high"], bath["monotone"], "choices" in bath
    ('number', 0, 100, 1, False)
    """
    fields = home_model(contract).model_fields
    return {
        column.name: {
            "type": column.kind.value,
            "role": column.role.value,
            "key": column.key,
            "description": fields[column.name].description,
            "label": _words(column.labels, column.name),
            "help": _words(column.help, column.label),
            "headers": _headers(column),
            "monotone": column.monotone,
            "moves_estimate": column.moves_estimate,
            **dict(_limits(column)),
        }
        for column in _in_form_order(contract)
    }


def _in_form_order(contract: ListingContract) -> Iterator[Column]:
    roles = contract.by_role
    yield from (roles[role] for role in _FIRST if role in roles)
    yield from (column for column in contract.columns if column.role is Role.INPUT)
    yield from (roles[role] for role in _LAST if role in roles)


def _limits(column: Column) -> Iterator[tuple[str, Any]]:
    """What only some columns have."""
    if column.range is not None:
        low, high, unit = column.range
        yield from (("low", low), ("high", high), ("unit", unit))
    elif column.choices:
        yield "choices", list(column.choices)
    elif column.kind is not Kind.BOOLEAN:
        yield "format", "date" if column.kind is Kind.DATE else "text"
    options = {
        "step": column.step,
        "usual": column.usual,
        "default": column.default,
        "example": column.example,
    }
    yield from ((name, option) for name, option in options.items() if option is not None)


def _headers(column: Column) -> dict[str, float]:
    unit = column.range.unit if column.range is not None else ""
    return {header: factor(stated, unit) for header, stated in column.headers.items()}


def _words(words: Any, otherwise: str) -> dict[str, str]:
    """Words in all languages; those of another language, or `otherwise`, where one is missing."""
    known = words.get("en") or next(iter(words.values()), otherwise)
    return {language: words.get(language, known) for language in LANGUAGES}
