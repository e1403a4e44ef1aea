"""What surrounds the endpoints: ids, keys, limits, CORS, and that every answer has one format."""

import asyncio
import hashlib
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtor_serving import connections
from realtor_serving.edge import wrap
from realtor_serving.gate import Limits, RouteRule
from realtor_serving.keys import ApiKeys, is_local
from realtor_serving.logs import JsonFormatter
from realtor_serving.metrics import observe_all
from realtor_serving.settings import Settings
from tests.serving.running import HOUSE, Server, run_service, wait_for

KEY = "a key that nobody guesses"
HASH = hashlib.sha256(KEY.encode()).hexdigest()
POST = frozenset({"POST"})
OUTSIDE = ("10.0.0.9", 1234)


async def read(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{len(await request.body())}")


async def sleep(request: Request) -> PlainTextResponse:
    await asyncio.sleep(60)
    return PlainTextResponse("late")


async def fail(request: Request) -> PlainTextResponse:
    raise RuntimeError("the cause")


RULES = {
    "/read": RouteRule(frozenset({"GET", "HEAD", "POST"}), limits=Limits(100, 1.0, 5.0)),
    "/write": RouteRule(POST, writes=True),
    "/sleep": RouteRule(POST, limits=Limits(answer_seconds=1.0)),
    "/fail": RouteRule(POST),
    "/livez": RouteRule(frozenset({"GET"})),
}
INNER = Starlette(
    routes=[
        Route("/read", read, methods=["GET", "POST"]),
        Route("/write", read, methods=["POST"]),
        Route("/sleep", sleep, methods=["POST"]),
        Route("/fail", fail, methods=["POST"]),
        Route("/livez", read),
    ]
)


def app(**variables: str) -> ASGIApp:
    return wrap(INNER, Settings.model_validate({"REALTOR_SERVICE_WORKERS": "1"} | variables), RULES)


def ask(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    peer: tuple[str, int] = ("127.0.0.1", 1),
    base: str = "http://127.0.0.1",
    **options: Any,
) -> httpx.Response:
    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=peer, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, **options)

    return asyncio.run(answer())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/read", 200),
        ("GET", "/nowhere", 404),
        ("PUT", "/read", 405),
        ("POST", "/fail", 500),
        ("POST", "/sleep", 504),
    ],
)
def test_every_answer_has_its_id_and_headers(method: str, path: str, status: int) -> None:
    told = ask(app(), method, path, headers={"X-Request-ID": "mine-7"})
    own = ask(app(), method, path, headers={"X-Request-ID": "two words"})

    assert told.status_code == own.status_code == status
    assert told.headers["X-Request-ID"] == "mine-7"
    assert len(own.headers["X-Request-ID"]) == 32
    assert told.headers["X-Content-Type-Options"] == "nosniff"
    assert told.headers["Cache-Control"] == "no-store"
    assert "server" not in told.headers
    if status != 200:
        assert told.json().keys() == {"error", "detail"}
    if status == 405:
        assert told.headers["Allow"] == "GET, HEAD, POST"


def test_a_fault_is_logged_with_its_request() -> None:
    seen: list[str] = []
    formatter = JsonFormatter()
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(formatter.format(record))  # type: ignore[method-assign]
    logger = logging.getLogger("realtor_serving")
    logger.addHandler(handler)
    try:
        answer = ask(app(), "POST", "/fail", headers={"X-Request-ID": "mine-7"})
    finally:
        logger.removeHandler(handler)

    assert "mine-7" in answer.json()["error"]
    assert "the cause" not in answer.text
    lines = [json.loads(line) for line in seen]
    assert any("RuntimeError: the cause" in line.get("exception", "") for line in lines)
    assert {line["request_id"] for line in lines} == {"mine-7"}
    assert (lines[-1]["status"], lines[-1]["path"]) == (500, "/fail")


