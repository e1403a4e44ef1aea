"""Refused payloads are listed until they are loaded or dismissed, on a real PostgreSQL."""

import psycopg
import pytest

from realtor_assets.raw.refused_payloads import NotRefused, dismiss, refused_payloads
from realtor_assets.resources import Database, ObjectStore
from realtor_local.postgres import EmbeddedPostgres
from tests.assets.conftest import land, land_bytes
from tests.assets.raw.test_loading import houses, load

pytestmark = pytest.mark.integration


def listed(database: Database) -> list[str]:
    with database.transaction() as connection:
        return [payload.partition_key for payload in refused_payloads(connection)]


def test_a_refused_payload_is_listed_once_with_its_reason(
    store: ObjectStore, raw_database: Database
) -> None:
    bad = land_bytes(store, raw_database, b"<html>busy</html>", batch=1)
    load(store, raw_database, land(store, raw_database, houses(3), batch=0))
    load(store, raw_database, bad)
    load(store, raw_database, bad)

    with raw_database.transaction() as connection:
        (payload,) = refused_payloads(connection)
    assert (payload.partition_key, payload.payload_key) == (bad.partition_key, bad.payload_key)
    assert "not whole JSON" in payload.error


def test_a_payload_that_was_ever_loaded_is_not_listed(
    store: ObjectStore, raw_database: Database
) -> None:
    payload = land(store, raw_database, [*houses(3), {"price": "free"}])
    load(store, raw_database, payload, share=0.1)
    assert listed(raw_database) == [payload.partition_key]

    load(store, raw_database, payload, share=1.0)
    assert listed(raw_database) == []

    load(store, raw_database, payload, share=0.1)
    assert listed(raw_database) == []


def test_a_dismissal_is_recorded_and_deletes_nothing(
    store: ObjectStore, raw_database: Database
) -> None:
    payload = land_bytes(store, raw_database, b"", batch=1)
    load(store, raw_database, payload)

    with raw_database.transaction() as connection:
        dismiss(connection, payload.partition_key, approver="ana", rationale="a test of theirs")

    assert listed(raw_database) == []
    assert store.exists(payload.payload_key)
    with raw_database.transaction() as connection:
        assert connection.execute(
            "SELECT partition_key, approver, rationale, dismissed_at IS NOT NULL"
            " FROM refusal_dismissals JOIN ingestion_summary USING (load_id)"
        ).fetchall() == [(payload.partition_key, "ana", "a test of theirs", True)]
        with pytest.raises(NotRefused, match="dismissed already"):
            dismiss(connection, payload.partition_key, approver="ana", rationale="again")

    load(store, raw_database, payload)
    assert listed(raw_database) == [payload.partition_key], "it was tried again, and refused again"


def test_only_what_is_refused_can_be_dismissed(store: ObjectStore, raw_database: Database) -> None:
    payload = land(store, raw_database, houses(3))
    load(store, raw_database, payload)

    with raw_database.transaction() as connection:
        for partition in (payload.partition_key, "nothing"):
            with pytest.raises(NotRefused, match="is not refused"):
                dismiss(connection, partition, approver="ana", rationale="?")


def test_the_pipelines_role_may_dismiss_and_change_nothing(
    store: ObjectStore, raw_database: Database, postgres: EmbeddedPostgres
) -> None:
    pipeline = Database(
        url=postgres.url("realtor_raw").rpartition("/")[0]
        + "/"
        + raw_database.url.rpartition("/")[2]
    )
    payload = land_bytes(store, pipeline, b"", batch=1)
    load(store, pipeline, payload)
    with pipeline.transaction() as connection:
        dismiss(connection, payload.partition_key, approver="ana", rationale="why not")

    for statement in (
        "DELETE FROM refusal_dismissals",
        "UPDATE refusal_dismissals SET load_id = 9",
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            pipeline.transaction() as connection,
        ):
            connection.execute(statement)
