"""The client gives typed answers, or an error that says what a person can do."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from realtor_local.ports import free_port
from realtor_ui import client as clients
from realtor_ui.client import (
    InvalidInput,
    NoModel,
    NotAllowed,
    NotThere,
    NotTheService,
    ServiceBusy,
    ServiceClient,
    ServiceDown,
    ServiceError,
    ServiceSlow,
)
from realtor_ui.market_texts import MarketTexts
from realtor_ui.sections import comparable_sales
from realtor_ui.texts import catalogue
from tests.serving.running import ASKING_ALL, HOUSE, KEY, Server, run_service

pytestmark = [pytest.mark.integration]


def test_answers_are_typed(service: Server) -> None:
    with ServiceClient(service.url) as client:
        info, value, explained = client.model_info(), client.predict(HOUSE), client.explain(HOUSE)

    assert info.inputs["bed"].high == 100
    assert info.inputs["status"].choices == ["for_sale", "sold", "ready_to_build"]
    assert value.low < value.price < value.high
    assert explained.valuation == value
    total = explained.base_price + sum(each.dollars for each in explained.contributions)
    assert total == pytest.approx(value.price, rel=1e-4)


def test_a_refusal_names_the_fields(service: Server) -> None:
    with ServiceClient(service.url) as client, pytest.raises(InvalidInput) as caught:
        client.predict({"state": "Texas", "bed": -1, "bath": 1000})

    problems = caught.value.problems
    assert [problem.params["input"] for problem in problems] == ["bed", "bath"]
    assert {problem.code for problem in problems} == {"out_of_range"}
    assert (problems[0].params["low"], problems[0].params["high"]) == (0, 100)
    assert (problems[0].params["value"], problems[1].params["value"]) == (-1, 1000)
    assert "from 0 to 100" in problems[0].message


def test_client_error_when_the_service_is_down() -> None:
    with (
        ServiceClient(f"http://127.0.0.1:{free_port()}") as client,
        pytest.raises(ServiceDown),
    ):
        client.model_info()


def test_a_service_without_a_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("empty")
    with (
        run_service(folder, REALTOR_SERVICE_WORKERS="1") as empty,
        ServiceClient(empty.url) as client,
    ):
        with pytest.raises(NoModel):
            client.model_info()
        with pytest.raises(NoModel):
            client.predict(HOUSE)


def test_client_error_when_the_service_requires_a_key(bundle: Path, tmp_path: Path) -> None:
    variables = {"REALTOR_CHAMPION_BUNDLE": str(bundle), "REALTOR_SERVICE_WORKERS": "1"}
    with run_service(tmp_path, **variables, **ASKING_ALL) as service:
        with ServiceClient(service.url, api_key=KEY) as client:
            assert client.predict(HOUSE).price > 0
            assert client.model_info().version
            assert "api_requests_total" in client.metrics()
        for other in (None, "another key"):
            with (
                ServiceClient(service.url, api_key=other) as client,
                pytest.raises(NotAllowed, match="API key"),
            ):
                client.model_info()


@contextmanager
def answering(status: int, body: bytes, *, silent: bool = False) -> Iterator[str]:
    """The URL of a server that gives one answer to everything, or none at all."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if silent:
                released.wait(30)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        released.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "detail"),
    [
        (404, b'{"error": "no history is published yet"}', NotThere, "no history"),
        (403, b'{"error": "the service knows no key"}', NotAllowed, "knows no key"),
        (500, b"Internal Server Error", ServiceError, "status 500"),
        (504, b'{"error": "Not able to process the request in 60 seconds"}', ServiceError, "60 s"),
        (503, b'{"error": "none", "code": "no_model", "params": {}}', NoModel, "none"),
        (503, b'{"error": "no model", "code": "busy"}', ServiceBusy, "no model"),
        (503, b'{"error": "MLflow is down", "code": "registry_unavailable"}', ServiceError,
         "MLflow is down"),
        (500, b'{"error": "no history", "code": "history_not_published"}', NotThere, "no history"),
        (200, b"<html>", NotTheService, ""),
        (200, b'{"status": "up"}', NotTheService, ""),
    ],
)  # fmt: skip
def test_refusal_becomes_the_error_of_its_code_or_status(
    status: int, body: bytes, kind: type[ServiceError], detail: str
) -> None:
    with answering(status, body) as url, ServiceClient(url) as client:
        with pytest.raises(kind) as caught:
            client.model_info()
        assert type(caught.value) is kind
        assert detail in (caught.value.refusal.message if caught.value.refusal else "")


def test_a_busy_service_is_asked_again_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(clients.time, "sleep", waited.append)
    with (
        answering(429, b'{"error": "Too many requests"}') as url,
        ServiceClient(url) as client,
        pytest.raises(ServiceBusy),
    ):
        client.model_info()

    assert waited == list(clients.BUSY_PAUSES)


def test_client_error_when_the_service_hangs() -> None:
    with (
        answering(200, b"{}", silent=True) as url,
        ServiceClient(url, timeout_seconds=0.3) as client,
        pytest.raises(ServiceSlow),
    ):
        client.model_info()


def test_places_market_and_comparables_are_typed(service: Server) -> None:
    with ServiceClient(service.url) as client:
        cities = {place.city for place in client.places(state="Texas").cities}
        zips = client.market("zip", state="Texas", city="Houston").places
        sales = client.comparables(HOUSE, count=3)
        again = client.comparables(HOUSE, count=3, exclude=[sales.comparables[0].id])
        points = client.coordinates()

    assert cities == {"Houston", "Austin"}
    assert [place.zip_code for place in zips] == ["77002"]
    assert len(sales.comparables) == 3
    assert again.comparables[0].id == sales.comparables[1].id
    for sale in sales.comparables:
        adjusted = sale.price + sum(each.dollars for each in sale.adjustments)
        assert adjusted == pytest.approx(sale.adjusted_price)
    assert len(points.zip_code) == len(points.latitude) == 4


def test_a_comparable_adds_up_before_the_eye(service: Server) -> None:
    with ServiceClient(service.url) as client:
        answer, sales = client.explain(HOUSE), client.comparables(HOUSE, count=5)
        t = MarketTexts(catalogue("en"), client.model_info())
    shown = comparable_sales.table(t, answer, sales)

    for number, sale in enumerate(sales.comparables, 1):
        column = " ".join(shown[f"Sale {number}"])
        amounts = re.findall(r"\(([+-])\\?\$([\d,]+)\)", column)
        moved = sum(int(sign + digits.replace(",", "")) for sign, digits in amounts)
        assert sale.price + moved == pytest.approx(sale.adjusted_price, abs=len(sale.adjustments))
        assert f"{sale.net_adjustment:+.0%} / {sale.gross_adjustment:.0%}" in column


def test_the_history_is_typed(service: Server) -> None:
    with ServiceClient(service.url) as client:
        told = client.history()

    assert told.champion == "2"
    decision = told.decision_on("3")
    assert decision is not None
    assert decision.decision == "rejected"
    assert told.decision_on("9") is None
