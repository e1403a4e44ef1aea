"""The sensors: each looks at the state of things, and launches the job that is next."""

import datetime as dt
from collections.abc import Sequence

import dagster as dg
import httpx

from realtor_assets.automation import jobs
from realtor_assets.automation.batch_cycle import (
    LONG_AGO,
    TRIES,
    Cycle,
    active_runs,
    last_call,
    next_try,
    to_serve,
)
from realtor_assets.automation.blocking_checks import verdicts
from realtor_assets.clean.assets import CLEAN_TABLES
from realtor_assets.metadata.run_tags import (
    ALERTED_TAG,
    DATA_VERSION_TAG,
    PARTITION_TAG,
    RETRAIN_DECISION_TAG,
    RETRAIN_REASON_TAG,
    WORK_TAG,
)
from realtor_assets.pipeline_settings import settings
from realtor_assets.publish.running_service import (
    ServiceDown,
    is_fresh,
    last_seen,
    observe,
    seen_in_words,
)
from realtor_assets.raw.assets import LOADED_TABLES
from realtor_assets.resources import Database
from realtor_assets.resources.alerts import Alert, Alerts
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.source.assets import BATCHES

SECONDS = 10
RUNNING = dg.DefaultSensorStatus.RUNNING
# A failed call is made again after this, however long the pause between batches.
AGAIN_AFTER_FAILURE = dt.timedelta(minutes=15)
ALERTED_DAYS = 7
FRESH, STALE = "fresh", "stale"


@dg.sensor(
    job=jobs.ingest,
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Asks the upstream for its next batch, daily by default "
    "(REALTOR_INGEST_EVERY_HOURS), when the batch before is through the whole cycle. Off until it "
    "is switched on; on demand, launch the job ingest.",
)
def ask_upstream(
    context: dg.SensorEvaluationContext, raw_database: Database, clean_database: Database
) -> dg.RunRequest | dg.SkipReason:
    """One batch at a time: what is asked for meets a champion that has met the one before."""
    cycle = Cycle.now(raw_database, clean_database)
    if step := cycle.next_step or _unproven(context.instance, cycle):
        return dg.SkipReason(f"one batch at a time: {step}")
    if running := active_runs(context.instance, "ingest", "load", "clean", "train", "serve"):
        return dg.SkipReason(f"one batch at a time: {running[0]} is running")
    due, why = max(_next_call(raw_database), _next_try(context.instance))
    if due > dt.datetime.now(dt.UTC):
        return dg.SkipReason(f"the upstream is asked again at {due:%Y-%m-%d %H:%M} UTC: {why}")
    return dg.RunRequest()


def _next_call(raw_database: Database) -> tuple[dt.datetime, str]:
    """When the upstream is to be asked again, and why not before."""
    config = settings()
    last = last_call(raw_database, config.api_group, config.api_day)
    if last is None:
        return LONG_AGO, "it was never asked"
    outcome, at = last
    pause = dt.timedelta(hours=config.ingest_every_hours)
    if outcome == "end of data":
        pause = dt.timedelta(hours=config.end_of_data_pause_hours)
        return at + pause, "it had no more data (REALTOR_END_OF_DATA_PAUSE_HOURS)"
    if outcome in ("failed", "lost"):
        return at + min(pause, AGAIN_AFTER_FAILURE), f"the last call was {outcome}"
    return at + pause, f"the last call was at {at:%Y-%m-%d %H:%M} (REALTOR_INGEST_EVERY_HOURS)"


def _next_try(instance: dg.DagsterInstance) -> tuple[dt.datetime, str]:
    """The same after a run that failed, perhaps before it made a call."""
    failed = dg.RunsFilter(job_name="ingest", statuses=[dg.DagsterRunStatus.FAILURE])
    for record in instance.get_run_records(failed, limit=1):
        pause = min(dt.timedelta(hours=settings().ingest_every_hours), AGAIN_AFTER_FAILURE)
        return record.update_timestamp + pause, f"run {record.dagster_run.run_id[:8]} failed"
    return LONG_AGO, "no run has failed"


