"""What a stranger may send to the running service, and what the service says of itself."""

import json
import socket
import time
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from tests.serving.running import HOUSE, Server, exchange, run_service, wait_for


@pytest.mark.integration
def test_fifty_megabytes_are_refused_unread(service: Server) -> None:
    for path in ("/predict", "/predict-batch", "/reload-model"):
        for content in (b" " * 50_000_000, (b" " * 1_000_000 for _ in range(50))):
            try:
                answer = httpx.post(f"{service.url}{path}", content=content, timeout=60)
            except (httpx.WriteError, httpx.ReadError):
                continue  # closed while we still sent
            assert answer.status_code == 413
    assert service.post("/predict", HOUSE).status_code == 200


@pytest.mark.integration
@pytest.mark.parametrize("depth", [1_000, 10_000, 1_000_000])
@pytest.mark.parametrize("opening", [b"[", b'{"properties":['])
def test_deep_json_is_refused(service: Server, depth: int, opening: bytes) -> None:
    content = opening * depth

    answer = httpx.post(f"{service.url}/predict-batch", content=content, timeout=60)

    assert answer.status_code == 400 if len(content) <= 2**24 else 413


@pytest.mark.integration
@pytest.mark.parametrize(
    "path",
    [
        b"/../etc/passwd", b"//predict", b"/predict/", b"/predict/../model-info", b"/%2e%2e/%2e%2e",
        b"/predict%00", b"/static_content/../../x", b"/%ff%fe", b"/predict;x=1", b"\\\\x", b"*",
        b"http://evil.example/predict", b"/" + b"a" * 60_000, b"/\xff",
    ],
)  # fmt: skip
def test_tricks_with_paths_end_in_a_refusal(service: Server, path: bytes) -> None:
    port = int(service.url.rpartition(":")[2])
    request = b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"

    received = exchange(port, request)

    assert received[:10] == b"HTTP/1.1 4"
    assert service.get("/livez").status_code == 200


@pytest.mark.integration
def test_invalid_http_is_refused(service: Server) -> None:
    port = int(service.url.rpartition(":")[2])
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\r\n" * 10 + b"?" * 100):
        assert exchange(port, sent, b"\r\n\r\n")[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 408")
    conflicting = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n"
    assert b"HTTP/1.1 400" in exchange(
        port, conflicting + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )


@pytest.mark.integration
def test_service_without_a_host_listens_on_loopback(service: Server) -> None:
    port = int(service.url.rpartition(":")[2])

    with socket.socket() as probe:
        probe.settimeout(5)
        assert probe.connect_ex(("127.0.0.2", port)) != 0


@pytest.mark.integration
def test_a_reload_through_a_proxy_needs_a_key(service: Server) -> None:
    answer = service.post("/reload-model", {}, headers={"X-Forwarded-For": "203.0.113.7"})

    assert answer.status_code == 403
    assert "realtor_serving.http.api_keys" in answer.json()["error"]


@pytest.mark.integration
def test_openapi_has_every_route_and_refusal(service: Server) -> None:
    told = service.get("/docs.json").json()
    offered = {
        (each["method"].lower(), each["path"]) for each in service.get("/").json()["endpoints"]
    }

    documented = {(method, path) for path, item in told["paths"].items() for method in item}
    assert documented == offered
    for path, item in told["paths"].items():
        for method, operation in item.items():
            expected = {"400", "401", "403", "404", "405", "429", "500", "503", "504"}
            if method == "post":
                expected |= {"408", "413", "415"}
            assert set(operation["responses"]) - {"200", "409"} == expected, path
    assert told["components"]["schemas"]["Refusal"]["properties"].keys() == {
        "error", "code", "params", "detail",
    }  # fmt: skip
    assert told["openapi"] == "3.1.0"


@pytest.mark.integration
def test_openapi_names_each_answer_once(service: Server) -> None:
    told = service.get("/docs.json").json()

    def answer(method: str, path: str) -> dict[str, str]:
        content = told["paths"][path][method]["responses"]["200"]["content"]
        return content["application/json"]["schema"]

    assert answer("post", "/predict") == {"$ref": "#/components/schemas/Valuation"}
    assert answer("post", "/predict-batch") == {"$ref": "#/components/schemas/BatchValuation"}
    assert answer("get", "/docs.json") == answer("get", "/history") == {"type": "object"}
    assert [name for name in told["components"]["schemas"] if "Descriptor" in name] == []


@pytest.mark.integration
def test_shutdown_answers_requests_in_progress(bundle: Path, tmp_path: Path) -> None:
    variables = {"REALTOR_CHAMPION_BUNDLE": str(bundle), "REALTOR_SERVICE_WORKERS": "1"}
    body = json.dumps({"properties": [HOUSE] * 1_000}).encode()
    half = len(body) // 2
    with run_service(tmp_path, **variables) as service, ExitStack() as opened:
        connections = []
        for _ in range(3):
            # Half of the question is there: it is in progress for as long as the test wants.
            address = service.url.removeprefix("http://")
            connection = opened.enter_context(closing(HTTPConnection(address, timeout=60)))
            connection.putrequest("POST", "/predict-batch")
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body[:half])
            connections.append(connection)
        wait_for(lambda: _in_progress(service) == 1 + len(connections), "the batches to be taken")
        service.process.terminate()
        # It tells nobody that it is ending; what it has taken it answers either way.
        time.sleep(1)

        for connection in connections:
            connection.send(body[half:])

        for connection in connections:
            answer = connection.getresponse()
            assert answer.status == 200
            assert json.loads(answer.read())["valued"] == 1_000
        assert service.process.wait(timeout=60) == 0


def _in_progress(service: Server) -> float:
    """Requests being answered, this one too."""
    text = service.get("/metrics").text
    return float(text.partition("\napi_requests_in_progress ")[2].partition("\n")[0])
