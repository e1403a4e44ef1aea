"""PostgreSQL: transactions, Arrow reads, locks and COPY."""

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

# Bounds the CSV text held at once: a clean row is about 500 characters.
COPY_ROWS = 50_000


class Database(dg.ConfigurableResource[None]):
    """One PostgreSQL database, reached with its own role."""

    url: str

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        # An explicit transaction, so that `connection.transaction()` inside nests as a savepoint.
        with psycopg.connect(self.url) as connection, connection.transaction():
            yield connection

    def read(self, query: str) -> pa.Table:
        """The rows of `query` as Arrow, through ADBC (facts: 5-6 times pandas.read_sql)."""
        with adbc.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetch_arrow_table()

    def stream(self, query: str) -> Iterator[pa.RecordBatch]:
        """The rows of `query` piece by piece, as they come."""
        with adbc.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            yield from cursor.fetch_record_batch()

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock `name` against every other process of this database.

        A session-level advisory lock: PostgreSQL frees it when the holder dies.
        """
        key = lock_key(name)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [key])
            try:
                yield
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", [key])


def lock_key(name: str) -> int:
    """The key of the advisory lock `name`."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


def copy_arrow(connection: psycopg.Connection, table: str, rows: pa.Table) -> None:
    """COPY `rows` into `table`, whose columns of the same names take the values.

    Arrow's CSV quotes every string and no null, which is how PostgreSQL's CSV tells '' from NULL.
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
