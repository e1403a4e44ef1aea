"""What comes in: bodies read and checked, with errors that name field, value and range."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Self, TypeVar

import bentoml
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtor_model.listing import Property
from realtor_serving.schemas import ComparablesRequest, Problem, Refusal

MAX_SHOWN_VALUE = 200
MAX_SHOWN_PROBLEMS = 20


def problems(error: ValidationError) -> list[Problem]:
    """What pydantic found, for a person: where, what, and the value that was sent."""
    return [
        Problem(
            loc=list(each["loc"]),
            msg=each["msg"].removeprefix("Value error, "),
            value=_shown(each["input"]),
        )
        for each in error.errors(include_url=False, include_context=False)[:MAX_SHOWN_PROBLEMS]
    ]


def in_words(problem: Problem) -> str:
    """One line that says where and what."""
    where = ".".join(map(str, problem.loc))
    # The listing contract's own messages begin with the field.
    return problem.msg if problem.msg.startswith(where) else f"{where}: {problem.msg}"


def _shown(value: object) -> Any:
    """`value` as JSON, cut when it is long: an answer never echoes megabytes."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        text = None
    if text is not None and len(text) <= MAX_SHOWN_VALUE:
        return value
    return (str(value) if text is None else text)[:MAX_SHOWN_VALUE]


def refuse(status: int, error: str, detail: Iterable[Problem] = ()) -> Response:
    """The answer to a request that cannot be served."""
    refusal = Refusal(error=error, detail=list(detail))
    return JSONResponse(refusal.model_dump(mode="json"), status_code=status)


class InvalidBody:
    """A request that cannot be read; an endpoint answers it with `rejection`."""

    def __init__(self, error: str, detail: Sequence[Problem] = ()) -> None:
        self._error = error
        self._detail = detail

    @classmethod
    def of(cls, error: ValidationError) -> "InvalidBody":
        """A body, or a query, that breaks its schema."""
        found = problems(error)
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        return cls(f"{in_words(found[0])}{more}", found)

    @property
    def response(self) -> Response:
        """400 with the reasons."""
        return refuse(400, self._error, self._detail)


def rejection(body: object) -> Response | None:
    """The answer to a body that breaks its schema; None for one that keeps it."""
    return body.response if isinstance(body, InvalidBody) else None


class Body(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML has no types
    """A JSON body. BentoML's own reading would answer errors without the value, and log each."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> "Self | InvalidBody":
        """Read the body, whatever content type it claims."""
        try:
            return cls.model_validate_json(await request.body())  # type: ignore[no-any-return]
        except ValidationError as error:
            return InvalidBody.of(error)


class PropertyBody(Body, Property):
    """One property: what a person knows about a home."""


class ComparablesBody(Body, ComparablesRequest):
    """A property, and what is wanted of its comparables."""


Query = TypeVar("Query", bound=BaseModel)


def read_query(request: Request, kind: type[Query]) -> "Query | InvalidBody":
    """The query parameters of a GET request."""
    try:
        return kind.model_validate(dict(request.query_params))
    except ValidationError as error:
        return InvalidBody.of(error)


def json_response(answer: BaseModel, status: int = 200) -> Response:
    """`answer` as JSON, written once by pydantic."""
    return Response(answer.model_dump_json(), status, media_type="application/json")


class Gate:
    """ASGI middleware: refuses foreign hosts, other sites' pages and large bodies unread.

    `allowed_hosts` keeps a web page from reaching a service on loopback through a host name that
    it points there (DNS rebinding); "*" allows any.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: frozenset[str], max_body_bytes: int) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400 or 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = _without_port(headers.get("host", ""))
        if "*" not in self._allowed_hosts and host not in self._allowed_hosts:
            refusal = refuse(
                400,
                f"this service does not answer to the host name {host[:100]!r}; "
                "REALTOR_SERVICE_ALLOWED_HOSTS names the ones it does",
            )
            await refusal(scope, receive, send)
            return
        if headers.get("sec-fetch-site") == "cross-site":
            refusal = refuse(403, "this service does not answer to other sites' pages")
            await refusal(scope, receive, send)
            return
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        body = await self._read(headers, receive)
        if body is None:
            refusal = refuse(413, f"the body is larger than {self._max_body_bytes:,} bytes")
            refusal.headers["Connection"] = "close"
            await refusal(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        """The whole body; None when it is too large."""
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_body_bytes:
            return None
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b"".join(chunks)
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._max_body_bytes:
                return None
            if not message.get("more_body", False):
                return b"".join(chunks)


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
