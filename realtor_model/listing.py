"""What a listing is: its 12 columns, the values they can take, and how received values are read.

Two readers share one set of parsers and ranges: `check` reads whole batches as the upstream sends
them, `Property` reads the one home that a person asks about.
"""

import datetime as dt
import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray
from pandera.errors import SchemaErrors
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

REGISTERED_MODEL = "realtor-price"
PRODUCTION_ALIAS = "production"
PREVIOUS_ALIAS = "previous"

TARGET = "price"
COLUMNS = (
    "brokered_by", "status", "price", "bed", "bath", "acre_lot", "street", "city", "state",
    "zip_code", "house_size", "prev_sold_date",
)  # fmt: skip
INPUTS = tuple(name for name in COLUMNS if name != TARGET)
STATUSES = ("for_sale", "sold", "ready_to_build")
# Outside of it prices are tokens, rents and typing errors, or homes that no listing resembles:
# such rows are kept as received, and no model learns from them or is judged on them.
VALUATION_PRICE_RANGE = (10_000.0, 10_000_000.0)

# A home that anybody can picture.
EXAMPLE_HOME: Mapping[str, str | float] = MappingProxyType(
    {
        "state": "Texas",
        "city": "Houston",
        "zip_code": "77008",
        "house_size": 1800,
        "bed": 3,
        "bath": 2,
        "acre_lot": 0.12,
    }
)

FIRST_DATE, LAST_DATE = dt.date(1900, 1, 1), dt.date(2100, 12, 31)
_VALUE_SHOWN = 200


class Range(NamedTuple):
    """The possible values of a numeric column, both ends included."""

    low: float
    high: float
    unit: str

    def __str__(self) -> str:
        return f"from {self.low:,g} to {self.high:,.12g} {self.unit}"


# What is possible, not what is plausible. A price of 2**31 - 1 is an overflow, not a price.
RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "brokered_by": Range(0, 2**31 - 1, "(an id)"),
        "price": Range(1, 1_999_999_999, "dollars"),
        "bed": Range(1, 100, "bedrooms"),
        "bath": Range(1, 100, "bathrooms"),
        "acre_lot": Range(0, 100_000, "acres"),
        "street": Range(0, 2**31 - 1, "(an id)"),
        "house_size": Range(50, 1_000_000, "square feet"),
    }
)
WHOLE_NUMBERS = ("brokered_by", "bed", "bath", "street", "house_size")
NUMBERS = ("brokered_by", "bed", "bath", "acre_lot", "street", "house_size")
TEXTS = ("status", "city", "state", "zip_code")

WHOLE_TOLERANCE = 1e-9
_LONGEST_TEXT = 100
_LARGEST_EXACT_INTEGER = 2.0**53
# Control characters (NUL is refused by PostgreSQL) and halves of a surrogate pair (not encodable).
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_ZIP = re.compile(r"([0-9]{1,5})(?:\.0*|-[0-9]{4})?")
_ISO_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ].*)?")


class SchemaChanged(Exception):
    """The columns received are not the 12 of the contract."""

    def __init__(self, missing: list[str], unexpected: list[str]) -> None:
        self.missing = missing
        self.unexpected = unexpected
        found = f"; not in the contract: {', '.join(unexpected)}" if unexpected else ""
        super().__init__(f"columns are missing: {', '.join(missing)}{found}")


# ---- one value ------------------------------------------------------------------------------


def _text(value: object) -> str | None:
    if not isinstance(value, str):
        raise ValueError("must be text")
    if _UNPRINTABLE.search(value):
        raise ValueError("must be printable text")
    if len(value) > _LONGEST_TEXT:
        raise ValueError(f"must be text of at most {_LONGEST_TEXT} characters")
    return value.strip() or None


