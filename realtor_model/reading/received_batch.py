"""Reading of batches from the upstream: typed listings, and rows that break the contract."""

import json
import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype
from pandera.errors import SchemaErrors

from realtor_model.listing import (
    COORDINATES,
    FIRST_DATE,
    KEYS,
    LAST_DATE,
    STATUSES,
    US_LISTINGS,
    WHOLE_TOLERANCE,
    Column,
    Convention,
    InvalidValue,
    Kind,
    ListingContract,
    Role,
    Source,
    TableReading,
    is_missing,
    matched_columns,
    not_a_choice,
    out_of_range,
    own_statuses,
    parse_number,
    parsed_value,
    read_conventions,
)
from realtor_model.listing.convention import PLAIN
from realtor_model.listing.parsing import (
    NOT_A_DATE,
    NOT_A_NUMBER,
    NOT_A_WHOLE_NUMBER,
    NOT_A_ZIP_CODE,
    NOT_TEXT,
    ZERO_IS_UNKNOWN,
    printable,
    remembering_parser,
    shown,
)
from realtor_model.listing.property import place_required
from realtor_model.listing.units import factor
from realtor_model.messages import CodedMessage, message

_LARGEST_EXACT_INTEGER = 2.0**53
_REQUIRED = message("required")
_STATUS = KEYS[Role.STATUS]
_ID = KEYS[Role.ID]
# Rows of a column that are looked at for its unit.
_ROWS_FOR_UNITS = 10_000
_PLACE_AND_SIZE = [
    KEYS[role]
    for role in (
        Role.STATE, Role.CITY, Role.ZIP_CODE, Role.LIVING_AREA, Role.LOT_SIZE, Role.BEDROOMS,
        Role.BATHROOMS,
    )
]  # fmt: skip

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


def understand_frame(
    headers: Sequence[Hashable], frames: Iterable[pd.DataFrame], contract: ListingContract
) -> TableReading:
    """Decide how a batch is read, from as many of its frames as it takes; usually the first one."""
    return read_conventions(headers, map(_Block, frames), contract)


