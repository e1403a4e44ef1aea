"""Answers requests that arrive at the same moment in one pass (micro-batching)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")

# Valued in about a millisecond, the longest that other requests wait for the event loop.
MOST = 64


class MicroBatcher(Generic[_Request, _Answer]):
    """Gathers the requests of one turn of the event loop, and answers them all in the next.

    A pass through the model takes hardly longer for ten homes than for one: under load each home
    costs a fraction, and a request that comes alone waits for nothing.
    """

    def __init__(self, answer: Callable[[Sequence[_Request]], Sequence[_Answer]]) -> None:
        """`answer` maps n requests to n answers in order, each independent of the others."""
        self._answer = answer
        self._waiting: list[tuple[_Request, asyncio.Future[_Answer]]] = []

    async def ask(self, request: _Request) -> _Answer:
        """The answer to `request`. Raises what answering it by itself raises."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._answer_all)
        future: asyncio.Future[_Answer] = loop.create_future()
        self._waiting.append((request, future))
        return await future

    def _answer_all(self) -> None:
        now, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._answer_all)
        requests, futures = zip(*now, strict=True)
        try:
            answers = self._answer(requests)
        except Exception as problem:
            if len(now) == 1:
                _settle(futures[0], problem)
                return
            # One that cannot be answered spoils no other.
            for request, future in now:
                try:
                    _settle(future, self._answer([request])[0])
                except Exception as own:
                    _settle(future, own)
            return
        for future, answer in zip(futures, answers, strict=True):
            _settle(future, answer)


def _settle(future: asyncio.Future[_Answer], outcome: _Answer | Exception) -> None:
    # The client may be gone: timed out or disconnected.
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
