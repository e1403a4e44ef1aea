"""Market files: TOML that declares the columns of a market, on top of the built-in one.

A file changes a column by naming its table again, adds one by a table of its own, and leaves out
those that the market does not have. `us_listings.toml` beside this module is the built-in market.
"""

import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from realtor_model.listing.contract import ListingContract
from realtor_model.listing.declaration import InvalidMarketFile, contract_of
from realtor_model.listing.units import compact

_BUILT_IN = Path(__file__).with_name("us_listings.toml")
# A file larger than this is not a market file.
_MAX_BYTES = 2**20


@lru_cache(maxsize=8)
def read_market(path: Path) -> ListingContract:
    """The listing contract of a market file.

    Args:
        path: a TOML file; its columns are added to those of the built-in market.

    Raises:
        InvalidMarketFile: the file cannot be read, or declares something impossible.
    """
    return contract_of(_merged(path), str(path))


def built_in_market() -> ListingContract:
    """The contract of listings of US homes with the upstream's twelve columns."""
    return contract_of(_toml(_BUILT_IN), _BUILT_IN.name)


def _merged(path: Path) -> dict[str, Any]:
    """The declaration in `path`, on top of the built-in one."""
    own, base = _toml(path), _toml(_BUILT_IN)
    if unknown := sorted(own.keys() - {"market", "columns"}):
        raise InvalidMarketFile(
            f"{path}: [{unknown[0]}] is no table of a market file: write [market] and "
            "[columns.NAME]"
        )
    for table in ("market", "columns"):
        if not isinstance(own.get(table, {}), dict):
            raise InvalidMarketFile(f"{path}: {table} is not a table: write [{table}]")
    changed = own.get("columns", {})
    for name, table in changed.items():
        if not isinstance(table, dict):
            raise InvalidMarketFile(
                f"{path}: [columns] {name} is not a table: write [columns.{name}]"
            )
    # A header that the file claims is no longer one of a built-in column.
    claimed = {compact(header) for name in changed for header in _own_headers(name, changed[name])}
    columns: dict[str, dict[str, Any]] = {}
    for name, table in base["columns"].items():
        free = [each for each in _as_list(table.get("headers"))
                if compact(_header_text(each)) not in claimed]  # fmt: skip
        columns[name] = {**table, "headers": free}
    for name, table in changed.items():
        built_in = _still_true(columns.get(name, {}), table)
        headers = [*built_in.get("headers", []), *_as_list(table.get("headers"))]
        columns[name] = {**built_in, **table, **({"headers": headers} if headers else {})}
    left_out = own.get("market", {}).get("leave_out", [])
    if not isinstance(left_out, list):
        raise InvalidMarketFile(
            f'{path}: [market] leave_out: {left_out!r} is not a list: write leave_out = ["city"]'
        )
    for name in left_out:
        if name not in columns:
            raise InvalidMarketFile(
                f"{path}: [market] leave_out: there is no column {name!r}; there are "
                f"{', '.join(columns)}"
            )
        if name in own.get("columns", {}):
            raise InvalidMarketFile(
                f"{path}: [market] leave_out: {name} is declared in [columns.{name}], too: remove "
                "one of them"
            )
        del columns[name]
    market = {**base["market"], "name": path.stem, **own.get("market", {})}
    market.pop("leave_out", None)
    return {"market": market, "columns": columns}


def _still_true(built_in: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """What a built-in column still says when a file changes its type or its unit.

    Headers such as acres, usual values and examples are those of the built-in unit.
    """
    old, new = built_in.get("type"), changed.get("type", built_in.get("type"))
    gone: set[str] = set()
    if old != new and not {old, new} <= {"number", "integer"}:
        gone |= {
            "range",
            "unit",
            "step",
            "usual",
            "choices",
            "synonyms",
            "parts",
            "monotone",
            "example",
        }
    if "unit" in changed and changed["unit"] != built_in.get("unit"):
        gone |= {"step", "usual", "headers", "help", "example"}
    if "choices" in changed:
        gone |= {"synonyms"}
    if "range" in changed:
        gone |= {"usual", "example"} - {key for key in built_in if _fits(built_in[key], changed)}
    return {key: value for key, value in built_in.items() if key not in gone}


def _fits(value: Any, changed: Mapping[str, Any]) -> bool:
    """Whether a built-in example or interval lies within the range that a file declares."""
    ends = changed["range"]
    values = value if isinstance(value, list) else [value]
    return (
        isinstance(ends, list)
        and len(ends) == 2
        and all(isinstance(each, int | float) for each in (*ends, *values))
        and all(ends[0] <= each <= ends[1] for each in values)
    )


def _as_list(headers: Any) -> list[Any]:
    # Anything else stays, so that the check of the table names it.
    return headers if isinstance(headers, list) else [] if headers is None else [headers]


def _own_headers(name: str, table: Mapping[str, Any]) -> Iterator[str]:
    """The names and headers that a column table of a file claims."""
    yield name
    for header in (table.get("name"), *_as_list(table.get("headers"))):
        if isinstance(text := _header_text(header), str):
            yield text


def _header_text(header: Any) -> Any:
    """The header itself, of one that has a unit, too."""
    return header.get("header") if isinstance(header, dict) else header


def _toml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidMarketFile(
                f"{path} is larger than {_MAX_BYTES:,} bytes: it is not a market file"
            )
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise InvalidMarketFile(f"{path} cannot be read: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise InvalidMarketFile(f"{path} is not TOML: {problem}") from problem


US_LISTINGS = built_in_market()