def _zip_code(value: object) -> str | None:
    if isinstance(value, str):
        if not value.strip():
            return None
        digits = _ZIP.fullmatch(value.strip())
        if digits and int(digits[1]):
            return digits[1].zfill(5)
    elif isinstance(value, int | float | Decimal | np.number) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if number.is_integer() and 0 < number <= 99_999:
            return f"{int(number):05d}"
    raise ValueError("must be a zip code of 5 digits")


def _date(value: object) -> dt.date | None:
    if isinstance(value, dt.datetime):
        value = value.date()
    if isinstance(value, str):
        if not value.strip():
            return None
        text = _ISO_DATE.fullmatch(value.strip())
        if text:
            try:
                value = dt.date.fromisoformat(text[1])
            except ValueError:
                value = None
    if isinstance(value, dt.date) and FIRST_DATE <= value <= LAST_DATE:
        return value
    raise ValueError(f"must be a date YYYY-MM-DD from {FIRST_DATE} to {LAST_DATE}")


# ---- a batch --------------------------------------------------------------------------------


def _schema_columns() -> dict[str, pa.Column]:
    def column(name: str) -> pa.Column:
        checks: list[pa.Check] = []
        if name in RANGES:
            low, high, _ = limits = RANGES[name]
            checks.append(pa.Check.in_range(low, high, error=f"must be {limits}"))
            dtype: Any = "Int64" if name in WHOLE_NUMBERS else "float64"
        elif name == "prev_sold_date":
            low_date, high_date = pd.Timestamp(FIRST_DATE), pd.Timestamp(LAST_DATE)
            checks.append(pa.Check.in_range(low_date, high_date, error="must be a possible date"))
            dtype = "datetime64[ns]"
        else:
            # Arrow's: its texts are matched and copied without a Python object for each.
            dtype = pd.StringDtype("pyarrow")
        if name == "status":
            checks.append(pa.Check.isin(STATUSES, error=f"must be one of {', '.join(STATUSES)}"))
        if name == "zip_code":
            checks.append(
                pa.Check.str_matches(r"^[0-9]{5}$", error="must be a zip code of 5 digits")
            )
        return pa.Column(dtype, checks, nullable=name not in (TARGET, "status", "state"))

    return {name: column(name) for name in COLUMNS}


RAW_SCHEMA = pa.DataFrameSchema(_schema_columns(), ordered=False, strict="filter")


def normalise(frame: pd.DataFrame) -> pd.DataFrame:
    """Received values (JSON or CSV) as the typed raw frame; what cannot be read becomes missing.

    Returns the 12 `COLUMNS` with the dtypes of `RAW_SCHEMA` and a fresh RangeIndex. Ranges are not
    looked at: `check` tells what was unreadable and what is out of range.

    Raises:
        SchemaChanged: columns are missing or renamed. Columns beyond the 12 are left out.
    """
    return _read(frame)[0]


