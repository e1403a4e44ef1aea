"""Writes the valuations to the RAW table inference_log, without delaying answers."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self
from uuid import UUID, uuid4

import psycopg

CAPACITY = 100_000
CAPACITY_BYTES = 64 * 1024 * 1024
# Memory of a queued row, without its property.
ROW_BYTES = 600
BATCH_ROWS = 5_000
FLUSH_SECONDS = 1.0
CONNECT_SECONDS = 5
STATEMENT_MILLISECONDS = 10_000
CLOSE_SECONDS = 10.0
COMPLAIN_SECONDS = 60.0

_COPY = (
    "COPY inference_log (request_id, requested_at, endpoint, model_version, property, price, low,"
    " high) FROM STDIN"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """One valuation for the log. `property_json` is the checked property as JSON."""

    endpoint: str
    model_version: str
    property_json: str
    price: float
    low: float
    high: float

    @property
    def size(self) -> int:
        """Approximate memory of the row while it is queued, bytes."""
        return ROW_BYTES + len(self.property_json)


_Row = tuple[UUID, datetime, Answer]


class PostgresInferenceLog:
    """A bounded queue, and a thread that copies it to PostgreSQL in batches.

    While the database is unavailable, rows stay in the queue. When the queue is full, new rows are
    dropped.

    Args:
        url: PostgreSQL URL of the RAW database.
        capacity: maximum number of queued rows.
        capacity_bytes: maximum memory of the queued rows.
        count: called as `count(result, n)` for n rows; result is "written", "dropped" or "failed"
            (the attempt failed and is repeated).
        waiting: called every second with the number of queued rows.
    """

    def __init__(
        self,
        url: str,
        *,
        capacity: int = CAPACITY,
        capacity_bytes: int = CAPACITY_BYTES,
        count: Callable[[str, int], None] = lambda result, rows: None,
        waiting: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self._url = url
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._count = count
        self._waiting = waiting
        self._queue: deque[_Row] = deque()
        self._bytes = 0
        # Held only for an append or a popleft, never while rows are built or written.
        self._changing = threading.Lock()
        self._stopping = threading.Event()
        self._deadline: float | None = None
        self._complained_at = -COMPLAIN_SECONDS
        self._dropped = 0
        self._connection: psycopg.Connection | None = None
        self._thread = threading.Thread(target=self._write, name="inference-log", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def record(self, answers: Iterable[Answer]) -> None:
        """Queue `answers` without waiting for the database. Rows that do not fit are dropped."""
        now = datetime.now(UTC)
        dropped = 0
        for answer in answers:
            row, size = (uuid4(), now, answer), answer.size
            with self._changing:
                fits = (
                    len(self._queue) < self._capacity and self._bytes + size <= self._capacity_bytes
                )
                if fits:
                    self._queue.append(row)
                    self._bytes += size
            dropped += not fits
        if dropped:
            self._dropped += dropped
            self._count("dropped", dropped)

    def close(self) -> None:
        """Write the queued rows, for a few seconds at most, and stop the thread."""
        self._deadline = time.monotonic() + CLOSE_SECONDS
        self._stopping.set()
        self._thread.join(CLOSE_SECONDS + CONNECT_SECONDS)
        if self._queue:
            self._count("dropped", len(self._queue))
            logger.warning("%d rows of inference_log were not written", len(self._queue))

    def _write(self) -> None:
        while True:
            stopping = self._stopping.wait(FLUSH_SECONDS)
            self._waiting(len(self._queue))
            written = self._flush()
            if stopping and (not self._queue or not written or self._late()):
                break
        self._waiting(len(self._queue))
        self._disconnect()

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _flush(self) -> bool:
        """Write the queue batch by batch. Returns whether the database accepted all batches."""
        while self._queue and not self._late():
            # By index, because other threads may append, which breaks an iterator.
            batch = [self._queue[i] for i in range(min(BATCH_ROWS, len(self._queue)))]
            try:
                self._store(batch)
            except Exception as problem:
                # Catch everything: if the thread dies, no later answer is logged.
                self._count("failed", len(batch))
                self._disconnect()
                self._complain(problem)
                return False
            with self._changing:
                for *_, answer in batch:
                    self._queue.popleft()
                    self._bytes -= answer.size
        return True

    def _store(self, batch: list[_Row]) -> None:
        """Write `batch`, without rows that PostgreSQL rejects (NUL in a text) or already has."""
        try:
            self._copy(batch)
        except (psycopg.errors.UniqueViolation, psycopg.DataError) as problem:
            if len(batch) == 1:
                # The row is already in the table: an earlier commit succeeded without our knowing.
                written = isinstance(problem, psycopg.errors.UniqueViolation)
                if not written:
                    logger.warning("A row for inference_log was dropped: %s", problem)
                self._count("written" if written else "dropped", 1)
                return
            middle = len(batch) // 2
            self._store(batch[:middle])
            self._store(batch[middle:])
            return
        self._count("written", len(batch))

    def _copy(self, batch: list[_Row]) -> None:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._url,
                connect_timeout=CONNECT_SECONDS,
                options=f"-c statement_timeout={STATEMENT_MILLISECONDS}",
                application_name="realtor inference log",
            )
        with (
            self._connection.transaction(),
            self._connection.cursor() as cursor,
            cursor.copy(_COPY) as copy,
        ):
            for request_id, requested_at, answer in batch:
                copy.write_row(
                    (
                        request_id, requested_at, answer.endpoint, answer.model_version,
                        answer.property_json, answer.price, answer.low, answer.high,
                    )
                )  # fmt: skip

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _complain(self, problem: Exception) -> None:
        if time.monotonic() - self._complained_at < COMPLAIN_SECONDS:
            return
        self._complained_at = time.monotonic()
        logger.warning(
            "inference_log cannot be written (%s): %d rows wait, %d were dropped since the last"
            " such message; answers are not affected",
            problem,
            len(self._queue),
            self._dropped,
        )
        self._dropped = 0
