"""Bathrooms may be 2.5, and a zip code alone places a listing."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Widen `bath` and let `state` be missing; no value and no hash of a row changes."""
    for table in ("raw_train", "raw_validation", "raw_test"):
        op.get_bind().exec_driver_sql(
            f"ALTER TABLE {table} ALTER COLUMN bath TYPE double precision,"
            " ALTER COLUMN state DROP NOT NULL"
        )
