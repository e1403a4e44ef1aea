"""A clean build names the version of the market whose columns it was made from."""

from alembic import op

revision = "0004"
down_revision = "0003"

COLUMN = """
ALTER TABLE clean_builds ADD COLUMN market_version text NOT NULL DEFAULT '';
COMMENT ON COLUMN clean_builds.market_version IS
    'hash of the market file''s declaration; empty: the built-in market';
"""


def upgrade() -> None:
    """Add the column; builds that are there are of the built-in market."""
    op.get_bind().exec_driver_sql(COLUMN)
