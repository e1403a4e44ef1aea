"""Metadata of the tables of RAW and CLEAN."""

import dagster as dg
import psycopg
from psycopg import sql


def describe(connection: psycopg.Connection, table: str) -> dict[str, dg.MetadataValue]:
    """Row count, column schema and name of `table`, read from the database."""
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