@pytest.mark.parametrize(
    ("variables", "headers", "path", "status"),
    [
        ({}, {}, "/read", 200),
        ({}, {}, "/write", 403),
        ({"REALTOR_SERVICE_API_KEYS": HASH}, {}, "/write", 401),
        ({"REALTOR_SERVICE_API_KEYS": HASH}, {"Authorization": f"Bearer {KEY}"}, "/write", 200),
        ({"REALTOR_SERVICE_API_KEYS": HASH}, {"Authorization": f"Basic {KEY}"}, "/write", 401),
        ({"REALTOR_SERVICE_API_KEYS": HASH}, {"Authorization": f"Bearer {HASH}"}, "/write", 401),
        ({"REALTOR_SERVICE_API_KEYS": HASH}, {}, "/read", 200),
        (
            {"REALTOR_SERVICE_API_KEYS": HASH, "REALTOR_SERVICE_KEYS_FOR": "all"},
            {},
            "/read",
            401,
        ),
        ({"REALTOR_SERVICE_KEYS_FOR": "all"}, {}, "/livez", 200),
    ],
)
def test_from_outside_a_key_is_needed(
    variables: dict[str, str], headers: dict[str, str], path: str, status: int
) -> None:
    hosts = {"REALTOR_SERVICE_ALLOWED_HOSTS": "*"}
    method = "GET" if path == "/livez" else "POST"

    outside = ask(
        app(**hosts, **variables), method, path, peer=OUTSIDE, base="http://10.0.0.1",
        headers=headers,
    )  # fmt: skip
    local = ask(app(**hosts, **variables), method, path, headers=headers)

    assert outside.status_code == status
    assert local.status_code == 200
    if status == 401:
        assert outside.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host"]
)
def test_who_comes_through_a_proxy_on_this_machine_is_outside(header: str) -> None:
    answer = ask(app(), "POST", "/write", headers={header: "127.0.0.1"})

    assert answer.status_code == 403


@pytest.mark.integration
def test_from_another_address_a_reload_needs_a_key(bundle: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: it tells which address of this machine would be used.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address = probe.getsockname()[0]
    variables = {
        "REALTOR_CHAMPION_BUNDLE": str(bundle),
        "REALTOR_SERVICE_ALLOWED_HOSTS": address,
        "REALTOR_SERVICE_API_KEYS": HASH,
    }

    with run_service(tmp_path, host=address, **variables) as server:
        without = server.post("/reload-model")
        wrong = server.post("/reload-model", headers={"Authorization": f"Bearer {KEY}x"})
        right = server.post("/reload-model", headers={"Authorization": f"Bearer {KEY}"})
        valued = server.post("/predict", HOUSE)

    assert (without.status_code, wrong.status_code) == (401, 401)
    assert right.status_code == 200, right.text
    assert valued.status_code == 200


def test_loopback_need_not_be_trusted() -> None:
    assert ask(app(REALTOR_SERVICE_TRUST_LOOPBACK="false"), "POST", "/write").status_code == 403


@pytest.mark.parametrize(
    ("peer", "server", "local"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("127.0.0.1", "192.168.0.1", False),
        ("192.168.0.7", "127.0.0.1", False),
        ("::ffff:10.0.0.1", "::1", False),
        ("testclient", "127.0.0.1", False),
    ],
)
def test_local_is_what_has_both_ends_on_loopback(peer: str, server: str, local: bool) -> None:
    scope: Mapping[str, Any] = {"client": (peer, 1), "server": (server, 2)}
    assert is_local(scope, httpx.Headers()) is local  # type: ignore[arg-type]
    assert not is_local({"client": None, "server": (server, 2)}, httpx.Headers())  # type: ignore[arg-type]


def test_keys_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# the pipeline's\n{HASH.upper()}\n\n")

    assert ApiKeys.read(f"@{file}") == ApiKeys.read(f" {HASH} ,") == ApiKeys(frozenset({HASH}))
    assert ApiKeys.read("").hashes == frozenset()
    with pytest.raises(ValueError, match="sha256"):
        ApiKeys.read(KEY)


def test_a_new_key_is_let_in() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "realtor_serving.keys"], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    key, told = made[0].split()[-1], made[1].partition("=")[2]
    assert ApiKeys.read(told).allow(f"Bearer {key}")
    assert not ApiKeys.read(told).allow(f"Bearer {key}x")


