"""The client of the upstream listings API: every answer is landed before it is read.

The upstream moves its cursor at the call, so a lost answer must be noticed and fetched again: see
`realtor_assets.source.upstream_cursor`. A call is logged before it is made (`api_request_started`)
and after it (`api_request_log`); a call with only the first entry died with its process.
"""

import hashlib
import time
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import tenacity
import zstandard
from psycopg import sql

from realtor_assets.resources import Database, ObjectStore
from realtor_assets.source.landing import (
    PAYLOADS,
    ZSTD_LEVEL,
    LandedPayload,
    Progress,
    find,
    measure,
    partition_key,
    register,
)
from realtor_assets.source.payload_errors import PayloadUnreadable
from realtor_assets.source.payload_reader import read_batch_number
from realtor_assets.source.upstream_cursor import Call, Position, position

END_OF_DATA = "ya se recolect"
BODY_SHOWN = 500
# Of an answer that is not a batch, this many bytes are read.
_BODY_READ = 64 * 2**10
# Statuses by which a server asks for the same call later.
_LATER = {408, 425, 429}


class UpstreamError(Exception):
    """The upstream gave no batch, and the same call again will not help."""


class UpstreamUnavailable(UpstreamError):
    """The upstream gave no batch this time: a timeout, a broken answer, 5xx or 429."""


