"""Closes HTTP connections that send a request, or read an answer, too slowly.

uvicorn has no time limit for a request's head: a client that sends one byte a minute holds a file
handle for ever. It has no limit for an answer that the client does not read either, and keeps the
answer in memory. BentoML has no option for such limits. `install` therefore replaces the protocol
class in uvicorn's table, which uvicorn reads after this module is loaded.
"""

import asyncio
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_SECONDS = 10.0
# A client must read at least TAKE_BYTES of a waiting answer in every TAKE_SECONDS.
TAKE_SECONDS = 30.0
TAKE_BYTES = 64 * 1024


class PromptProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with two limits.

    A request's head must arrive within `HEAD_SECONDS`, else the answer is 408. A client must read
    `TAKE_BYTES` of a waiting answer in every `TAKE_SECONDS`, else the connection is aborted.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the timer for the head of the first request."""
        super().connection_made(transport)
        self._start_head_timer()

    def on_message_begin(self) -> None:
        """Start the timer for the head of this request, if it is not running."""
        super().on_message_begin()
        self._start_head_timer()

    def on_headers_complete(self) -> None:
        """Stop the timer: the head is complete."""
        self._stop_head_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop both timers."""
        self._stop_head_timer()
        self._stop_read_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the timer for the client to read: the write buffer is full."""
        super().pause_writing()
        self._start_read_timer()

    def resume_writing(self) -> None:
        """Stop the timer: the client has read most of the write buffer."""
        self._stop_read_timer()
        super().resume_writing()

    def _start_read_timer(self) -> None:
        buffered = self.transport.get_write_buffer_size()
        self._read_timer = self.loop.call_later(TAKE_SECONDS, self._check_read_speed, buffered)

    def _check_read_speed(self, buffered_before: int) -> None:
        if buffered_before - self.transport.get_write_buffer_size() < TAKE_BYTES:
            self.transport.abort()
        else:
            self._start_read_timer()

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._answer_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _answer_timeout(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.write(
                STATUS_LINE[408] + b"content-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()


def install() -> None:
    """Make uvicorn use `PromptProtocol` for the connections of this process."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{PromptProtocol.__name__}"