def test_too_much_at_once_is_told_to_come_again() -> None:
    wrapped = app(REALTOR_SERVICE_MAX_CONCURRENCY="2")

    async def ask_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(wrapped)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await asyncio.gather(*(client.post("/sleep") for _ in range(5)))

    answers = asyncio.run(ask_all())

    assert sorted(answer.status_code for answer in answers) == [429, 429, 429, 504, 504]
    assert {answer.headers.get("Retry-After") for answer in answers} == {"1", None}
    assert ask(wrapped, "POST", "/read").status_code == 200


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def slowly() -> Any:
        yield b"x"
        await asyncio.sleep(60)

    answer = ask(app(), "POST", "/read", content=slowly())

    assert answer.status_code == 408
    assert answer.headers["Connection"] == "close"


def test_the_bodies_of_unanswered_requests_are_bounded_together() -> None:
    """Those being read and those being worked on; what one home takes is always let in."""

    async def run() -> list[int]:
        go = asyncio.Event()
        halves = works = 0

        async def half() -> Any:
            nonlocal halves
            yield b"x" * 10_000
            halves += 1
            await asyncio.wait_for(go.wait(), 30)

        async def work(request: Request) -> PlainTextResponse:
            nonlocal works
            works += 1
            await asyncio.wait_for(go.wait(), 30)
            return PlainTextResponse("done")

        rules = {
            "/read": RouteRule(POST, limits=Limits(10_000, 60.0, 60.0)),
            "/work": RouteRule(POST, limits=Limits(10_000, 60.0, 60.0)),
        }
        inner = Starlette(
            routes=[
                Route("/read", read, methods=["POST"]),
                Route("/work", work, methods=["POST"]),
            ]
        )
        wrapped = wrap(inner, Settings.model_validate({}), rules)
        transport = httpx.ASGITransport(wrapped)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            held = [
                asyncio.ensure_future(client.post(path, content=content))
                for path, content in [("/read", half()) for _ in range(4)]
                + [("/work", b"x" * 10_000) for _ in range(4)]
            ]
            while (halves, works) != (4, 4):
                await asyncio.sleep(0)
            extra = [await client.post("/read", content=b"x" * size) for size in (9_000, 100)]
            go.set()
            told = await asyncio.gather(*held)
            told += [await client.post("/read", content=b"x" * 9_000)]
            return [each.status_code for each in (*extra, *told)]

    assert asyncio.run(run()) == [503, 200, *[200] * 9]


