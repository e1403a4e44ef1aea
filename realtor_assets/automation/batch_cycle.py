"""Where every batch is on its way: landed → loaded → decided → trained and judged → served.

All of it is read from the databases and not from events, so that neither a restart nor a crash in
between leaves a batch out, and what a person did by hand counts as done.
"""

import datetime as dt
from dataclasses import dataclass
from itertools import takewhile

import dagster as dg
import psycopg

from realtor_assets.clean.clean_build import current_build
from realtor_assets.clean.load_decisions import Load, all_loads, decided_loads, undecided
from realtor_assets.metadata.materializations import latest_values
from realtor_assets.release import release_records
from realtor_assets.resources import Database
from realtor_assets.schema import require_current
from realtor_assets.source import landing

# How long is waited after the first failure at the same work, and after the second: what was away
# for a while may be back. After the third a person has to look.
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
class Wanted:
    """A decision to train that no training has answered yet."""

    decision_id: int
    partition_key: str
    rule: str
    reason: str


@dataclass(frozen=True)
class Cycle:
    """What there is to do for the batches that are here, the first first.

    to_clean: loads without a retrain decision, and such as were decided on and are not in the clean
        tables, for the run that was to put them there failed. newest_built: the last load in these.
    """

    to_load: list[str]
    to_clean: list[Load]
    to_train: list[Wanted]
    newest_built: int | None

    @classmethod
    def now(cls, raw_database: Database, clean_database: Database) -> "Cycle":
        """The state of the two databases."""
        with raw_database.transaction() as raw, clean_database.transaction() as clean:
            require_current(raw, "raw")
            require_current(clean, "clean")
            build = current_build(clean)
            return cls(
                [payload.partition_key for payload in landing.pending(raw)],
                _to_clean(raw, clean, set() if build is None else set(build.loads)),
                _to_train(clean),
                None if build is None else build.loads[-1],
            )

    @property
    def next_step(self) -> str | None:
        """What has to be done first, in words; None when every batch is through."""
        if self.to_load:
            return f"{self.to_load[0]} is landed and waits to be loaded (job load)"
        if self.to_clean:
            partition = self.to_clean[0].partition_key
            return (
                f"{partition} is loaded and waits for its retrain decision or its place in the "
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


def to_serve(
    clean_database: Database, instance: dg.DagsterInstance
) -> release_records.Release | None:
    """The last release, if its version is not told to be served, and published."""
    with clean_database.transaction() as connection:
        moves = release_records.releases(connection)
    if not moves:
        return None
    told = [
        latest_values(instance, "served_model").get("model_version"),
        latest_values(instance, "published_history").get("champion_version"),
    ]
    return None if set(told) == {moves[-1].model_version} else moves[-1]


def active_runs(instance: dg.DagsterInstance, *jobs: str) -> list[str]:
    """The jobs among `jobs` that have a run under way, or one that Dagster will retry."""
    return [
        job
        for job in jobs
        if instance.get_runs(dg.RunsFilter(job_name=job, statuses=list(_ACTIVE)), limit=1)
        or any(
            run.is_complete_and_waiting_to_retry for run in instance.get_runs(_failed(job), limit=1)
        )
    ]


def next_try(instance: dg.DagsterInstance, job: str, tags: dict[str, str]) -> dt.datetime | None:
    """When `job` may run for the work with these `tags`; None once its last `TRIES` runs failed."""
    runs = instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags), limit=TRIES)
    failed = list(takewhile(lambda run: run.dagster_run.status in _FAILED, runs))
    if len(failed) == TRIES:
        return None
    return failed[0].update_timestamp + PAUSES[len(failed) - 1] if failed else LONG_AGO


def _failed(job: str) -> dg.RunsFilter:
    return dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.FAILURE])
