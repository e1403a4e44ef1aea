"""Reading of batches from the upstream: typed listings, and rows that break the contract."""

import json
import math
from collections.abc import Hashable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from realtor_model.listing import (
    FIRST_DATE,
    KEYS,
    LAST_DATE,
    STATUSES,
    US_LISTINGS,
    Column,
    Kind,
    ListingContract,
    Role,
    TableReading,
    matched_columns,
    not_a_choice,
    out_of_range,
    own_statuses,
)
from realtor_model.listing.parsing import (
    NOT_A_DATE,
    NOT_A_ZIP_CODE,
    printable,
    shown,
)
from realtor_model.messages import message
from realtor_model.reading.batch_columns import (
    Unreadable,
    absent_values,
    identities,
    read_column,
    understand_frame,
    without_place,
)

_REQUIRED = message("required")
_STATUS = KEYS[Role.STATUS]


class SchemaChanged(Exception):
    """The batch lacks columns of the contract.

    Attributes:
        missing: columns of the contract that the batch lacks.
        unexpected: columns of the batch that are not in the contract.
    """

    def __init__(self, missing: list[str], unexpected: list[str]) -> None:
        self.missing = missing
        self.unexpected = unexpected
        others = (
            f"; not in the contract: {', '.join(map(shown, unexpected))}. If one of these is "
            "meant, rename it, or name it in the market file (REALTOR_MARKET)"
            if unexpected
            else ""
        )
        super().__init__(f"columns are missing: {', '.join(missing)}{others}")


@cache
def raw_schema(contract: ListingContract) -> pa.DataFrameSchema:
    """The Pandera schema of typed listings: one column for each of the contract's `table_keys`."""
    columns = {key: _schema_column(contract, key) for key in contract.table_keys}
    return pa.DataFrameSchema(columns, ordered=False, strict="filter")


def _schema_column(contract: ListingContract, key: str) -> pa.Column:
    declared = contract.by_key.get(key)
    # A core column that the market does not have is checked like the built-in one.
    column = declared or US_LISTINGS.by_key[key]
    checks: list[pa.Check] = []
    if column.range is not None:
        low, high, _ = column.range
        checks.append(pa.Check.in_range(low, high, error=out_of_range(column).text))
    elif column.kind is Kind.DATE:
        low_date, high_date = pd.Timestamp(FIRST_DATE), pd.Timestamp(LAST_DATE)
        checks.append(pa.Check.in_range(low_date, high_date, error=NOT_A_DATE.text))
    elif column.role is Role.STATUS:
        choices = STATUSES if own_statuses(contract) or declared is None else column.choices
        checks.append(pa.Check.isin(choices, error=not_a_choice(column).text))
    elif column.role is Role.ZIP_CODE:
        checks.append(pa.Check.str_matches(r"^[0-9]{5}$", error=NOT_A_ZIP_CODE.text))
    elif column.choices:
        checks.append(pa.Check.isin(column.choices, error=not_a_choice(column).text))
    required = declared is not None and (declared.required or declared.role is Role.TARGET)
    return pa.Column(_dtype(column), checks, nullable=not required)


def _dtype(column: Column) -> Any:
    if column.role in (Role.ID, Role.BROKER) or column.is_whole:
        return "Int64"
    if column.kind is Kind.CATEGORY:
        # Arrow strings are matched and copied without a Python object for each text.
        return pd.StringDtype("pyarrow")
    return {Kind.NUMBER: "float64", Kind.BOOLEAN: "boolean", Kind.DATE: "datetime64[ns]"}[
        column.kind
    ]


@cache
def _codes(contract: ListingContract) -> Mapping[str, str]:
    """Code of each rule by its text, because pandera reports a broken rule by its text."""
    rules = [_REQUIRED, NOT_A_DATE, NOT_A_ZIP_CODE]
    for column in (*US_LISTINGS.columns, *contract.columns):
        if column.range is not None:
            rules.append(out_of_range(column))
        if column.choices:
            rules.append(not_a_choice(column))
    return {rule.text: rule.code for rule in rules}


def normalise(frame: pd.DataFrame, contract: ListingContract = US_LISTINGS) -> pd.DataFrame:
    """Convert received values into the dtypes of `raw_schema`; unreadable values become missing.

    Args:
        frame: n rows with the contract's columns, of JSON values or strings. Others are ignored.
        contract: of the market.

    Returns:
        The contract's `table_keys`, n rows, with the dtypes of `raw_schema` and a new RangeIndex.
        It keeps values out of range; `check` reports them, and the unreadable values.

    Raises:
        SchemaChanged: columns are missing or renamed.
    """
    return _read(frame, contract, None)[0]


