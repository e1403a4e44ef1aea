"""Homes to value: one home as a `Home`, n homes as columns of a market's inputs."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from realtor_model.listing.column import KEYS, Column, Kind, Role
from realtor_model.listing.contract import (
    FOR_SALE,
    SOLD,
    STATUSES,
    Columns,
    ListingContract,
)
from realtor_model.listing.market_file import US_LISTINGS
from realtor_model.listing.parsing import (
    InvalidValue,
    parse,
    parse_number,
    remembering_parser,
    shown,
    status_of,
)
from realtor_model.messages import CodedMessage, message

_UNDATED = np.array(["NaT"], "datetime64[D]")
_STATUS, _SALE_DATE = KEYS[Role.STATUS], KEYS[Role.SALE_DATE]


class Home(BaseModel):
    """One home to value: the inputs of a market, as a person or a program gives them.

    Required are a place and a size: one of the contract's `places` and, if it has any, one of its
    `sizes`. Whole floats are whole numbers (3.0), a zip code may have lost its leading zero
    (6016.0), blank text counts as missing. `home_model` makes the class of a market.

    Raises:
        pydantic.ValidationError: a value is impossible; see `problems.field_problems` for codes,
            parameters and texts.
    """

    contract: ClassVar[ListingContract]
    # Homes with other fields are read by `read_home`, which notes them.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra=lambda schema: schema.pop("additionalProperties", None),
    )

    @model_validator(mode="after")
    def _enough_to_value(self) -> "Home":
        if missing := missing_place_or_size(self.contract, self.__dict__):
            raise _custom_error(missing)
        return self


def missing_place_or_size(
    contract: ListingContract, values: Mapping[str, object]
) -> CodedMessage | None:
    """Why a home cannot be valued: no place, or no size; None if it can.

    Args:
        contract: of the market.
        values: name -> value, None where missing.
    """
    if not _is_placed(contract, values):
        return place_required(contract)
    if all(values[column.name] is None for column in contract.sizes):
        names = [column.name for column in contract.sizes]
        return message("size_required", sizes=_joined(names))
    return None


@cache
def place_required(contract: ListingContract) -> CodedMessage:
    """The message that a home has no place, with the columns that can place it."""
    return message("place_required", places=_places_in_words(contract))


def _is_placed(contract: ListingContract, values: Mapping[str, object]) -> bool:
    placed = {column.role for column in contract.places if values[column.name] is not None}
    return bool(placed & {Role.STATE, Role.ZIP_CODE}) or {Role.LATITUDE, Role.LONGITUDE} <= placed


def _places_in_words(contract: ListingContract) -> str:
    single = [c.name for c in contract.places if c.role in (Role.STATE, Role.ZIP_CODE)]
    point = [c.name for c in contract.places if c.role in (Role.LATITUDE, Role.LONGITUDE)]
    return " or ".join([*single, *([" and ".join(point)] if point else [])])


def _joined(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


@cache
def home_model(contract: ListingContract) -> type[Home]:
    """The class of homes of a market: a field for each input, by its name."""
    fields: dict[str, Any] = {column.name: _field(column) for column in contract.inputs}
    model = create_model("Property", __base__=Home, __doc__=Home.__doc__, **fields)
    model.contract = contract
    return model


def _field(column: Column) -> tuple[Any, Any]:
    """Type and field of a column, as `create_model` takes them."""
    types: Mapping[Kind, Any] = {
        Kind.NUMBER: float,
        Kind.INTEGER: int,
        Kind.BOOLEAN: bool,
        Kind.CATEGORY: str,
        Kind.DATE: dt.date,
    }
    kind = types[column.kind]
    options: dict[str, Any] = {"description": column.help.get("en", column.label)}
    if column.example is not None:
        options["examples"] = [column.example]
    if column.range is not None:
        options |= {"ge": column.range.low, "le": column.range.high}
    elif column.role is Role.ZIP_CODE:
        options["pattern"] = r"^[0-9]{5}$"
    elif column.role in (Role.ID, Role.BROKER):
        kind = int
    elif column.choices:
        kind = Literal[column.choices]
    if column.default is None:
        kind |= None
    return Annotated[kind, BeforeValidator(_reader(column))], Field(column.default, **options)


def _reader(column: Column) -> Callable[[object], object]:
    """The function that reads a value of `column` in a request."""
    if column.range is not None:
        return partial(_read_number, column)
    return partial(_read_text, column, remembering_parser(column))


def _read_number(column: Column, value: object) -> float | int | None:
    try:
        return parse_number(column, value)
    except InvalidValue as invalid:
        raise _refused(column, value, invalid.rule) from None


def _read_text(
    column: Column,
    remembered: Callable[[object], object],
    value: object,
) -> object:
    try:
        # Mostly a cache hit, because requests repeat the same places.
        parsed = remembered(value) if type(value) is str else parse(column, value)
    except InvalidValue as invalid:
        raise _refused(column, value, invalid.rule) from None
    return column.default if parsed is None else parsed


def _refused(column: Column, value: object, rule: CodedMessage) -> PydanticCustomError:
    return _custom_error(rule, f"{column.name} is {shown(repr(value))}; it {rule.text}")


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


@cache
def _columns_of(
    contract: ListingContract,
) -> tuple[tuple[str, Callable[[Any], Any] | None, "np.dtype[Any]"], ...]:
    """Key, the getter of the home's attribute (None: the market has no such column), and dtype."""
    names = {column.key: column.name for column in contract.inputs}
    return tuple(
        (key, attrgetter(names[key]) if key in names else None, contract.dtype(key))
        for key in contract.keys
    )


