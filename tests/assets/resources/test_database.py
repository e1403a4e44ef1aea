"""The database resource against a real PostgreSQL: transactions, Arrow both ways, locks."""

from datetime import date

import psycopg
import pyarrow as pa
import pytest

from realtor_assets.resources.database import Database, copy_arrow, lock_key

pytestmark = [pytest.mark.integration]

ROWS = pa.table(
    {
        "name": pa.array(["", None, 'a "quoted", text', "two\nlines", r"\N", "Ünï"]),
        "price": pa.array([1.5, None, -0.0, 1e300, float("nan"), 0.1]),
        "sold": pa.array([date(2021, 3, 4), None, None, date(1999, 12, 31), None, None]),
    }
)


@pytest.fixture
def table(raw_database: Database) -> Database:
    with raw_database.transaction() as connection:
        connection.execute("CREATE TABLE homes (name text, price double precision, sold date)")
    return raw_database


def test_copied_rows_are_read_back_unchanged(table: Database) -> None:
    with table.transaction() as connection:
        copy_arrow(connection, "homes", ROWS)

    read = table.read("SELECT name, price, sold FROM homes")
    streamed = pa.Table.from_batches(table.stream("SELECT name, price, sold FROM homes"))

    # As text: NaN is not equal to itself, and -0.0 is equal to 0.0.
    assert str(read.to_pylist()) == str(ROWS.to_pylist())
    assert str(streamed.to_pylist()) == str(ROWS.to_pylist())


def test_a_transaction_that_raises_leaves_nothing(table: Database) -> None:
    with pytest.raises(RuntimeError, match="later"), table.transaction() as connection:
        copy_arrow(connection, "homes", ROWS)
        raise RuntimeError("later")

    assert table.read("SELECT 1 FROM homes").num_rows == 0


def test_a_lock_ends_with_the_connection_of_its_holder(table: Database) -> None:
    holder = psycopg.connect(table.url, autocommit=True)
    holder.execute("SELECT pg_advisory_lock(%s)", [lock_key("a name")])
    holder.close()

    with table.lock("a name"):
        pass  # it would wait for ever
