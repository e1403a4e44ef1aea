"""Everything there is in this code location, on one page."""

import dagster as dg

from realtor_assets import automation, checks, clean, models, monitoring, raw, release, search
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
        clean.build_clean_tables,
        monitoring.drift_report,
        monitoring.retrain_decision,
        search.hyperparameter_search,
        *models.candidates,
        release.best_model,
        release.promotion_decision,
        release.production_model,
        release.bento,
        release.served_model,
        raw.inference_log,
        monitoring.ratio_study,
        monitoring.batch_valuations,
    ],
    asset_checks=checks.checks,
    jobs=[*automation.asset_jobs, automation.ingest_csv],
    schedules=[automation.daily_ingest],
    sensors=automation.sensors,
    resources={
        "store": ObjectStore(url=config.storage_url),
        "raw_database": Database(url=config.raw_database_url),
        "clean_database": Database(url=config.clean_database_url),
        "tracking": Tracking(tracking_uri=config.mlflow_tracking_uri),
    },
    # A run is a process of its own already, and the estimators use every core: a process per step
    # would only import this stack again for each, which takes longer than most steps.
    executor=dg.in_process_executor,
)