def check(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split one batch, as received, into listings that keep the contract and rows that do not.

    Args:
        frame: n rows with the 12 columns, of Python or JSON values (or strings, from a CSV).

    Returns:
        The valid rows, typed as `RAW_SCHEMA` says; and one line for each broken row: `row` (its
        int64 position in `frame`), `column_name` (the first column that broke), `rule` (every rule
        that the row broke), `value` (as received, at most 200 characters) and `record` (the whole
        row as received: JSON that PostgreSQL's jsonb takes).

    Raises:
        SchemaChanged: columns are missing or renamed.
    """
    typed, unreadable = _read(frame)
    failures = [
        pd.DataFrame({"row": np.flatnonzero(mask), "column_name": name, "rule": rule})
        for name, rule, mask in unreadable
    ]
    try:
        RAW_SCHEMA.validate(typed, lazy=True)
    except SchemaErrors as problems:
        cases = problems.failure_cases
        failures.append(
            pd.DataFrame(
                {
                    "row": cases["index"].astype("int64"),
                    "column_name": cases["column"],
                    "rule": cases["check"].replace("not_nullable", "is required"),
                }
            )
        )
    if not failures:
        return typed, _broken_rows(frame, pd.DataFrame(columns=["row", "column_name", "rule"]))
    # A value that could not be read is missing in the typed frame: only the first reason counts.
    found = pd.concat(failures).drop_duplicates(["row", "column_name"])
    broken = np.zeros(len(typed), dtype=bool)
    broken[found["row"].to_numpy()] = True
    return typed[~broken].reset_index(drop=True), _broken_rows(frame, found)


def _broken_rows(frame: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    order = {name: position for position, name in enumerate(COLUMNS)}
    found = found.assign(
        order=found["column_name"].map(order),
        rule=found["column_name"].astype(str) + " " + found["rule"].astype(str),
    ).sort_values(["row", "order"])
    rules = found.groupby("row")["rule"].agg("; ".join)
    first = found.drop_duplicates("row").set_index("row")["column_name"]
    rows = first.index.to_numpy(np.int64)
    records = frame.iloc[rows].to_dict("records")
    return pd.DataFrame(
        {
            "row": rows,
            "column_name": first.to_numpy(object),
            "rule": rules.reindex(rows).to_numpy(object),
            "value": [
                _printable(str(record[name]))[:_VALUE_SHOWN]
                for record, name in zip(records, first, strict=True)
            ],
            "record": [json.dumps(_json_value(record)) for record in records],
        }
    )


def _json_value(value: object) -> object:
    """`value` as strict JSON has it: no NaN, no NUL, no half characters."""
    if isinstance(value, dict):
        return {_printable(str(key)): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if pd.isna(value):  # type: ignore[call-overload]
        return None
    return _printable(str(value))


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")


# ---- reading a column ---------------------------------------------------------------------

_Mask = NDArray[np.bool_]
_Unreadable = list[tuple[str, str, _Mask]]
_PARSERS: Mapping[str, Callable[[object], object]] = MappingProxyType(
    {**dict.fromkeys(TEXTS, _text), "zip_code": _zip_code, "prev_sold_date": _date}
)
# A batch comes in pieces, and each has mostly the places and dates of those before it.
_REMEMBERING_PARSERS = {
    name: lru_cache(maxsize=50_000, typed=True)(parse) for name, parse in _PARSERS.items()
}


def parse_text(name: str, value: object) -> object:
    """A received text or date of the column `name` as it is kept; None for nothing.

    Raises:
        ValueError: it cannot be read; the text says what it must be.
    """
    return None if value is None else _REMEMBERING_PARSERS[name](value)


def _read(frame: pd.DataFrame) -> tuple[pd.DataFrame, _Unreadable]:
    """The typed frame, and (column, rule, which rows) of the values that could not be read."""
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise SchemaChanged(missing, [str(name) for name in frame.columns if name not in COLUMNS])
    typed: dict[str, Any] = {}
    unreadable: _Unreadable = []
    for name in COLUMNS:
        received = frame[name].reset_index(drop=True)
        if name in RANGES:
            typed[name], problems = _read_numbers(received, whole=name in WHOLE_NUMBERS)
        else:
            typed[name], problems = _read_distinct(
                received, _REMEMBERING_PARSERS[name], str(RAW_SCHEMA.columns[name].dtype)
            )
        unreadable += [(name, rule, mask) for rule, mask in problems.items() if mask.any()]
    frame = pd.DataFrame(typed, index=pd.RangeIndex(len(frame)))
    return frame.astype({name: str(RAW_SCHEMA.columns[name].dtype) for name in COLUMNS}), unreadable


def _read_numbers(received: "pd.Series[Any]", *, whole: bool) -> tuple[Any, dict[str, _Mask]]:
    """Float64 values with NaN for what is missing or unreadable, and the rules that were broken."""
    no_scalar = _not_scalar(received)
    numbers = pd.to_numeric(_scalars(received, no_scalar), errors="coerce").to_numpy(
        np.float64, na_value=np.nan
    )
    finite = np.isfinite(numbers)
    problems = {"must be a number": no_scalar | (~finite & ~_missing(received))}
    values = np.where(finite, numbers, np.nan)
    if not whole:
        return values, problems
    rounded = np.rint(values)
    fraction = np.abs(values - rounded) > WHOLE_TOLERANCE
    fraction |= np.abs(values) > _LARGEST_EXACT_INTEGER
    problems["must be a whole number"] = fraction
    absent = fraction | ~finite
    integers = np.where(absent, 0.0, rounded).astype(np.int64)
    return pd.arrays.IntegerArray(integers, absent), problems


def _read_distinct(
    received: "pd.Series[Any]", parse: Callable[[object], object], dtype: Any
) -> tuple[Any, dict[str, _Mask]]:
    """Parse every distinct value once: a batch has far fewer zips and dates than rows."""
    no_scalar = _not_scalar(received)
    scalars = _scalars(received, no_scalar)
    if not isinstance(scalars.dtype, pd.StringDtype):
        scalars = scalars.astype(object)
    codes, distinct = pd.factorize(scalars)
    # One more for what is missing, at the end, where the sentinel -1 points.
    parsed = np.full(len(distinct) + 1, None, dtype=object)
    problems = {"must be text": no_scalar}
    for code, value in enumerate(distinct):
        try:
            parsed[code] = parse(value)
        except ValueError as problem:
            problems[str(problem)] = problems.get(str(problem), np.False_) | (codes == code)
    return pd.Series(parsed).astype(dtype).array.take(codes), problems


def _scalars(received: "pd.Series[Any]", no_scalar: _Mask) -> "pd.Series[Any]":
    return received.mask(no_scalar) if no_scalar.any() else received


def _not_scalar(received: "pd.Series[Any]") -> _Mask:
    """Where a value is true or false, a list or an object: JSON that no column takes."""
    if received.dtype != object:
        return np.full(len(received), received.dtype == bool)
    if pd.api.types.infer_dtype(received, skipna=True) in ("string", "empty", "floating"):
        return np.zeros(len(received), dtype=bool)
    return received.map(type).isin([bool, list, dict]).to_numpy()


def _missing(received: "pd.Series[Any]") -> _Mask:
    missing = received.isna()
    if received.dtype == object or isinstance(received.dtype, pd.StringDtype):
        missing |= received.astype(object).map(
            lambda value: isinstance(value, str) and not value.strip()
        )
    return missing.to_numpy(bool)


# ---- one home -----------------------------------------------------------------------------


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
            raise ValueError(f"{name} is {_shown(value)}; it must be a number")
        limits = RANGES[name]
        if not limits.low <= number <= limits.high:
            raise ValueError(f"{name} is {_shown(value)}; it must be {limits}")
        if name not in WHOLE_NUMBERS:
            return number
        if abs(number - round(number)) > WHOLE_TOLERANCE:
            raise ValueError(f"{name} is {_shown(value)}; it must be a whole number")
        return round(number)

    @field_validator(*_PARSERS, mode="before")
    @classmethod
    def _readable(cls, value: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        try:
            parsed = None if value is None else _PARSERS[name](value)
        except ValueError as problem:
            raise ValueError(f"{name} is {_shown(value)}; it {problem}") from problem
        if name == "status":
            if parsed is None:
                return "for_sale"
            if parsed not in STATUSES:
                raise ValueError(
                    f"status is {_shown(value)}; it must be one of {', '.join(STATUSES)}"
                )
        return parsed

    @model_validator(mode="after")
    def _enough_to_value(self) -> "Property":
        if self.state is None and self.zip_code is None:
            raise ValueError("state or zip_code is required: without a place there is no value")
        if self.house_size is None and self.acre_lot is None and self.bed is None:
            raise ValueError("one of house_size, acre_lot and bed is required")
        return self


def _shown(value: object) -> str:
    return _printable(repr(value))[:_VALUE_SHOWN]


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
