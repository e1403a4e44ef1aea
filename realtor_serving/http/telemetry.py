"""ASGI middleware for request ids, metrics, request logs and security headers."""

import asyncio
import logging
import re
from collections.abc import Collection
from time import perf_counter
from typing import Literal
from uuid import uuid4

from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtor_model.messages import message
from realtor_serving.http import service_metrics
from realtor_serving.http.json_logs import REQUEST_ID
from realtor_serving.http.requests import refuse

SLOW_SECONDS = 1.0
CANCELLED = 499
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ID = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")

logger = logging.getLogger(__name__)


class Telemetry:
    """The outermost ASGI middleware: ids, metrics, logs and headers of all requests.

    Each request has an id: the client's X-Request-ID if it is valid (at most 128 characters,
    without spaces), else a new one. The id is in the answer, in every log line of the request and
    in the text of a 500.

    Args:
        app: the application behind this middleware.
        routes: the paths that get metric labels of their own.
        log: the requests to log: "all", or "problems" (those that failed or were slow).
    """

    def __init__(
        self, app: ASGIApp, *, routes: Collection[str], log: Literal["problems", "all"]
    ) -> None:
        self._app = app
        self._log_all = log == "all"
        # Cached, because looking up a metric by its labels takes longer than counting.
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._durations = {
            name: service_metrics.DURATION.labels(name) for name in (*routes, service_metrics.OTHER)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, answer 500 if it fails, then count, time and log the request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        request_id = _request_id(scope)
        token = REQUEST_ID.set(request_id.decode())
        status = 0
        failed = explained = False

        async def answer(message_sent: Message) -> None:
            # Drop a library's 500. Ours replaces it and has the format of all refusals.
            nonlocal status, failed
            if message_sent["type"] == "http.response.start":
                failed = message_sent["status"] == 500 and not explained
                if not failed:
                    status = message_sent["status"]
                    message_sent["headers"] = [
                        *[header for header in message_sent["headers"] if header[0] != b"server"],
                        *SECURITY_HEADERS,
                        (b"x-request-id", request_id),
                    ]
            if not failed:
                await send(message_sent)

        service_metrics.IN_PROGRESS.inc()
        try:
            try:
                await self._app(scope, receive, answer)
            except Exception:
                if status:
                    raise
                failed = True
                logger.exception("%s %s failed", scope["method"], scope["path"][:200])
            if failed:
                explained = True
                fault = refuse(500, message("internal_error", request_id=request_id.decode()))
                await fault(scope, receive, answer)
        finally:
            # Observe in the next event-loop turn, after the answer is sent.
            asyncio.get_running_loop().call_soon(
                self._observe, scope, status or CANCELLED, perf_counter() - started
            )
            REQUEST_ID.reset(token)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        service_metrics.IN_PROGRESS.dec()
        path, method = scope["path"], scope["method"]
        endpoint = path if path in self._durations else service_metrics.OTHER
        key = (endpoint, method if method in _METHODS else service_metrics.OTHER, status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = service_metrics.REQUESTS.labels(*key)
        counter.inc()
        self._durations[endpoint].observe(seconds)
        if self._log_all or status >= 400 or seconds > SLOW_SECONDS:
            logger.log(
                logging.ERROR if status >= 500 else logging.INFO,
                "%s %s %d",
                method,
                path[:200],
                status,
                extra={
                    "fields": {
                        "method": method,
                        "path": path[:200],
                        "status": status,
                        "seconds": round(seconds, 6),
                    }
                },
            )


def _request_id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return bytes(value)
    return uuid4().hex.encode()
