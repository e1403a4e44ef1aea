"""What surrounds the endpoints: ids, keys, limits, CORS, and that every answer has one format."""

import asyncio
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtor_serving.http.admission import Limits, RouteRule
from realtor_serving.http.api_keys import ApiKeys, is_local
from realtor_serving.http.edge import wrap
from realtor_serving.http.json_logs import JsonFormatter
from realtor_serving.service_settings import ServiceSettings
from tests.serving.running import HOUSE, KEY, KEY_HASH, run_service

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
    return wrap(
        INNER, ServiceSettings.model_validate({"REALTOR_SERVICE_WORKERS": "1"} | variables), RULES
    )


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
        assert told.json().keys() == {"error", "code", "params", "detail"}
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
        ({"REALTOR_SERVICE_API_KEYS": KEY_HASH}, {}, "/write", 401),
        ({"REALTOR_SERVICE_API_KEYS": KEY_HASH}, {"Authorization": f"Bearer {KEY}"}, "/write", 200),
        ({"REALTOR_SERVICE_API_KEYS": KEY_HASH}, {"Authorization": f"Basic {KEY}"}, "/write", 401),
        (
            {"REALTOR_SERVICE_API_KEYS": KEY_HASH},
            {"Authorization": f"Bearer {KEY_HASH}"},
            "/write",
            401,
        ),
        ({"REALTOR_SERVICE_API_KEYS": KEY_HASH}, {}, "/read", 200),
        (
            {"REALTOR_SERVICE_API_KEYS": KEY_HASH, "REALTOR_SERVICE_KEYS_FOR": "all"},
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
def test_client_behind_a_local_proxy_is_not_local(header: str) -> None:
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
        "REALTOR_SERVICE_API_KEYS": KEY_HASH,
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
def test_connection_is_local_when_both_ends_are_loopback(
    peer: str, server: str, local: bool
) -> None:
    scope: Mapping[str, Any] = {"client": (peer, 1), "server": (server, 2)}
    assert is_local(scope, httpx.Headers()) is local  # type: ignore[arg-type]
    assert not is_local({"client": None, "server": (server, 2)}, httpx.Headers())  # type: ignore[arg-type]


def test_keys_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# the pipeline's\n{KEY_HASH.upper()}\n\n")

    assert (
        ApiKeys.read(f"@{file}") == ApiKeys.read(f" {KEY_HASH} ,") == ApiKeys(frozenset({KEY_HASH}))
    )
    assert ApiKeys.read("").hashes == frozenset()
    with pytest.raises(ValueError, match="sha256"):
        ApiKeys.read(KEY)


def test_a_new_key_is_let_in() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "realtor_serving.http.api_keys"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    key, told = made[0].split()[-1], made[1].partition("=")[2]
    assert ApiKeys.read(told).allow(f"Bearer {key}")
    assert not ApiKeys.read(told).allow(f"Bearer {key}x")


def test_overload_is_refused_with_retry_after() -> None:
    wrapped = app(REALTOR_SERVICE_MAX_CONCURRENCY="2")

    async def ask_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(wrapped)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await asyncio.gather(*(client.post("/sleep") for _ in range(5)))

    answers = asyncio.run(ask_all())

    assert sorted(answer.status_code for answer in answers) == [429, 429, 429, 504, 504]
    assert {answer.headers.get("Retry-After") for answer in answers} == {"1", None}
    assert ask(wrapped, "POST", "/read").status_code == 200


def test_incomplete_body_times_out() -> None:
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
        wrapped = wrap(inner, ServiceSettings.model_validate({}), rules)
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


def test_interrupted_body_is_not_valued() -> None:
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
    asyncio.run(wrap(inner, ServiceSettings.model_validate({}), RULES)(scope, receive, send))

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
