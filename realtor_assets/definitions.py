"""Everything there is in this code location, on one page."""

import dagster as dg

from realtor_assets import (
    checks,
    clean,
    models,
    monitoring,
    publication,
    raw,
    release,
    retraining,
    search,
)
from realtor_assets.alerts import Alerts
from realtor_assets.automation.jobs import jobs
from realtor_assets.automation.sensors import sensors
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.settings import settings
from realtor_assets.tracking import Tracking

config = settings()

defs = dg.Definitions(
    assets=[
        raw.listings_api,
        raw.api_request_log,
        raw.landed_payloads,
        raw.load_batch,
        retraining.drift_report,
        retraining.retrain_decision,
        clean.build_clean_tables,
        search.hyperparameter_search,
        *models.assets,
        *release.assets,
        raw.inference_log,
        monitoring.ratio_study,
        monitoring.batch_valuations,
        publication.published_history,
    ],
    asset_checks=checks.checks,
    jobs=jobs,
    sensors=sensors,
    resources={
        "store": ObjectStore(url=config.storage_url),
        "raw_database": Database(url=config.raw_database_url),
        "clean_database": Database(url=config.clean_database_url),
        "tracking": Tracking(
            tracking_uri=config.mlflow_tracking_uri, dagster_url=config.dagster_url
        ),
        "alerts": Alerts(webhook_url=config.alert_webhook_url),
    },
    # A run is a process of its own already, and the estimators use every core: a process per step
    # would only import this stack again for each, which takes longer than most steps.
    executor=dg.in_process_executor,
)
