"""The sensors: each reads the state of the platform and launches the next job."""

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
    unreadable_champion,
)
from realtor_assets.automation.blocking_checks import latest_outcomes
from realtor_assets.clean.assets import CLEAN_TABLES
from realtor_assets.metadata.run_tags import (
    ALERTED_TAG,
    DATA_VERSION_TAG,
    PARTITION_TAG,
    RETRAIN_DECISION_TAG,
    RETRAIN_REASON_TAG,
    WORK_TAG,
)
from realtor_assets.pipeline_settings import market_version, settings
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
from realtor_model.features import FEATURE_VERSION

SECONDS = 10
RUNNING = dg.DefaultSensorStatus.RUNNING
# A failed call is repeated after this pause, or the pause between batches if that is shorter.
AGAIN_AFTER_FAILURE = dt.timedelta(minutes=15)
ALERTED_DAYS = 7
FRESH, STALE = "fresh", "stale"


@dg.sensor(
    job=jobs.ingest,
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Requests the upstream's next batch, daily by default "
    "(REALTOR_INGEST_EVERY_HOURS), once the last batch has passed through the whole cycle. Off "
    "until you switch it on; to request a batch at once, launch the job ingest.",
)
def ask_upstream(
    context: dg.SensorEvaluationContext, raw_database: Database, clean_database: Database
) -> dg.RunRequest | dg.SkipReason:
    """Ask for the next batch only after the last one has been decided on."""
    cycle = Cycle.now(raw_database, clean_database)
    if step := cycle.next_step or _not_ready(context.instance, cycle):
        return dg.SkipReason(f"one batch at a time: {step}")
    if running := active_runs(context.instance, "ingest", "load", "clean", "train", "serve"):
        return dg.SkipReason(f"one batch at a time: {running[0]} is running")
    due, why = max(_next_call(raw_database), _next_try(context.instance))
    if due > dt.datetime.now(dt.UTC):
        return dg.SkipReason(f"the next call is due at {due:%Y-%m-%d %H:%M} UTC: {why}")
    return dg.RunRequest()


def _next_call(raw_database: Database) -> tuple[dt.datetime, str]:
    """When the next call is due, and why not earlier."""
    config = settings()
    last = last_call(raw_database, config.api_group, config.api_day)
    if last is None:
        return LONG_AGO, "the upstream was never called"
    outcome, at = last
    pause = dt.timedelta(hours=config.ingest_every_hours)
    if outcome == "end of data":
        pause = dt.timedelta(hours=config.end_of_data_pause_hours)
        return at + pause, "the upstream had no more data (REALTOR_END_OF_DATA_PAUSE_HOURS)"
    if outcome in ("failed", "lost"):
        return at + min(pause, AGAIN_AFTER_FAILURE), f"the last call was {outcome}"
    return at + pause, f"the last call was at {at:%Y-%m-%d %H:%M} (REALTOR_INGEST_EVERY_HOURS)"


def _next_try(instance: dg.DagsterInstance) -> tuple[dt.datetime, str]:
    """The same after a failed run, which may have failed before its call."""
    failed = dg.RunsFilter(job_name="ingest", statuses=[dg.DagsterRunStatus.FAILURE])
    for record in instance.get_run_records(failed, limit=1):
        pause = min(dt.timedelta(hours=settings().ingest_every_hours), AGAIN_AFTER_FAILURE)
        return record.update_timestamp + pause, f"run {record.dagster_run.run_id[:8]} failed"
    return LONG_AGO, "no run has failed"


@dg.sensor(
    job=jobs.load,
    minimum_interval_seconds=SECONDS,
    default_status=RUNNING,
    description="Loads every batch that is landed and not loaded. A load is tried up to "
    f"{TRIES} times.",
)
def load_landed_batches(
    context: dg.SensorEvaluationContext, raw_database: Database, clean_database: Database
) -> dg.SensorResult | dg.SkipReason:
    """Request a run for each waiting partition that is not being loaded already."""
    waiting = Cycle.now(raw_database, clean_database).to_load
    if not waiting:
        return dg.SkipReason("every landed batch is loaded")
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
        else f"{', '.join(waiting)}: being loaded, waiting for the next try, or given up",
        dynamic_partitions_requests=[BATCHES.build_add_request(waiting)],
    )


@dg.sensor(
    job=jobs.clean,
    minimum_interval_seconds=SECONDS,
    default_status=RUNNING,
    description="Launches the job clean for loaded batches without a retrain decision, and for "
    "clean tables that have not passed their blocking checks; not while a blocking check of RAW "
    "fails. After an upgrade also for clean tables of another feature version, after a change of "
    "the market file for those of another market version, and for a champion that this release "
    "can't read.",
)
def decide_on_batches(
    context: dg.SensorEvaluationContext,
    raw_database: Database,
    clean_database: Database,
    tracking: Tracking,
) -> dg.RunRequest | dg.SkipReason:
    """Every load gets a decision and is added to the clean tables, whoever loaded it."""
    cycle = Cycle.now(raw_database, clean_database)
    not_ready = _not_ready(context.instance, cycle)
    unreadable = None
    if not cycle.to_clean and not not_ready:
        unreadable = unreadable_champion(clean_database, tracking)
        if unreadable is None:
            return dg.SkipReason("every loaded batch has its retrain decision")
    if failed := [
        check for check, passed in latest_outcomes(context.instance, LOADED_TABLES).items()
        if passed is False
    ]:  # fmt: skip
        return dg.SkipReason(f"blocking checks of RAW fail: {', '.join(failed)}")
    names = ", ".join(load.partition_key for load in cycle.to_clean)
    newest = cycle.to_clean[-1].load_id if cycle.to_clean else cycle.newest_built
    work = f"load {newest}"
    why = f"{names}: waiting for a retrain decision" if names else str(not_ready)
    if unreadable is not None or (not names and cycle.outdated):
        # Failures before the upgrade don't count.
        version = " ".join([FEATURE_VERSION, market_version()]).strip()
        work, why = f"{work}, features {version}", unreadable or why
    return _launched_once(context.instance, "clean", work, why)


