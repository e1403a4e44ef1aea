"""Who is in Production: one version at any time, a history that agrees with it, and ways back."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from realtor_assets.publish.withdrawal import withdraw
from realtor_assets.release import release_records
from realtor_assets.release.production_model import (
    UnknownVersion,
    approve,
    production,
    promote,
    roll_back,
)
from realtor_assets.release.release_records import AliasMove, PromotionRecord, in_line
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.schema import migrate
from realtor_local.postgres import EmbeddedPostgres
from realtor_model.registry_names import PREVIOUS_ALIAS, PRODUCTION_ALIAS, REGISTERED_MODEL
from tests.conftest import empty_databases
from tests.servers import MlflowServer, mlflow_server

pytestmark = [pytest.mark.integration]

VERSIONS = 6
ROUNDS = 100
WHO = {"approver": "a tester"}


@pytest.fixture(scope="module")
def own_mlflow(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """A server whose registry no other test knows."""
    with (
        empty_databases(postgres) as make,
        mlflow_server(tmp_path_factory.mktemp("registry"), make().url) as server,
    ):
        yield server


@pytest.fixture
def tracking(own_mlflow: MlflowServer) -> Iterator[Tracking]:
    """A registry with six versions, none of which is in Production; gone after the test."""
    tracking = Tracking(tracking_uri=own_mlflow.url)
    client = tracking.client()
    client.create_registered_model(REGISTERED_MODEL)
    run = client.create_run("0").info
    for _ in range(VERSIONS):
        client.create_model_version(
            REGISTERED_MODEL, f"{run.artifact_uri}/model", run.run_id, tags={"stage": "None"}
        )
    yield tracking
    client.delete_registered_model(REGISTERED_MODEL)


def decided(version: str, champion: str | None, decision: str = "promoted") -> PromotionRecord:
    return PromotionRecord(version, champion, decision, "a rule", f"{version} is {decision}.")


def consistent(database: Database, tracking: Tracking) -> list[AliasMove]:
    """Every promise of the history, checked; returns the releases."""
    with production(database, tracking) as alias:
        named = alias.version
    with database.transaction() as connection:
        moves = release_records.alias_moves(connection)
        unreleased = connection.execute(
            "SELECT count(*) FROM promotion_decisions d WHERE decision IN ('promoted',"
            " 'rolled back') AND NOT EXISTS (SELECT FROM releases r"
            " WHERE r.decision_id = d.decision_id)"
        ).fetchone()
    assert unreleased == (0,), "a promotion that never was"
    assert all(move.finished for move in moves)
    assert [after.replaced for after in moves] == [None] + [
        before.model_version for before in moves[:-1]
    ]
    assert tracking.production_version() == named == (moves[-1].model_version if moves else None)
    in_production = [
        version for version in tracking.versions()
        if tracking.version(version).tags["stage"] == "Production"
    ]  # fmt: skip
    assert in_production == ([] if named is None else [named])
    line = in_line(moves)
    previous = tracking.alias(PREVIOUS_ALIAS)
    assert (previous and str(previous.version)) == (line[-2] if len(line) > 1 else None)
    return moves


def test_two_promoters_race_for_a_hundred_rounds(
    clean_database: Database, tracking: Tracking
) -> None:
    promote(clean_database, tracking, "1", reason="the first", **WHO)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    promoters = [
        context.Process(
            target=_promote_again_and_again,
            args=(clean_database.url, tracking.tracking_uri, side, barrier),
        )
        for side in range(2)
    ]
    for promoter in promoters:
        promoter.start()
    seen = 0
    while any(promoter.is_alive() for promoter in promoters):
        assert tracking.production_version() is not None, "a moment without Production"
        stages = [
            version.tags["stage"]
            for version in tracking.client().search_model_versions(f"name = '{REGISTERED_MODEL}'")
        ]
        assert stages.count("Production") <= 1, "a moment with two in Production"
        seen += 1
        time.sleep(0.02)
    assert [promoter.exitcode for promoter in promoters] == [0, 0]

    assert seen > ROUNDS
    moves = consistent(clean_database, tracking)
    assert len(moves) == 1 + ROUNDS, "of two challengers of one champion, one wins"
    with clean_database.transaction() as connection:
        overtaken = connection.execute(
            "SELECT count(*) FROM promotion_decisions WHERE rule = 'overtaken'"
        ).fetchone()
    assert overtaken == (ROUNDS,)


def _promote_again_and_again(url: str, tracking_uri: str, side: int, barrier: Any) -> None:
    database, tracking = Database(url=url), Tracking(tracking_uri=tracking_uri)
    for _ in range(ROUNDS):
        barrier.wait(60)
        champion = tracking.production_version()
        barrier.wait(60)
        others = [version for version in tracking.versions() if version != champion]
        with production(database, tracking) as alias:
            alias.record(decided(others[side], champion))


@pytest.mark.parametrize("at", range(8))
def test_a_crash_anywhere_is_mended_by_whoever_comes_next(
    clean_database: Database, tracking: Tracking, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    promote(clean_database, tracking, "1", reason="the first", **WHO)
    promote(clean_database, tracking, "2", reason="the second", **WHO)
    calls = 0

    def dies(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at + 1:
                raise ConnectionError("the process dies here")
            return real(*arguments, **named)

        return call

    from mlflow import MlflowClient

    with monkeypatch.context() as patch:
        for name in (
            "search_model_versions", "set_registered_model_alias", "set_model_version_tag",
            "update_model_version",
        ):  # fmt: skip
            patch.setattr(MlflowClient, name, dies(getattr(MlflowClient, name)))
        patch.setattr(release_records, "finish_move", dies(release_records.finish_move))
        with production(clean_database, tracking) as alias, pytest.raises(ConnectionError):
            alias.record(decided("3", "2"))

    moves = consistent(clean_database, tracking)
    assert moves[-1].model_version == "3"


def test_rolling_back_goes_back_and_back(clean_database: Database, tracking: Tracking) -> None:
    for version in ("1", "2", "3"):
        promote(clean_database, tracking, version, reason="better", **WHO)

    assert roll_back(clean_database, tracking, reason="worse", **WHO).model_version == "2"
    assert roll_back(clean_database, tracking, reason="worse", **WHO).model_version == "1"
    with pytest.raises(UnknownVersion, match="no version was in Production before"):
        roll_back(clean_database, tracking, reason="worse", **WHO)
    assert roll_back(
        clean_database, tracking, version="3", reason="it was good", **WHO
    ).model_version == "3"  # fmt: skip
    with pytest.raises(UnknownVersion, match="has no version 99; it has: 1, 2, 3, 4, 5, 6"):
        roll_back(clean_database, tracking, version="99", reason="?", **WHO)
    consistent(clean_database, tracking)


def test_what_is_in_production_already_is_no_decision(
    clean_database: Database, tracking: Tracking
) -> None:
    promote(clean_database, tracking, "1", reason="the first", **WHO)

    with pytest.raises(UnknownVersion, match="version 1 is in Production already"):
        promote(clean_database, tracking, "1", reason="again", **WHO)
    with pytest.raises(UnknownVersion, match="version 1 is in Production already"):
        roll_back(clean_database, tracking, version="1", reason="again", **WHO)

    with clean_database.transaction() as connection:
        newest = release_records.PromotionRecord.newest(connection)
    assert newest is not None
    assert (newest.decision, newest.reason) == ("promoted", "the first")


def test_what_is_rejected_is_archived_and_what_waits_is_staged(
    clean_database: Database, tracking: Tracking
) -> None:
    with production(clean_database, tracking) as alias:
        alias.record(decided("1", None))
        alias.record(decided("2", "1", "rejected"))
        alias.record(decided("3", "1", "staged"))

    stages = [tracking.version(version).tags["stage"] for version in ("1", "2", "3", "4")]
    assert stages == ["Production", "Archived", "Staging", "None"]

    record = approve(clean_database, tracking, "3", rationale="I looked at it", **WHO)
    assert (record.rule, record.approver) == ("approved", "a tester")
    moves = consistent(clean_database, tracking)
    assert moves[-1].model_version == "3"
    assert "I looked at it" in moves[-1].reason
    with pytest.raises(UnknownVersion, match="does not wait for approval: it is rejected"):
        approve(clean_database, tracking, "2", rationale="but", **WHO)


def test_who_waits_too_long_is_overtaken(clean_database: Database, tracking: Tracking) -> None:
    promote(clean_database, tracking, "1", reason="the first", **WHO)
    with production(clean_database, tracking) as alias:
        alias.record(decided("2", "1", "staged"))
    promote(clean_database, tracking, "3", reason="by hand", **WHO)

    record = approve(clean_database, tracking, "2", rationale="at last", **WHO)

    assert (record.decision, record.rule) == ("rejected", "overtaken")
    assert tracking.version("2").tags["stage"] == "Archived"
    assert consistent(clean_database, tracking)[-1].model_version == "3"


def test_an_alias_moved_past_the_platform_is_written_down(
    clean_database: Database, tracking: Tracking
) -> None:
    promote(clean_database, tracking, "1", reason="the first", **WHO)
    tracking.client().set_registered_model_alias(REGISTERED_MODEL, PRODUCTION_ALIAS, "5")

    moves = consistent(clean_database, tracking)

    assert [(move.model_version, move.action) for move in moves] == [
        ("1", "promoted"), ("5", "found"),
    ]  # fmt: skip
    assert roll_back(clean_database, tracking, reason="back", **WHO).model_version == "1"


def test_a_second_release_waits_for_the_first(clean_database: Database, tracking: Tracking) -> None:
    promote(clean_database, tracking, "1", reason="the first", **WHO)
    order: list[str] = []

    def second() -> None:
        promote(clean_database, tracking, "2", reason="the second", **WHO)
        order.append("second")

    with production(clean_database, tracking):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.5)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_the_line_of_versions() -> None:
    told = ["1", "2", "3", "2 rolled back", "4", "1"]
    moves = [
        AliasMove(0, text[0], None, "rolled back" if "rolled" in text else "promoted", "", True)
        for text in told
    ]
    lines = ["1", "1 2", "1 2 3", "1 2", "1 2 4", "2 4 1"]
    assert [" ".join(in_line(moves[: n + 1])) for n in range(len(moves))] == lines


def test_migrating_keeps_older_decisions(databases: Callable[[], Database]) -> None:
    from alembic import command

    from realtor_assets import schema

    database = databases()
    with pytest.MonkeyPatch.context() as patch:
        real = command.upgrade
        patch.setattr(command, "upgrade", lambda config, _: real(config, "0001"))
        migrate(database.url, "clean")
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO retrain_decisions (data_version, batches, decision, rule, reason, figures)"
            " VALUES ('v', '{0}', 'train', 'first model', 'There was none.', '{}')"
        )
    migrate(database.url, "clean")
    with database.transaction() as connection:
        schema.require_current(connection, "clean")
        rows = connection.execute("SELECT reason, load_id FROM retrain_decisions").fetchall()
    assert rows == [("There was none.", None)]


def test_a_version_that_is_alone_in_production_is_not_withdrawn(
    clean_database: Database, tracking: Tracking
) -> None:
    promote(clean_database, tracking, "1", reason="the first", **WHO)

    failure = withdraw(clean_database, tracking, "1", "The service cannot load version 1.")

    assert "There is no earlier version" in str(failure.description)
    assert len(consistent(clean_database, tracking)) == 1


def test_a_version_that_has_left_production_is_not_withdrawn(
    clean_database: Database, tracking: Tracking
) -> None:
    promote(clean_database, tracking, "1", reason="the first", **WHO)
    promote(clean_database, tracking, "2", reason="better", **WHO)

    failure = withdraw(clean_database, tracking, "1", "The service cannot load version 1.")

    assert "Version 2 is in Production now" in str(failure.description)
    assert tracking.production_version() == "2"
