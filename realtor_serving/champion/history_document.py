"""The history that the pipeline publishes, read from a store that may be unavailable."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import fsspec

# The pipeline keeps its document well below this.
MAX_BYTES = 32 * 1024**2
TTL_SECONDS = 15.0
# Clients of stores wait for minutes, each by settings of its own.
WAIT_SECONDS = 5.0


class HistoryUnavailable(Exception):
    """There is no history to answer with; the text says why."""


class HistoryNotPublished(HistoryUnavailable):
    """The store answers, and nothing is published in it yet."""


class PublishedHistory:
    """The JSON document at `url` (file://, http(s)://; s3:// where s3fs is installed).

    It is read again after `ttl_seconds`; while the store is unavailable, slow or holds something
    else, the last good copy is the answer.
    """

    def __init__(
        self,
        url: str,
        *,
        ttl_seconds: float = TTL_SECONDS,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._ttl_seconds = ttl_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._good: bytes | None = None
        self._read_at: float | None = None
        self._reading: Future[bytes] | None = None

    def document(self) -> bytes:
        """The newest good copy, as JSON. Raises `HistoryUnavailable` when there is none."""
        with self._lock:
            fresh = self._read_at is not None and self._clock() - self._read_at < self._ttl_seconds
            if self._good is not None and fresh:
                return self._good
            try:
                self._good = self._read_in_time()
            except HistoryUnavailable:
                if self._good is None:
                    raise
            self._read_at = self._clock()
            return self._good

    def _read_in_time(self) -> bytes:
        """The result of `_read`; if it takes too long, the next call waits for the same read."""
        if self._reading is None:
            self._reading = Future()
            threading.Thread(
                target=self._read_for, args=(self._reading,), name="history", daemon=True
            ).start()
        reading = self._reading
        try:
            return reading.result(WAIT_SECONDS)
        except TimeoutError as problem:
            raise HistoryUnavailable("the store of the history does not answer") from problem
        finally:
            if reading.done():
                self._reading = None

    def _read_for(self, reading: "Future[bytes]") -> None:
        try:
            reading.set_result(self._read())
        except HistoryUnavailable as problem:
            reading.set_exception(problem)

    def _read(self) -> bytes:
        try:
            with fsspec.open(self._url, "rb") as file:
                content: bytes = file.read(self._max_bytes + 1)
        except FileNotFoundError as problem:
            raise HistoryNotPublished("no history is published yet") from problem
        # A store fails in as many ways as there are clients of stores.
        except Exception as problem:
            raise HistoryUnavailable(f"the history cannot be read: {problem}") from problem
        if len(content) > self._max_bytes:
            raise HistoryUnavailable(f"the history has more than {self._max_bytes:,} bytes")
        try:
            history = json.loads(content)
        except ValueError as problem:
            raise HistoryUnavailable("the history is not JSON") from problem
        if not isinstance(history, dict) or "versions" not in history:
            raise HistoryUnavailable("the published document is not a history")
        return content