def test_a_body_that_breaks_off_is_not_worked_on() -> None:
    worked: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        worked.append(scope["path"])

    parts: Iterator[Message] = iter(
        [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(parts)

    async def send(message: Message) -> None:
        pass

    scope = {
        "type": "http", "method": "POST", "path": "/read", "headers": [(b"host", b"localhost")],
        "client": OUTSIDE, "server": OUTSIDE,
    }  # fmt: skip
    asyncio.run(wrap(inner, Settings.model_validate({}), RULES)(scope, receive, send))

    assert worked == []


def test_cors_is_off_until_an_origin_is_allowed() -> None:
    origin = "https://homes.example"
    page = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    other = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    allowing = app(REALTOR_SERVICE_CORS_ORIGINS=f"{origin}, https://other.example")

    assert ask(app(), "POST", "/read", headers=page).status_code == 403
    assert ask(app(), "OPTIONS", "/read", headers=preflight).status_code == 405
    told = ask(allowing, "POST", "/read", headers=page)
    assert (told.status_code, told.headers["Access-Control-Allow-Origin"]) == (200, origin)
    asked = ask(allowing, "OPTIONS", "/read", headers=preflight)
    assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (200, origin)
    assert ask(allowing, "POST", "/read", headers=other).status_code == 403


def test_a_pickle_is_not_read() -> None:
    headers = {"Content-Type": "application/vnd.bentoml+pickle"}

    assert ask(app(), "POST", "/read", headers=headers).status_code == 415


@given(
    st.lists(st.floats(0, 6, width=16) | st.sampled_from([0.5, 1.0, 5.0]), min_size=1, max_size=50)
)
def test_a_batch_is_observed_as_its_values_are(values: list[float]) -> None:
    registries = CollectorRegistry(), CollectorRegistry()
    one, all_ = (
        Histogram("h", "h", buckets=[0.5, 1.0, 5.0], registry=registry) for registry in registries
    )
    for value in values:
        one.observe(value)

    observe_all(all_, np.array(values))

    expected, found = (
        {(each.name, *each.labels.items()): each.value for each in next(iter(r.collect())).samples}
        for r in registries
    )
    expected = {key: value for key, value in expected.items() if key[0] != "h_created"}
    assert {key: found[key] for key in expected} == pytest.approx(expected)


@contextmanager
def prompt_server(app: ASGIApp) -> Iterator[tuple[uvicorn.Server, int]]:
    """A server of `app` that speaks our HTTP, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=connections.PromptProtocol, log_level="critical")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield server, listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that gives a head two seconds: a busy machine may keep us for one."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 2.0)
    with prompt_server(INNER) as (_, port):
        yield port


def exchange(port: int, *sent: bytes) -> bytes:
    """All that comes back before the server closes the connection.

    A server that closes with something unread resets the connection instead: at whatever we
    do next, but what it has answered until then can still be read.
    """
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        with suppress(ConnectionResetError, BrokenPipeError):
            for part in sent:
                connection.sendall(part)
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
    return received


GET = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET /li", GET + b"X-Slow: "])
def test_a_head_that_does_not_come_is_given_up(prompt: int, sent: bytes) -> None:
    assert exchange(prompt, sent).startswith(b"HTTP/1.1 408")


def test_the_second_head_of_a_connection_must_come_too(prompt: int) -> None:
    received = exchange(prompt, GET + b"\r\n", GET)

    assert received.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in received


def test_an_answer_that_is_not_taken_is_dropped_and_a_slow_reader_gets_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "TAKE_SECONDS", 2.0)
    size = 50_000_000

    async def large(request: Request) -> PlainTextResponse:
        return PlainTextResponse("x" * size)

    app = Starlette(routes=[Route("/livez", large)])
    with prompt_server(app) as (server, port), ExitStack() as opened:
        slow, idle = (
            opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            for _ in range(2)
        )
        for each in (slow, idle):
            each.sendall(GET + b"\r\n")
        received = 0
        while received < size:
            received += len(slow.recv(2_000_000, socket.MSG_WAITALL))
            time.sleep(0.2)
        slow.close()

        wait_for(lambda: not server.server_state.connections, "the idle one to be dropped")


# ---- the running service -------------------------------------------------------------------


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
def test_what_is_no_http_is_refused(service: Server) -> None:
    port = int(service.url.rpartition(":")[2])
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\r\n" * 10 + b"?" * 100):
        assert exchange(port, sent, b"\r\n\r\n")[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 408")
    conflicting = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n"
    assert b"HTTP/1.1 400" in exchange(
        port, conflicting + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )


@pytest.mark.integration
def test_a_service_that_is_told_no_host_listens_on_loopback_alone(service: Server) -> None:
    port = int(service.url.rpartition(":")[2])

    with socket.socket() as probe:
        probe.settimeout(5)
        assert probe.connect_ex(("127.0.0.2", port)) != 0


@pytest.mark.integration
def test_a_reload_through_a_proxy_needs_a_key(service: Server) -> None:
    answer = service.post("/reload-model", {}, headers={"X-Forwarded-For": "203.0.113.7"})

    assert answer.status_code == 403
    assert "realtor_serving.keys" in answer.json()["error"]


@pytest.mark.integration
def test_the_document_tells_every_route_and_refusal(service: Server) -> None:
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
    assert told["components"]["schemas"]["Refusal"]["properties"].keys() == {"error", "detail"}
    assert told["openapi"] == "3.1.0"


@pytest.mark.integration
def test_the_document_knows_each_answer_by_one_name(service: Server) -> None:
    told = service.get("/docs.json").json()

    def answer(method: str, path: str) -> dict[str, str]:
        content = told["paths"][path][method]["responses"]["200"]["content"]
        return content["application/json"]["schema"]

    assert answer("post", "/predict") == {"$ref": "#/components/schemas/Valuation"}
    assert answer("post", "/predict-batch") == {"$ref": "#/components/schemas/BatchValuation"}
    assert answer("get", "/docs.json") == answer("get", "/history") == {"type": "object"}
    assert [name for name in told["components"]["schemas"] if "Descriptor" in name] == []


@pytest.mark.integration
def test_what_is_in_progress_is_answered_when_the_service_ends(
    bundle: Path, tmp_path: Path
) -> None:
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
