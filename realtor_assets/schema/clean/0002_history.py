"""A decision for every load, held batches, and every move of the Production alias."""

from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = """
ALTER TABLE retrain_decisions
    ADD COLUMN load_id integer,
    ADD COLUMN partition_key text,
    ADD COLUMN admitted boolean NOT NULL DEFAULT false,
    ADD COLUMN dagster_run_id text,
    DROP CONSTRAINT retrain_decisions_decision_check,
    ADD CHECK (decision IN ('train', 'skip', 'hold')),
    ALTER COLUMN data_version DROP NOT NULL,
    ADD UNIQUE (load_id, admitted);
COMMENT ON TABLE retrain_decisions IS
    'Of every load, whether the champion should be challenged, and why. Hold: the batch is kept '
    'out of the clean tables until a person admits it.';
COMMENT ON COLUMN retrain_decisions.load_id IS 'of ingestion_summary in RAW';
COMMENT ON COLUMN retrain_decisions.data_version IS
    'the clean build that the champion was trained on';
COMMENT ON COLUMN retrain_decisions.batches IS 'the upstream''s number of the batch';
COMMENT ON COLUMN retrain_decisions.admitted IS 'decided again after a person admitted the batch';
COMMENT ON COLUMN retrain_decisions.model_version IS 'the champion that met the batch';

CREATE TABLE batch_admissions (
    load_id     integer PRIMARY KEY,
    approver    text NOT NULL CHECK (approver <> ''),
    rationale   text NOT NULL CHECK (rationale <> ''),
    admitted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE batch_admissions IS 'Who let a held batch into training, and why.';

CREATE TABLE drift_segments (
    load_id       integer NOT NULL,
    model_version text NOT NULL,
    by            text NOT NULL,
    segment       text NOT NULL,
    feature       text NOT NULL,
    n             bigint NOT NULL,
    psi           double precision,
    wasserstein   double precision,
    PRIMARY KEY (load_id, model_version, by, segment, feature)
);
COMMENT ON TABLE drift_segments IS 'Drift of a load by state and by price band.';

ALTER TABLE promotion_decisions
    ADD COLUMN data_version text,
    ADD COLUMN loads integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN criteria jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN approver text,
    DROP CONSTRAINT promotion_decisions_decision_check,
    ADD CHECK (decision IN ('promoted', 'rejected', 'staged', 'rolled back'));
COMMENT ON COLUMN promotion_decisions.data_version IS
    'the clean build whose test split both were judged on';
COMMENT ON COLUMN promotion_decisions.loads IS 'the loads that the challenger was trained with';
COMMENT ON COLUMN promotion_decisions.criteria IS 'each criterion with its figures and words';

CREATE TABLE releases (
    release_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_version text NOT NULL,
    replaced      text,
    action        text NOT NULL CHECK (action IN ('promoted', 'rolled back', 'found')),
    reason        text NOT NULL,
    decision_id   bigint REFERENCES promotion_decisions,
    begun_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at   timestamptz,
    CHECK (replaced IS DISTINCT FROM model_version)
);
CREATE UNIQUE INDEX one_release_at_a_time ON releases ((true)) WHERE finished_at IS NULL;
COMMENT ON TABLE releases IS
    'Every move of the alias production. A chain: each row replaces the version of the row before.';
COMMENT ON COLUMN releases.action IS 'found: somebody moved the alias past the platform';
COMMENT ON COLUMN releases.finished_at IS
    'when the registry said so; null while it is being moved, which the next one finishes';
"""


def upgrade() -> None:
    """Extend the tables of decisions; add what was missing."""
    op.get_bind().exec_driver_sql(TABLES)
