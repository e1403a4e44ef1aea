"""Whole batches, as the upstream sends them: typed, with what breaks the contract apart."""

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
from realtor_model.listing.parsing import REMEMBERING_PARSERS, printable, shown

_LARGEST_EXACT_INTEGER = 2.0**53

_Mask = NDArray[np.bool_]
_Unreadable = list[tuple[str, str, _Mask]]


class SchemaChanged(Exception):
    """The columns received are not the 12 of the contract."""

    def __init__(self, missing: list[str], unexpected: list[str]) -> None:
        self.missing = missing
        self.unexpected = unexpected
        found = f"; not in the contract: {', '.join(unexpected)}" if unexpected else ""
        super().__init__(f"columns are missing: {', '.join(missing)}{found}")


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
                shown(str(record[name])) for record, name in zip(records, first, strict=True)
            ],
            "record": [json.dumps(_json_value(record)) for record in records],
        }
    )


def _json_value(value: object) -> object:
    """`value` as strict JSON has it: no NaN, no NUL, no half characters."""
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
                received, REMEMBERING_PARSERS[name], str(RAW_SCHEMA.columns[name].dtype)
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
