"""Rows in quarantine have the code of the first rule that they break, beside its words."""

from alembic import op

revision = "0003"
down_revision = "0002"

COLUMN = """
ALTER TABLE raw_quarantine ADD COLUMN code text;
COMMENT ON COLUMN raw_quarantine.code IS
    'of the first rule that it breaks; null in rows from before there were codes';
"""


def upgrade() -> None:
    """Add the column; rows that are there stay without a code."""
    op.get_bind().exec_driver_sql(COLUMN)
