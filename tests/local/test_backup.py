"""Backups: what is saved, what is refused, and what a restore brings back."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import s3fs
import yaml
from psycopg import sql
from rich.console import Console

from realtor_assets.schema import migrate
from realtor_local import backup
from realtor_local.backup import BackupError, Platform
from realtor_local.postgres import DATABASES, EmbeddedPostgres, temporary_postgres
from tests.servers import s3_server

COMPOSE = Path(__file__).parents[2] / "deploy/compose/compose.yaml"
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
    """A platform with a table in every database, RAW's own too, and objects in both stores."""
    here = platform(servers[0], tmp_path / "here")
    migrate(here.databases["realtor_raw"], "raw")
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
            tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            for (table,) in connection.execute(tables).fetchall():
                drop = sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(table))
                connection.execute(drop)
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


def test_raw_knows_when_each_whole_backup_was_begun(
    filled: Platform, servers: tuple[EmbeddedPostgres, EmbeddedPostgres], tmp_path: Path
) -> None:
    def known() -> list[tuple[datetime, str]]:
        """As the role that the exporter is."""
        with psycopg.connect(servers[0].url("realtor_raw")) as connection:
            return connection.execute("SELECT * FROM backups ORDER BY taken_at").fetchall()

    before, began = known(), datetime.now(UTC)
    broken = Platform({**filled.databases, "mlflow": "postgresql://nobody@127.0.0.1:1/mlflow"},
                      filled.stores, filled.programs)  # fmt: skip
    with pytest.raises(BackupError, match="pg_dump of mlflow failed"):
        backup.save(broken, tmp_path / "broken", CONSOLE)
    assert known() == before

    backup.save(filled, tmp_path / "kept", CONSOLE)

    [(taken_at, folder)] = known()[len(before) :]
    assert began < taken_at < datetime.now(UTC)
    assert folder == str(tmp_path / "kept")
    with (
        psycopg.connect(servers[0].url("realtor_raw")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("INSERT INTO backups VALUES (now(), 'never made')")


def test_a_backup_is_kept_when_raw_cannot_record_it(
    filled: Platform, empty: Platform, tmp_path: Path
) -> None:
    """RAW of an older release: before an upgrade is when a backup matters."""
    with pytest.raises(BackupError, match=r'is complete, but RAW cannot.*"backups" does not exist'):
        backup.save(empty, tmp_path / "kept", CONSOLE)
    backup.read_manifest(tmp_path / "kept")


def test_nothing_is_overwritten(filled: Platform, tmp_path: Path) -> None:
    backup.save(filled, tmp_path / "kept", CONSOLE)

    with pytest.raises(BackupError, match=r"database realtor_raw.*artifacts .* hold data"):
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


def test_an_interrupted_restore_is_completed_by_the_next(
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


def test_the_newest_are_kept_and_nothing_else_is_touched(filled: Platform, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    (folder / "mine").mkdir(parents=True)
    (folder / "2020-01-01T00-00-00Z").mkdir()
    for day in ("01", "02", "03"):
        backup.save(filled, folder / f"2026-01-{day}T03-00-00Z", CONSOLE)

    backup.save_and_keep(filled, folder, 2, CONSOLE)

    left = sorted(path.name for path in folder.iterdir())
    # A folder without a manifest is no backup.
    assert left[:2] == ["2020-01-01T00-00-00Z", "2026-01-03T03-00-00Z"]
    assert left[-1] == "mine"
    assert len(left) == 4
    backup.read_manifest(folder / left[2])


def test_what_compose_runs_saves_and_restores(
    filled: Platform,
    empty: Platform,
    servers: tuple[EmbeddedPostgres, EmbeddedPostgres],
    tmp_path: Path,
) -> None:
    """Its command and its variables, over databases and an object store that are elsewhere."""
    described: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]["backup"]
    (mounted,) = described["volumes"]
    assert mounted.endswith(":/data"), "where the image keeps REALTOR_HOME"
    with s3_server(tmp_path) as server:
        keys = server.environment
        store = s3fs.S3FileSystem(
            key=keys["AWS_ACCESS_KEY_ID"],
            secret=keys["AWS_SECRET_ACCESS_KEY"],
            endpoint_url=keys["AWS_ENDPOINT_URL"],
        )

        def run(*command: str, at: EmbeddedPostgres, buckets: str) -> str:
            known = keys | {
                "AWS_DEFAULT_REGION": "us-east-1",
                "DAGSTER_POSTGRES_URL": at.url("dagster"),
                "MLFLOW_BACKEND_STORE_URI": at.url("mlflow"),
                "REALTOR_ARTIFACTS_URL": f"s3://{buckets}-mlflow/artifacts",
                "REALTOR_CLEAN_DATABASE_URL": at.url("realtor_clean"),
                "REALTOR_RAW_DATABASE_URL": at.url("realtor_raw"),
                "REALTOR_RAW_OWNER_DATABASE_URL": at.url("realtor_raw_owner"),
                "REALTOR_STORAGE_URL": f"s3://{buckets}-store",
            }
            done = subprocess.run(
                [sys.executable, *described["entrypoint"][1:], *command],
                env={"PATH": os.environ["PATH"], "REALTOR_HOME": str(tmp_path / "data")}
                | {name: known[name] for name in described["environment"]},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        for bucket in ("one-store", "one-mlflow", "other-store", "other-mlflow"):
            store.mkdir(bucket)
        store.pipe("one-store/landed/a payload.json.zst", b"payload")
        store.pipe("one-mlflow/artifacts/1/model.ubj", b"model")
        command = [each.replace("/data", str(tmp_path / "data")) for each in described["command"]]
        run(*command[:-1], "1", at=servers[0], buckets="one")
        (made,) = (tmp_path / "data" / "backups").iterdir()
        run("restore", str(made), at=servers[1], buckets="other")

        store.invalidate_cache()
        assert store.cat("other-store/landed/a payload.json.zst") == b"payload"
        assert store.cat("other-mlflow/artifacts/1/model.ubj") == b"model"
    assert told(empty) == told(filled)
