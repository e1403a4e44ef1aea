"""The published history: handed on as it is, whatever becomes of the store it lies in."""

import json
import os
import socket
from pathlib import Path

import pytest

from realtor_model.valuation.bundle import save_bundle
from realtor_serving.champion import history_document as history_module
from realtor_serving.champion.history_document import (
    HistoryNotPublished,
    HistoryUnavailable,
    PublishedHistory,
)
from tests.serving.running import Server, make_model, run_service

DOCUMENT = {"format": 1, "versions": [{"version": "1"}], "batches": []}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "history.json"
    path.write_text(json.dumps(DOCUMENT))
    return path


def test_a_newer_document_is_handed_on_after_a_while(file: Path) -> None:
    clock = Clock()
    history = PublishedHistory(file.as_uri(), ttl_seconds=10, clock=clock)
    assert json.loads(history.document()) == DOCUMENT

    newer = DOCUMENT | {"champion": "2"}
    file.write_text(json.dumps(newer))
    clock.now = 9
    assert json.loads(history.document()) == DOCUMENT
    clock.now = 10
    assert json.loads(history.document()) == newer


@pytest.mark.parametrize("spoilt", [None, "{", "[]", '{"versions": [' + " " * 500 + "]}"])
def test_last_good_history_survives_a_missing_or_broken_store(
    file: Path, spoilt: str | None
) -> None:
    clock = Clock()
    history = PublishedHistory(file.as_uri(), ttl_seconds=1, max_bytes=500, clock=clock)
    history.document()
    if spoilt is None:
        file.unlink()
    else:
        file.write_text(spoilt)

    clock.now = 2
    assert json.loads(history.document()) == DOCUMENT
    file.write_text(json.dumps(DOCUMENT | {"champion": "3"}))
    clock.now = 4
    assert json.loads(history.document())["champion"] == "3"


def test_history_does_not_wait_for_a_store_that_hangs(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "WAIT_SECONDS", 1.0)
    clock = Clock()
    history = PublishedHistory(file.as_uri(), ttl_seconds=1, clock=clock)
    history.document()
    file.unlink()
    os.mkfifo(file)  # whoever opens it to read waits for a writer

    clock.now = 2
    assert json.loads(history.document()) == DOCUMENT
    file.open("w").close()
    file.unlink()
    file.write_text(json.dumps(DOCUMENT | {"champion": "3"}))
    clock.now = 4
    assert json.loads(history.document()) == DOCUMENT, "the read that was waited for has failed"
    clock.now = 6
    assert json.loads(history.document())["champion"] == "3"

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(HistoryUnavailable, match="does not answer"):
            PublishedHistory(f"http://127.0.0.1:{port}/history.json").document()


def test_history_is_unavailable_when_the_document_is_missing_or_not_a_history(
    tmp_path: Path,
) -> None:
    with pytest.raises(HistoryNotPublished):
        PublishedHistory((tmp_path / "none.json").as_uri()).document()
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(HistoryUnavailable, match="not a history"):
        PublishedHistory((tmp_path / "list.json").as_uri()).document()
    with pytest.raises(HistoryUnavailable):
        PublishedHistory("nosuchstore://bucket/history.json").document()


@pytest.mark.integration
def test_service_returns_the_published_history(file: Path, tmp_path: Path) -> None:
    save_bundle(make_model(), tmp_path / "bundle")
    with run_service(
        tmp_path,
        REALTOR_CHAMPION_BUNDLE=str(tmp_path / "bundle"),
        REALTOR_SERVICE_WORKERS="1",
        REALTOR_HISTORY_URL=file.as_uri(),
    ) as server:
        assert server.get("/history").json() == DOCUMENT
        assert "/history" in {each["path"] for each in server.get("/").json()["endpoints"]}


@pytest.mark.integration
def test_history_is_not_found_without_a_history_url(service: Server) -> None:
    answer = service.get("/history")

    assert answer.status_code == 404
    assert "REALTOR_HISTORY_URL" in answer.json()["error"]


@pytest.mark.integration
def test_every_zip_that_was_learned_from_is_on_the_map(service: Server) -> None:
    told = service.get("/coordinates").json()

    assert set(told["zip_code"]) == {"06114", "06830", "77002", "78701"}
    at = told["zip_code"].index("77002")
    assert told["latitude"][at] == pytest.approx(29.76, abs=0.1)
    assert told["longitude"][at] == pytest.approx(-95.36, abs=0.1)
    assert told["city"][at] == "Houston"
    assert len({len(told[name]) for name in ("state", "latitude", "listings", "median_price")}) == 1
    assert service.get("/coordinates", params={"bed": 3}).status_code == 400
