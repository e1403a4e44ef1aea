"""Which loads need a retrain decision: a load that repeats an earlier one needs none."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create `new_loads`: a payload loaded again without a new row is in `ingestion_summary` only.

    Two runs may load one payload: a person and a sensor may both have requested it.
    """
    op.get_bind().exec_driver_sql(
        """
        CREATE VIEW new_loads AS
        SELECT load_id, partition_key, group_number, batch_number, state, error, received,
            inserted_train + inserted_validation + inserted_test AS inserted,
            inserted_train + inserted_validation AS to_learn_from, loaded_at
        FROM ingestion_summary load
        WHERE inserted_train + inserted_validation + inserted_test > 0
            OR NOT EXISTS (
                SELECT FROM ingestion_summary earlier
                WHERE earlier.partition_key = load.partition_key AND earlier.state = load.state
                    AND earlier.load_id < load.load_id);
        COMMENT ON VIEW new_loads IS
            'loads that inserted rows, and the first load of each payload with each outcome';

        DO $$
        BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'realtor_raw') THEN
                GRANT SELECT ON new_loads TO realtor_raw;
            END IF;
        END $$;
        """
    )
