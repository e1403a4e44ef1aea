"""`realtor ingest`: what is said of files that are loaded and refused, on a real Dagster."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from realtor_assets.raw.refused_payloads import dismiss, refused_payloads
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import migrate
from realtor_local.dagster_client import DagsterClient
from realtor_local.pipeline_jobs import Ingestion, NoSuchBatch, PayloadRefused
from realtor_local.ports import free_port
from realtor_local.postgres import EmbeddedPostgres
from realtor_local.program_health import http_problem
from tests.conftest import empty_databases
from tests.local.conftest import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

# No daemon runs here to take runs from a queue.
INSTANCE = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""
HEADER = "price,bed,state,zip_code,note"
GOOD = [f"{200_000 + n},3,Texas,78701,x" for n in range(5)]


@pytest.fixture(scope="module")
def raw(postgres: EmbeddedPostgres) -> Iterator[Database]:
    with empty_databases(postgres) as make:
        database = make()
        migrate(database.url, "raw")
        yield database


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    return ObjectStore(url=f"file://{tmp_path_factory.mktemp('store')}")


@pytest.fixture(scope="module")
def dagster(
    raw: Database, store: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DagsterClient]:
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text(INSTANCE)
    with webserver(home, raw, store) as url, DagsterClient(url) as client:
        yield client


@contextmanager
def webserver(home: Path, raw: Database, store: ObjectStore) -> Iterator[str]:
    port = free_port()
    variables = {
        "DAGSTER_HOME": str(home),
        "REALTOR_RAW_DATABASE_URL": raw.url,
        "REALTOR_CLEAN_DATABASE_URL": raw.url,
        "REALTOR_STORAGE_URL": store.url,
    }
    module = ("-m", "realtor_assets.definitions")
    server = subprocess.Popen(
        [sys.executable, "-m", "dagster_webserver", "-p", str(port), *module],
        cwd=home,
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        assert eventually(lambda: http_problem(f"{url}/server_info") is None, 180)
        yield url
    finally:
        server.terminate()
        server.wait()


class Command:
    """An `Ingestion` and what it printed."""

    def __init__(self, dagster: DagsterClient, raw: Database) -> None:
        self._output = io.StringIO()
        console = Console(file=self._output, markup=False, width=10_000)
        self.ingestion = Ingestion(dagster, raw.url, console)

    @property
    def printed(self) -> str:
        return self._output.getvalue()


def csv(folder: Path, rows: list[str], header: str = HEADER) -> Path:
    path = folder / "homes.csv"
    path.write_text("\n".join([header, *rows, ""]))
    return path


def test_a_refused_file_is_never_called_loaded(
    dagster: DagsterClient, raw: Database, tmp_path: Path
) -> None:
    path = csv(tmp_path, GOOD, header="price,price,state,zip_code,bed")

    for printed in ("was refused", ""):
        command = Command(dagster, raw)
        command.ingestion.file(path)
        with pytest.raises(PayloadRefused) as refused:
            command.ingestion.raise_refused()
        assert "two columns have the header price" in str(refused.value)
        assert "`realtor ingest --again file-000-" in str(refused.value)
        assert "in RAW already" not in command.printed
        assert printed in command.printed

    with psycopg.connect(raw.url) as connection:
        (payload,) = refused_payloads(connection)
    again = Command(dagster, raw)
    again.ingestion.again(payload.partition_key)
    with pytest.raises(PayloadRefused):
        again.ingestion.raise_refused()
    with psycopg.connect(raw.url) as connection:
        dismiss(connection, payload.partition_key, approver="ana", rationale="a test of theirs")


def test_a_bad_payload_stops_no_other(
    dagster: DagsterClient, raw: Database, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    landing = {"ops": {"land_csv": {"config": {"path": str(empty)}}}}
    dagster.follow(dagster.launch("ingest_csv", config=landing), lambda progress: None)
    path = csv(tmp_path, [*GOOD, "free,3,Texas,78701,x", "1,2,3"])

    command = Command(dagster, raw)
    command.ingestion.file(path)

    with pytest.raises(PayloadRefused, match="the file is empty"):
        command.ingestion.raise_refused()
    assert "7 rows received = 5 inserted + 0 duplicate + 2 quarantined" in command.printed
    assert "1 quarantined: price must be a number" in command.printed
    assert "1 quarantined: the row has 3 cells, but the header has 5" in command.printed
    assert "columns without a use: note" in command.printed

    repeated = Command(dagster, raw)
    repeated.ingestion.file(path)
    repeated.ingestion.raise_refused()
    assert "This file is in RAW already: nothing is added." in repeated.printed


def test_only_a_landed_payload_can_be_loaded_again(dagster: DagsterClient, raw: Database) -> None:
    with pytest.raises(NoSuchBatch, match="Nothing is landed as nothing"):
        Command(dagster, raw).ingestion.again("nothing")