@dataclass
class _Answer:
    """The answer to a call, filled in while it arrives."""

    status: int | None = None
    size: int = 0
    sha256: str | None = None
    outcome: str = "lost"
    batch_number: int | None = None
    payload_key: str | None = None
    error: str | None = None
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class ListingsApi:
    """The upstream, for one group (and day, where the version asks for one)."""

    url: str
    group: int
    day: str | None
    timeout_seconds: float
    attempts: int
    max_bytes: int

    def land_next_batch(
        self, store: ObjectStore, database: Database, progress: Progress
    ) -> LandedPayload | None:
        """Land the next batch that is not landed yet, and return it; None at the end of the data.

        A batch that comes again is dropped. A lost or skipped batch is fetched by rewinding the
        upstream; the batches before it come again and are dropped.

        Raises:
            UpstreamUnavailable: `attempts` calls in a row failed.
            UpstreamError: an answer that a retry cannot repair, or only batches that are landed.
        """
        with database.lock(f"upstream {self.url} {self.group} {self.day}"):
            self._settle(store, database)
            # Enough calls for two rounds through the landed batches, and some new ones.
            for _ in range(2 * len(self._position(database).held) + 2 * self.attempts + 10):
                for attempt in tenacity.Retrying(
                    retry=tenacity.retry_if_exception_type(UpstreamUnavailable),
                    stop=tenacity.stop_after_attempt(self.attempts),
                    wait=tenacity.wait_exponential_jitter(initial=1, max=30),
                    before_sleep=lambda state: progress(
                        f"{state.outcome and state.outcome.exception()}; trying again"
                    ),
                    reraise=True,
                ):
                    with attempt:
                        answer, landed = self._step(
                            store, database, progress, attempt.retry_state.attempt_number
                        )
                if landed is not None:
                    return landed
                if answer.outcome == "end of data" and not self._position(database).must_rewind:
                    return None
        raise UpstreamError(
            f"{self.url} returns only batches that are landed already; "
            "`realtor restart-upstream` rewinds it"
        )

    # ---- calls ------------------------------------------------------------------------------

    def _step(
        self, store: ObjectStore, database: Database, progress: Progress, attempt: int
    ) -> tuple[_Answer, LandedPayload | None]:
        """One call: a rewind if a batch is missing, else the next batch."""
        reached = self._position(database)
        rewind = reached.must_rewind
        if rewind:
            missing = ", ".join(map(str, sorted(reached.missing)))
            progress(f"batch {missing} was lost or skipped: rewinding the upstream")
        endpoint = "restart_data_generation" if rewind else "data"
        request = self._start(database, endpoint, attempt)
        answer = _Answer()
        started = time.monotonic()
        landed = None
        try:
            self._send(request, answer, store, progress)
            self._judge(answer, rewind=rewind, known=bool(reached.held))
            if answer.outcome == "landed":
                landed = self._recognise(answer, request["payload_key"], store)
        except httpx.HTTPError as problem:
            if isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout):
                answer.outcome = "failed"
            answer.error = (
                f"GET {request['url']} failed after {answer.size:,} bytes: "
                f"{type(problem).__name__}: {problem}"
            )
            raise UpstreamUnavailable(answer.error) from problem
        except BaseException as problem:
            answer.error = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            landed = self._finish(database, request, answer, landed, time.monotonic() - started)
        if answer.outcome == "repeated":
            progress(f"batch {answer.batch_number} came again: it is landed already")
            store.delete(request["payload_key"])
        return answer, landed

    def _send(
        self, request: dict[str, Any], answer: _Answer, store: ObjectStore, progress: Progress
    ) -> None:
        with httpx.stream("GET", request["url"], timeout=self.timeout_seconds) as response:
            answer.status = response.status_code
            if response.status_code == httpx.codes.OK and request["endpoint"] == "data":
                self._land(response, answer, store, request["payload_key"], progress)
                return
            for block in response.iter_bytes():
                answer.size += len(block)
                answer.body += block[: _BODY_READ - len(answer.body)]
                if answer.size > _BODY_READ:
                    break

    def _land(
        self,
        response: httpx.Response,
        answer: _Answer,
        store: ObjectStore,
        key: str,
        progress: Progress,
    ) -> None:
        digest = hashlib.sha256()
        with (
            store.create(key) as file,
            zstandard.ZstdCompressor(level=ZSTD_LEVEL).stream_writer(file, closefd=False) as out,
        ):
            for block in response.iter_bytes(2**18):
                digest.update(block)
                answer.size += len(block)
                if answer.size > self.max_bytes:
                    raise UpstreamError(
                        f"the answer is larger than {self.max_bytes:,} bytes "
                        "(REALTOR_MAX_PAYLOAD_BYTES)"
                    )
                out.write(block)
                progress(f"{answer.size / 1e6:,.0f} MB received")
        answer.sha256 = digest.hexdigest()

    def _judge(self, answer: _Answer, *, rewind: bool, known: bool) -> None:
        """Set the outcome. Raises `UpstreamUnavailable`, `UpstreamError`."""
        status = answer.status or 0
        if status == httpx.codes.OK:
            answer.outcome = "rewound" if rewind else "landed"
            return
        text = answer.body[:BODY_SHOWN].decode(errors="replace")
        if not rewind and _is_end_of_data(status, answer.body, known=known):
            answer.outcome, answer.error = "end of data", text
            return
        # A proxy may answer 5xx for an upstream that has moved its cursor.
        answer.outcome = "failed" if 400 <= status < 500 else "lost"
        hint = " Is REALTOR_API_URL right?" if status == httpx.codes.NOT_FOUND else ""
        failure = UpstreamUnavailable if status >= 500 or status in _LATER else UpstreamError
        raise failure(f"the upstream answered {status}: {text}{hint}")

    def _recognise(self, answer: _Answer, key: str, store: ObjectStore) -> LandedPayload:
        """The payload just landed; its batch number is None where it names none."""
        try:
            answer.batch_number = read_batch_number(store, key)
        except PayloadUnreadable as problem:
            answer.error = str(problem)
        assert answer.sha256 is not None
        return LandedPayload(
            partition_key(self.group, self.day, answer.batch_number, answer.sha256),
            key,
            "upstream",
            self.group,
            self.day,
            answer.batch_number,
            answer.size,
            answer.sha256,
        )

    # ---- the log ----------------------------------------------------------------------------

    def _start(self, database: Database, endpoint: str, attempt: int) -> dict[str, Any]:
        request_id, now = uuid4(), datetime.now(UTC)
        parameters = {"group_number": str(self.group)} | ({"day": self.day} if self.day else {})
        url = httpx.URL(f"{self.url.rstrip('/')}/{endpoint}", params=parameters)
        key = f"{PAYLOADS}/group={self.group}/{now:%Y%m%dT%H%M%S.%fZ}-{request_id.hex[:8]}.json.zst"
        request = {
            "request_id": request_id,
            "requested_at": now,
            "endpoint": endpoint,
            "group_number": self.group,
            "day": self.day,
            "url": str(url),
            "attempt": attempt,
            "payload_key": key if endpoint == "data" else None,
        }
        with database.transaction() as connection:
            _insert(connection, "api_request_started", request)
        return request

    def _finish(
        self,
        database: Database,
        request: dict[str, Any],
        answer: _Answer,
        landed: LandedPayload | None,
        seconds: float | None,
    ) -> LandedPayload | None:
        """Log the call, register what it landed, and return that if it is new."""
        with database.transaction() as connection:
            if landed is not None:
                known = find(connection, landed.partition_key)
                if known is None:
                    register(connection, landed)
                    answer.payload_key = landed.payload_key
                else:
                    answer.payload_key = known.payload_key
                    answer.outcome = "repeated"
                    landed = None
            _insert(
                connection,
                "api_request_log",
                {name: value for name, value in request.items() if name != "payload_key"}
                | {
                    "batch_number": answer.batch_number,
                    "status": answer.status,
                    "seconds": seconds,
                    "bytes": answer.size,
                    "sha256": answer.sha256,
                    "payload_key": answer.payload_key,
                    "outcome": answer.outcome,
                    "error": answer.error,
                },
            )
        return landed

    def _settle(self, store: ObjectStore, database: Database) -> None:
        """Log the calls whose process died: landed if their payload is whole, else lost."""
        columns = (
            "request_id", "requested_at", "endpoint", "group_number", "day", "url", "attempt",
            "payload_key",
        )  # fmt: skip
        with database.transaction() as connection:
            died = connection.execute(
                f"SELECT {', '.join(columns)} FROM api_request_started s WHERE {_OURS} AND NOT"
                " EXISTS (SELECT FROM api_request_log l WHERE l.request_id = s.request_id)"
                " ORDER BY requested_at",
                self._ours,
            ).fetchall()
        for row in died:
            request = dict(zip(columns, row, strict=True))
            answer = _Answer(error="the process that called died with the answer")
            landed = None
            key = request["payload_key"]
            if key is not None and store.exists(key):
                answer.status, answer.outcome, answer.error = 200, "landed", None
                answer.size, answer.sha256 = measure(store, key)
                landed = self._recognise(answer, key, store)
            self._finish(database, request, answer, landed, None)
            if key is not None and answer.outcome != "landed":
                store.delete(key)

    def _position(self, database: Database) -> Position:
        with database.transaction() as connection:
            rows = connection.execute(
                "SELECT l.endpoint, l.outcome, l.batch_number, coalesce((SELECT s.state FROM"
                " ingestion_summary s JOIN landed_payloads p USING (partition_key)"
                " WHERE p.payload_key = l.payload_key ORDER BY s.load_id DESC LIMIT 1), '')"
                f" FROM api_request_log l WHERE {_OURS} ORDER BY l.requested_at",
                self._ours,
            ).fetchall()
        return position(_call(*row) for row in rows)

    @property
    def _ours(self) -> dict[str, object]:
        return {"group": self.group, "day": self.day, "url": f"{self.url.rstrip('/')}/"}


_OURS = (
    "group_number = %(group)s AND day IS NOT DISTINCT FROM %(day)s AND starts_with(url, %(url)s)"
)


def _call(endpoint: str, outcome: str, batch: int | None, state: str) -> Call:
    rewind = endpoint != "data"
    if outcome in ("landed", "repeated", "rewound"):
        if not rewind and batch is None:
            return Call("lost")
        return Call("landed", batch, usable=state != "refused", rewind=rewind)
    if outcome == "end of data":
        return Call("end of data")
    return Call("failed" if outcome == "failed" else "lost", rewind=rewind)


def _is_end_of_data(status: int, body: bytes, *, known: bool) -> bool:
    """Whether the answer means the end of the data.

    That is 400 with the documented text, or 404, as in the API's first description. A 404 from an
    address that has never given a batch means that the address is wrong.
    """
    text = unicodedata.normalize("NFKD", body.decode(errors="replace")).lower()
    return (status == httpx.codes.BAD_REQUEST and END_OF_DATA in text) or (
        status == httpx.codes.NOT_FOUND and (known or END_OF_DATA in text)
    )


def _insert(connection: psycopg.Connection, table: str, values: dict[str, Any]) -> None:
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        ),
        values,
    )
