"""Real servers for tests: each xdist worker starts its own, on a free port, in a temp folder."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from realtor_assets.resources import Database
from realtor_local.platform_settings import PlatformSettings
from realtor_local.postgres import EmbeddedPostgres, temporary_postgres
from tests import servers

# As the platform sets it: threads that spin while they wait slow the other workers' tests down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

CHECKOUT_HOME = str(Path(__file__).parents[1] / ".realtor")
DEFAULT_PORTS = frozenset(
    int(field.default)
    for name, field in PlatformSettings.model_fields.items()
    if name.endswith("_port") and field.default != 0
)


def refuse_running_platform(event: str, arguments: tuple[object, ...]) -> None:
    """Audit hook that keeps tests away from a platform that runs on this machine.

    Raises:
        AssertionError: the test connects to a default port of the platform, or opens a file in
            the checkout's .realtor: it has to name a server or a folder of its own.
    """
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and address[1] in DEFAULT_PORTS:
            raise AssertionError(f"a test connects to {address}, a default port of the platform")
    elif event == "open":
        path = arguments[0]
        if isinstance(path, str) and path.startswith(CHECKOUT_HOME):
            raise AssertionError(f"a test opens {path}, which belongs to the checkout's platform")


sys.addaudithook(refuse_running_platform)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-examples",
        type=int,
        default=20,
        help="requests made up for each operation of the service; default %(default)s",
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A real PostgreSQL with the platform's four databases; `.urls` names them."""
    with temporary_postgres() as server:
        yield server


@contextmanager
def empty_databases(postgres: EmbeddedPostgres) -> Iterator[Callable[[], Database]]:
    """Makes empty databases; they are dropped when the block ends."""
    made: list[str] = []
    admin = postgres.admin_url

    def make() -> Database:
        name = f"test_{uuid4().hex[:12]}"
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        return Database(url=f"{admin.rpartition('/')[0]}/{name}")

    yield make
    with psycopg.connect(admin, autocommit=True) as connection:
        for name in made:
            statement = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(statement)


@pytest.fixture
def databases(postgres: EmbeddedPostgres) -> Iterator[Callable[[], Database]]:
    """Makes empty databases for one test."""
    with empty_databases(postgres) as make:
        yield make


@pytest.fixture(scope="session")
def mlflow_server(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[servers.MlflowServer]:
    """A real MLflow server with a PostgreSQL backend and an artifact proxy."""
    backend = postgres.urls["MLFLOW_BACKEND_STORE_URI"]
    with servers.mlflow_server(tmp_path_factory.mktemp("mlflow"), backend) as server:
        yield server


@pytest.fixture(scope="session")
def small_upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Upstream]:
    """The stand-in upstream with a small synthetic market."""
    folder = tmp_path_factory.mktemp("upstream")
    with servers.upstream(folder, "--rows", "30000", "--seed", "7") as server:
        yield server
