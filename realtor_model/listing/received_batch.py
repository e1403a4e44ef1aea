"""Reading of batches from the upstream: typed listings, and rows that break the contract."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray
from pandera.errors import SchemaErrors

from realtor_model.listing.contract import (
    COLUMNS,
    FIRST_DATE,
    LAST_DATE,
    RANGES,
    STATUSES,
    TARGET,
    WHOLE_NUMBERS,
    WHOLE_TOLERANCE,
)
from realtor_model.listing.parsing import (
    NOT_A_DATE,
    NOT_A_NUMBER,
    NOT_A_STATUS,
    NOT_A_WHOLE_NUMBER,
    NOT_A_ZIP_CODE,
    NOT_TEXT,
    OUT_OF_RANGE,
    REMEMBERING_PARSERS,
    InvalidValue,
    printable,
    shown,
)
from realtor_model.messages import CodedMessage, message

_LARGEST_EXACT_INTEGER = 2.0**53
_REQUIRED = message("required")
# Code of each rule by its text, because pandera reports a broken rule by its text.
_CODES = {
    rule.text: rule.code
    for rule in (_REQUIRED, NOT_A_DATE, NOT_A_STATUS, NOT_A_ZIP_CODE, *OUT_OF_RANGE.values())
}

_Mask = NDArray[np.bool_]
_Problems = dict[CodedMessage, _Mask]
_Unreadable = list[tuple[str, CodedMessage, _Mask]]


class SchemaChanged(Exception):
    """The batch lacks columns of the contract.

    Attributes:
        missing: columns of the contract that the batch lacks.
        unexpected: columns of the batch that are not in the contract.
    """

    def __init__(self, missing: list[str], unexpected: list[str]) -> None:
        self.missing = missing
        self.unexpected = unexpected
        others = f"; not in the contract: {', '.join(unexpected)}" if unexpected else ""
        super().__init__(f"columns are missing: {', '.join(missing)}{others}")


def _schema_columns() -> dict[str, pa.Column]:
    def column(name: str) -> pa.Column:
        checks: list[pa.Check] = []
        if name in RANGES:
            low, high, _ = RANGES[name]
            checks.append(pa.Check.in_range(low, high, error=OUT_OF_RANGE[name].text))
            dtype: Any = "Int64" if name in WHOLE_NUMBERS else "float64"
        elif name == "prev_sold_date":
            low_date, high_date = pd.Timestamp(FIRST_DATE), pd.Timestamp(LAST_DATE)
            checks.append(pa.Check.in_range(low_date, high_date, error=NOT_A_DATE.text))
            dtype = "datetime64[ns]"
        else:
            # Arrow strings are matched and copied without a Python object for each text.
            dtype = pd.StringDtype("pyarrow")
        if name == "status":
            checks.append(pa.Check.isin(STATUSES, error=NOT_A_STATUS.text))
        if name == "zip_code":
            checks.append(pa.Check.str_matches(r"^[0-9]{5}$", error=NOT_A_ZIP_CODE.text))
        return pa.Column(dtype, checks, nullable=name not in (TARGET, "status", "state"))

    return {name: column(name) for name in COLUMNS}


RAW_SCHEMA = pa.DataFrameSchema(_schema_columns(), ordered=False, strict="filter")


def normalise(frame: pd.DataFrame) -> pd.DataFrame:
    """Convert received values into the dtypes of `RAW_SCHEMA`; unreadable values become missing.

    Args:
        frame: n rows with the 12 columns, of JSON values or strings. Other columns are ignored.

    Returns:
        The 12 `COLUMNS`, n rows, with the dtypes of `RAW_SCHEMA` and a new RangeIndex. It keeps
        values out of range; `check` reports them, and the unreadable values.

    Raises:
        SchemaChanged: columns are missing or renamed.
    """
    return _read(frame)[0]


def check(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a received batch into valid listings and rows that break the contract.

    Args:
        frame: n rows with the 12 columns, of JSON values or strings. Other columns are ignored.

    Returns:
        The valid rows, with the dtypes of `RAW_SCHEMA`; and one row for each invalid row, with the
        columns `row` (its int64 position in `frame`), `column_name` (the first invalid column),
        `rule` (all broken rules, joined by "; "), `value` (of that column as received, at most 200
        characters), `record` (the whole row as received, as JSON that PostgreSQL's jsonb accepts)
        and `code` (of the first broken rule, one of `MESSAGES`).

    Raises:
        SchemaChanged: columns are missing or renamed.

    >>> listing = dict.fromkeys(COLUMNS) | {"status": "sold", "state": "Texas", "price": 250_000}
    >>> valid, broken = check(pd.DataFrame([listing, listing | {"price": "free"}]))
    >>> len(valid), broken[["row", "column_name", "code"]].to_dict("records")
    (1, [{'row': 1, 'column_name': 'price', 'code': 'not_a_number'}])
    """
    typed, unreadable = _read(frame)
    failures = [
        pd.DataFrame(
            {
                "row": np.flatnonzero(mask),
                "column_name": name,
                "rule": rule.text,
                "code": rule.code,
            }
        )
        for name, rule, mask in unreadable
    ]
    try:
        RAW_SCHEMA.validate(typed, lazy=True)
    except SchemaErrors as problems:
        cases = problems.failure_cases
        rules = cases["check"].replace("not_nullable", _REQUIRED.text)
        failures.append(
            pd.DataFrame(
                {
                    "row": cases["index"].astype("int64"),
                    "column_name": cases["column"],
                    "rule": rules,
                    "code": rules.map(_CODES),
                }
            )
        )
    if not failures:
        no_reasons = pd.DataFrame(columns=["row", "column_name", "rule", "code"])
        return typed, _broken_rows(frame, no_reasons)
    # An unreadable value is missing in the typed frame, so pandera may report it a second time.
    reasons = pd.concat(failures).drop_duplicates(["row", "column_name"])
    broken = np.zeros(len(typed), dtype=bool)
    broken[reasons["row"].to_numpy()] = True
    return typed[~broken].reset_index(drop=True), _broken_rows(frame, reasons)