def check(
    frame: pd.DataFrame,
    contract: ListingContract = US_LISTINGS,
    reading: TableReading | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a received batch into valid listings and rows that break the contract.

    Args:
        frame: n rows with the contract's columns, of JSON values or strings, under their names or
            one of their other headers. Others are ignored.
        contract: of the market.
        reading: how the batch is read, if the frame is a part of it; None: as the frame shows.

    Returns:
        The valid rows, with the dtypes of `raw_schema`; and one row for each invalid row, with the
        columns `row` (its int64 position in `frame`), `column_name` (the first invalid column),
        `rule` (all broken rules, joined by "; "), `value` (of that column as received, at most 200
        characters), `record` (the whole row as received, as JSON that PostgreSQL's jsonb accepts)
        and `code` (of the first broken rule, one of `MESSAGES`).

    Raises:
        SchemaChanged: columns are missing or renamed.

    >>> names = [column.name for column in US_LISTINGS.columns]
    >>> listing = dict.fromkeys(names) | {"status": "sold", "state": "Texas", "price": 250_000}
    >>> valid, broken = check(pd.DataFrame([listing, listing | {"price": "free"}]))
    >>> len(valid), broken[["row", "column_name", "code"]].to_dict("records")
    (1, [{'row': 1, 'column_name': 'price', 'code': 'not_a_number'}])
    """
    typed, unreadable = _read(frame, contract, reading)
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
        raw_schema(contract).validate(typed, lazy=True)
    except SchemaErrors as problems:
        cases = problems.failure_cases
        rules = cases["check"].replace("not_nullable", _REQUIRED.text)
        failures.append(
            pd.DataFrame(
                {
                    "row": cases["index"].astype("int64"),
                    "column_name": cases["column"],
                    "rule": rules,
                    "code": rules.map(_codes(contract)),
                }
            )
        )
    if not failures:
        no_reasons = pd.DataFrame(columns=["row", "column_name", "rule", "code"])
        return typed, _broken_rows(frame, no_reasons, contract)
    # An unreadable value is missing in the typed frame, so pandera may report it a second time.
    reasons = pd.concat(failures).drop_duplicates(["row", "column_name"])
    broken = np.zeros(len(typed), dtype=bool)
    broken[reasons["row"].to_numpy()] = True
    return typed[~broken].reset_index(drop=True), _broken_rows(frame, reasons, contract)


def _broken_rows(
    frame: pd.DataFrame, reasons: pd.DataFrame, contract: ListingContract
) -> pd.DataFrame:
    """One row for each invalid row, as `check` returns them.

    Args:
        frame: the batch as received.
        reasons: row, column_name, rule and code of each broken rule.
    """
    order = {key: position for position, key in enumerate(contract.table_keys)}
    names = {column.key: column.name for column in contract.columns}
    header = {column.key: name for name, column in matched_columns(frame.columns, contract).items()}
    reasons = reasons.assign(
        order=reasons["column_name"].map(order),
        rule=reasons["column_name"].map(names).astype(str) + " " + reasons["rule"].astype(str),
    ).sort_values(["row", "order"])
    rules = reasons.groupby("row")["rule"].agg("; ".join)
    first = reasons.drop_duplicates("row").set_index("row")
    rows = first.index.to_numpy(np.int64)
    records = frame.iloc[rows].to_dict("records")
    return pd.DataFrame(
        {
            "row": rows,
            "column_name": first["column_name"].map(names).to_numpy(object),
            "rule": rules.reindex(rows).to_numpy(object),
            "value": [
                shown(str(record.get(header.get(key))))
                for record, key in zip(records, first["column_name"], strict=True)
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


def _read(
    frame: pd.DataFrame, contract: ListingContract, reading: TableReading | None
) -> tuple[pd.DataFrame, Unreadable]:
    """The typed frame, and (key, rule, mask of rows) of the unreadable values."""
    headers = [*frame.columns]
    required_columns(headers, contract)
    reading = reading or understand_frame(headers, [frame], contract)
    schema = raw_schema(contract).columns
    typed: dict[str, Any] = {}
    unreadable: Unreadable = []
    for key in contract.table_keys:
        column = contract.by_key.get(key)
        if column is None or not reading.sources(column.name):
            typed[key] = absent_values(key, column, contract, len(frame))
            continue
        typed[key], problems = read_column(frame, column, reading, str(schema[key].dtype))
        unreadable += [(key, rule, mask) for rule, mask in problems.items() if mask.any()]
    read = pd.DataFrame(typed, index=pd.RangeIndex(len(frame)))
    read = read.astype({key: str(schema[key].dtype) for key in contract.table_keys})
    identifier = contract.by_role.get(Role.ID)
    if identifier is None or not reading.sources(identifier.name):
        read[KEYS[Role.ID]] = identities(read, contract)
    return read, unreadable + without_place(read, contract)


def required_columns(headers: Iterable[Hashable], contract: ListingContract) -> dict[Any, Column]:
    """`matched_columns` of a batch that can be learned from.

    It has every column that all batches of the market have, a place and a size.

    Raises:
        SchemaChanged: columns are missing or renamed.
    """
    listed = list(headers)
    matched = matched_columns(listed, contract)
    keys = {column.key for column in matched.values()}
    missing = [
        column.name
        for column in contract.columns
        if column.in_every_batch and column.key not in keys
    ]
    missing += [
        " or ".join(column.name for column in alternatives)
        for alternatives in (contract.places, contract.sizes)
        if keys.isdisjoint(column.key for column in alternatives)
    ]
    if missing:
        raise SchemaChanged(missing, unused_headers(listed, contract))
    return matched


def unused_headers(headers: Iterable[Hashable], contract: ListingContract) -> list[str]:
    """The headers of a batch that no column of the contract takes."""
    listed = list(headers)
    used = matched_columns(listed, contract)
    return [str(header) for header in listed if header not in used]
