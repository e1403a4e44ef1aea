"""The object store, on a local folder and on a real S3 server; the database's lock."""

import threading
import time
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from realtor_assets.resources import Database, ObjectStore
from tests.servers import S3Server

pytestmark = [pytest.mark.integration]


@pytest.fixture(params=["file", "s3"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ObjectStore:
    if request.param == "file":
        return ObjectStore(url=f"file://{tmp_path}/store")
    s3: S3Server = request.getfixturevalue("s3_server")
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"s3://test-{uuid4().hex[:8]}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
    return ObjectStore(url=f"{bucket}/realtor")


def test_an_object_appears_only_when_it_is_complete(store: ObjectStore) -> None:
    with store.create("a/b.bin") as file:
        file.write(b"one")
        assert not store.exists("a/b.bin")
        file.write(b"two")

    with store.open("a/b.bin") as file:
        assert file.read() == b"onetwo"
    assert store.list_keys("a") == ["a/b.bin"]


def test_a_failed_write_leaves_nothing(store: ObjectStore) -> None:
    with pytest.raises(ZeroDivisionError), store.create("a/c.bin") as file:
        file.write(b"half")
        raise ZeroDivisionError

    assert store.list_keys("a") == []


def test_a_missing_key_is_an_error(store: ObjectStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.open("no/such.bin").read()


def test_a_lock_keeps_others_out_until_it_is_released(raw_database: Database) -> None:
    order: list[str] = []

    def second() -> None:
        with raw_database.lock("promotion"):
            order.append("second")

    with raw_database.lock("promotion"):
        thread = threading.Thread(target=second)
        thread.start()
        with raw_database.lock("something else"):
            time.sleep(0.3)
        order.append("first")
    thread.join(timeout=10)

    assert order == ["first", "second"]
