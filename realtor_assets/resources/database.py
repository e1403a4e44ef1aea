"""The resources `raw_database` and `clean_database`: transactions, Arrow reads, locks, COPY."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager

import adbc_driver_postgresql.dbapi as adbc
import dagster as dg
import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg import sql

# Rows per chunk of CSV text in memory: a clean row has about 500 characters.
COPY_ROWS = 50_000


class Database(dg.ConfigurableResource[None]):
    """A PostgreSQL database at `url`; the URL names the role."""

    url: str

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        # An explicit transaction, so that `connection.transaction()` inside nests as a savepoint.
        with psycopg.connect(self.url) as connection, connection.transaction():
            yield connection

    def read(self, query: str) -> pa.Table:
        """The rows of `query` as Arrow, through ADBC: 5 to 6 times as fast as pandas.read_sql."""
        with adbc.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetch_arrow_table()

    def stream(self, query: str) -> Iterator[pa.RecordBatch]:
        """The rows of `query` in batches, as they arrive."""
        with adbc.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            yield from cursor.fetch_record_batch()

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock `name` until the block ends; waits for another process that holds it.

        It is a session-level advisory lock, which PostgreSQL releases when its holder dies.
        """
        key = lock_key(name)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [key])
            try:
                yield
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", [key])


def lock_key(name: str) -> int:
    """The 64-bit key of the advisory lock `name`."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


def copy_arrow(connection: psycopg.Connection, table: str, rows: pa.Table) -> None:
    """COPY `rows` into the columns of `table` that have the same names.

    Arrow's CSV quotes every text and no null; PostgreSQL's CSV reads that as '' and NULL.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, rows.column_names)),
    )
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for batch in rows.to_batches(max_chunksize=COPY_ROWS):
            buffer = io.BytesIO()
            pyarrow.csv.write_csv(batch, buffer, options)
            copy.write(buffer.getbuffer())
