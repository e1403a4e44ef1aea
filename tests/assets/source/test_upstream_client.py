"""The client of the upstream, against the stand-in: what it lands, logs and refuses.

What it does about faults of the upstream is in `test_ingestion`.
"""

import hashlib
from pathlib import Path

import pandas as pd
import pytest
import zstandard

from realtor_assets.resources import Database, ObjectStore
from realtor_assets.source.landing import PAYLOADS, pending
from realtor_assets.source.upstream_client import ListingsApi, UpstreamError, UpstreamUnavailable
from realtor_local.ports import free_port
from realtor_local.synthetic_market import generate
from realtor_local.upstream.api import build_app
from tests.servers import listening

pytestmark = pytest.mark.integration


def api(url: str, *, attempts: int = 1, group: int = 1, max_bytes: int = 10**9) -> ListingsApi:
    return ListingsApi(url, group, None, timeout_seconds=30, attempts=attempts, max_bytes=max_bytes)


@pytest.fixture(scope="module")
def listings() -> pd.DataFrame:
    return generate(3_000, seed=1).listings


@pytest.fixture
def told() -> list[str]:
    return []


def log_of(database: Database) -> list[tuple[int | None, str | None, str, str | None]]:
    with database.transaction() as connection:
        return connection.execute(
            "SELECT status, payload_key, outcome, error FROM api_request_log ORDER BY requested_at"
        ).fetchall()


def test_batches_are_landed_verbatim_until_the_end(
    listings: pd.DataFrame, store: ObjectStore, raw_database: Database, told: list[str]
) -> None:
    with listening(build_app(lambda: listings)) as url:
        landed = []
        while payload := api(url).land_next_batch(store, raw_database, told.append):
            landed.append(payload)
        assert api(url).land_next_batch(store, raw_database, told.append) is None

    assert [item.batch_number for item in landed] == [0, 1, 2, 3, 4, 5]
    for item in landed:
        with store.open(item.payload_key) as file:
            body = zstandard.ZstdDecompressor().stream_reader(file).read()
        assert hashlib.sha256(body).hexdigest() == item.sha256
        assert len(body) == item.bytes
    entries = log_of(raw_database)
    assert [status for status, _, _, _ in entries] == [200] * 6 + [400, 400]
    assert [outcome for _, _, outcome, _ in entries] == ["landed"] * 6 + ["end of data"] * 2
    with raw_database.transaction() as connection:
        assert pending(connection) == landed


def test_the_next_call_logs_a_call_whose_process_died(
    listings: pd.DataFrame, store: ObjectStore, raw_database: Database, told: list[str]
) -> None:
    """Once with the answer safe in the store, once with half of it there."""
    with listening(build_app(lambda: listings)) as url:
        client = api(url)
        first = client.land_next_batch(store, raw_database, told.append)
        assert first is not None
        with raw_database.transaction() as connection:
            connection.execute("DELETE FROM api_request_log")
            connection.execute("DELETE FROM landed_payloads")
        lost = client._start(raw_database, "data", 1)
        key = lost["payload_key"]
        partial = Path(store.url_of(key).removeprefix("file://"))
        partial.with_name(f".partial-{partial.name}-abcd").write_bytes(b"half")

        second = client.land_next_batch(store, raw_database, told.append)

    assert second is not None
    assert second.batch_number == 1
    assert [outcome for _, _, outcome, _ in log_of(raw_database)] == ["landed", "lost", "landed"]
    folder = partial.parent
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        item.payload_key.rpartition("/")[2] for item in (first, second)
    )


def test_a_bad_group_is_an_error_with_the_answer_in_it(
    listings: pd.DataFrame, store: ObjectStore, raw_database: Database, told: list[str]
) -> None:
    with (
        listening(build_app(lambda: listings)) as url,
        pytest.raises(UpstreamError, match=r"answered 422.*less than or equal to 10"),
    ):
        api(url, attempts=3, group=99).land_next_batch(store, raw_database, told.append)

    ((status, key, outcome, error),) = log_of(raw_database)
    assert (status, key, outcome) == (422, None, "failed")
    assert error is not None


def test_an_unreachable_upstream_is_retried_and_named(
    store: ObjectStore,
    raw_database: Database,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(UpstreamUnavailable, match=f"{url}.*ConnectError"):
        api(url, attempts=3).land_next_batch(store, raw_database, told.append)

    assert [outcome for _, _, outcome, _ in log_of(raw_database)] == ["failed"] * 3
    assert sum("trying again" in text for text in told) == 2


def test_a_batch_beyond_the_limit_is_not_landed(
    listings: pd.DataFrame, store: ObjectStore, raw_database: Database, told: list[str]
) -> None:
    with (
        listening(build_app(lambda: listings)) as url,
        pytest.raises(UpstreamError, match=r"larger than 1,000 bytes.*REALTOR_MAX_PAYLOAD_BYTES"),
    ):
        api(url, max_bytes=1_000).land_next_batch(store, raw_database, told.append)

    assert store.list_keys(PAYLOADS) == []
    assert [outcome for _, _, outcome, _ in log_of(raw_database)] == ["lost"]
