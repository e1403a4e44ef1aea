"""The platform's processes, recognised by a variable in their environment.

Children inherit the mark, so that it also finds what a killed program has left behind.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil

STACK_MARK = "REALTOR_STACK_ID"
PROGRAM_MARK = "REALTOR_PROGRAM"


def marked(stack_id: str, program: str | None = None) -> list[psutil.Process]:
    """Live processes of the stack (of one program), without this process and its ancestors."""
    own = psutil.Process()
    spared = {own.pid, *(parent.pid for parent in own.parents())}
    found = []
    for process in psutil.process_iter(["environ", "status"]):
        environment = process.info["environ"] or {}
        if (
            environment.get(STACK_MARK) == stack_id
            and program in (None, environment.get(PROGRAM_MARK))
            and process.info["status"] != psutil.STATUS_ZOMBIE
            and process.pid not in spared
        ):
            found.append(process)
    return found


def program_of(process: psutil.Process) -> str:
    """The program that a marked process belongs to; "supervisord" for the supervisor."""
    try:
        return process.environ().get(PROGRAM_MARK, "supervisord")
    except psutil.Error:
        return "a process that has just ended"


def stop(processes: Iterable[psutil.Process], grace: float) -> None:
    """Ends processes: SIGTERM, then SIGKILL for those that live after `grace` seconds."""
    processes = list(processes)
    for process in processes:
        _signal(process, force=False)
    stubborn = _left(processes, grace)
    for process in stubborn:
        _signal(process, force=True)
    _left(stubborn, 5)


def _left(processes: list[psutil.Process], timeout: float) -> list[psutil.Process]:
    """The processes that live after `timeout` seconds. A zombie counts as dead."""
    deadline = time.monotonic() + timeout
    while living := [process for process in processes if _lives(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return living


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, *, force: bool) -> None:
    try:
        process.kill() if force else process.terminate()
    except psutil.NoSuchProcess:
        return
