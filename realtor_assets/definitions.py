"""The Dagster code location: its assets by stage, checks, jobs, sensors and resources."""

import dagster as dg

from realtor_assets.automation.jobs import jobs
from realtor_assets.automation.sensors import sensors
from realtor_assets.clean import checks as clean_checks
from realtor_assets.clean.assets import build_clean_tables
from realtor_assets.clean.retrain_decision import drift_report, retrain_decision
from realtor_assets.monitor.batch_valuations import batch_valuations
from realtor_assets.monitor.ratio_study import ratio_study
from realtor_assets.pipeline_settings import settings
from realtor_assets.publish import checks as publish_checks
from realtor_assets.publish.bento import bento
from realtor_assets.publish.published_history import published_history
from realtor_assets.publish.served_model import inference_log, served_model
from realtor_assets.raw import checks as raw_checks
from realtor_assets.raw.assets import landed_payloads, load_batch
from realtor_assets.release.champion_change import champion_change
from realtor_assets.release.production_model import production_model
from realtor_assets.release.promotion_decision import promotion_decision
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.alerts import Alerts
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.source.assets import api_request_log, listings_api
from realtor_assets.train import checks as train_checks
from realtor_assets.train.best_model import best_model
from realtor_assets.train.candidate_assets import candidates
from realtor_assets.train.hyperparameter_search import hyperparameter_search

config = settings()

_Asset = dg.AssetsDefinition | dg.AssetSpec

source: list[_Asset] = [listings_api, api_request_log]
raw: list[_Asset] = [landed_payloads, load_batch]
clean: list[_Asset] = [drift_report, retrain_decision, build_clean_tables]
train: list[_Asset] = [hyperparameter_search, *candidates, best_model]
release: list[_Asset] = [promotion_decision, production_model, champion_change]
monitor: list[_Asset] = [ratio_study, batch_valuations]
publish: list[_Asset] = [bento, served_model, inference_log, published_history]

defs = dg.Definitions(
    assets=[*source, *raw, *clean, *train, *release, *monitor, *publish],
    asset_checks=[
        *raw_checks.checks,
        *clean_checks.checks,
        *train_checks.checks,
        *publish_checks.checks,
    ],
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
    # One process per run: the estimators use every core already, and a process per step would
    # spend longer on its imports than most steps take.
    executor=dg.in_process_executor,
)
