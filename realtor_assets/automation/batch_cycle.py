"""The state of every batch: landed → loaded → decided on → trained and judged → served.

The state is read from the databases and not from events: a restart or a crash leaves no batch out,
and what a person did by hand counts.
"""

import datetime as dt
from dataclasses import dataclass
from itertools import takewhile

import dagster as dg
import psycopg

from realtor_assets.clean.clean_build import current_build, outdated
from realtor_assets.clean.load_decisions import (
    UNREADABLE_RULE,
    Load,
    all_loads,
    decided_loads,
    decided_unreadable,
    undecided,
)
from realtor_assets.metadata.materializations import latest_values
from realtor_assets.release import release_records
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.schema import require_current
from realtor_assets.source import landing

# Pauses after the first and the second failure of the same work; after the third a person must act.
PAUSES = (dt.timedelta(minutes=5), dt.timedelta(hours=1))
TRIES = len(PAUSES) + 1
LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)
_ACTIVE = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
_FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dataclass(frozen=True)
class PendingTraining:
    """A retrain decision "train" that no training has carried out yet."""

    decision_id: int
    partition_key: str
    rule: str
    reason: str


@dataclass(frozen=True)
class Cycle:
    """The work that waits, oldest first.

    Attributes:
        to_load: partitions that are landed and not loaded.
        to_clean: loads without a retrain decision, and loads that were decided on but are not in
            the clean tables, because the run that should put them there failed.
        to_train: decisions to train that were not carried out.
        newest_built: the newest load in the clean tables; None before the first build.
        outdated: why these tables must be built again, in words; None if they need not.
    """

    to_load: list[str]
    to_clean: list[Load]
    to_train: list[PendingTraining]
    newest_built: int | None
    outdated: str | None = None

    @classmethod
    def now(cls, raw_database: Database, clean_database: Database) -> "Cycle":
        """Read the state from the two databases."""
        with raw_database.transaction() as raw, clean_database.transaction() as clean:
            require_current(raw, "raw")
            require_current(clean, "clean")
            build = current_build(clean)
            return cls(
                [payload.partition_key for payload in landing.pending(raw)],
                _to_clean(raw, clean, set() if build is None else set(build.loads)),
                _to_train(clean),
                None if build is None else build.loads[-1],
                None if build is None else outdated(build),
            )

    @property
    def next_step(self) -> str | None:
        """The next step in words; None when every batch has passed through the cycle."""
        if self.to_load:
            return f"{self.to_load[0]} is landed and waits to be loaded (job load)"
        if self.to_clean:
            partition = self.to_clean[0].partition_key
            return (
                f"{partition} is loaded and waits for its retrain decision, or to be added to the "
                "clean tables (job clean)"
            )
        if self.to_train:
            return f"{self.to_train[0].partition_key} waits for its training (job train)"
        return None


def _to_clean(raw: psycopg.Connection, clean: psycopg.Connection, built: set[int]) -> list[Load]:
    waiting = {load.load_id for load in undecided(raw, clean)}
    learned_from = decided_loads(clean) - built
    return [
        load
        for load in all_loads(raw)
        if load.load_id in waiting or (load.inserted and load.load_id in learned_from)
    ]


def _to_train(clean: psycopg.Connection) -> list[PendingTraining]:
    """Decisions to train on a load that no judged challenger was trained on.

    A decision because of an unreadable champion needs a challenger that was judged after it, since
    earlier challengers were trained on its load, too.
    """
    rows = clean.execute(
        "SELECT decision_id, partition_key, rule, reason FROM retrain_decisions d"
        " WHERE decision = 'train' AND load_id IS NOT NULL AND NOT EXISTS"
        " (SELECT FROM promotion_decisions p WHERE d.load_id = ANY(p.loads)"
        " AND (d.rule <> %s OR p.decided_at > d.decided_at))"
        " ORDER BY decision_id",
        [UNREADABLE_RULE],
    ).fetchall()
    return [PendingTraining(*row) for row in rows]


def unreadable_champion(clean_database: Database, tracking: Tracking) -> str | None:
    """Why a training is due without a new batch: this release can't read the champion.

    None where it can, where that is decided already, and while MLflow can't be asked.
    """
    with clean_database.transaction() as connection:
        moves = release_records.alias_moves(connection)
        if not moves or decided_unreadable(connection, moves[-1].model_version):
            return None
    import mlflow.exceptions

    try:
        unreadable = tracking.unreadable(moves[-1].model_version)
    except mlflow.exceptions.MlflowException:
        return None
    return None if unreadable is None else unreadable.text


def last_call(
    raw_database: Database, group: int, day: str | None
) -> tuple[str, dt.datetime] | None:
    """Outcome (`api_request_log.outcome`) and time of the last call to the upstream, or None."""
    with raw_database.transaction() as connection:
        row = connection.execute(
            "SELECT outcome, requested_at FROM api_request_log WHERE group_number = %s"
            " AND day IS NOT DISTINCT FROM %s ORDER BY requested_at DESC LIMIT 1",
            [group, day],
        ).fetchone()
    return None if row is None else (str(row[0]), row[1])


def to_serve(
    clean_database: Database, instance: dg.DagsterInstance
) -> release_records.AliasMove | None:
    """The last release, unless the service serves its version and the history names it.

    Both are read from the latest materializations of served_model and published_history.
    """
    with clean_database.transaction() as connection:
        moves = release_records.alias_moves(connection)
    if not moves:
        return None
    confirmed = {
        latest_values(instance, "served_model").get("model_version"),
        latest_values(instance, "published_history").get("champion_version"),
    }
    return None if confirmed == {moves[-1].model_version} else moves[-1]


def active_runs(instance: dg.DagsterInstance, *jobs: str) -> list[str]:
    """Those of `jobs` that have an unfinished run, or a failed one that Dagster will retry."""
    return [
        job
        for job in jobs
        if instance.get_runs(dg.RunsFilter(job_name=job, statuses=list(_ACTIVE)), limit=1)
        or any(
            run.is_complete_and_waiting_to_retry for run in instance.get_runs(_failed(job), limit=1)
        )
    ]


def next_try(instance: dg.DagsterInstance, job: str, tags: dict[str, str]) -> dt.datetime | None:
    """When `job` may run for the work with `tags`; None if its last `TRIES` runs failed."""
    runs = instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags), limit=TRIES)
    failed = list(takewhile(lambda run: run.dagster_run.status in _FAILED, runs))
    if len(failed) == TRIES:
        return None
    return failed[0].update_timestamp + PAUSES[len(failed) - 1] if failed else LONG_AGO


def _failed(job: str) -> dg.RunsFilter:
    return dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.FAILURE])
