"""`realtor score`: values a file or a table of homes with the champion, without the service."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import psycopg
import pyarrow as pa
from psycopg import sql
from rich.console import Console

from realtor_local.console_output import make_console
from realtor_local.errors import RealtorError
from realtor_model.valuation.bundle import BrokenBundle, load_bundle
from realtor_serving.champion.champion_cache import ChampionCache
from realtor_serving.offline.score_table import (
    Source,
    UnusableFile,
    file_source,
    score,
    skipping,
    understand_source,
)

URL_SCHEMES = ("postgresql://", "postgres://")

# Types that are read as they are; others (uuid, jsonb, numeric, …) are read as text.
_PLAIN_TYPES = (
    "smallint", "integer", "bigint", "real", "double precision", "text", "boolean", "date",
    "character varying",
)  # fmt: skip
_DATE_AS_TEXT = "date as text"
_COLUMNS = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = %s::oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_KEY = """
SELECT attname FROM pg_index, unnest(indkey) WITH ORDINALITY AS part(number, place), pg_attribute
WHERE indrelid = %s::oid AND indisprimary AND attrelid = indrelid AND attnum = part.number
ORDER BY part.place
"""


def score_with_champion(
    cache: Path, source: str, table: str | None, target: Path, console: Console
) -> None:
    """Values the rows of `source` with the champion that the service keeps in `cache`.

    source: a text, Excel, Parquet or Arrow file, or the URL of a PostgreSQL database with the
        `table` in it.

    Raises RealtorError when there is no champion, or when the source or the target cannot be used.
    """
    pointer = ChampionCache(cache).current()
    if pointer is None:
        raise RealtorError(f"There is no champion in {cache} yet: `realtor up` makes one.")
    try:
        model = load_bundle(pointer.path)
        if table is None:
            rows = file_source(Path(source), model.contract)
        else:
            rows = table_source(source, table)
        reading = understand_source(rows, model.contract)
        for note in (*rows.notes, *reading.notes):
            make_console(error=True).print(note.text)
        with console.status("valuing") as status:
            report = score(
                rows,
                target,
                model,
                reading=reading,
                progress=lambda done: status.update(f"{done:,} rows valued"),
            )
    except (BrokenBundle, UnusableFile) as error:
        raise RealtorError(str(error)) from error
    resumed = f", {report.resumed:,} of them by an earlier run" if report.resumed else ""
    console.print(
        f"{report.rows:,} rows in {report.seconds:.1f} s with version "
        f"{pointer.registered.version}: "
        f"{report.valued:,} valued, {report.failed:,} not (column `error` says why){resumed}. "
        f"{target}"
    )


def table_source(url: str, name: str) -> Source:
    """The PostgreSQL table `name` ("table" or "schema.table"), streamed in primary-key order.

    A killed run goes on only where the table has a primary key and still as many rows.

    Raises UnusableFile when the database does not answer or there is no such table.
    """
    table = sql.Identifier(*name.split("."))
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            found = connection.execute("SELECT to_regclass(%s)::oid", [table.as_string(connection)])
            (oid,) = found.fetchone() or (None,)
            if oid is None:
                raise UnusableFile(f"there is no table {name} in this database")
            columns = connection.execute(_COLUMNS, [oid]).fetchall()
            key = [column for (column,) in connection.execute(_KEY, [oid]).fetchall()]
            rows, columns = _counted(connection, table, columns)
            query = _query(table, columns, key).as_string(connection)
            database = f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}"
        schema = next(_batches(url, f"{query} LIMIT 0")).schema
    except (psycopg.Error, adbc.Error) as problem:
        raise UnusableFile(f"{name}: {problem}") from problem

    def batches(skip: int) -> Iterator[pa.RecordBatch]:
        try:
            yield from skipping((batch for batch in _batches(url, query) if batch.num_rows), skip)
        except adbc.Error as problem:
            raise UnusableFile(f"{name}: {problem}") from problem

    stable = str(rows) if key else uuid.uuid4().hex
    return Source(f"table {name}", f"{database}/{name}|{stable}", schema, batches)


def _counted(
    connection: psycopg.Connection, table: sql.Identifier, columns: list[tuple[str, str]]
) -> tuple[int, list[tuple[str, str]]]:
    """The number of rows; and the columns, dates as text where Arrow cannot hold one of them.

    ADBC shifts the dates infinity and -infinity into other years, and CSV has no years before 1.
    """
    dates = [column for column, kind in columns if kind == "date"]
    odd = [
        sql.SQL("bool_or({} NOT BETWEEN '0001-01-01' AND '9999-12-31')").format(
            sql.Identifier(column)
        )
        for column in dates
    ]
    selected = sql.SQL(", ").join([sql.SQL("count(*)"), *odd])
    row = connection.execute(sql.SQL("SELECT {} FROM {}").format(selected, table)).fetchone()
    rows, *flags = row or (0,)
    as_text = {column for column, flag in zip(dates, flags, strict=False) if flag}
    return rows, [(column, _DATE_AS_TEXT if column in as_text else kind)
                  for column, kind in columns]  # fmt: skip


def _query(table: sql.Identifier, columns: list[tuple[str, str]], key: list[str]) -> sql.Composed:
    selected = [
        sql.Identifier(column)
        if kind in _PLAIN_TYPES
        else sql.SQL("{0}::text AS {0}").format(sql.Identifier(column))
        for column, kind in columns
    ]
    order: sql.Composable = sql.SQL("")
    if key:
        # By the table's own column: the text that stands in for a uuid sorts otherwise, and slower.
        own = [sql.SQL("t.{}").format(sql.Identifier(column)) for column in key]
        order = sql.SQL(" ORDER BY {}").format(sql.SQL(", ").join(own))
    return sql.SQL("SELECT {} FROM {} AS t{}").format(sql.SQL(", ").join(selected), table, order)


def _batches(url: str, query: str) -> Iterator[pa.RecordBatch]:
    """The rows of `query` as they come; at least one batch, which may be empty."""
    with adbc.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        reader = cursor.fetch_record_batch()
        yield pa.RecordBatch.from_pylist([], reader.schema)
        yield from reader
