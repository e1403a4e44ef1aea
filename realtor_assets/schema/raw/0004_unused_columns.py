"""A load counts the values in columns that the market does not declare."""

from alembic import op

revision = "0004"
down_revision = "0003"

COLUMN = """
ALTER TABLE ingestion_summary ADD COLUMN unused_columns jsonb NOT NULL DEFAULT '{}'
    CHECK (jsonb_typeof(unused_columns) = 'object');
COMMENT ON COLUMN ingestion_summary.unused_columns IS
    'columns that the market does not declare, with the number of rows that have a value there';
"""


def upgrade() -> None:
    """Add the column; loads that are there stay without names."""
    op.get_bind().exec_driver_sql(COLUMN)
