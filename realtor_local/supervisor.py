"""Configures, starts and stops supervisord, and controls its programs over XML-RPC."""

from __future__ import annotations

import http.client
import os
import stat
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from realtor_local.errors import RealtorError
from realtor_local.platform_home import PlatformHome
from realtor_local.private_files import write_private
from realtor_local.processes import STACK_MARK
from realtor_local.programs import Program

RPC_FAILURES = (OSError, http.client.HTTPException)


class SupervisorError(RealtorError):
    """supervisord does not start, or does not answer."""


@dataclass(frozen=True)
class State:
    """The state of one program. `name` is supervisord's term: RUNNING, FATAL, …"""

    name: str
    pid: int
    uptime: float
    """Seconds; 0 when it does not run."""
    detail: str


class Supervisor:
    """The supervisord of one REALTOR_HOME."""

    def __init__(self, home: PlatformHome) -> None:
        self.home = home
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, programs: Iterable[Program], environment: Mapping[str, str]) -> None:
        """Starts supervisord in a session of its own, with no program running yet.

        Raises SupervisorError with its log.
        """
        socket = self.home.socket
        if socket.is_relative_to(self.home.root):
            socket = socket.relative_to(self.home.root)
        configuration = self.home.run / "supervisord.conf"
        write_private(configuration, _configuration(programs, socket))
        folder = self.home.socket.parent
        folder.mkdir(mode=0o700, exist_ok=True)
        if not self._is_ours(folder):
            raise SupervisorError(f"{folder} is not a private folder of this user: remove it")
        log = self.home.logs / "supervisord.out"
        scripts = Path(sys.executable).parent
        with log.open("wb") as output:
            self._process = process = subprocess.Popen(  # noqa: S603  # a fixed command
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", configuration],
                cwd=self.home.root,
                env={
                    **os.environ,
                    **environment,
                    # supervisord finds Python, and programs find each other's scripts, here.
                    "PATH": os.pathsep.join([str(scripts), os.environ.get("PATH", "")]),
                    STACK_MARK: self.home.stack_id,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + 30
        while not self.alive():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SupervisorError(
                    f"supervisord does not start:\n{log.read_text(errors='replace').strip()}"
                )
            time.sleep(0.05)

    def alive(self) -> bool:
        """Whether supervisord answers."""
        try:
            self._call("getState")
        except RPC_FAILURES:
            return False
        except xmlrpc.client.Fault:
            return True  # it is shutting down
        return True

    def ended_on_purpose(self) -> bool:
        """Waits until supervisord has ended; returns whether it was asked to end."""
        return self._process is not None and self._process.wait() == 0

    def states(self) -> dict[str, State]:
        """Program → state. Raises SupervisorError when supervisord does not answer."""
        try:
            reported = self._call("getAllProcessInfo")
        except (xmlrpc.client.Fault, *RPC_FAILURES) as error:
            raise SupervisorError(f"supervisord does not answer: {error}") from error
        return {
            each["name"]: State(
                each["statename"],
                each["pid"],
                each["now"] - each["start"] if each["pid"] else 0.0,
                each["spawnerr"] or each["description"],
            )
            for each in reported
        }

    def start_program(self, name: str) -> None:
        """Starts a program and does not wait until it runs."""
        self._ask("startProcess", name)

    def stop_program(self, name: str) -> None:
        """Stops a program and does not wait until it has ended."""
        self._ask("stopProcess", name)

    def shut_down(self, timeout: float = 60.0) -> None:
        """Stops supervisord and its programs, and waits until they have ended."""
        try:
            process = psutil.Process(self._call("getPID"))
            self._call("shutdown")
            process.wait(timeout)
        except psutil.TimeoutExpired:
            process.kill()
        except (psutil.NoSuchProcess, *RPC_FAILURES):
            return

    def _ask(self, method: str, name: str) -> None:
        wait = False  # supervisord would answer nothing else meanwhile
        try:
            self._call(method, name, wait)
        except xmlrpc.client.Fault as fault:
            # The program started or ended by itself at the same moment: that is the wanted state.
            if not fault.faultString.startswith(("ALREADY_STARTED", "NOT_RUNNING")):
                raise SupervisorError(f"{method} {name}: {fault.faultString}") from fault
        except RPC_FAILURES as error:
            raise SupervisorError(f"supervisord does not answer: {error}") from error

    def _call(self, method: str, *arguments: Any) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        if not self._is_ours(self.home.socket.parent):
            raise PermissionError(f"{self.home.socket.parent} is not a private folder of this user")
        transport = SupervisorTransport(None, None, f"unix://{self.home.socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)

    def _is_ours(self, folder: Path) -> bool:
        """Whether no other user can have put a socket into `folder`.

        A long REALTOR_HOME has its socket in the temporary folder, where names can be guessed.
        """
        if folder.is_relative_to(self.home.root):
            return True
        try:
            status = folder.lstat()
        except FileNotFoundError:
            return False
        private = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
        return private and status.st_uid == os.getuid()


def _configuration(programs: Iterable[Program], socket: Path) -> str:
    """supervisord.conf, for the folder REALTOR_HOME: a `;`, `#` or `%` in a path would break it."""
    as_root = "user=root\n" if os.geteuid() == 0 else ""
    sections = [
        f"""[supervisord]
logfile=logs/supervisord.log
logfile_maxbytes=10MB
logfile_backups=2
pidfile=run/supervisord.pid
{as_root}
[unix_http_server]
file={socket}
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    ]
    for program in programs:
        # PostgreSQL: INT is its fast shutdown; the postmaster stops its own processes.
        postgres = program.name == "postgres"
        sections.append(
            f"""[program:{program.name}]
command={Path(sys.executable).name} -m realtor_local.launch {program.name}
priority={program.wave}
autostart=false
autorestart=true
startsecs=1
startretries=10
stopsignal={"INT" if postgres else "TERM"}
stopwaitsecs=30
stopasgroup={"false" if postgres else "true"}
killasgroup=true
redirect_stderr=true
stdout_logfile=logs/{program.name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""
        )
    return "\n".join(sections)