def _broken_rows(frame: pd.DataFrame, reasons: pd.DataFrame) -> pd.DataFrame:
    """One row for each invalid row, as `check` returns them.

    Args:
        frame: the batch as received.
        reasons: row, column_name, rule and code of each broken rule.
    """
    order = {name: position for position, name in enumerate(COLUMNS)}
    reasons = reasons.assign(
        order=reasons["column_name"].map(order),
        rule=reasons["column_name"].astype(str) + " " + reasons["rule"].astype(str),
    ).sort_values(["row", "order"])
    rules = reasons.groupby("row")["rule"].agg("; ".join)
    first = reasons.drop_duplicates("row").set_index("row")
    rows = first.index.to_numpy(np.int64)
    records = frame.iloc[rows].to_dict("records")
    return pd.DataFrame(
        {
            "row": rows,
            "column_name": first["column_name"].to_numpy(object),
            "rule": rules.reindex(rows).to_numpy(object),
            "value": [
                shown(str(record[name]))
                for record, name in zip(records, first["column_name"], strict=True)
            ],
            "record": [json.dumps(_json_value(record)) for record in records],
            "code": first["code"].to_numpy(object),
        }
    )


def _json_value(value: object) -> object:
    """`value` for strict JSON: NaN becomes None, other types become printable text."""
    if isinstance(value, dict):
        return {printable(str(key)): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if pd.isna(value):  # type: ignore[call-overload]
        return None
    return printable(str(value))


def _read(frame: pd.DataFrame) -> tuple[pd.DataFrame, _Unreadable]:
    """The typed frame, and (column, rule, mask of rows) of the unreadable values."""
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
                received, REMEMBERING_PARSERS[name], str(RAW_SCHEMA.columns[name].dtype)
            )
        unreadable += [(name, rule, mask) for rule, mask in problems.items() if mask.any()]
    frame = pd.DataFrame(typed, index=pd.RangeIndex(len(frame)))
    return frame.astype({name: str(RAW_SCHEMA.columns[name].dtype) for name in COLUMNS}), unreadable


def _read_numbers(received: "pd.Series[Any]", *, whole: bool) -> tuple[Any, _Problems]:
    """Numbers, missing where unreadable, and for each rule a mask of the rows that break it."""
    no_scalar = _not_scalar(received)
    numbers = pd.to_numeric(_scalars(received, no_scalar), errors="coerce").to_numpy(
        np.float64, na_value=np.nan
    )
    finite = np.isfinite(numbers)
    problems = {NOT_A_NUMBER: no_scalar | (~finite & ~_missing(received))}
    values = np.where(finite, numbers, np.nan)
    if not whole:
        return values, problems
    rounded = np.rint(values)
    fraction = np.abs(values - rounded) > WHOLE_TOLERANCE
    fraction |= np.abs(values) > _LARGEST_EXACT_INTEGER
    problems[NOT_A_WHOLE_NUMBER] = fraction
    absent = fraction | ~finite
    integers = np.where(absent, 0.0, rounded).astype(np.int64)
    return pd.arrays.IntegerArray(integers, absent), problems


def _read_distinct(
    received: "pd.Series[Any]", parse: Callable[[object], object], dtype: Any
) -> tuple[Any, _Problems]:
    """Parse texts or dates, each distinct value once: a batch has few distinct zips and dates."""
    no_scalar = _not_scalar(received)
    scalars = _scalars(received, no_scalar)
    if not isinstance(scalars.dtype, pd.StringDtype):
        scalars = scalars.astype(object)
    codes, distinct = pd.factorize(scalars)
    # One entry more, None: `factorize` codes missing values as -1, the last position.
    parsed = np.full(len(distinct) + 1, None, dtype=object)
    problems: _Problems = {NOT_TEXT: no_scalar}
    for code, value in enumerate(distinct):
        try:
            parsed[code] = parse(value)
        except InvalidValue as invalid:
            problems[invalid.rule] = problems.get(invalid.rule, np.False_) | (codes == code)
    return pd.Series(parsed).astype(dtype).array.take(codes), problems


def _scalars(received: "pd.Series[Any]", no_scalar: _Mask) -> "pd.Series[Any]":
    return received.mask(no_scalar) if no_scalar.any() else received


def _not_scalar(received: "pd.Series[Any]") -> _Mask:
    """Mask of values that no column accepts: true, false, lists and objects."""
    if received.dtype != object:
        return np.full(len(received), received.dtype == bool)
    if pd.api.types.infer_dtype(received, skipna=True) in ("string", "empty", "floating"):
        return np.zeros(len(received), dtype=bool)
    return received.map(type).isin([bool, list, dict]).to_numpy()


def _missing(received: "pd.Series[Any]") -> _Mask:
    """Mask of missing values: null or blank text."""
    missing = received.isna()
    if received.dtype == object or isinstance(received.dtype, pd.StringDtype):
        missing |= received.astype(object).map(
            lambda value: isinstance(value, str) and not value.strip()
        )
    return missing.to_numpy(bool)
