"""A stand-in for the upstream listings API: its protocol to the letter, with data of your own.

    python -m realtor_local.upstream --port 8000 --rows 400000
    python -m realtor_local.upstream --port 8000 --csv realtor-data.csv

GET /health · GET /data?group_number=N[&day=Tuesday|Wednesday] · GET /restart_data_generation?…

Like the real one it serves the complete rows only, in file order, cut into six batches; keeps a
cursor per group (and per day, where a day is given); and moves the cursor at the call, before the
first byte leaves: an answer that is lost on the way is lost until the group is restarted. An answer
of 4xx or 5xx moves nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import uvicorn
from pydantic import BaseModel, Field, ValidationError, create_model
from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from realtor_local.errors import RealtorError
from realtor_local.files import write_private
from realtor_local.market import COLUMNS, generate

END_OF_DATA = "Ya se recolectó toda la información mínima necesaria"
CHUNK_ROWS = 5_000
TEXT_COLUMNS = ("status", "city", "state", "prev_sold_date")

FaultKind = Literal[
    "slow", "http500", "truncated", "aborted", "repeated", "renamed", "text", "end404"
]
FAULTS: Mapping[FaultKind, str] = {
    "slow": "answers after :seconds",
    "http500": "answers 500; the cursor stays",
    "truncated": "half of the body in a well-formed HTTP answer",
    "aborted": "half of the body, then the connection breaks",
    "repeated": "the cursor stays, so the batch comes again",
    "renamed": "the column price is called list_price",
    "text": "prices are texts such as '$239,800'",
    "end404": "answers 404 with the end-of-data text, as the API's first description has it",
}


class UpstreamDataError(RealtorError):
    """The listings cannot be served; the text names the file and what is wrong with it."""


class StateError(RealtorError):
    """The state file cannot be used; the text says what to do with it."""


# ---------------------------------------------------------------------------- the listings


def read_csv(path: Path) -> pd.DataFrame:
    """The 12 columns of a CSV in the Kaggle format, in file order; extra columns are left out.

    Numbers are float64, texts categorical. Raises UpstreamDataError for a file that cannot be
    read, a missing column, or a text where a number belongs.
    """
    check_csv(path)
    numbers = {name: pa.float64() for name in COLUMNS if name not in TEXT_COLUMNS}
    texts = {name: pa.dictionary(pa.int32(), pa.string()) for name in TEXT_COLUMNS}
    options = pyarrow.csv.ConvertOptions(
        include_columns=list(COLUMNS),
        column_types=numbers | texts,
        null_values=["", "NaN", "nan", "NA", "null"],
        strings_can_be_null=True,
    )
    try:
        table = pyarrow.csv.read_csv(path, convert_options=options)
    except pa.ArrowInvalid as error:
        raise UpstreamDataError(f"{path}: {error}") from error
    frame: pd.DataFrame = table.unify_dictionaries().to_pandas(self_destruct=True)
    return frame


def check_csv(path: Path) -> None:
    """Reads the header only. Raises UpstreamDataError when it is not the Kaggle file's."""
    try:
        header = pd.read_csv(path, nrows=0).columns
    except (OSError, ValueError) as error:
        raise UpstreamDataError(f"{path} cannot be read as a CSV: {error}") from error
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise UpstreamDataError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"its header has {', '.join(header) or 'nothing'}. It must hold the 12 columns "
            f"{','.join(COLUMNS)}"
        )


