"""Admission control: ASGI middleware that refuses requests before the endpoints run.

Every refusal has the same JSON schema (`schemas.Refusal`) and says what the client can do.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtor_model.messages import CodedMessage, message
from realtor_serving.http.api_keys import ApiKeys, is_local
from realtor_serving.http.requests import refuse

# The largest valid property, with every character escaped, has less than 5 kB.
PROPERTY_BYTES = 8 * 1024
RETRY_SECONDS = 1
# Limit of all buffered bodies together, as a multiple of the largest allowed body.
BUFFERED_BODIES = 8
# Probes come from other machines and have no key.
OPEN_PATHS = frozenset({"/livez", "/readyz"})
# Exempt from the concurrency limit: monitoring must also work when the service is busy.
UNCOUNTED_PATHS = OPEN_PATHS | {"/health", "/metrics"}
_READS = ("GET", "HEAD", "OPTIONS")
_PICKLE = "application/vnd.bentoml+pickle"


@dataclass(frozen=True)
class Limits:
    """Limits of one request.

    Attributes:
        body_bytes: largest body.
        receive_seconds: time in which the body must arrive.
        answer_seconds: time in which the endpoint must answer.
    """

    body_bytes: int = PROPERTY_BYTES
    receive_seconds: float = 10.0
    answer_seconds: float = 60.0


@dataclass(frozen=True)
class RouteRule:
    """A route's methods, whether it changes the service, and its limits."""

    methods: frozenset[str]
    writes: bool = False
    limits: Limits = Limits()


class _Refused(Exception):
    def __init__(self, status: int, reason: CodedMessage, **headers: str) -> None:
        self.response = refuse(status, reason)
        self.response.headers.update(
            {name.replace("_", "-"): value for name, value in headers.items()}
        )


class AdmissionControl:
    """Refuses unknown hosts and routes, cross-site requests, missing keys and overload.

    Args:
        app: the application behind this middleware.
        routes: the rule of each path; all other paths are refused with 404.
        allowed_hosts: host names that the service answers to; "*" allows any. Protects a service
            on loopback against DNS rebinding.
        allowed_origins: origins whose web pages may call the service.
        keys: the API keys that are accepted.
        keys_for: requests from other machines that need a key: "writes" (those that change the
            service) or "all".
        trust_loopback: whether requests from this machine need no key.
        max_concurrency: maximum number of requests in progress in this worker.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Mapping[str, RouteRule],
        allowed_hosts: frozenset[str],
        allowed_origins: frozenset[str],
        keys: ApiKeys,
        keys_for: Literal["writes", "all"],
        trust_loopback: bool,
        max_concurrency: int,
    ) -> None:
        self._app = app
        self._routes = routes
        self._allowed_hosts = allowed_hosts
        self._allowed_origins = allowed_origins
        self._keys = keys
        self._keys_for = keys_for
        self._trust_loopback = trust_loopback
        self._max_concurrency = max_concurrency
        self._working = 0
        self._buffered = 0
        self._most_buffered = BUFFERED_BODIES * max(
            rule.limits.body_bytes for rule in routes.values()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer with the refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            rule = self._admit(scope, headers)
            seconds = rule.limits.answer_seconds
            if scope["method"] in _READS:
                await self._work(scope, receive, send, seconds)
                return
            body = await self._read(headers, receive, rule.limits)
            try:
                await self._work(scope, _replay(body, receive), send, seconds)
            finally:
                self._buffered -= len(body)
        except _Refused as refused:
            await refused.response(scope, receive, send)

    def _admit(self, scope: Scope, headers: Headers) -> RouteRule:
        """Check the request's head and return the rule of its route. Raises `_Refused`."""
        host = _without_port(headers.get("host", ""))
        if "*" not in self._allowed_hosts and host not in self._allowed_hosts:
            raise _Refused(400, message("unknown_host", host=host[:100]))
        if (
            headers.get("sec-fetch-site") == "cross-site"
            and headers.get("origin") not in self._allowed_origins
        ):
            raise _Refused(403, message("cross_site_request"))
        rule = self._routes.get(scope["path"])
        if rule is None:
            raise _Refused(404, message("not_found"))
        if scope["method"] not in rule.methods:
            allowed = sorted(rule.methods)
            reason = message("method_not_allowed", path=scope["path"], allowed=allowed)
            raise _Refused(405, reason, Allow=", ".join(allowed))
        if (rule.writes or self._keys_for == "all") and scope["path"] not in OPEN_PATHS:
            self._authorize(scope, headers)
        if headers.get("content-type", "").startswith(_PICKLE):
            raise _Refused(415, message("pickle_not_accepted"))
        return rule

    def _authorize(self, scope: Scope, headers: Headers) -> None:
        """Raise `_Refused` unless the request is local or has a valid API key."""
        if self._trust_loopback and is_local(scope, headers):
            return
        if not self._keys.hashes:
            raise _Refused(403, message("no_api_keys_configured"))
        if not self._keys.allow(headers.get("authorization", "")):
            raise _Refused(401, message("api_key_required"), WWW_Authenticate="Bearer")

    async def _read(self, headers: Headers, receive: Receive, limits: Limits) -> bytes:
        """Read the whole body and add its size to the buffered bytes. Raises `_Refused`."""
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limits.body_bytes:
            raise _too_large(limits)
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(limits.receive_seconds):
                while True:
                    event = await receive()
                    if event["type"] == "http.disconnect":
                        raise _Refused(400, message("body_incomplete"))
                    chunk = event.get("body", b"")
                    chunks.append(chunk)
                    size += len(chunk)
                    self._buffered += len(chunk)
                    if size > limits.body_bytes:
                        raise _too_large(limits)
                    # Always accept one home: a thousand of them are smaller than a batch.
                    if size > PROPERTY_BYTES and self._buffered > self._most_buffered:
                        raise _busy(503, close=True)
                    if not event.get("more_body", False):
                        return b"".join(chunks)
        except BaseException as problem:
            self._buffered -= size
            if isinstance(problem, TimeoutError):
                raise _Refused(
                    408,
                    message("body_timeout", seconds=limits.receive_seconds),
                    Connection="close",
                ) from None
            raise

    async def _work(self, scope: Scope, receive: Receive, send: Send, seconds: float) -> None:
        """Run the application within `seconds`. Raises `_Refused` on overload or timeout."""
        if scope["path"] in UNCOUNTED_PATHS:
            await self._app(scope, receive, send)
            return
        if self._working >= self._max_concurrency:
            raise _busy(429)
        self._working += 1
        try:
            async with asyncio.timeout(seconds) as limit:
                await self._app(scope, receive, send)
        except TimeoutError:
            if not limit.expired():
                raise
            raise _Refused(504, message("answer_timeout", seconds=seconds)) from None
        finally:
            self._working -= 1


def _too_large(limits: Limits) -> _Refused:
    return _Refused(413, message("body_too_large", limit=limits.body_bytes), Connection="close")


def _busy(status: int, *, close: bool = False) -> _Refused:
    refused = _Refused(status, message("busy"), Retry_After=str(RETRY_SECONDS))
    if close:
        refused.response.headers["Connection"] = "close"
    return refused


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return (name if name and port.isdecimal() else host).lower()
