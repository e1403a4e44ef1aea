"""Empty RAW and CLEAN databases, and an object store, of each test's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import zstandard

from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import create_tables

Listing = dict[str, Any]


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
