"""Reads the history that the pipeline publishes, from a store that may be unavailable."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import fsspec

# The documents that the pipeline publishes are much smaller.
MAX_BYTES = 32 * 1024**2
TTL_SECONDS = 15.0
# Store clients have timeouts of minutes, and each has its own setting for them.
WAIT_SECONDS = 5.0


class HistoryUnavailable(Exception):
    """No history can be returned; the text says why."""


class HistoryNotPublished(HistoryUnavailable):
    """The store answers, but holds no history yet."""


class PublishedHistory:
    """The JSON document at `url`, cached for `ttl_seconds`.

    While the store is unavailable, slow or holds another document, the last good copy is returned.

    Args:
        url: file://, http:// or https://; also s3:// if s3fs is installed.
        ttl_seconds: age at which the copy is read again.
        max_bytes: largest document that is accepted.
        clock: monotonic time in seconds.
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
        """The newest good copy, as JSON.

        Raises:
            HistoryUnavailable: no copy could be read so far.
        """
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
        """The result of `_read`. If it times out, the next call waits for the same read."""
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
        # Each store client raises its own exceptions.
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
