"""CLEAN, first revision: clean builds, drift reports, retrain and promotion decisions.

clean_train, clean_validation, clean_test and the three map tables are made by each clean build,
since their columns follow the feature encoder.
"""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE clean_builds (
    data_version    text PRIMARY KEY,
    feature_version text NOT NULL,
    loads           integer[] NOT NULL,
    batches         integer[] NOT NULL,
    as_of           date NOT NULL,
    rows_train      bigint NOT NULL,
    rows_validation bigint NOT NULL,
    rows_test       bigint NOT NULL,
    outside_domain  bigint NOT NULL,
    built_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE clean_builds IS 'One row per build of the clean tables; the newest is current.';

CREATE TABLE drift_reports (
    load_id          integer NOT NULL,
    model_version    text NOT NULL,
    feature          text NOT NULL,
    psi              double precision,
    wasserstein      double precision,
    null_rate_change double precision,
    unseen_share     double precision,
    reported_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (load_id, model_version, feature)
);

CREATE TABLE retrain_decisions (
    decision_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    data_version  text NOT NULL,
    batches       integer[] NOT NULL,
    model_version text,
    decision      text NOT NULL CHECK (decision IN ('train', 'skip')),
    rule          text NOT NULL,
    reason        text NOT NULL,
    figures       jsonb NOT NULL,
    decided_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE promotion_decisions (
    decision_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_version      text NOT NULL,
    champion_version   text,
    decision           text NOT NULL CHECK (decision IN ('promoted', 'rejected', 'rolled back')),
    rule               text NOT NULL,
    reason             text NOT NULL,
    figures            jsonb NOT NULL,
    dagster_run_id     text,
    decided_at         timestamptz NOT NULL DEFAULT now()
);
"""


def upgrade() -> None:
    """Create everything."""
    op.get_bind().exec_driver_sql(TABLES)
