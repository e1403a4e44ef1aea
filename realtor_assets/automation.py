"""When things run by themselves: the jobs, the daily schedule, the closing of MLflow runs."""

import dagster as dg

from realtor_assets.settings import settings
from realtor_assets.tracking import Tracking

RAW = dg.AssetSelection.groups("raw")
CLEAN = dg.AssetSelection.groups("clean") | dg.AssetSelection.assets(
    "drift_report", "retrain_decision"
)
TRAIN = dg.AssetSelection.groups("models", "release", "evaluation") | dg.AssetSelection.assets(
    "served_model"
)

ingest = dg.define_asset_job(
    "ingest", RAW, description="Ask the upstream for its next batch, land it, load it into RAW."
)
clean = dg.define_asset_job(
    "clean",
    CLEAN,
    description="Rebuild the clean tables from RAW, look for drift, decide whether to train.",
)
train = dg.define_asset_job(
    "train",
    TRAIN,
    description="Train the candidates, let the best one duel with the champion, release, serve.",
)
jobs = [ingest, clean, train]


@dg.schedule(job=ingest, cron_schedule=settings().ingest_cron, execution_timezone="UTC")
def daily_ingest() -> dg.RunRequest:
    """Ask the upstream for its next batch once a day. Off until it is switched on in the UI."""
    return dg.RunRequest()


def _close_mlflow_run(status: dg.DagsterRunStatus, mlflow_status: str) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name=f"close_mlflow_run_{mlflow_status.lower()}",
        run_status=status,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=10,
        description=f"Marks the MLflow run of a Dagster run that ended {status.value} as "
        f"{mlflow_status}.",
    )
    def close(context: dg.RunStatusSensorContext, tracking: Tracking) -> None:
        if tracking.close_parent(context.dagster_run.run_id, mlflow_status) is None:
            context.log.debug("run %s has no MLflow run", context.dagster_run.run_id)

    return close


sensors = [
    _close_mlflow_run(dg.DagsterRunStatus.SUCCESS, "FINISHED"),
    _close_mlflow_run(dg.DagsterRunStatus.FAILURE, "FAILED"),
    _close_mlflow_run(dg.DagsterRunStatus.CANCELED, "KILLED"),
]
