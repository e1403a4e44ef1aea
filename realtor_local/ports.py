"""TCP ports on the loopback interface: which are free, and who holds the others."""

from __future__ import annotations

import errno
import random
import socket

import psutil

from realtor_local.errors import RealtorError

LOOPBACK = "127.0.0.1"
# Below the ports that kernels hand to outgoing connections, so that a remembered port stays ours.
FREE_RANGE = range(15_000, 30_000)


class NoFreePortError(RealtorError):
    """No port could be found in FREE_RANGE."""


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now. Raises OSError for a forbidden port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose old connections are only in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def free_port(avoid: frozenset[int] = frozenset()) -> int:
    """A free port in FREE_RANGE that is not in `avoid`. Raises NoFreePortError."""
    for port in random.sample(FREE_RANGE, 200):
        if port not in avoid and is_free(port):
            return port
    raise NoFreePortError(
        f"200 ports tried in {FREE_RANGE.start}-{FREE_RANGE.stop - 1}, none is free"
    )


def holder(port: int) -> psutil.Process | None:
    """The process that listens on `port`; None where the system does not show it to this user."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS shows other users' sockets to root only
        return None
    for connection in connections:
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            try:
                return psutil.Process(connection.pid)
            except psutil.NoSuchProcess:
                return None
    return None


def describe_holder(port: int) -> str:
    """ "python3 (pid 42)", or that it cannot be seen."""
    process = holder(port)
    if process is None:
        return "a process that this user cannot see"
    try:
        return f"{process.name()} (pid {process.pid})"
    except psutil.Error:
        return f"pid {process.pid}"
