"""A load generator: keep-alive HTTP/1.1 over raw sockets, each connection asks when answered.

It parses no more of an answer than its status and length, which costs some 20 µs a request: a
tenth of what the quickest server here needs. `Outcome.generator_cpu` says how much of a core it
used: near 1, the figures would be its own.
"""

from __future__ import annotations

import asyncio
import threading
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
    """What came of one run: seconds of each answer, statuses, and what was no answer.

    `keep(asked, answered, body)` is told of each, in seconds of `time.perf_counter`.
    """

    keep: Callable[[float, float, bytes], None] | None = None
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


class Pace:
    """Asks `rate` times a second over `connections`, in a thread of its own, until it is stopped.

    A connection whose answer is late asks again at once, and never twice for the time it lost.
    """

    def __init__(
        self, url: str, requests: Sequence[bytes], connections: int, rate: float, outcome: Outcome
    ) -> None:
        self._arguments = (url, requests, connections, connections / rate, outcome)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run(*self._arguments)))
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; returns when all that was asked is answered."""
        self._stopping.set()
        self._thread.join()

    async def _run(
        self,
        url: str,
        requests: Sequence[bytes],
        connections: int,
        interval: float,
        outcome: Outcome,
    ) -> None:
        started = time.perf_counter()
        clients = await _connect(url, requests, connections, outcome, interval)
        for number, client in enumerate(clients):
            asyncio.get_running_loop().call_later(interval * number / connections, client.ask)
        while not self._stopping.is_set():
            await asyncio.sleep(0.05)
        for client in clients:
            client.finish()
        while any(client.waiting for client in clients):
            await asyncio.sleep(0.01)
        outcome.seconds = time.perf_counter() - started
        for client in clients:
            client.close()


async def _connect(
    url: str,
    requests: Sequence[bytes],
    connections: int,
    outcome: Outcome,
    interval: float = 0.0,
) -> list[_Client]:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    clients = []
    for number in range(connections):
        _, client = await loop.create_connection(
            lambda number=number: _Client(requests, number, outcome, interval),
            parts.hostname,
            parts.port,
        )
        clients.append(client)
    return clients


async def _run(
    url: str,
    requests: Sequence[bytes],
    connections: int,
    seconds: float,
    server_cpu: Callable[[], float],
) -> Outcome:
    outcome = Outcome()
    clients = await _connect(url, requests, connections, outcome)
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
    """One connection, which asks every `interval` seconds; 0: as soon as it is answered."""

    def __init__(
        self, requests: Sequence[bytes], number: int, outcome: Outcome, interval: float
    ) -> None:
        self._interval = interval
        self._requests = requests
        self._next = number
        self._outcome = outcome
        self._received = b""
        self._expected = 0
        self._closing = self._finishing = False
        self.waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self) -> None:
        if self._finishing or self._closing:
            return
        self.waiting = True
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
        answered = time.perf_counter()
        self._outcome.latencies.append(answered - self._asked)
        self._outcome.statuses[int(self._received[9:12])] += 1
        if self._outcome.keep is not None:
            body = self._received[self._received.find(_HEAD_END) + len(_HEAD_END) :]
            self._outcome.keep(self._asked, answered, body)
        self._received, self._expected, self.waiting = b"", 0, False
        late = self._interval - (answered - self._asked)
        if late > 0:
            asyncio.get_running_loop().call_later(late, self.ask)
        else:
            self.ask()

    def connection_lost(self, problem: Exception | None) -> None:
        self.waiting = False
        if not self._closing:
            self._outcome.broken += 1

    def finish(self) -> None:
        """Ask no more."""
        self._finishing = True

    def close(self) -> None:
        self._closing = True
        self._transport.close()
