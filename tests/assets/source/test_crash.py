"""kill -9 of the run worker, PostgreSQL and the upstream, again and again, in an ingestion.

REALTOR_CRASH_KILLS sets how many kills; the suite makes a few.
"""

import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from realtor_assets.pipeline_settings import settings
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import migrate
from realtor_local.ports import free_port
from realtor_local.postgres import EmbeddedPostgres
from realtor_local.program_health import http_problem
from realtor_local.synthetic_market import generate
from realtor_local.upstream.api import build_app
from tests.assets.ingestion import Ingestion
from tests.local.conftest import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

KILLS = int(os.environ.get("REALTOR_CRASH_KILLS", "6"))
ROWS = 30_000
# Kills fall within this time of the victim's start; an ingestion takes some seconds.
WITHIN_SECONDS = 3.0
FORK = multiprocessing.get_context("fork")


def serve_upstream(port: int, state: Path) -> None:
    import uvicorn

    app = build_app(lambda: generate(ROWS, seed=3).listings, state=state)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def work(environment: dict[str, str]) -> None:
    """What a run worker does, until there is no more data."""
    os.environ.update(environment)
    settings.cache_clear()
    with dg.DagsterInstance.ephemeral() as instance:
        Ingestion(
            ObjectStore(url=environment["REALTOR_STORAGE_URL"]),
            Database(url=environment["REALTOR_RAW_DATABASE_URL"]),
            instance,
        ).until_the_end()


class Platform:
    """PostgreSQL, the upstream and a worker, each of which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o711)
        self.postgres = EmbeddedPostgres(folder)
        self.postgres.start()
        migrate(self.postgres.url("realtor_raw_owner"), "raw")
        self.port, self.state = free_port(), folder / "upstream.json"
        self.environment = {
            "REALTOR_RAW_DATABASE_URL": self.postgres.url("realtor_raw"),
            "REALTOR_CLEAN_DATABASE_URL": self.postgres.url("realtor_clean"),
            "REALTOR_STORAGE_URL": f"file://{folder}/store",
            "REALTOR_API_URL": f"http://127.0.0.1:{self.port}",
            "REALTOR_API_ATTEMPTS": "1",
        }
        self.start_upstream()

    def start_upstream(self) -> None:
        self.upstream = FORK.Process(target=serve_upstream, args=(self.port, self.state))
        self.upstream.start()
        assert eventually(lambda: http_problem(f"http://127.0.0.1:{self.port}/health") is None, 60)

    def worker(self) -> multiprocessing.process.BaseProcess:
        worker = FORK.Process(target=work, args=(self.environment,))
        worker.start()
        return worker

    def kill(self, victim: str, worker: multiprocessing.process.BaseProcess) -> None:
        if victim == "worker":
            worker.kill()
        elif victim == "upstream":
            self.upstream.kill()
            self.upstream.join()
        else:
            server = self.postgres.process()
            assert server is not None
            for process in (server, *server.children(recursive=True)):
                process.kill()

    def mend(self) -> None:
        if not self.upstream.is_alive():
            self.start_upstream()
        self.postgres.start()

    def stop(self) -> None:
        self.upstream.kill()
        self.upstream.join()
        self.postgres.stop()

    def content(self) -> list[str]:
        database = Database(url=self.postgres.url("realtor_raw"))
        with dg.DagsterInstance.ephemeral() as instance:
            ingestion = Ingestion(ObjectStore(url="file:///nowhere"), database, instance)
            return ingestion.content()


@pytest.fixture
def platform() -> Iterator[Platform]:
    # Not pytest's folder: only its owner can enter that, and root's PostgreSQL runs as another.
    with tempfile.TemporaryDirectory(prefix="realtor-crash-") as name:
        platform = Platform(Path(name))
        yield platform
        platform.stop()


def test_no_row_is_lost_or_doubled_after_a_crash_at_any_point(platform: Platform) -> None:
    assert finished(platform) == 1
    undisturbed = platform.content()
    seed = random.randrange(10**9)
    chance = random.Random(seed)
    start_over(platform)
    for _ in range(KILLS):
        worker = platform.worker()
        time.sleep(chance.uniform(0.0, WITHIN_SECONDS))
        platform.kill(chance.choice(["worker", "worker", "postgres", "upstream"]), worker)
        worker.join(timeout=20)
        worker.kill()
        worker.join()
        platform.mend()
        if worker.exitcode == 0:
            check(platform, undisturbed, seed)
            start_over(platform)
    finished(platform)
    check(platform, undisturbed, seed)


def finished(platform: Platform) -> int:
    """How many workers it takes until one comes to the end of the data."""
    for tried in range(1, 6):
        worker = platform.worker()
        worker.join()
        if worker.exitcode == 0:
            return tried
    raise AssertionError("the ingestion does not come to its end")


def check(platform: Platform, undisturbed: list[str], seed: int) -> None:
    assert platform.content() == undisturbed, f"seed {seed}"
    with psycopg.connect(platform.postgres.url("realtor_raw")) as connection:
        batches = connection.execute(
            "SELECT DISTINCT s.batch_number FROM landed_payloads JOIN ingestion_summary s"
            " USING (partition_key) WHERE state = 'loaded' ORDER BY 1"
        ).fetchall()
        added = connection.execute(
            "SELECT sum(inserted_train) = (SELECT count(*) FROM raw_train),"
            " sum(quarantined) = (SELECT count(*) FROM raw_quarantine) FROM ingestion_summary"
        ).fetchone()
    assert batches == [(number,) for number in range(6)], f"seed {seed}"
    assert added == (True, True), f"seed {seed}"


def start_over(platform: Platform) -> None:
    """Empty RAW and an upstream at its first batch: kills of a finished ingestion test nothing."""
    with psycopg.connect(platform.postgres.url("realtor_raw_owner")) as connection:
        connection.execute(
            "TRUNCATE raw_train, raw_validation, raw_test, raw_quarantine, refusal_dismissals,"
            " ingestion_summary, landed_payloads, api_request_log, api_request_started"
        )
    platform.upstream.kill()
    platform.upstream.join()
    platform.state.unlink(missing_ok=True)
    platform.start_upstream()
