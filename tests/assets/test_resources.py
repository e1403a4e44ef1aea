"""The object store, on a local folder and on a real S3 server; the database's lock."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import httpx
import pytest

from realtor_assets.resources import Database, ObjectStore
from realtor_local.ports import free_port

pytestmark = [pytest.mark.integration]

KEYS = {"AWS_ACCESS_KEY_ID": "realtor-test", "AWS_SECRET_ACCESS_KEY": uuid4().hex}


@pytest.fixture(scope="module")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server (SeaweedFS), which refuses a wrong signature."""
    folder = tmp_path_factory.mktemp("s3")
    identities = folder / "identities.json"
    identity = {
        "name": "test",
        "credentials": [
            {"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}
        ],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    identities.write_text(json.dumps({"identities": [identity]}))
    names = [
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port",
        "s3.port.grpc",
        "s3.port.iceberg",
        "s3.port.lance",
    ]
    ports: dict[str, int] = {}
    for name in names:
        ports[name] = free_port(frozenset(ports.values()))
    weed = Path(sys.executable).with_name("weed")
    server = subprocess.Popen(
        [
            weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3",
            f"-s3.config={identities}", *(f"-{name}={port}" for name, port in ports.items()),
        ],
        stdout=(folder / "log").open("wb"),
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(endpoint, timeout=1)
                break
            except httpx.HTTPError:
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(
                        f"the S3 server did not start: {(folder / 'log').read_text()[-2000:]}"
                    )
                time.sleep(0.2)
        yield endpoint
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["file", "s3"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ObjectStore:
    if request.param == "file":
        return ObjectStore(url=f"file://{tmp_path}/store")
    endpoint = request.getfixturevalue("s3_endpoint")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    bucket = f"s3://test-{uuid4().hex[:8]}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
    return ObjectStore(url=f"{bucket}/realtor")


def test_a_key_appears_with_all_its_bytes(store: ObjectStore) -> None:
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
