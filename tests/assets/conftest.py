"""Empty RAW and CLEAN databases, and an object store, of each test's own."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import zstandard

from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import migrate
from realtor_assets.source.landing import LandedPayload, measure, partition_key, register
from tests import servers

Listing = dict[str, Any]


@pytest.fixture
def raw_database(databases: Callable[[], Database]) -> Database:
    database = databases()
    migrate(database.url, "raw")
    return database


@pytest.fixture
def clean_database(databases: Callable[[], Database]) -> Database:
    database = databases()
    migrate(database.url, "clean")
    return database


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(url=f"file://{tmp_path}/store")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.S3Server]:
    """A real S3 server."""
    with servers.s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


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


def land(
    store: ObjectStore,
    database: Database,
    rows: list[Listing],
    *,
    batch: int = 0,
    cut: int | None = None,
) -> LandedPayload:
    """Land a payload with `rows` as the client would; `cut` drops its last bytes."""
    document = json.dumps({"group_number": 1, "batch_number": batch, "data": rows}).encode()
    return land_bytes(store, database, document[: None if cut is None else -cut], batch=batch)


def land_bytes(
    store: ObjectStore, database: Database, body: bytes, *, batch: int | None = 0
) -> LandedPayload:
    """Land `body` under the name of a batch."""
    key = f"payloads/group=1/{uuid4().hex}.json.zst"
    with store.create(key) as file:
        file.write(zstandard.compress(body))
    size, sha256 = measure(store, key)
    payload = LandedPayload(
        partition_key(1, None, batch, sha256), key, "upstream", 1, None, batch, size, sha256
    )
    with database.transaction() as connection:
        register(connection, payload)
    return payload