@dg.sensor(
    job=jobs.load,
    minimum_interval_seconds=SECONDS,
    default_status=RUNNING,
    description="Loads every batch that is landed and not loaded, and tries a failed load again, "
    f"{TRIES} times in all.",
)
def load_landed_batches(
    context: dg.SensorEvaluationContext, raw_database: Database, clean_database: Database
) -> dg.SensorResult | dg.SkipReason:
    """A crash between landing and loading leaves nothing out."""
    waiting = Cycle.now(raw_database, clean_database).to_load
    if not waiting:
        return dg.SkipReason("every batch that is landed is loaded")
    requests = []
    for partition in waiting:
        of_partition = dg.RunsFilter(job_name="load", tags={PARTITION_TAG: partition})
        runs = context.instance.get_runs(of_partition)
        idle = all(run.is_finished and not run.is_complete_and_waiting_to_retry for run in runs)
        due = next_try(context.instance, "load", {PARTITION_TAG: partition})
        if idle and due is not None and due <= dt.datetime.now(dt.UTC):
            requests.append(dg.RunRequest(partition_key=partition))
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None
        if requests
        else f"{', '.join(waiting)}: being loaded, tried again later, or given up",
        dynamic_partitions_requests=[BATCHES.build_add_request(waiting)],
    )


@dg.sensor(
    job=jobs.clean,
    minimum_interval_seconds=SECONDS,
    default_status=RUNNING,
    description="Carries every loaded batch into a retrain decision and the clean tables, unless a "
    "blocking check of RAW has failed.",
)
def decide_on_batches(
    context: dg.SensorEvaluationContext, raw_database: Database, clean_database: Database
) -> dg.RunRequest | dg.SkipReason:
    """A load gets its decision and its place in the clean tables, whoever loaded it."""
    cycle = Cycle.now(raw_database, clean_database)
    unproven = _unproven(context.instance, cycle)
    if not cycle.to_clean and not unproven:
        return dg.SkipReason("every loaded batch has its retrain decision")
    if failed := [
        check for check, passed in verdicts(context.instance, LOADED_TABLES).items()
        if passed is False
    ]:  # fmt: skip
        return dg.SkipReason(f"nothing is built on what fails its checks: {', '.join(failed)}")
    names = ", ".join(load.partition_key for load in cycle.to_clean)
    newest = cycle.to_clean[-1].load_id if cycle.to_clean else cycle.newest_built
    why = f"{names}: waits for its decision" if names else str(unproven)
    return _launched_once(context.instance, "clean", f"load {newest}", why)


def _unproven(instance: dg.DagsterInstance, cycle: Cycle) -> str | None:
    """Which blocking checks the clean tables have not passed, in words; None: all are passed."""
    if cycle.newest_built is None:
        return None
    missing = [check for check, passed in verdicts(instance, CLEAN_TABLES).items() if not passed]
    return f"checks that are not passed: {', '.join(missing)} (job clean)" if missing else None


@dg.sensor(
    job=jobs.train,
    minimum_interval_seconds=SECONDS,
    default_status=RUNNING,
    description="Carries a decision to train into training, duel, release and service, once the "
    "clean tables have passed their blocking checks.",
)
def train_as_decided(
    context: dg.SensorEvaluationContext, raw_database: Database, clean_database: Database
) -> dg.RunRequest | dg.SkipReason:
    """A decision that no training has answered gets one; a training by hand answers it, too."""
    cycle = Cycle.now(raw_database, clean_database)
    if not cycle.to_train:
        return dg.SkipReason("every decision to train has been carried out")
    if step := cycle.next_step if cycle.to_clean else _unproven(context.instance, cycle):
        return dg.SkipReason(f"{step}; then it is trained")
    newest = cycle.to_train[-1]
    tags = {
        RETRAIN_DECISION_TAG: str(newest.decision_id),
        RETRAIN_REASON_TAG: f"{newest.rule}: {newest.reason}"[:500],
    }
    work = f"decision {newest.decision_id}"
    return _launched_once(
        context.instance, "train", work, f"{newest.partition_key}: {newest.reason}", tags
    )


@dg.sensor(
    job=jobs.serve,
    minimum_interval_seconds=SECONDS,
    default_status=RUNNING,
    description="After a rollback, an approval or a promotion by hand: packages the Production "
    "model and sees to it that the service serves it.",
)
def serve_production(
    context: dg.SensorEvaluationContext, clean_database: Database
) -> dg.RunRequest | dg.SkipReason:
    """What is in Production and not seen to be served is served."""
    release = to_serve(clean_database, context.instance)
    if release is None:
        return dg.SkipReason("the service was seen to serve the Production model")
    # A version that comes back is other work than when it came first.
    work, why = f"release {release.release_id}", f"version {release.model_version} is to be served"
    return _launched_once(context.instance, "serve", work, why)


