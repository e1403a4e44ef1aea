"""A person dismisses refused payloads, with a reason."""

from alembic import op

revision = "0005"
down_revision = "0004"

TABLE = """
CREATE TABLE refusal_dismissals (
    load_id      integer PRIMARY KEY REFERENCES ingestion_summary,
    approver     text NOT NULL CHECK (approver <> ''),
    rationale    text NOT NULL CHECK (rationale <> ''),
    dismissed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE refusal_dismissals IS
    'Who decided that a refused payload needs no more work, and why. The payload stays landed.';
COMMENT ON COLUMN refusal_dismissals.load_id IS 'the load that refused the payload';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'realtor_raw') THEN
        GRANT SELECT, INSERT ON refusal_dismissals TO realtor_raw;
    END IF;
END $$;
"""


def upgrade() -> None:
    """Add the table; refusals that are there are not dismissed."""
    op.get_bind().exec_driver_sql(TABLE)
