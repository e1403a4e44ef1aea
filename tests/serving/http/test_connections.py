"""Connections that send or read slowly are not kept."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from realtor_serving.http import connections
from tests.serving.running import exchange, wait_for


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


async def _here(request: Request) -> PlainTextResponse:
    return PlainTextResponse("here")


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that gives a head two seconds: a busy machine may keep us for one."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 2.0)
    with prompt_server(Starlette(routes=[Route("/livez", _here)])) as (_, port):
        yield port


GET = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET /li", GET + b"X-Slow: "])
def test_incomplete_request_head_times_out(prompt: int, sent: bytes) -> None:
    assert exchange(prompt, sent).startswith(b"HTTP/1.1 408")


def test_the_second_head_of_a_connection_must_come_too(prompt: int) -> None:
    received = exchange(prompt, GET + b"\r\n", GET)

    assert received.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in received


def test_unread_answer_is_dropped_and_slow_reader_gets_all(
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
