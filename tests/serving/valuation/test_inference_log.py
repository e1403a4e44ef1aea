"""inference_log: written in the background, bounded, and never a reason for an answer to wait."""

import time
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from realtor_local.ports import free_port
from realtor_local.postgres import EmbeddedPostgres
from realtor_model.listing import Property
from realtor_serving.valuation.inference_log import Answer, PostgresInferenceLog
from tests.serving.running import HOUSE, run_service, wait_for

pytestmark = pytest.mark.integration

TABLE = """
CREATE TABLE inference_log (
    request_id uuid PRIMARY KEY, requested_at timestamptz NOT NULL, endpoint text NOT NULL,
    model_version text NOT NULL, property jsonb NOT NULL, price double precision NOT NULL,
    low double precision NOT NULL, high double precision NOT NULL
)
"""


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"test_{uuid4().hex[:12]}"
    admin = postgres.admin_url
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield f"{admin.rsplit('/', 1)[0]}/{name}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def table(database: str) -> str:
    """The URL of a database with an empty inference_log."""
    query(database, TABLE)
    return database


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def rows(url: str) -> int:
    ((count,),) = query(url, "SELECT count(*) FROM inference_log")
    return int(str(count))


def answer(number: int = 0, property_json: str = '{"bed": 3}') -> Answer:
    return Answer("/predict", "1", property_json, float(number), 1.0, 2.0)


class Counts(Counter[str]):
    def __call__(self, result: str, number: int) -> None:
        self[result] += number


def test_close_writes_all_waiting_rows(table: str) -> None:
    counts = Counts()
    with PostgresInferenceLog(table, count=counts) as log:
        log.record(map(answer, range(12_345)))

    assert rows(table) == 12_345
    assert counts == {"written": 12_345}


def test_an_unreachable_database_costs_nothing_and_the_rest_is_dropped() -> None:
    counts = Counts()
    log = PostgresInferenceLog(
        f"postgresql://nobody@127.0.0.1:{free_port()}/none", capacity=100, count=counts
    )
    started = time.perf_counter()
    log.record(map(answer, range(1_000)))
    assert time.perf_counter() - started < 1
    assert counts["dropped"] == 900

    log.close()

    assert counts["written"] == 0
    assert counts["dropped"] == 1_000


def test_queue_is_bounded_in_bytes() -> None:
    counts = Counts()
    seen: list[int] = []
    log = PostgresInferenceLog(
        f"postgresql://nobody@127.0.0.1:{free_port()}/none",
        capacity_bytes=20_000,
        count=counts,
        waiting=seen.append,
    )
    log.record([answer(property_json="x" * 4_000)] * 10)
    assert counts["dropped"] == 6
    log.record([answer()] * 5)
    assert counts["dropped"] == 9, "what is small still fits"

    log.close()

    assert counts["dropped"] == 15
    assert seen[-1] == 6


def test_written_rows_free_the_queue(table: str) -> None:
    counts = Counts()
    with PostgresInferenceLog(table, capacity_bytes=10_000, count=counts) as log:
        for expected in (10, 20, 30):
            log.record([answer(property_json='{"city": "' + "x" * 300 + '"}')] * 10)
            wait_for(lambda: counts["written"] == expected, "the rows", seconds=20)  # noqa: B023
    assert counts == {"written": 30}


def test_rows_wait_until_the_table_is_there(database: str) -> None:
    counts = Counts()
    with PostgresInferenceLog(database, count=counts) as log:
        log.record([answer()])
        wait_for(lambda: counts["failed"] > 0, "the first attempt to fail", seconds=20)
        query(database, TABLE)
        wait_for(lambda: counts["written"] == 1, "the row", seconds=20)


def test_row_that_the_database_rejects_is_dropped_alone(table: str) -> None:
    counts = Counts()
    with PostgresInferenceLog(table, count=counts) as log:
        log.record([*map(answer, range(10)), answer(10, '{"city": "\\u0000"}'), answer(11)])

    assert rows(table) == 11
    assert counts == {"written": 11, "dropped": 1}


def test_a_broken_connection_is_made_anew(table: str) -> None:
    counts = Counts()
    with PostgresInferenceLog(table, count=counts) as log:
        log.record([answer()])
        wait_for(lambda: counts["written"] == 1, "the first row", seconds=20)
        query(
            table,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'realtor inference log' AND datname = current_database()",
        )
        log.record([answer()])
        wait_for(lambda: counts["written"] == 2, "the second row", seconds=20)


def test_service_logs_each_answer(
    table: str, bundle: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    variables = {"REALTOR_CHAMPION_BUNDLE": str(bundle), "REALTOR_INFERENCE_LOG_URL": table}
    with run_service(tmp_path_factory.mktemp("service"), **variables) as service:
        price = service.post("/predict", HOUSE).json()["price"]
        service.post("/predict-batch", {"properties": [HOUSE, {"bed": 2}, HOUSE]})
        service.post("/explain", HOUSE)
        service.post("/predict", {"bed": 2})

    found = query(
        table, "SELECT endpoint, model_version, property, price, low, high FROM inference_log"
    )
    assert Counter(row[0] for row in found) == {
        "/predict": 1, "/predict-batch": 2, "/explain": 1
    }  # fmt: skip
    assert {row[1] for row in found} == {"packaged"}
    assert {row[3] for row in found} == {price}
    logged = [Property.model_validate(row[2]) for row in found]
    assert logged == [Property.model_validate(HOUSE)] * 4
