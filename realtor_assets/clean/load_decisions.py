"""The state of every load: waiting for a decision, decided, held, or admitted."""

import datetime as dt
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from realtor_assets.resources import Database
from realtor_assets.schema import require_current
from realtor_assets.source.landing import FILES
from realtor_model.features import FEATURE_VERSION

# The rule of a training whose reason is a champion that this release can't read.
UNREADABLE_RULE = "champion unreadable"


@dataclass(frozen=True)
class Load:
    """One load of a batch that brought something new: a row of `new_loads`.

    Attributes:
        inserted: rows that it inserted into RAW.
        to_learn_from: those of them in the train and validation splits.
    """

    load_id: int
    partition_key: str
    group_number: int
    batch_number: int | None
    state: str
    error: str | None
    received: int
    inserted: int
    to_learn_from: int
    loaded_at: dt.datetime

    @property
    def name(self) -> str:
        """The name shown to people: the upstream's batch number, or the partition of a file."""
        upstream = self.group_number != FILES and self.batch_number is not None
        return str(self.batch_number) if upstream else self.partition_key


@dataclass(frozen=True)
class Decided:
    """The last retrain decision about a load; `admitted`: it was made after an admission."""

    decision_id: int
    load_id: int
    partition_key: str
    decision: str
    admitted: bool


def all_loads(raw: psycopg.Connection) -> list[Load]:
    """All loads that brought something new, in order of loading."""
    with raw.cursor(row_factory=class_row(Load)) as cursor:
        return cursor.execute(
            "SELECT load_id, partition_key, group_number, batch_number, state, error, received,"
            " inserted, to_learn_from, loaded_at FROM new_loads ORDER BY load_id"
        ).fetchall()


def decisions(clean: psycopg.Connection) -> dict[int, Decided]:
    """The last decision of each load that has one."""
    with clean.cursor(row_factory=class_row(Decided)) as cursor:
        rows = cursor.execute(
            "SELECT decision_id, load_id, partition_key, decision, admitted FROM retrain_decisions"
            " WHERE load_id IS NOT NULL ORDER BY decision_id"
        ).fetchall()
    return {decided.load_id: decided for decided in rows}


def admitted_loads(clean: psycopg.Connection) -> set[int]:
    """The held loads that a person has admitted."""
    return {int(load) for (load,) in clean.execute("SELECT load_id FROM batch_admissions")}


def held_loads(clean: psycopg.Connection) -> set[int]:
    """The loads that stay out of the clean tables until a person admits them."""
    held = {load for load, last in decisions(clean).items() if last.decision == "hold"}
    return held - admitted_loads(clean)


def decided_loads(clean: psycopg.Connection) -> set[int]:
    """The loads that may be trained on: decided on, and not held."""
    return {load for load, last in decisions(clean).items() if last.decision != "hold"}


def decided_unreadable(clean: psycopg.Connection, version: str) -> bool:
    """Whether a training was decided on because this code can't read the champion `version`."""
    row = clean.execute(
        "SELECT FROM retrain_decisions WHERE rule = %s AND model_version = %s"
        " AND feature_version = %s LIMIT 1",
        [UNREADABLE_RULE, version, FEATURE_VERSION],
    ).fetchone()
    return row is not None


def undecided(raw: psycopg.Connection, clean: psycopg.Connection) -> list[Load]:
    """The loads that wait for a decision, in order of loading."""
    decided, admitted = decisions(clean), admitted_loads(clean)

    def waits(load: Load) -> bool:
        last = decided.get(load.load_id)
        return last is None or (last.decision == "hold" and load.load_id in admitted)

    return [load for load in all_loads(raw) if waits(load)]


class NotHeld(Exception):
    """The batch is not held, so it cannot be admitted."""


def admit_batch(database: Database, partition: str, *, approver: str, rationale: str) -> None:
    """Admit a held batch to training.

    Raises:
        NotHeld: the batch is not held.
    """
    with database.transaction() as connection:
        require_current(connection, "clean")
        held = held_loads(connection)
        load_ids = [
            decided.load_id
            for decided in decisions(connection).values()
            if decided.partition_key == partition and decided.load_id in held
        ]
        if not load_ids:
            raise NotHeld(f"{partition} is not held: there is nothing to admit")
        for load_id in load_ids:
            connection.execute(
                "INSERT INTO batch_admissions (load_id, approver, rationale) VALUES (%s, %s, %s)",
                [load_id, approver, rationale],
            )
