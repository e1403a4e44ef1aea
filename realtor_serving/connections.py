"""HTTP connections that cannot be held open by sending slowly.

uvicorn waits for a request's head for ever: whoever opens connections and sends a byte a minute
ties up a file handle each. BentoML passes no such limit on, so the protocol class is put into
uvicorn's table of them, which is read after this module.
"""

import asyncio
from typing import Any

import uvicorn.config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_SECONDS = 10.0


class PromptProtocol(HttpToolsProtocol):
    """uvicorn's HTTP, with a limit on the time in which a request's head arrives whole."""

    _late: asyncio.TimerHandle | None = None

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
        super().connection_lost(exc)

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
