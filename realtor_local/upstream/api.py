"""The protocol: routes, parameters, responses, and the faults that a test asks for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, Field, ValidationError, create_model
from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from realtor_local.upstream.faults import Fault, FaultKind
from realtor_local.upstream.group_cursors import Cursors
from realtor_local.upstream.say import say
from realtor_local.upstream.served_listings import (
    ServedFile,
    UpstreamDataError,
    cut,
    json_rows,
)

Batches = tuple[pd.DataFrame, ...]

END_OF_DATA = "Ya se recolectó toda la información mínima necesaria"


def build_app(
    source: Callable[[], pd.DataFrame | ServedFile],
    *,
    batches_of: Callable[[pd.DataFrame], Batches] = cut,
    name: str = "",
    groups: int = 10,
    require_day: bool = False,
    state: Path | None = None,
    faults: Sequence[Fault] = (),
) -> Starlette:
    """The API over the listings that `source` makes, in a thread that starts with the server.

    /health answers at once; /data waits for the listings, and answers 500 with the reason when
    they cannot be had. /listings, which the real API does not have, says how many there are and
    what is left out. `batches_of` cuts them, by default as the real API does. `name` identifies
    the listings in the state file. Raises StateError.
    """
    api = _Api(
        source,
        batches_of,
        Cursors(name, state),
        _query(groups, require_day),
        list(faults),
    )
    return Starlette(
        routes=[
            _get("/health", api.health),
            _get("/data", api.data),
            _get("/listings", api.listings),
            _get("/restart_data_generation", api.restart),
        ],
        exception_handlers={
            ValidationError: _unprocessable,
            UpstreamDataError: _no_data,
            HTTPException: _no_such_route,
        },
        lifespan=api.lifespan,
    )


class _Query(BaseModel):
    group_number: int
    day: Literal["Tuesday", "Wednesday"] | None

    @property
    def cursor(self) -> str:
        return f"{self.group_number}/{self.day}" if self.day else str(self.group_number)


def _query(groups: int, require_day: bool) -> type[_Query]:
    days = Literal["Tuesday", "Wednesday"]
    day: Any = (days, ...) if require_day else (days | None, None)
    return create_model(
        "Query", __base__=_Query, group_number=(int, Field(ge=1, le=groups)), day=day
    )


class _Api:
    def __init__(
        self,
        source: Callable[[], pd.DataFrame | ServedFile],
        batches_of: Callable[[pd.DataFrame], Batches],
        cursors: Cursors,
        query: type[_Query],
        faults: list[Fault],
    ) -> None:
        self._source, self._batches_of = source, batches_of
        self._cursors, self._query, self._faults = cursors, query, faults
        self._batches: Future[Batches] = Future()
        self._file: ServedFile | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        # A daemon, so that a server which is stopped while it loads stops at once.
        threading.Thread(target=self._load, daemon=True, name="listings").start()
        yield

    def _load(self) -> None:
        started = time.monotonic()
        try:
            listings = self._source()
            if isinstance(listings, ServedFile):
                self._file, listings = listings, listings.listings
            batches = self._batches_of(listings)
        except Exception as error:  # whatever it is, /data must answer with it
            problem = UpstreamDataError(f"The listings cannot be had: {error}")
            say(str(problem))
            self._batches.set_exception(problem)
            return
        sizes = [len(batch) for batch in batches]
        say(
            f"ready after {time.monotonic() - started:.1f} s: {sum(sizes):,} listings in "
            f"{len(sizes)} batches ({' · '.join(f'{size:,}' for size in sizes)})"
        )
        self._batches.set_result(batches)

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "OK"})

    async def listings(self, _: Request) -> Response:
        batches = await asyncio.shield(asyncio.wrap_future(self._batches))
        file = self._file
        return JSONResponse(
            {
                "batches": [len(batch) for batch in batches],
                "left_out": {} if file is None else dict(file.left_out),
                "unused": [] if file is None else list(file.unused),
                "notes": [] if file is None else list(file.notes),
            }
        )

    async def restart(self, request: Request) -> Response:
        self._cursors.move(self._parameters(request).cursor, 0)
        return JSONResponse({"ok": True})

    async def data(self, request: Request) -> Response:
        asked = self._parameters(request)
        batches = await asyncio.shield(asyncio.wrap_future(self._batches))
        fault = self._fault(self._cursors.position(asked.cursor))
        if fault:
            await asyncio.sleep(fault.seconds)
            if fault.kind == "http500":
                return PlainTextResponse("Internal Server Error", 500)
            if fault.kind == "end404":
                return _detail(404, END_OF_DATA)
        number = self._cursors.position(asked.cursor)
        if number >= len(batches):
            return _detail(400, END_OF_DATA)
        if not (fault and fault.kind == "repeated"):
            self._cursors.move(asked.cursor, number + 1)
        head = asked.model_dump(exclude_none=True) | {"batch_number": number}
        return _BatchResponse(head, batches[number], fault.kind if fault else None)

    def _fault(self, batch: int) -> Fault | None:
        """The first fault of the batch; each fault is returned once."""
        for fault in self._faults:
            if fault.batch == batch:
                self._faults.remove(fault)
                return fault
        return None

    def _parameters(self, request: Request) -> _Query:
        return self._query.model_validate(dict(request.query_params))


class _BatchResponse(Response):
    """Streams a batch; only one piece of its text is in memory."""

    media_type = "application/json"

    def __init__(
        self, head: Mapping[str, object], batch: pd.DataFrame, fault: FaultKind | None
    ) -> None:
        super().__init__()
        del self.headers["content-length"]
        if fault == "renamed":
            batch = batch.rename(columns={"price": "amount"})
        elif fault == "text":
            batch = batch.assign(price=batch["price"].map("about ${:,.0f}".format))
        self._head, self._batch, self._fault = head, batch, fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for text in iterate_in_threadpool(self._text()):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        # Without this last message the server breaks the connection.
        if self._fault != "aborted":
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _text(self) -> Iterator[str]:
        yield json.dumps(self._head, separators=(",", ":"))[:-1] + ',"data":['
        if self._fault in ("truncated", "aborted"):
            yield from json_rows(self._batch.iloc[: len(self._batch) // 2])
            yield ',{"brokered_by":4'
        else:
            yield from json_rows(self._batch)
            yield "]}"


def _get(path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
    route = Route(path, endpoint)
    # Starlette adds HEAD, which the real API refuses and which would use up a batch here.
    route.methods = {"GET"}
    return route


def _detail(status: int, detail: object) -> Response:
    return JSONResponse({"detail": detail}, status)


async def _unprocessable(_: Request, error: Exception) -> Response:
    """The response (422) of the real API's framework to parameters that do not validate."""
    assert isinstance(error, ValidationError)
    problems: list[dict[str, Any]] = []
    for problem in error.errors(include_url=False):
        missing = {"input": None} if problem["type"] == "missing" else {}
        problems.append({**problem, "loc": ["query", *problem["loc"]], **missing})
    return _detail(422, problems)


async def _no_data(_: Request, error: Exception) -> Response:
    return _detail(500, str(error))


async def _no_such_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
