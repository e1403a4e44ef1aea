"""Interrupts: every way to end `realtor up` is one, and none cuts its cleaning up short."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def ends_interrupt() -> Iterator[None]:
    """Within it, SIGTERM and SIGHUP raise KeyboardInterrupt as SIGINT does."""
    before = {each: signal.signal(each, _interrupt) for each in ENDING}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Within it, those signals are ignored: a second Ctrl-C must not leave orphans."""
    before = {each: signal.signal(each, signal.SIG_IGN) for each in ENDING}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
