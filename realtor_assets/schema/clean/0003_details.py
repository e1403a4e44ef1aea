"""Decisions carry codes beside their words; a champion that can't be read is decided on again."""

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = """
ALTER TABLE retrain_decisions
    ADD COLUMN details jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN feature_version text,
    DROP CONSTRAINT retrain_decisions_load_id_admitted_key;
COMMENT ON COLUMN retrain_decisions.details IS
    'code, params and message of each limit passed, of each suspicion, or of what else settled it';
COMMENT ON COLUMN retrain_decisions.feature_version IS 'of the code that decided';
CREATE UNIQUE INDEX retrain_decisions_once_per_load
    ON retrain_decisions (load_id, admitted) WHERE rule <> 'champion unreadable';
CREATE UNIQUE INDEX retrain_decisions_once_per_unreadable_champion
    ON retrain_decisions (load_id, admitted, model_version, feature_version)
    WHERE rule = 'champion unreadable';
COMMENT ON TABLE retrain_decisions IS
    'Of every load, whether the champion should be challenged, and why. Hold: the batch is kept '
    'out of the clean tables until a person admits it. Champion unreadable: once more of the '
    'newest load, after an upgrade whose code can''t read the champion.';

ALTER TABLE promotion_decisions ADD COLUMN details jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN promotion_decisions.details IS
    'code, params and message of each gate that failed, or of what settled the decision';
"""


def upgrade() -> None:
    """Extend the tables of decisions."""
    op.get_bind().exec_driver_sql(TABLES)
