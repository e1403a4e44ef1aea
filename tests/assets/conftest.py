"""Empty RAW and CLEAN databases, and an object store, of each test's own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import zstandard
from psycopg import sql

from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import create_tables
from realtor_local.postgres import EmbeddedPostgres

Listing = dict[str, Any]


@pytest.fixture
def databases(postgres: EmbeddedPostgres) -> Iterator[Callable[[], Database]]:
    """Makes empty databases; they are dropped when the test ends."""
    made: list[str] = []
    admin = postgres.url("postgres")

    def make() -> Database:
        name = f"test_{uuid4().hex[:12]}"
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        return Database(url=f"{admin.rsplit('/', 1)[0]}/{name}")

    yield make
    with psycopg.connect(admin, autocommit=True) as connection:
        for name in made:
            statement = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(statement)


@pytest.fixture
def raw_database(databases: Callable[[], Database]) -> Database:
    database = databases()
    with database.transaction() as connection:
        create_tables(connection, "raw")
    return database


@pytest.fixture
def clean_database(databases: Callable[[], Database]) -> Database:
    database = databases()
    with database.transaction() as connection:
        create_tables(connection, "clean")
    return database


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(url=f"file://{tmp_path}/store")


def listing(**values: Any) -> Listing:
    """One row as the upstream sends it; `values` replace single columns."""
    return {
        "brokered_by": 6016.0,
        "status": "for_sale",
        "price": 239_800.0,
        "bed": 3.0,
        "bath": 2.0,
        "acre_lot": 0.28,
        "street": 1_693_508.0,
        "city": "Graham",
        "state": "North Carolina",
        "zip_code": 27253.0,
        "house_size": 1_605.0,
        "prev_sold_date": "2021-10-22",
    } | values


def land(store: ObjectStore, rows: list[Listing], *, batch: int = 0, cut: int | None = None) -> str:
    """Put a payload with `rows` into the store as landing would; `cut` drops its last bytes."""
    document = json.dumps({"group_number": 1, "batch_number": batch, "data": rows}).encode()
    key = f"payloads/group=1/{batch:04d}-{uuid4().hex[:8]}.json.zst"
    with store.create(key) as file:
        file.write(zstandard.compress(document[: None if cut is None else -cut]))
    return key
