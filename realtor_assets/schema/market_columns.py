"""The columns of a market in the RAW tables: what `migrate` adds and widens there.

Nothing is dropped or narrowed, so the rows of a market with other columns stay as they are.
"""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import psycopg
from psycopg import sql

from realtor_model.listing import US_LISTINGS, Column, Kind, ListingContract, Role

TABLES = ("raw_train", "raw_validation", "raw_test")
_TEXT, _NUMBER, _BIGINT, _INTEGER = "text", "double precision", "bigint", "integer"
_TYPES = {
    Kind.NUMBER: _NUMBER,
    Kind.INTEGER: _BIGINT,
    Kind.BOOLEAN: "boolean",
    Kind.CATEGORY: _TEXT,
    Kind.DATE: "date",
}
# Stored type -> the declared types whose values it holds.
_HOLDS = {_NUMBER: {_NUMBER, _BIGINT}, _BIGINT: {_BIGINT}, _INTEGER: {_BIGINT}}
_LARGEST_INTEGER = 2**31 - 1
# PostgreSQL looks for deadlocks after a second of waiting. We give up before that and try again, so
# that it is never a reader whose transaction is cancelled.
_LOCK_TIMEOUT = "200ms"
_LOCKED_FOR, _PAUSE = 600.0, 1.0
_STORED = """
SELECT attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum)
FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""


class MarketContradictsTables(Exception):
    """A column is stored with a type that cannot hold the market's values."""


class _Stored(NamedTuple):
    name: str
    type: str
    not_null: bool
    comment: str | None


def follow_market(connection: psycopg.Connection, contract: ListingContract) -> None:
    """Make the RAW tables hold listings of `contract`, inside the caller's transaction.

    Missing columns are added, integers become double precision where the market declares a number,
    and columns that it does not require become nullable. Tables that hold the listings already are
    not touched.

    Raises:
        MarketContradictsTables: a column is stored with a type that cannot hold the values.
        psycopg.errors.LockNotAvailable: others held the tables for ten minutes.
    """
    changes = [change for table in TABLES for change in _changes(connection, table, contract)]
    if changes:
        _lock(connection)
        for change in changes:
            connection.execute(change)


def missing_columns(connection: psycopg.Connection, contract: ListingContract) -> list[str]:
    """What the RAW tables lack to hold listings of `contract`: names of columns, sorted."""
    lacking = {
        column.name if (column := contract.by_key.get(key)) else key
        for table in TABLES
        for key, _ in _alterations(connection, table, contract)
    }
    return sorted(lacking)


def _changes(
    connection: psycopg.Connection, table: str, contract: ListingContract
) -> Iterator[sql.Composed]:
    """The statements that one table needs."""
    name = sql.Identifier(table)
    actions = [
        sql.SQL(action).format(sql.Identifier(key))
        for key, action in _alterations(connection, table, contract)
    ]
    if actions:
        # One statement, so that PostgreSQL writes the table anew only once.
        yield sql.SQL("ALTER TABLE {} {}").format(name, sql.SQL(", ").join(actions))
    stored = {column.name: column.comment for column in _stored(connection, table)}
    for column in contract.columns:
        comment = _comment(column)
        if comment is not None and stored.get(column.key) != comment:
            yield sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(
                name, sql.Identifier(column.key), sql.Literal(comment)
            )


def _alterations(
    connection: psycopg.Connection, table: str, contract: ListingContract
) -> Iterator[tuple[str, str]]:
    """Key -> what ALTER TABLE does to its column, {} being its name."""
    stored = {column.name: column for column in _stored(connection, table)}
    for key in contract.table_keys:
        column = contract.by_key.get(key)
        known = stored.get(key)
        if known is None:
            assert column is not None, "the migrations have made the core columns"
            yield key, f"ADD COLUMN {{}} {_type(column)}"
            continue
        if column is not None and (wider := _widened(known, column, table, contract)):
            yield key, f"ALTER COLUMN {{}} TYPE {wider}"
        required = column is not None and (column.required or column.role is Role.TARGET)
        if known.not_null and not required:
            yield key, "ALTER COLUMN {} DROP NOT NULL"


def _type(column: Column) -> str:
    # Text ids are stored as numbers.
    return _BIGINT if column.role in (Role.ID, Role.BROKER) else _TYPES[column.kind]


def _widened(stored: _Stored, column: Column, table: str, contract: ListingContract) -> str | None:
    """The type that a stored column needs for the values of `column`; None if it has one."""
    wanted = _type(column)
    if wanted == _NUMBER and stored.type in (_INTEGER, _BIGINT):
        return _NUMBER
    if wanted not in _HOLDS.get(stored.type, {stored.type}):
        raise MarketContradictsTables(
            f"{table}.{stored.name} is {stored.type}, but the market {contract.name} declares "
            f"{column.name} as {column.kind}: write type = "
            f'"{_kind_of(stored.type)}" in its table, or add the column under another name'
        )
    if stored.type == _INTEGER and column.range is not None:
        low, high, _ = column.range
        if max(-low, high) > _LARGEST_INTEGER:
            return _BIGINT
    return None


def _kind_of(stored_type: str) -> Kind:
    return next(
        (kind for kind, type_name in _TYPES.items() if type_name == stored_type), Kind.INTEGER
    )


def _comment(column: Column) -> str | None:
    """The column's comment; None for a column that is as in the built-in market."""
    built_in = US_LISTINGS.by_key.get(column.key)
    words = column.help.get("en", column.label)
    known = None if built_in is None else built_in.help.get("en", built_in.label)
    return None if words == known else words


def _stored(connection: psycopg.Connection, table: str) -> Sequence[_Stored]:
    return [_Stored(*row) for row in connection.execute(_STORED, [table]).fetchall()]


def _lock(connection: psycopg.Connection) -> None:
    """Lock the tables together, while the loads and readers before us finish.

    Each attempt is short, so that new readers do not queue up behind it.
    """
    deadline = time.monotonic() + _LOCKED_FOR
    tables = sql.SQL(", ").join(map(sql.Identifier, TABLES))
    while True:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(tables))
            return
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