def _launched_once(
    instance: dg.DagsterInstance,
    job: str,
    work: str,
    why: str,
    tags: dict[str, str] | None = None,
) -> dg.RunRequest | dg.SkipReason:
    """A run of `job` for `work`, unless something that it would wait for is running.

    They share the pool `pipeline`, so that no two of them ever run at once, whoever starts them.
    """
    if running := active_runs(instance, "clean", "train", "serve"):
        return dg.SkipReason(f"{running[0]} is running; {why}")
    due = next_try(instance, job, {WORK_TAG: work})
    if due is None:
        return dg.SkipReason(f"{job} failed {TRIES} times and waits for a person: {why}")
    if due > dt.datetime.now(dt.UTC):
        return dg.SkipReason(f"{job} failed and is tried again at {due:%H:%M} UTC: {why}")
    return dg.RunRequest(tags={WORK_TAG: work} | (tags or {}))


MLFLOW_STATUS = {
    dg.DagsterRunStatus.SUCCESS: "FINISHED",
    dg.DagsterRunStatus.FAILURE: "FAILED",
    dg.DagsterRunStatus.CANCELED: "KILLED",
}


@dg.sensor(
    minimum_interval_seconds=SECONDS,
    default_status=RUNNING,
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


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=RUNNING,
    description="Raises an alert for every failed run: in the log, and at "
    "REALTOR_ALERT_WEBHOOK_URL. One that the webhook does not take is sent again.",
)
def alert_on_failures(context: dg.SensorEvaluationContext, alerts: Alerts) -> dg.SkipReason:
    """A run is tagged once its alert is out: a crash in between sends one twice, never none."""
    since = dt.datetime.now(dt.UTC) - dt.timedelta(days=ALERTED_DAYS)
    failed = context.instance.get_runs(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    )
    due = [run for run in failed if ALERTED_TAG not in run.tags]
    refused = []
    for run in due:
        try:
            alerts.send(_alert(context.instance, run))
        except httpx.HTTPError as problem:
            refused.append(problem)
            continue
        context.instance.add_run_tags(run.run_id, {ALERTED_TAG: "true"})
    if refused:
        raise refused[0]
    return dg.SkipReason(f"alerts sent: {len(due)}" if due else "no run has failed")


def _alert(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Alert:
    events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    url = settings().dagster_url
    return Alert(
        f"{run.job_name} failed",
        "; ".join(map(_failure, events)) or "The run ended without telling why.",
        f"{url.rstrip('/')}/runs/{run.run_id}" if url else None,
    )


def _failure(entry: dg.EventLogEntry) -> str:
    event = entry.dagster_event
    assert event is not None
    error = event.step_failure_data.error
    cause = error.cause if error is not None and error.cause is not None else error
    return f"{event.step_key}: {cause.message.strip() if cause else 'no error is known'}"


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=RUNNING,
    description="Observes which version the running service serves: an observation of "
    "served_model, with its data version, every minute; and evaluates its freshness check when the "
    "outcome changes.",
)
def observe_service(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """A service that is away is seen to be away, once it was there."""
    url = settings().service_url.rstrip("/")
    try:
        served = observe(url)
    except ServiceDown as problem:
        away = f"the service at {url} does not answer: {problem}"
        seen = last_seen(context.instance)
        if seen is None or is_fresh(seen) or context.cursor == STALE:
            return dg.SkipReason(away)
        return dg.SensorResult(asset_events=[_freshness(False, seen)], cursor=STALE)
    seen = dt.datetime.now(dt.UTC)
    observation = dg.AssetObservation(
        "served_model",
        metadata={
            "model_version": str(served["version"]),
            "candidate": str(served["candidate"]),
            "url": dg.MetadataValue.url(url),
        },
        tags={DATA_VERSION_TAG: str(served["version"])},
    )
    news = [] if context.cursor == FRESH else [_freshness(True, seen)]
    return dg.SensorResult(asset_events=[observation, *news], cursor=FRESH)


def _freshness(passed: bool, seen: dt.datetime) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("served_model"),
        check_name="freshness",
        passed=passed,
        description=seen_in_words(seen),
    )


sensors: Sequence[dg.SensorDefinition] = [
    ask_upstream,
    load_landed_batches,
    decide_on_batches,
    train_as_decided,
    serve_production,
    close_mlflow_runs,
    alert_on_failures,
    observe_service,
]
