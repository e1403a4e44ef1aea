"""When the platform was backed up, for whoever watches that it is."""

from alembic import op

revision = "0002"
down_revision = "0001"

TABLE = """
CREATE TABLE backups (
    taken_at timestamptz PRIMARY KEY,
    folder   text NOT NULL
);
COMMENT ON TABLE backups IS
    'Every whole backup, written by `realtor backup` once it is there; it may be gone since.';
COMMENT ON COLUMN backups.taken_at IS 'when it began: what came later may not be in it';
COMMENT ON COLUMN backups.folder IS 'as the program that wrote it saw it';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'realtor_raw') THEN
        GRANT SELECT ON backups TO realtor_raw;
    END IF;
END $$;
"""


def upgrade() -> None:
    """Add the table; only the owner writes to it."""
    op.get_bind().exec_driver_sql(TABLE)