def _not_ready(instance: dg.DagsterInstance, cycle: Cycle) -> str | None:
    """Why nothing may be trained on the clean tables, in words; None if it may.

    They have another feature or market version, or have not passed their blocking checks.
    """
    if cycle.newest_built is None:
        return None
    if cycle.outdated:
        return f"{cycle.outdated} (job clean)"
    missing = [
        check for check, passed in latest_outcomes(instance, CLEAN_TABLES).items() if not passed
    ]
    return f"checks not passed yet: {', '.join(missing)} (job clean)" if missing else None


@dg.sensor(
    job=jobs.train,
    minimum_interval_seconds=SECONDS,
    default_status=RUNNING,
    description="Launches the job train for a retrain decision that says train, once the clean "
    "tables have passed their blocking checks.",
)
def train_as_decided(
    context: dg.SensorEvaluationContext, raw_database: Database, clean_database: Database
) -> dg.RunRequest | dg.SkipReason:
    """Carry out each decision to train once; a training by hand counts as well."""
    cycle = Cycle.now(raw_database, clean_database)
    if not cycle.to_train:
        return dg.SkipReason("every decision to train has been carried out")
    if step := cycle.next_step if cycle.to_clean else _not_ready(context.instance, cycle):
        return dg.SkipReason(f"training waits: {step}")
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
    description="Launches the job serve when the service does not serve the Production model: "
    "after a rollback, an approval, or a promotion by hand.",
)
def serve_production(
    context: dg.SensorEvaluationContext, clean_database: Database
) -> dg.RunRequest | dg.SkipReason:
    """Serve the Production version if no observation shows that it is served."""
    release = to_serve(clean_database, context.instance)
    if release is None:
        return dg.SkipReason("the service serves the Production model")
    # By release, not by version: a version that returns has to be served again.
    work, why = (
        f"release {release.release_id}",
        f"version {release.model_version} is not served yet",
    )
    return _launched_once(context.instance, "serve", work, why)


def _launched_once(
    instance: dg.DagsterInstance,
    job: str,
    work: str,
    why: str,
    tags: dict[str, str] | None = None,
) -> dg.RunRequest | dg.SkipReason:
    """A run of `job` for `work`, unless a job of the same pool runs or the work failed lately.

    clean, train and serve share the pool `pipeline`: no two of them run at once.
    """
    if running := active_runs(instance, "clean", "train", "serve"):
        return dg.SkipReason(f"{running[0]} is running; {why}")
    due = next_try(instance, job, {WORK_TAG: work})
    if due is None:
        return dg.SkipReason(f"{job} failed {TRIES} times; a person has to look at it: {why}")
    if due > dt.datetime.now(dt.UTC):
        return dg.SkipReason(f"{job} failed; the next try is at {due:%H:%M} UTC: {why}")
    return dg.RunRequest(tags={WORK_TAG: work} | (tags or {}))


MLFLOW_STATUS = {
    dg.DagsterRunStatus.SUCCESS: "FINISHED",
    dg.DagsterRunStatus.FAILURE: "FAILED",
    dg.DagsterRunStatus.CANCELED: "KILLED",
}


@dg.sensor(
    minimum_interval_seconds=SECONDS,
    default_status=RUNNING,
    description="Ends the MLflow run of each ended Dagster run, with the Dagster run's status.",
)
def close_mlflow_runs(context: dg.SensorEvaluationContext, tracking: Tracking) -> dg.SkipReason:
    """Start from MLflow's open runs, not from events: an outage of MLflow leaves none open."""
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
    description="Sends an alert for every failed run: to the log, and to "
    "REALTOR_ALERT_WEBHOOK_URL. An alert that the webhook refuses is sent again.",
)
def alert_on_failures(context: dg.SensorEvaluationContext, alerts: Alerts) -> dg.SkipReason:
    """Tag a run after its alert was sent: a crash in between repeats an alert and loses none."""
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
        "; ".join(map(_failure, events)) or "The run ended without an error message.",
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
    description="Asks the running service every minute which version it serves, and records an "
    "observation of served_model. Evaluates the check freshness when its outcome changes.",
)
def observe_service(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Record the served version; report a service that stopped answering as stale."""
    url = settings().service_url.rstrip("/")
    try:
        served = observe(url)
    except ServiceDown as problem:
        reason = f"the service at {url} does not answer: {problem}"
        seen = last_seen(context.instance)
        if seen is None or is_fresh(seen) or context.cursor == STALE:
            return dg.SkipReason(reason)
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
    evaluations = [] if context.cursor == FRESH else [_freshness(True, seen)]
    return dg.SensorResult(asset_events=[observation, *evaluations], cursor=FRESH)


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
