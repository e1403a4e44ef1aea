"""The one home that a person asks about."""

import datetime as dt
import math
from decimal import Decimal
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from realtor_model.listing.contract import (
    EXAMPLE_HOME,
    INPUTS,
    RANGES,
    STATUSES,
    WHOLE_NUMBERS,
    WHOLE_TOLERANCE,
)
from realtor_model.listing.parsing import PARSERS, shown


def _number(name: str, *, what: str) -> Any:
    limits = RANGES[name]
    return Field(None, ge=limits.low, le=limits.high, description=what, examples=_examples(name))


def _examples(name: str) -> list[str | float]:
    return [EXAMPLE_HOME[name]] if name in EXAMPLE_HOME else []


class Property(BaseModel):
    """One home to value: the 11 inputs, as a person or a program gives them.

    Anything may be left out but a place (state or zip_code) and one of house_size, acre_lot and
    bed. Whole floats are whole numbers (3.0), a zip code may have lost its leading zero (6016.0),
    blank text is nothing; what is impossible is refused with the field, the value and the range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    brokered_by: int | None = _number("brokered_by", what="Id of the listing broker")
    status: Literal["for_sale", "sold", "ready_to_build"] = Field(
        "for_sale", description="Status of the listing; every home is valued as if sold"
    )
    bed: int | None = _number("bed", what="Bedrooms")
    bath: int | None = _number("bath", what="Bathrooms")
    acre_lot: float | None = _number("acre_lot", what="Size of the lot, acres")
    street: int | None = _number("street", what="Id of the street address; not used to value")
    city: str | None = Field(None, description="City", examples=_examples("city"))
    state: str | None = Field(
        None, description="State, by its full name", examples=_examples("state")
    )
    zip_code: str | None = Field(
        None,
        description="Zip code of 5 digits",
        pattern=r"^[0-9]{5}$",
        examples=_examples("zip_code"),
    )
    house_size: int | None = _number("house_size", what="Living area, square feet")
    prev_sold_date: dt.date | None = Field(None, description="Date of the last sale, YYYY-MM-DD")

    @field_validator(*RANGES.keys() & set(INPUTS), mode="before")
    @classmethod
    def _possible_number(cls, value: object, info: ValidationInfo) -> float | int | None:
        name = str(info.field_name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        number = math.nan
        if isinstance(value, str | int | float | Decimal) and not isinstance(value, bool):
            try:
                number = float(value)
            except (ValueError, OverflowError):
                number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"{name} is {shown(repr(value))}; it must be a number")
        limits = RANGES[name]
        if not limits.low <= number <= limits.high:
            raise ValueError(f"{name} is {shown(repr(value))}; it must be {limits}")
        if name not in WHOLE_NUMBERS:
            return number
        if abs(number - round(number)) > WHOLE_TOLERANCE:
            raise ValueError(f"{name} is {shown(repr(value))}; it must be a whole number")
        return round(number)

    @field_validator(*PARSERS, mode="before")
    @classmethod
    def _readable(cls, value: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        try:
            parsed = None if value is None else PARSERS[name](value)
        except ValueError as problem:
            raise ValueError(f"{name} is {shown(repr(value))}; it {problem}") from problem
        if name == "status":
            if parsed is None:
                return "for_sale"
            if parsed not in STATUSES:
                raise ValueError(
                    f"status is {shown(repr(value))}; it must be one of {', '.join(STATUSES)}"
                )
        return parsed

    @model_validator(mode="after")
    def _enough_to_value(self) -> "Property":
        if self.state is None and self.zip_code is None:
            raise ValueError("state or zip_code is required: without a place there is no value")
        if self.house_size is None and self.acre_lot is None and self.bed is None:
            raise ValueError("one of house_size, acre_lot and bed is required")
        return self


def without_frames(error: ValidationError) -> ValidationError:
    """`error`, with no hold on the frames that it comes from; to be called wherever one is kept.

    It holds the exceptions of `Property`'s validators, which hold their tracebacks, and so every
    frame below and all that is in them. Errors of pydantic take no part in garbage collection: a
    frame that holds the error in turn would never go.
    """
    error.__traceback__ = None
    for each in error.errors(include_url=False, include_input=False):
        cause = each.get("ctx", {}).get("error")
        while isinstance(cause, BaseException):
            cause.__traceback__ = None
            cause = cause.__cause__ or cause.__context__
    return error
