"""The tables of the RAW and CLEAN databases, and how Dagster shows them."""

from importlib.resources import files

import dagster as dg
import psycopg
from psycopg import sql


def create_tables(connection: psycopg.Connection, database: str) -> None:
    """Create what is missing of `database` ("raw" or "clean").

    Concurrent callers wait for one another: PostgreSQL's IF NOT EXISTS alone can race.
    """
    statements = (files(__package__) / f"{database}.sql").read_text()
    connection.execute("SELECT pg_advisory_xact_lock(hashtext('realtor schema'))")
    connection.execute(statements)


def describe(connection: psycopg.Connection, table: str) -> dict[str, dg.MetadataValue]:
    """Row count and column schema of `table`, read from the database itself."""
    columns = connection.execute(
        """
        SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               col_description(a.attrelid, a.attnum)
        FROM pg_attribute a
        WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
        """,
        [table],
    ).fetchall()
    schema = dg.TableSchema(
        [
            dg.TableColumn(
                name,
                type_name,
                description=comment,
                constraints=dg.TableColumnConstraints(nullable=not required),
            )
            for name, type_name, required, comment in columns
        ]
    )
    count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    row = connection.execute(count).fetchone()
    assert row is not None
    return {
        "dagster/column_schema": dg.MetadataValue.table_schema(schema),
        "dagster/row_count": dg.MetadataValue.int(row[0]),
        "dagster/table_name": dg.MetadataValue.text(table),
    }
