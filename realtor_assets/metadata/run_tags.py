"""Tags of Dagster runs, declared once.

This module imports no library, so that the `realtor` command reads it in no time.
"""

# How far a long step is, in words.
PROGRESS_TAG = "realtor/progress"
# The work for which a sensor launched the run; its failed runs are counted by this tag.
WORK_TAG = "realtor/work"
# The retrain decision that a training carries out: its id, and its rule with the reason.
RETRAIN_DECISION_TAG = "realtor/retrain_decision"
RETRAIN_REASON_TAG = "realtor/retrain_reason"
# The failure of the run was alerted.
ALERTED_TAG = "realtor/alerted"
# The MLflow parent run of the Dagster run.
PARENT_RUN_TAG = "mlflow/parent_run_id"

# Dagster's own: the partition of a run, and the data version of an observation.
PARTITION_TAG = "dagster/partition"
DATA_VERSION_TAG = "dagster/data_version"