class _Block(Mapping[Any, Iterable[object]]):
    """The values that decide: the first ones of each column, and then each distinct one."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __getitem__(self, header: Hashable) -> Iterable[object]:
        values = self._frame[header]
        if is_numeric_dtype(values.dtype):
            first: list[object] = values.iloc[:_ROWS_FOR_UNITS].dropna().tolist()
            return first
        first = [value for value in values.iloc[:_ROWS_FOR_UNITS].tolist() if not is_missing(value)]
        texts = values[[isinstance(each, str) for each in values]]
        return [*first, *texts.unique().tolist()]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._frame.columns)

    def __len__(self) -> int:
        return len(self._frame.columns)


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
) -> tuple[pd.DataFrame, _Unreadable]:
    """The typed frame, and (key, rule, mask of rows) of the unreadable values."""
    headers = [*frame.columns]
    required_columns(headers, contract)
    reading = reading or understand_frame(headers, [frame], contract)
    schema = raw_schema(contract).columns
    typed: dict[str, Any] = {}
    unreadable: _Unreadable = []
    for key in contract.table_keys:
        column = contract.by_key.get(key)
        sources = [] if column is None else reading.sources(column.name)
        if column is None or not sources:
            typed[key] = _absent(key, column, contract, len(frame))
            continue
        dtype = str(schema[key].dtype)
        values, problems = _read_source(frame, column, *sources[0], dtype, contract)
        for source, convention in sources[1:]:
            gaps = pd.isna(values) & ~_any(problems, len(frame))
            if not gaps.any():
                break
            others, more = _read_source(frame, column, source, convention, dtype, contract)
            values = pd.Series(values).where(~gaps, pd.Series(others)).array
            problems = problems | {
                rule: problems.get(rule, np.False_) | (mask & gaps) for rule, mask in more.items()
            }
        typed[key] = values
        unreadable += [(key, rule, mask) for rule, mask in problems.items() if mask.any()]
    read = pd.DataFrame(typed, index=pd.RangeIndex(len(frame)))
    read = read.astype({key: str(schema[key].dtype) for key in contract.table_keys})
    if contract.by_role.get(Role.ID) is None or not reading.sources(contract.by_key[_ID].name):
        read[_ID] = _identities(read, contract)
    unreadable += _without_place(read, contract)
    return read, unreadable


def _absent(key: str, column: Column | None, contract: ListingContract, n: int) -> "pd.Series[Any]":
    """n values of a column that the batch does not have: its default, or missing ones."""
    if column is not None and column.role is Role.STATUS and column.default is not None:
        meanings = own_statuses(contract) or {}
        return pd.Series(np.full(n, meanings.get(column.default, column.default), object))
    return pd.Series(contract.missing(key, n))


def _any(problems: _Problems, n: int) -> _Mask:
    broken: _Mask = np.logical_or.reduce([np.zeros(n, bool), *problems.values()])
    return broken


def _read_source(
    frame: pd.DataFrame,
    column: Column,
    source: Source,
    convention: Convention,
    dtype: str,
    contract: ListingContract,
) -> tuple[Any, _Problems]:
    """The values of one source of a column, and for each rule the rows that break it."""
    if len(source.headers) > 1:
        received = pd.Series(_added(frame, column, source, convention), dtype=object)
        convention = PLAIN
    else:
        received = frame[source.headers[0]].reset_index(drop=True)
    if column.range is not None:
        return _read_numbers(received, column, convention)
    meanings = own_statuses(contract) if column.role is Role.STATUS else None
    return _read_distinct(received, column, convention, dtype, meanings or {})


def _added(
    frame: pd.DataFrame, column: Column, source: Source, convention: Convention
) -> list[object]:
    """The weighted sums of the values under several headers; a text where one is no number."""
    sums: list[object] = []
    for raw in zip(*(frame[header].tolist() for header in source.headers), strict=True):
        try:
            sums.append(parsed_value(column, list(raw), source, convention))
        except InvalidValue:
            sums.append(" + ".join(map(str, raw)))
    return sums


def _without_place(read: pd.DataFrame, contract: ListingContract) -> _Unreadable:
    """The rows without a state, a zip code or coordinates: no model can learn from them."""
    keys = {column.key for column in contract.places}
    placed = [read[key].notna() for key in (KEYS[Role.STATE], KEYS[Role.ZIP_CODE]) if key in keys]
    if keys.issuperset(COORDINATES):
        placed.append(read[list(COORDINATES)].notna().all(axis=1))
    nowhere = ~np.logical_or.reduce([mask.to_numpy(bool) for mask in placed])
    if not nowhere.any():
        return []
    return [(contract.places[0].key, place_required(contract), nowhere)]


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


def _identities(rows: pd.DataFrame, contract: ListingContract) -> Any:
    """Ids of properties (n,) for a batch without an id: a hash of their place and size.

    Listings of one property share the id, if its coordinates, or else its place and all its sizes,
    are the same.
    """
    by = COORDINATES if contract.has_coordinates else _PLACE_AND_SIZE
    hashed = pd.util.hash_pandas_object(rows[list(by)].astype("string"), index=False)
    ids = hashed.to_numpy(np.uint64) >> np.uint64(16)
    column = contract.by_role.get(Role.ID)
    if column is not None and column.range is not None:
        ids %= np.uint64(column.range.high)
    return pd.array(ids.astype(np.int64), "Int64")


def _read_numbers(
    received: "pd.Series[Any]", column: Column, convention: Convention
) -> tuple[Any, _Problems]:
    """Numbers, missing where unreadable, and for each rule a mask of the rows that break it."""
    no_scalar = _not_scalar(received)
    scalars = _scalars(received, no_scalar)
    problems: _Problems = {NOT_A_NUMBER: no_scalar}
    if convention.decimal == ".":
        numbers = _plain_numbers(scalars)
        written = ~np.isfinite(numbers) & ~no_scalar & scalars.notna().to_numpy(bool)
    else:
        numbers = np.full(len(received), np.nan)
        written = scalars.notna().to_numpy(bool)
    if column.role in ZERO_IS_UNKNOWN:
        numbers = np.where(numbers == 0, np.nan, numbers)
    if convention.unit is not None and column.range is not None:
        numbers = numbers * factor(convention.unit, column.range.unit)
    if column.is_whole and column.is_area:
        numbers = np.rint(numbers)
    if written.any():
        numbers = _read_written(scalars, written, numbers, column, convention, problems)
    finite = np.isfinite(numbers)
    values = np.where(finite, numbers, np.nan)
    if not column.is_whole:
        return values, problems
    rounded = np.rint(values)
    fraction = np.abs(values - rounded) > WHOLE_TOLERANCE
    fraction |= np.abs(values) > _LARGEST_EXACT_INTEGER
    problems[NOT_A_WHOLE_NUMBER] = problems.get(NOT_A_WHOLE_NUMBER, np.False_) | fraction
    absent = fraction | ~finite
    integers = np.where(absent, 0.0, rounded).astype(np.int64)
    return pd.arrays.IntegerArray(integers, absent), problems


def _plain_numbers(scalars: "pd.Series[Any]") -> NDArray[np.float64]:
    """The numbers, and texts of digits; NaN where a value has to be read by itself."""
    try:
        return pd.to_numeric(scalars, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    except OverflowError:
        # pandas refuses the column for one integer that no float holds.
        return np.full(len(scalars), np.nan)


def _read_written(
    scalars: "pd.Series[Any]",
    written: _Mask,
    numbers: NDArray[np.float64],
    column: Column,
    convention: Convention,
    problems: _Problems,
) -> NDArray[np.float64]:
    """Numbers with those of `written`, texts that are more than digits; each is read once."""
    rows = np.flatnonzero(written)
    codes, distinct = pd.factorize(scalars.iloc[rows].astype(object))
    read = np.full(len(distinct), np.nan)
    broken: dict[CodedMessage, _Mask] = {}
    for code, text in enumerate(distinct):
        try:
            number = parse_number(column, text, convention)
        except InvalidValue as invalid:
            broken.setdefault(invalid.rule, np.zeros(len(distinct), bool))[code] = True
            continue
        read[code] = np.nan if number is None else number
    for rule, of_texts in broken.items():
        of_rows = np.zeros(len(numbers), bool)
        of_rows[rows] = of_texts[codes]
        problems[rule] = problems.get(rule, np.False_) | of_rows
    numbers = numbers.copy()
    numbers[rows] = read[codes]
    return numbers


def _read_distinct(
    received: "pd.Series[Any]",
    column: Column,
    convention: Convention,
    dtype: Any,
    meanings: Mapping[Any, str],
) -> tuple[Any, _Problems]:
    """Parse each distinct value once: a batch has few distinct zips and dates.

    Args:
        meanings: what parsed values are replaced by.
    """
    plain = column.kind in (Kind.BOOLEAN, Kind.CATEGORY) and column.role in (
        Role.INPUT, Role.ID, Role.BROKER,
    )  # fmt: skip
    # Booleans are values of these columns, and of no other.
    no_scalar = _not_scalar(received, also_bool=plain)
    scalars = _scalars(received, no_scalar)
    if not isinstance(scalars.dtype, pd.StringDtype):
        scalars = scalars.astype(object)
    codes, distinct = pd.factorize(scalars)
    # One entry more, None: `factorize` codes missing values as -1, the last position.
    parsed = np.full(len(distinct) + 1, None, dtype=object)
    problems: _Problems = {NOT_TEXT: no_scalar}
    parse = remembering_parser(column, convention)
    broken: dict[CodedMessage, _Mask] = {}
    for code, value in enumerate(distinct):
        try:
            read = parse(value)
            parsed[code] = meanings.get(read, read)
        except InvalidValue as invalid:
            broken.setdefault(invalid.rule, np.zeros(len(parsed), bool))[code] = True
    for rule, of_values in broken.items():
        problems[rule] = problems.get(rule, np.False_) | of_values[codes]
    return pd.Series(parsed).astype(dtype).array.take(codes), problems


def _scalars(received: "pd.Series[Any]", no_scalar: _Mask) -> "pd.Series[Any]":
    return received.mask(no_scalar) if no_scalar.any() else received


def _not_scalar(received: "pd.Series[Any]", *, also_bool: bool = False) -> _Mask:
    """Mask of values that a column does not accept: lists, objects, and true and false."""
    if received.dtype != object:
        return np.full(len(received), received.dtype == bool and not also_bool)
    if pd.api.types.infer_dtype(received, skipna=True) in ("string", "empty", "floating"):
        return np.zeros(len(received), dtype=bool)
    refused = [list, dict] if also_bool else [bool, list, dict]
    return received.map(type).isin(refused).to_numpy()