@cache
def own_statuses(contract: ListingContract) -> Mapping[str, str] | None:
    """The market's statuses -> the model's; None if they are the model's own or there are none."""
    column = contract.by_role.get(Role.STATUS)
    if column is None or (column.choices == STATUSES and column.sold == (SOLD,)):
        return None
    return {choice: status_of(column, choice) for choice in column.choices}


def columns_from_properties(
    properties: Sequence[Home], contract: ListingContract | None = None
) -> dict[str, NDArray[Any]]:
    """Convert n homes of one market into columns.

    Args:
        properties: n homes.
        contract: of their market; by default that of the first home.

    Returns:
        The market's `keys` as arrays (n,): numbers float64 (NaN where missing), texts object (None
        where missing), dates datetime64[D] (NaT where missing).

    >>> columns_from_properties([Property(bed=3, state="Texas", house_size=1800)])["bed"]
    array([3.])
    """
    if contract is None:
        contract = properties[0].contract if properties else US_LISTINGS
    columns: dict[str, NDArray[Any]] = {}
    for key, read, dtype in _columns_of(contract):
        if read is None:
            columns[key] = contract.missing(key, len(properties))
        else:
            # NumPy converts None to NaN or NaT.
            columns[key] = np.array([*map(read, properties)], dtype)
    if statuses := own_statuses(contract):
        columns[_STATUS] = np.array([statuses[each] for each in columns[_STATUS]], object)
    return columns


def properties_from_columns(
    columns: Columns, contract: ListingContract = US_LISTINGS
) -> Iterator[Home]:
    """Yield the n homes in `columns`, without validating them again.

    Args:
        columns: the market's `keys`, arrays (n,), as from `columns_from_properties`.
        contract: of the market.

    >>> homes = [Property(state="Texas", bed=3)]
    >>> list(properties_from_columns(columns_from_properties(homes))) == homes
    True
    """
    model = home_model(contract)
    values: list[list[Any]] = []
    for column in contract.inputs:
        entries = columns[column.key].tolist()
        if contract.is_number(column.key):
            as_type = _PYTHON_TYPES.get(column.kind, int)
            entries = [None if value != value else as_type(value) for value in entries]
        values.append(entries)
    names = [column.name for column in contract.inputs]
    own = own_statuses(contract)
    for row in zip(*values, strict=True):
        home = dict(zip(names, row, strict=True))
        if own is not None:
            status = contract.by_role[Role.STATUS].name
            home[status] = next(each for each, meant in own.items() if meant == home[status])
        yield model.model_construct(**home)


_PYTHON_TYPES: Mapping[Kind, Callable[[Any], Any]] = {Kind.NUMBER: float, Kind.BOOLEAN: bool}


def as_sold(columns: Columns) -> dict[str, NDArray[Any]]:
    """The same homes with the status sold, for estimates of the sale price today.

    prev_sold_date becomes NaT, because on a sold listing it is the date of that sale.

    Args:
        columns: inputs, arrays (n,); `status` is required.

    >>> as_sold(columns_from_properties([Property(state="Texas", bed=3)]))["status"]
    array(['sold'], dtype=object)
    """
    return _with_status(columns, SOLD)


def as_asked(columns: Columns) -> dict[str, NDArray[Any]]:
    """The same homes with the status for_sale, for estimates of the asking price today.

    prev_sold_date becomes NaT.

    Args:
        columns: inputs, arrays (n,); `status` is required.
    """
    return _with_status(columns, FOR_SALE)


def _with_status(columns: Columns, status: str) -> dict[str, NDArray[Any]]:
    n = len(columns[_STATUS])
    return {
        **columns,
        _STATUS: np.full(n, status, object),
        _SALE_DATE: _UNDATED.repeat(n),
    }


# The class of homes of the built-in market.
Property = home_model(US_LISTINGS)
