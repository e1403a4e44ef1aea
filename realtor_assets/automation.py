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


MLFLOW_STATUS = {
    dg.DagsterRunStatus.SUCCESS: "FINISHED",
    dg.DagsterRunStatus.FAILURE: "FAILED",
    dg.DagsterRunStatus.CANCELED: "KILLED",
}


@dg.sensor(
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Gives the MLflow run of every ended Dagster run that run's true status.",
)
def close_mlflow_runs(context: dg.SensorEvaluationContext, tracking: Tracking) -> dg.SkipReason:
    """Looks at what is open, not at events, so that nothing is missed while MLflow is away."""
    closed = []
    for dagster_run_id in tracking.open_parents():
        run = context.instance.get_run_by_id(dagster_run_id)
        status = "KILLED" if run is None else MLFLOW_STATUS.get(run.status)
        if status is not None:
            tracking.close_parent(dagster_run_id, status)
            closed.append(f"{dagster_run_id[:8]} {status}")
    return dg.SkipReason(f"closed: {', '.join(closed)}" if closed else "nothing to close")


sensors = [close_mlflow_runs]
