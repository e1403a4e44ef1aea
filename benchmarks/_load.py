"""A load generator: keep-alive HTTP/1.1 over raw sockets, each connection asks when answered.

It parses no more of an answer than its status and length, which costs some 20 µs a request: a
tenth of what the quickest server here needs. `Outcome.generator_cpu` says how much of a core it
used: near 1, the figures would be its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import uvloop

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass
class Outcome:
    """What came of one run: seconds of each answer, statuses, and what was no answer."""

    seconds: float = 0.0
    generator_cpu: float = 0.0
    server_cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def quantile(self, q: float) -> float:
        """Seconds within which the share `q` of answers came."""
        return float(np.quantile(self.latencies, q)) if self.latencies else float("nan")

    @property
    def failures(self) -> int:
        """Answers that were none, or no 200."""
        return self.broken + sum(n for status, n in self.statuses.items() if status != 200)


def post(url: str, body: bytes, content_type: str = "application/json") -> bytes:
    """A request as it goes over the wire."""
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def run(
    url: str,
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
    server_cpu: Callable[[], float] = lambda: 0.0,
) -> Outcome:
    """Ask `requests` in turn over `connections` for `seconds`, after a fifth of that to warm up.

    `server_cpu()` tells the seconds of processor time that the server has used so far.
    """
    return uvloop.run(_run(url, requests, connections, seconds, server_cpu))


async def _run(
    url: str,
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
    server_cpu: Callable[[], float],
) -> Outcome:
    outcome = Outcome()
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    clients = []
    for number in range(connections):
        _, client = await loop.create_connection(
            lambda number=number: _Client(requests, number, outcome), parts.hostname, parts.port
        )
        clients.append(client)
    for client in clients:
        client.ask()
    await asyncio.sleep(seconds / 5)
    outcome.latencies.clear()
    outcome.statuses.clear()
    served = server_cpu()
    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    outcome.seconds = time.perf_counter() - started
    outcome.generator_cpu = (time.process_time() - cpu) / outcome.seconds
    outcome.server_cpu = server_cpu() - served
    for client in clients:
        client.close()
    return outcome


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: Sequence[bytes], number: int, outcome: Outcome) -> None:
        self._requests = requests
        self._next = number
        self._outcome = outcome
        self._received = b""
        self._expected = 0
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self) -> None:
        request = self._requests[self._next % len(self._requests)]
        self._next += 1
        self._asked = time.perf_counter()
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._expected:
            end = self._received.find(_HEAD_END)
            if end < 0:
                return
            head = self._received[:end].lower()
            at = head.find(_LENGTH)
            length = head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]
            self._expected = end + len(_HEAD_END) + int(length)
        if len(self._received) < self._expected:
            return
        self._outcome.latencies.append(time.perf_counter() - self._asked)
        self._outcome.statuses[int(self._received[9:12])] += 1
        self._received, self._expected = b"", 0
        if not self._closing:
            self.ask()

    def connection_lost(self, problem: Exception | None) -> None:
        if not self._closing:
            self._outcome.broken += 1

    def close(self) -> None:
        self._closing = True
        self._transport.close()
