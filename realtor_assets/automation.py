"""When things run by themselves: the jobs, the daily schedule, and the sensors."""

import datetime as dt

import dagster as dg

from realtor_assets.raw import BATCHES, land_csv, pending_partitions
from realtor_assets.resources import Database
from realtor_assets.settings import settings
from realtor_assets.tracking import Tracking

INGEST = dg.AssetSelection.assets("api_request_log")
LOAD = dg.AssetSelection.groups("raw") - INGEST
CLEAN = dg.AssetSelection.groups("clean") | dg.AssetSelection.assets(
    "drift_report", "retrain_decision"
)
TRAIN = dg.AssetSelection.groups("models", "release", "evaluation") | dg.AssetSelection.assets(
    "served_model"
)

ingest = dg.define_asset_job(
    "ingest",
    INGEST,
    description="Ask the upstream for the next batch that is not here, and land it. The load job "
    "follows by itself.",
)
load = dg.define_asset_job(
    "load",
    LOAD,
    partitions_def=BATCHES,
    description="Load one landed batch into RAW. Again is fine: nothing is stored twice, and the "
    "upstream is not asked.",
)


@dg.job(description="Land a CSV in the Kaggle format as a batch. The load job follows by itself.")
def ingest_csv() -> None:
    land_csv()


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
search = dg.define_asset_job(
    "search",
    dg.AssetSelection.groups("search"),
    description="Look for better hyperparameters of one candidate. Nothing else waits for it.",
)
asset_jobs = [ingest, load, clean, train, search]


@dg.schedule(job=ingest, cron_schedule=settings().ingest_cron, execution_timezone="UTC")
def daily_ingest(raw_database: Database) -> dg.RunRequest | dg.SkipReason:
    """Ask the upstream for its next batch once a day. Off until it is switched on in the UI."""
    pause = settings().end_of_data_pause_hours
    with raw_database.transaction() as connection:
        row = connection.execute(
            "SELECT outcome, requested_at FROM api_request_log WHERE group_number = %s"
            " AND day IS NOT DISTINCT FROM %s ORDER BY requested_at DESC LIMIT 1",
            [settings().api_group, settings().api_day],
        ).fetchone()
    if row is not None and row[0] == "end of data":
        again = row[1] + dt.timedelta(hours=pause)
        if again > dt.datetime.now(dt.UTC):
            return dg.SkipReason(
                f"the upstream had no more data at {row[1]:%Y-%m-%d %H:%M}; it is left alone "
                f"until {again:%Y-%m-%d %H:%M} (REALTOR_END_OF_DATA_PAUSE_HOURS)"
            )
    return dg.RunRequest()


LOADS_TRIED = 3
ACTIVE = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


@dg.sensor(
    job=load,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Loads every batch that is landed and not loaded, and tries a failed load again, "
    f"{LOADS_TRIED} times in all.",
)
def load_landed_batches(
    context: dg.SensorEvaluationContext, raw_database: Database
) -> dg.SensorResult | dg.SkipReason:
    """Looks at what is landed, not at events, so that no crash in between leaves a batch out."""
    waiting = pending_partitions(raw_database)
    requests = []
    for partition in waiting:
        of_partition = dg.RunsFilter(job_name=load.name, tags={"dagster/partition": partition})
        runs = context.instance.get_runs(of_partition)
        if len(runs) < LOADS_TRIED and not any(run.status in ACTIVE for run in runs):
            requests.append(dg.RunRequest(partition_key=partition))
    if not waiting:
        return dg.SkipReason("every batch that is landed is loaded")
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else f"{', '.join(waiting)}: being loaded, or given up",
        dynamic_partitions_requests=[BATCHES.build_add_request(waiting)],
    )


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


sensors = [load_landed_batches, close_mlflow_runs]
