"""The client of the upstream, against the stand-in with its faults switched on."""

import hashlib
import logging
from pathlib import Path

import dagster as dg
import pytest
import zstandard

from realtor_assets.checks import no_batch_is_missing
from realtor_assets.loading import PayloadUnreadable, load_payload, pending_payloads, read_header
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.upstream import ListingsApi, UpstreamError, UpstreamUnavailable
from tests import servers

pytestmark = pytest.mark.integration
LOG = logging.getLogger(__name__)


def api(upstream: servers.Upstream, *, attempts: int = 1, group: int = 1) -> ListingsApi:
    return ListingsApi(upstream.url, group, None, timeout_seconds=30, attempts=attempts)


def log_of(database: Database) -> list[tuple[int | None, str | None, str | None]]:
    with database.transaction() as connection:
        return connection.execute(
            "SELECT status, payload_key, error FROM api_request_log ORDER BY requested_at"
        ).fetchall()


def test_batches_are_landed_verbatim_until_the_end(
    tmp_path: Path, store: ObjectStore, raw_database: Database
) -> None:
    with servers.upstream(tmp_path, "--rows", "3000", "--seed", "1") as upstream:
        landed = []
        while payload := api(upstream).land_next_batch(store, raw_database, LOG):
            landed.append(payload)
        assert api(upstream).land_next_batch(store, raw_database, LOG) is None

    assert [read_header(store, item.key)["batch_number"] for item in landed] == [0, 1, 2, 3, 4, 5]
    for item in landed:
        with store.open(item.key) as file:
            body = zstandard.ZstdDecompressor().stream_reader(file).read()
        assert hashlib.sha256(body).hexdigest() == item.sha256
        assert len(body) == item.bytes
    entries = log_of(raw_database)
    assert [status for status, _, _ in entries] == [200] * 6 + [400, 400]
    assert [error for _, _, error in entries][-2:] == ["end of data"] * 2
    with raw_database.transaction() as connection:
        assert pending_payloads(store, connection) == sorted(item.key for item in landed)


def test_a_server_error_is_tried_again_and_every_call_is_logged(
    tmp_path: Path, store: ObjectStore, raw_database: Database
) -> None:
    with servers.upstream(tmp_path, "--rows", "2000", "--fault", "http500@0") as upstream:
        payload = api(upstream, attempts=2).land_next_batch(store, raw_database, LOG)

    assert payload is not None
    assert read_header(store, payload.key)["batch_number"] == 0
    assert [status for status, _, _ in log_of(raw_database)] == [500, 200]


def test_a_404_style_end_is_an_end(
    tmp_path: Path, store: ObjectStore, raw_database: Database
) -> None:
    with servers.upstream(tmp_path, "--rows", "2000", "--fault", "end404@0") as upstream:
        assert api(upstream).land_next_batch(store, raw_database, LOG) is None


def test_a_broken_connection_lands_nothing_and_says_how_far_it_came(
    tmp_path: Path, store: ObjectStore, raw_database: Database
) -> None:
    with (
        servers.upstream(tmp_path, "--rows", "20000", "--fault", "aborted@0") as upstream,
        pytest.raises(UpstreamUnavailable, match="failed after"),
    ):
        api(upstream).land_next_batch(store, raw_database, LOG)

    assert store.list_keys("payloads") == []
    ((status, key, error),) = log_of(raw_database)
    assert (status, key) == (200, None)
    assert error is not None


def test_cut_off_json_is_landed_and_refused_when_it_is_loaded(
    tmp_path: Path, store: ObjectStore, raw_database: Database
) -> None:
    with servers.upstream(tmp_path, "--rows", "2000", "--fault", "truncated@0") as upstream:
        payload = api(upstream).land_next_batch(store, raw_database, LOG)
    assert payload is not None

    with raw_database.transaction() as connection:
        report = load_payload(store, connection, payload.key)

    assert report.state == "refused"
    assert report.error is not None


def test_a_bad_group_is_an_error_with_the_answer_in_it(
    tmp_path: Path, store: ObjectStore, raw_database: Database
) -> None:
    with (
        servers.upstream(tmp_path, "--rows", "2000") as upstream,
        pytest.raises(UpstreamError, match="answered 422"),
    ):
        api(upstream, attempts=3, group=99).land_next_batch(store, raw_database, LOG)

    assert len(log_of(raw_database)) == 1


def test_a_payload_without_its_header_is_unreadable(store: ObjectStore) -> None:
    with store.create("payloads/x.json.zst") as file:
        file.write(zstandard.compress(b'{"data": []}'))

    with pytest.raises(PayloadUnreadable, match="batch_number"):
        read_header(store, "payloads/x.json.zst")


def test_a_batch_lost_on_its_way_is_noticed(
    tmp_path: Path, store: ObjectStore, raw_database: Database
) -> None:
    with servers.upstream(tmp_path, "--rows", "20000", "--fault", "aborted@0") as upstream:
        payload = api(upstream, attempts=2).land_next_batch(store, raw_database, LOG)
    assert payload is not None, "the next call brings the next batch"
    with raw_database.transaction() as connection:
        load_payload(store, connection, payload.key)

    result = no_batch_is_missing(raw_database=raw_database)

    assert isinstance(result, dg.AssetCheckResult)
    assert not result.passed
    assert result.metadata["missing"].value == "group 1: batch 0"
