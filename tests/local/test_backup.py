"""A backup holds everything, is whole or refused, and is restored into nothing but emptiness."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from realtor_local import backup
from realtor_local.backup import BackupError, Platform
from realtor_local.postgres import DATABASES, EmbeddedPostgres, temporary_postgres

CONSOLE = Console(quiet=True)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[EmbeddedPostgres, EmbeddedPostgres]]:
    with temporary_postgres() as one, temporary_postgres() as other:
        yield one, other


def platform(server: EmbeddedPostgres, folder: Path) -> Platform:
    return Platform(
        {name: server.url(owner) for name, owner in DATABASES.items()},
        {name: (folder / name).as_uri() for name in ("store", "artifacts")},
        server.cluster.binaries.folder,
    )


@pytest.fixture
def filled(servers: tuple[EmbeddedPostgres, EmbeddedPostgres], tmp_path: Path) -> Platform:
    """A platform with a table in every database and objects in both stores."""
    here = platform(servers[0], tmp_path / "here")
    for name, url in here.databases.items():
        with psycopg.connect(url) as connection:
            connection.execute("DROP TABLE IF EXISTS told; CREATE TABLE told (what text)")
            connection.execute("INSERT INTO told VALUES (%s)", [name])
            if name == "realtor_raw":
                connection.execute("GRANT SELECT ON told TO realtor_service")
    for name in here.stores:
        path = tmp_path / "here" / name / "a folder" / "1.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(name.encode())
    return here


@pytest.fixture
def empty(servers: tuple[EmbeddedPostgres, EmbeddedPostgres], tmp_path: Path) -> Platform:
    there = platform(servers[1], tmp_path / "there")
    for url in there.databases.values():
        with psycopg.connect(url) as connection:
            connection.execute("DROP TABLE IF EXISTS told")
    return there


def told(at: Platform) -> dict[str, list[tuple[str, ...]]]:
    rows = {}
    for name, url in at.databases.items():
        with psycopg.connect(url) as connection:
            rows[name] = connection.execute("SELECT what FROM told").fetchall()
    return rows


def test_what_was_saved_comes_back(
    filled: Platform,
    empty: Platform,
    servers: tuple[EmbeddedPostgres, EmbeddedPostgres],
    tmp_path: Path,
) -> None:
    backup.save(filled, tmp_path / "kept", CONSOLE)
    backup.restore(tmp_path / "kept", empty, CONSOLE, again=tmp_path / "again")

    assert told(empty) == told(filled) == {name: [(name,)] for name in DATABASES}
    for name in filled.stores:
        assert (tmp_path / "there" / name / "a folder" / "1.bin").read_bytes() == name.encode()
    with psycopg.connect(servers[1].url("realtor_service")) as connection:
        assert connection.execute("SELECT what FROM told").fetchall() == [("realtor_raw",)]
    assert not (tmp_path / "again").exists()


def test_nothing_is_overwritten(filled: Platform, tmp_path: Path) -> None:
    backup.save(filled, tmp_path / "kept", CONSOLE)

    with pytest.raises(BackupError, match=r"something in database realtor_raw.*artifacts"):
        backup.restore(tmp_path / "kept", filled, CONSOLE, again=tmp_path / "again")
    with pytest.raises(BackupError, match="exists"):
        backup.save(filled, tmp_path / "kept", CONSOLE)


def test_a_changed_file_is_refused_before_anything_is_done(
    filled: Platform, empty: Platform, tmp_path: Path
) -> None:
    backup.save(filled, tmp_path / "kept", CONSOLE)
    (tmp_path / "kept" / "store" / "a folder" / "1.bin").write_bytes(b"other")

    with pytest.raises(BackupError, match=r"1\.bin is missing or not as it was saved"):
        backup.restore(tmp_path / "kept", empty, CONSOLE, again=tmp_path / "again")
    assert not (tmp_path / "there").exists()


def test_a_restore_that_was_cut_off_is_finished_by_the_next(
    filled: Platform, empty: Platform, tmp_path: Path
) -> None:
    kept, again = tmp_path / "kept", tmp_path / "again"
    backup.save(filled, kept, CONSOLE)
    half = Platform(
        {**empty.databases, "mlflow": "postgresql://nobody@127.0.0.1:1/mlflow"},
        empty.stores,
        empty.programs,
    )
    again.write_text(backup.read_manifest(kept) and backup._sha256(kept / backup.MANIFEST))
    with pytest.raises(BackupError, match="pg_restore of mlflow failed"):
        backup.restore(kept, half, CONSOLE, again=again)

    backup.restore(kept, empty, CONSOLE, again=again)

    assert told(empty) == told(filled)


def test_a_backup_that_fails_leaves_nothing(filled: Platform, tmp_path: Path) -> None:
    lost = Platform({"dagster": "postgresql://nobody@127.0.0.1:1/dagster"}, {}, filled.programs)

    with pytest.raises(BackupError, match="pg_dump of dagster failed"):
        backup.save(lost, tmp_path / "kept", CONSOLE)
    assert not [path for path in tmp_path.iterdir() if "kept" in path.name]
