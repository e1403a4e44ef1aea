"""The tables of a market file: their keys, and a valid value of each."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from realtor_model.listing.column import Role
from realtor_model.listing.contract import US_DOLLARS

Number = int | float


Ends = Annotated[list[Number], Field(min_length=2, max_length=2)]


Words = dict[Literal["en", "es"], str]


class Header(BaseModel):
    """A header whose values have a unit of their own."""

    model_config = ConfigDict(extra="forbid")
    header: str
    unit: str


class ColumnTable(BaseModel):
    """A table [columns.NAME]."""

    model_config = ConfigDict(extra="forbid", strict=True)
    type: Literal["number", "integer", "boolean", "category", "date"]
    role: str = Role.INPUT.value
    name: str | None = None
    range: Ends | None = None
    unit: str | None = None
    step: Annotated[Number, Field(gt=0, allow_inf_nan=False)] | None = None
    usual: Ends | None = None
    choices: list[str] = []
    sold: list[str] = []
    default: str | None = None
    required: bool = False
    in_every_batch: bool = False
    monotone: Literal["up", "down", "any"] = "any"
    headers: list[str | Header] = []
    parts: dict[str, Annotated[Number, Field(gt=0, allow_inf_nan=False)]] = {}
    synonyms: dict[str, list[str]] = {}
    label: Words = {}
    help: Words = {}
    example: str | bool | int | float | None = None


class MarketTable(BaseModel):
    """The table [market]."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    title: Words = {}
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = US_DOLLARS
    price_range: Ends = [10_000, 10_000_000]
    leave_out: list[str] = []


# Key -> a valid value of it, for the message about an invalid one.
USAGE: Mapping[str, str] = {
    "type": 'one of number, integer, boolean, category, date: type = "number"',
    "role": 'a role in quotes: role = "living_area"',
    "name": 'a name in quotes: name = "sqft_living"',
    "range": "the lowest and the highest valid value: range = [0, 100]",
    "unit": 'a unit in quotes: unit = "square feet"',
    "step": "a number above 0: step = 0.5",
    "usual": "the lowest and the highest usual value: usual = [1, 8]",
    "choices": 'texts in quotes: choices = ["brick", "wood"]',
    "sold": 'the choices that mean a sale: sold = ["sold"]',
    "default": 'one of the choices: default = "for_sale"',
    "required": "true or false",
    "in_every_batch": "true or false",
    "monotone": 'one of up, down, any: monotone = "up"',
    "headers": 'texts, or texts with a unit: headers = ["sqft", { header = "m2", unit = '
    '"square meters" }]',
    "parts": "headers and what one of each counts: parts = { full_baths = 1, half_baths = 0.5 }",
    "synonyms": 'other words for choices: synonyms = { sold = ["closed"] }',
    "label": 'words in en and es: label = { en = "Floors", es = "Pisos" }',
    "help": 'a sentence in en and es: help = { en = "…", es = "…" }',
    "example": 'a number, true, false, or a text in quotes: example = "2021-05-28"',
    "title": 'words in en and es: title = { en = "King County", es = "Condado de King" }',
    "currency": 'three capital letters of ISO 4217: currency = "USD"',
    "price_range": "the lowest and the highest price: price_range = [10_000, 10_000_000]",
    "leave_out": 'names of columns: leave_out = ["city"]',
}
