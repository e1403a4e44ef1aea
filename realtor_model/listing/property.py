"""Homes to value: one home as a `Property`, n homes as columns of the 11 inputs."""

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from realtor_model.listing.contract import (
    EXAMPLE_HOME,
    INPUTS,
    NUMBERS,
    RANGES,
    STATUSES,
    TEXTS,
    WHOLE_NUMBERS,
    WHOLE_TOLERANCE,
)
from realtor_model.listing.parsing import (
    NOT_A_NUMBER,
    NOT_A_STATUS,
    NOT_A_WHOLE_NUMBER,
    OUT_OF_RANGE,
    PARSERS,
    REMEMBERING_PARSERS,
    InvalidValue,
    parse_text,
    shown,
)
from realtor_model.messages import CodedMessage, message

Columns = Mapping[str, NDArray[Any]]

_UNDATED = np.array(["NaT"], "datetime64[D]")


def _number(name: str, *, description: str) -> Any:
    limits = RANGES[name]
    return Field(
        None, ge=limits.low, le=limits.high, description=description, examples=_examples(name)
    )


def _examples(name: str) -> list[str | float]:
    return [EXAMPLE_HOME[name]] if name in EXAMPLE_HOME else []


class Property(BaseModel):
    """One home to value: the 11 inputs, as a person or a program gives them.

    Required are a place (state or zip_code) and one of house_size, acre_lot and bed. Whole floats
    are whole numbers (3.0), a zip code may have lost its leading zero (6016.0), blank text counts
    as missing.

    Raises:
        pydantic.ValidationError: a value is impossible; see `problems.field_problems` for codes,
            parameters and texts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    brokered_by: int | None = _number("brokered_by", description="Id of the listing broker")
    status: Literal["for_sale", "sold", "ready_to_build"] = Field(
        "for_sale", description="Status of the listing; every home is valued as if sold"
    )
    bed: int | None = _number("bed", description="Bedrooms")
    bath: int | None = _number("bath", description="Bathrooms")
    acre_lot: float | None = _number("acre_lot", description="Size of the lot, acres")
    street: int | None = _number(
        "street", description="Id of the street address; not used to value"
    )
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
    house_size: int | None = _number("house_size", description="Living area, square feet")
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
            raise _refused(name, value, NOT_A_NUMBER)
        limits = RANGES[name]
        if not limits.low <= number <= limits.high:
            raise _refused(name, value, OUT_OF_RANGE[name])
        if name not in WHOLE_NUMBERS:
            return number
        if abs(number - round(number)) > WHOLE_TOLERANCE:
            raise _refused(name, value, NOT_A_WHOLE_NUMBER)
        return round(number)

    @field_validator(*PARSERS, mode="before")
    @classmethod
    def _readable(cls, value: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        try:
            # Mostly a cache hit, because requests repeat the same places.
            parsed = (
                REMEMBERING_PARSERS[name](value) if type(value) is str else parse_text(name, value)
            )
        except InvalidValue as invalid:
            raise _refused(name, value, invalid.rule) from None
        if name == "status":
            if parsed is None:
                return "for_sale"
            if parsed not in STATUSES:
                raise _refused(name, value, NOT_A_STATUS)
        return parsed

    @model_validator(mode="after")
    def _enough_to_value(self) -> "Property":
        if self.state is None and self.zip_code is None:
            raise _custom_error(message("place_required"))
        if self.house_size is None and self.acre_lot is None and self.bed is None:
            raise _custom_error(message("size_required"))
        return self


def _refused(name: str, value: object, rule: CodedMessage) -> PydanticCustomError:
    return _custom_error(rule, f"{name} is {shown(repr(value))}; it {rule.text}")


def _custom_error(coded: CodedMessage, text: str | None = None) -> PydanticCustomError:
    """A pydantic error with the code as its type, and the text and parameters as its context."""
    # As a parameter, so that braces in the text are no placeholders.
    return PydanticCustomError(
        cast("Any", coded.code), "{text}", {"text": text or coded.text, **coded.params}
    )


def without_frames(error: ValidationError) -> ValidationError:
    """Remove the traceback of `error`, and return it; use it wherever an error is stored.

    A traceback refers to the frames it passed and to their variables. Pydantic's errors take no
    part in garbage collection, so a cycle of error and frame would never be freed.
    """
    error.__traceback__ = None
    return error


_DTYPES = (
    dict.fromkeys(NUMBERS, "float64")
    | dict.fromkeys(TEXTS, "object")
    | {"prev_sold_date": "datetime64[D]"}
)
_READERS = [(name, attrgetter(name), np.dtype(_DTYPES[name])) for name in INPUTS]


def columns_from_properties(properties: Sequence[Property]) -> dict[str, NDArray[Any]]:
    """Convert n homes into columns.

    Args:
        properties: n homes.

    Returns:
        The 11 inputs as arrays (n,): numbers float64 (NaN where missing), texts object (None where
        missing), prev_sold_date datetime64[D] (NaT where missing).

    >>> columns_from_properties([Property(bed=3, state="Texas", house_size=1800)])["bed"]
    array([3.])
    """
    columns: dict[str, NDArray[Any]] = {}
    for name, read, dtype in _READERS:
        # NumPy converts None to NaN or NaT.
        columns[name] = np.array([*map(read, properties)], dtype)
    return columns


def properties_from_columns(columns: Columns) -> Iterator[Property]:
    """Yield the n homes in `columns`, without validating them again.

    Args:
        columns: the 11 inputs, arrays (n,), as from `columns_from_properties`.

    >>> homes = [Property(state="Texas", bed=3)]
    >>> list(properties_from_columns(columns_from_properties(homes))) == homes
    True
    """
    values: list[list[Any]] = []
    for name in INPUTS:
        entries = columns[name].tolist()
        if name in NUMBERS:
            whole = int if name in WHOLE_NUMBERS else float
            entries = [None if value != value else whole(value) for value in entries]
        values.append(entries)
    for row in zip(*values, strict=True):
        yield Property.model_construct(**dict(zip(INPUTS, row, strict=True)))


def as_sold(columns: Columns) -> dict[str, NDArray[Any]]:
    """The same homes with the status sold, for estimates of the sale price today.

    prev_sold_date becomes NaT, because on a sold listing it is the date of that sale.

    Args:
        columns: inputs, arrays (n,); `status` is required.

    >>> as_sold(columns_from_properties([Property(state="Texas", bed=3)]))["status"]
    array(['sold'], dtype=object)
    """
    return _with_status(columns, "sold")


def as_asked(columns: Columns) -> dict[str, NDArray[Any]]:
    """The same homes with the status for_sale, for estimates of the asking price today.

    prev_sold_date becomes NaT.

    Args:
        columns: inputs, arrays (n,); `status` is required.
    """
    return _with_status(columns, "for_sale")


def _with_status(columns: Columns, status: str) -> dict[str, NDArray[Any]]:
    n = len(columns["status"])
    return {
        **columns,
        "status": np.full(n, status, object),
        "prev_sold_date": _UNDATED.repeat(n),
    }
