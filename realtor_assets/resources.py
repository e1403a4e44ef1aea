"""What the assets reach outside their process: two databases, the object store, MLflow."""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

import adbc_driver_postgresql.dbapi as adbc
import dagster as dg
import fsspec
import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg import sql

# Bounds the CSV text held at once: a clean row is about 500 characters.
COPY_ROWS = 50_000
_PARTIAL = ".partial-"


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


class ObjectStore(dg.ConfigurableResource[None]):
    """A folder of an fsspec file system: `file:///…` on one machine, `s3://…` elsewhere.

    Keys are relative POSIX paths. A key appears with all of its bytes or not at all.
    """

    url: str

    def url_of(self, key: str) -> str:
        """The full URL of `key`."""
        return f"{self.url.rstrip('/')}/{key}"

    @contextmanager
    def create(self, key: str) -> Iterator[IO[bytes]]:
        """Write `key` as a whole: it appears when the block ends, and never when it raises."""
        fs, path = fsspec.url_to_fs(self.url_of(key))
        if "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)):
            with _create_local(Path(path)) as file:
                yield file
            return
        # An object store shows an object when its upload completes; one that raises is discarded.
        file = fs.open(path, "wb", autocommit=False)
        try:
            yield file
            file.close()
            file.commit()
        except BaseException:
            file.discard()
            raise

    def open(self, key: str) -> IO[bytes]:
        """Read `key`. Raises `FileNotFoundError` when there is none."""
        fs, path = fsspec.url_to_fs(self.url_of(key))
        return fs.open(path, "rb")  # type: ignore[no-any-return]

    def size(self, key: str) -> int:
        """Bytes of `key`. Raises `FileNotFoundError` when there is none."""
        fs, path = fsspec.url_to_fs(self.url_of(key))
        return int(fs.size(path))

    def delete(self, key: str) -> None:
        """Remove `key`, and what a writer that was killed has left of it; none is fine too."""
        fs, path = fsspec.url_to_fs(self.url_of(key))
        folder, _, name = path.rpartition("/")
        for each in (path, *fs.glob(f"{folder}/{_PARTIAL}{name}-*")):
            if fs.exists(each):
                fs.rm_file(each)

    def exists(self, key: str) -> bool:
        """Whether `key` is there."""
        fs, path = fsspec.url_to_fs(self.url_of(key))
        return bool(fs.exists(path))

    def list_keys(self, prefix: str) -> list[str]:
        """Every key under the folder `prefix`, sorted."""
        fs, root = fsspec.url_to_fs(self.url.rstrip("/"))
        fs.invalidate_cache()
        found: list[str] = fs.find(f"{root}/{prefix}")
        return sorted(
            path.removeprefix(root).lstrip("/")
            for path in found
            if not path.rsplit("/", 1)[-1].startswith(".")
        )


@contextmanager
def _create_local(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{_PARTIAL}{path.name}-{uuid4().hex[:8]}")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
