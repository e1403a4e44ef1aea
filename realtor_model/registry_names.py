"""Names under which pipeline, service and command know models, declared once.

This module imports no library, so that the `realtor` command reads it in no time.
"""

from typing import Literal

# The registered model in MLflow, and its aliases.
REGISTERED_MODEL = "realtor-price"
PRODUCTION_ALIAS = "production"
PREVIOUS_ALIAS = "previous"

# Tags of a registered version.
STAGE_TAG = "stage"
CANDIDATE_TAG = "candidate"
DATA_VERSION_TAG = "data_version"
BATCHES_TAG = "batches"
DECISION_TAG = "decision"
# Tag of a registered version and of an MLflow run: the Dagster run that made it.
DAGSTER_RUN_TAG = "dagster_run_id"

# Values of `STAGE_TAG`. At most one version has the stage Production.
Stage = Literal["None", "Staging", "Production", "Archived"]
NO_STAGE: Stage = "None"
STAGING: Stage = "Staging"
PRODUCTION: Stage = "Production"
ARCHIVED: Stage = "Archived"

# Folder of the bundle among the artifacts of a logged model.
BUNDLE_ARTIFACT = "bundle"
# Key of the published history in the object store.
HISTORY_KEY = "published/history.json"
