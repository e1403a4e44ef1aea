"""HTTP connections that cannot be held open by sending or by reading slowly.

uvicorn waits for a request's head for ever: whoever opens connections and sends a byte a minute
ties up a file handle each. It keeps an answer that nobody reads for ever, too, with all its memory.
BentoML passes no such limits on, so the protocol class is put into uvicorn's table of them, which
is read after this module.
"""

import asyncio
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_SECONDS = 10.0
# An answer that waits to be read has to lose so many bytes in each such time.
TAKE_SECONDS = 30.0
TAKE_BYTES = 64 * 1024


class PromptProtocol(HttpToolsProtocol):
    """uvicorn's HTTP, with limits on the time in which a request's head arrives whole, and on how
    slowly an answer may be taken."""

    _late: asyncio.TimerHandle | None = None
    _untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first head."""
        super().connection_made(transport)
        self._expect_head()

    def on_message_begin(self) -> None:
        """Wait for the head of this request."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """The head is here."""
        self._head_is_over()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._head_is_over()
        self._is_taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """More of an answer waits than goes out at once."""
        super().pause_writing()
        self._expect_taking()

    def resume_writing(self) -> None:
        """Most of it is gone."""
        self._is_taken()
        super().resume_writing()

    def _expect_taking(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._untaken = self.loop.call_later(TAKE_SECONDS, self._look_again, waiting)

    def _look_again(self, waited: int) -> None:
        if waited - self.transport.get_write_buffer_size() < TAKE_BYTES:
            self.transport.abort()
        else:
            self._expect_taking()

    def _is_taken(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _head_is_over(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self.transport.write(
                STATUS_LINE[408] + b"content-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()


def install() -> None:
    """Make uvicorn use it for the connections of this process."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{PromptProtocol.__name__}"
