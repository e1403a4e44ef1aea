"""Where every batch is on its way: landed → loaded → decided → trained and judged → served.

All of it is read from the databases and not from events, so that neither a restart nor a crash in
between leaves a batch out, and what a person did by hand counts as done.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg

from realtor_assets import landing
from realtor_assets.batches import Load, undecided
from realtor_assets.release import history
from realtor_assets.resources import Database
from realtor_assets.schema import require_current

# A job is tried that often for the same work before a person has to look.
TRIES = 3
WORK_TAG = "realtor/work"
_ACTIVE = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
_FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dataclass(frozen=True)
class Wanted:
    """A decision to train that no training has answered yet."""

    decision_id: int
    partition_key: str
    rule: str
    reason: str


@dataclass(frozen=True)
class Cycle:
    """What there is to do for the batches that are here, the first first."""

    to_load: list[str]
    to_decide: list[Load]
    to_train: list[Wanted]

    @classmethod
    def now(cls, raw_database: Database, clean_database: Database) -> "Cycle":
        """The state of the two databases."""
        with raw_database.transaction() as raw, clean_database.transaction() as clean:
            require_current(raw, "raw")
            require_current(clean, "clean")
            return cls(
                [payload.partition_key for payload in landing.pending(raw)],
                undecided(raw, clean),
                _to_train(clean),
            )

    @property
    def next_step(self) -> str | None:
        """What has to be done first, in words; None when every batch is through."""
        if self.to_load:
            return f"{self.to_load[0]} is landed and waits to be loaded (job load)"
        if self.to_decide:
            partition = self.to_decide[0].partition_key
            return f"{partition} is loaded and waits for its retrain decision (job clean)"
        if self.to_train:
            return f"{self.to_train[0].partition_key} waits for its training (job train)"
        return None


def _to_train(clean: psycopg.Connection) -> list[Wanted]:
    """Decisions to train whose load no judged challenger was trained with."""
    rows = clean.execute(
        "SELECT decision_id, partition_key, rule, reason FROM retrain_decisions d"
        " WHERE decision = 'train' AND load_id IS NOT NULL AND NOT EXISTS"
        " (SELECT FROM promotion_decisions p WHERE d.load_id = ANY(p.loads))"
        " ORDER BY decision_id"
    ).fetchall()
    return [Wanted(*row) for row in rows]


def last_call(
    raw_database: Database, group: int, day: str | None
) -> tuple[str, dt.datetime] | None:
    """What became of the last call to the upstream (`api_request_log.outcome`), and when it was."""
    with raw_database.transaction() as connection:
        row = connection.execute(
            "SELECT outcome, requested_at FROM api_request_log WHERE group_number = %s"
            " AND day IS NOT DISTINCT FROM %s ORDER BY requested_at DESC LIMIT 1",
            [group, day],
        ).fetchone()
    return None if row is None else (str(row[0]), row[1])


def to_serve(clean_database: Database, instance: dg.DagsterInstance) -> str | None:
    """The Production version, if served_model does not say that it is served."""
    with clean_database.transaction() as connection:
        line = history.in_line(history.releases(connection))
    if not line:
        return None
    event = instance.get_latest_materialization_event(dg.AssetKey("served_model"))
    told: dict[str, Any] = {}
    if event is not None and event.asset_materialization is not None:
        told = dict(event.asset_materialization.metadata)
    served = told.get("model_version")
    return None if served is not None and str(served.value) == line[-1] else line[-1]


def active_runs(instance: dg.DagsterInstance, *jobs: str) -> list[str]:
    """The jobs among `jobs` that have a run under way, or one that Dagster will retry."""
    return [
        job
        for job in jobs
        if instance.get_runs(dg.RunsFilter(job_name=job, statuses=list(_ACTIVE)), limit=1)
        or any(map(_will_retry, instance.get_runs(_failed(job), limit=1)))
    ]


def gave_up(instance: dg.DagsterInstance, job: str, work: str) -> bool:
    """Whether `job` has failed `TRIES` times at the same `work`."""
    failed = dg.RunsFilter(job_name=job, statuses=list(_FAILED), tags={WORK_TAG: work})
    return len(instance.get_runs(failed, limit=TRIES)) >= TRIES


def _failed(job: str) -> dg.RunsFilter:
    return dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.FAILURE])


def _will_retry(run: dg.DagsterRun) -> bool:
    """Whether the daemon retries a run that crashed, and has not begun to."""
    return run.tags.get("dagster/will_retry") == "true" and (
        "dagster/auto_retry_run_id" not in run.tags
    )