def cut(listings: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """The six batches of the real API: complete rows only, file order kept.

    0, 1: for sale to 300,000, above and to 1,500 square feet; 2: sold to 300,000; 3:
    Massachusetts to 300,000 (and in none of the others below that); 4: to 500,000; 5: the rest.
    Complete rows of another status to 300,000 are in none of them.
    """
    complete = listings.dropna()
    complete = complete.assign(**{name: complete[name].astype("category") for name in TEXT_COLUMNS})
    price, status = complete["price"], complete["status"]
    low, massachusetts = price <= 300_000, complete["state"] == "Massachusetts"
    cheap = low & ~massachusetts
    large = complete["house_size"] > 1_500
    return (
        complete[cheap & (status == "for_sale") & large],
        complete[cheap & (status == "for_sale") & ~large],
        complete[cheap & (status == "sold")],
        complete[low & massachusetts],
        complete[~low & (price <= 500_000)],
        complete[price > 500_000],
    )


def json_rows(batch: pd.DataFrame) -> Iterator[str]:
    """The batch as comma-separated JSON objects, a piece of `CHUNK_ROWS` rows at a time.

    Numbers are written as floats (6016.0), as the real API does.
    """
    for start in range(0, len(batch), CHUNK_ROWS):
        piece = batch.iloc[start : start + CHUNK_ROWS]
        text = piece.to_json(orient="records", double_precision=15, force_ascii=False)
        # pandas escapes slashes, which JSON allows and the real API does not do.
        yield ("," if start else "") + text[1:-1].replace("\\/", "/")


# ---------------------------------------------------------------------------- the state


class _State(BaseModel):
    source: str
    next_batch: dict[str, int]


class Cursors:
    """The next batch of each group, kept in a file where one is given.

    `source` names the data: cursors of other data are not taken over. Not for concurrent use: the
    server calls it from its event loop only. Raises StateError for a file that cannot be used.
    """

    def __init__(self, source: str, file: Path | None = None) -> None:
        self._source, self._file = source, file
        self._next: dict[str, int] = {}
        if file and not file.parent.is_dir():
            raise StateError(f"{file.parent}, the folder of the state file, does not exist")
        if file and file.exists():
            try:
                state = _State.model_validate_json(file.read_text())
            except (OSError, ValueError) as error:
                raise StateError(
                    f"{file} is not a state file of the stand-in upstream; delete it to start "
                    f"every group at batch 0 ({error})"
                ) from error
            if state.source == source:
                self._next = state.next_batch
            else:
                _say(f"{file} belongs to other listings: every group starts at batch 0")

    def position(self, key: str) -> int:
        return self._next.get(key, 0)

    def move(self, key: str, batch: int) -> None:
        """Sets the cursor; it is on the disk when this returns."""
        moved = {**self._next, key: batch}
        if self._file:
            state = _State(source=self._source, next_batch=moved)
            write_private(self._file, state.model_dump_json())
        self._next = moved


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong once, when `batch` is asked for."""

    kind: FaultKind
    batch: int
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Fault:
        """From 'kind@batch' or 'slow@batch:seconds'. Raises ArgumentTypeError."""
        written = re.fullmatch(r"(\w+)@(\d+)(?::(\d+(?:\.\d+)?))?", text)
        for known in FAULTS:
            if written and written[1] == known:
                return cls(known, int(written[2]), float(written[3] or 0))
        raise argparse.ArgumentTypeError(
            f"{text!r} is not kind@batch[:seconds] with one of {', '.join(FAULTS)}"
        )


# ---------------------------------------------------------------------------- the API


def build_app(
    source: Callable[[], pd.DataFrame],
    *,
    name: str = "",
    groups: int = 10,
    require_day: bool = False,
    state: Path | None = None,
    faults: Sequence[Fault] = (),
) -> Starlette:
    """The API over the listings that `source` makes, in a thread that starts with the server.

    /health answers at once; /data waits for the listings, and answers 500 with the reason when
    they cannot be had. `name` identifies the listings in the state file. Raises StateError.
    """
    api = _Api(source, Cursors(name, state), _query(groups, require_day), list(faults))
    return Starlette(
        routes=[
            _get("/health", api.health),
            _get("/data", api.data),
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
        source: Callable[[], pd.DataFrame],
        cursors: Cursors,
        query: type[_Query],
        faults: list[Fault],
    ) -> None:
        self._source, self._cursors, self._query, self._faults = source, cursors, query, faults
        self._batches: Future[tuple[pd.DataFrame, ...]] = Future()

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        # A daemon, so that a server which is stopped while it loads stops at once.
        threading.Thread(target=self._load, daemon=True, name="listings").start()
        yield

    def _load(self) -> None:
        started = time.monotonic()
        try:
            batches = cut(self._source())
        except Exception as error:  # whatever it is, /data must answer with it
            problem = UpstreamDataError(f"The listings cannot be had: {error}")
            _say(str(problem))
            self._batches.set_exception(problem)
            return
        sizes = [len(batch) for batch in batches]
        _say(
            f"ready after {time.monotonic() - started:.1f} s: {sum(sizes):,} complete listings in "
            f"{len(sizes)} batches ({' · '.join(f'{size:,}' for size in sizes)})"
        )
        self._batches.set_result(batches)

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "OK"})

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
        """The first fault of the batch, which is used up with this."""
        for fault in self._faults:
            if fault.batch == batch:
                self._faults.remove(fault)
                return fault
        return None

    def _parameters(self, request: Request) -> _Query:
        return self._query.model_validate(dict(request.query_params))


class _BatchResponse(Response):
    """Streams a batch: memory holds one piece of its text, whatever its size."""

    media_type = "application/json"

    def __init__(
        self, head: Mapping[str, object], batch: pd.DataFrame, fault: FaultKind | None
    ) -> None:
        super().__init__()
        del self.headers["content-length"]
        if fault == "renamed":
            batch = batch.rename(columns={"price": "list_price"})
        elif fault == "text":
            batch = batch.assign(price=batch["price"].map("${:,.0f}".format))
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
    """The 422 that the real API's framework makes of parameters that do not validate."""
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


def _say(text: str) -> None:
    print(f"upstream: {text}", flush=True)


# ---------------------------------------------------------------------------- the command


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the server. Exit codes: 0 stopped, 1 the data or the state file is unusable, 2 usage."""
    options = _parser().parse_args(arguments)
    try:
        name, source = _source(options)
        app = build_app(
            source,
            name=name,
            groups=options.groups,
            require_day=options.require_day,
            state=options.state,
            faults=options.fault,
        )
    except RealtorError as error:
        sys.exit(f"upstream: {error}")
    _say(f"getting {name}")
    uvicorn.run(app, host=options.host, port=options.port, timeout_graceful_shutdown=5)


def _source(options: argparse.Namespace) -> tuple[str, Callable[[], pd.DataFrame]]:
    """What the data is called in the state file, and what makes it. Raises UpstreamDataError."""
    if options.csv is None:
        return (
            f"a synthetic market of {options.rows:,} listings, seed {options.seed}",
            lambda: generate(options.rows, options.seed).listings,
        )
    csv: Path = options.csv.resolve()
    check_csv(csv)
    stat = csv.stat()
    return f"{csv} ({stat.st_size:,} bytes, changed {stat.st_mtime_ns})", partial(read_csv, csv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m realtor_local.upstream",
        description="A stand-in for the upstream listings API.",
        epilog="faults: " + "; ".join(f"{kind}: {text}" for kind, text in FAULTS.items()),
    )
    parser.add_argument("--host", default="127.0.0.1", help="interface (default %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port")
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--csv", type=Path, metavar="FILE", help="listings in the Kaggle format")
    data.add_argument(
        "--rows",
        type=_positive,
        default=400_000,
        help="size of the synthetic market (default %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the market (default 0)")
    parser.add_argument(
        "--groups", type=_positive, default=10, help="groups 1..N exist (default %(default)s)"
    )
    parser.add_argument(
        "--require-day", action="store_true", help="refuse calls without day, as in 2025"
    )
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="keeps the cursors over a restart"
    )
    parser.add_argument(
        "--fault",
        type=Fault.parse,
        action="append",
        default=[],
        metavar="KIND@BATCH[:SECONDS]",
        help="goes wrong once, when that batch is asked for; may be given again",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


if __name__ == "__main__":
    main()
