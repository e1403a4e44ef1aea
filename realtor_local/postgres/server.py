"""One server: its cluster prepared, started, stopped and removed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from realtor_local.errors import PostgresError
from realtor_local.ports import LOOPBACK, free_port, is_free
from realtor_local.postgres.account import Account, account_for
from realtor_local.postgres.binaries import Binaries, copy_binaries, find_binaries
from realtor_local.postgres.data import initdb, postmaster, remove_stale_lock
from realtor_local.postgres.databases import ROLES, SUPERUSER, create_databases
from realtor_local.private_files import make_private_folder, write_private

FALLBACK_ROOT = Path("/var/lib/realtor")

# No Unix socket: its path may have at most 107 bytes, and paths of some clones are longer.
SERVER_OPTIONS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "wal_compression": "on",
}


@dataclass(frozen=True)
class Cluster:
    """A prepared cluster."""

    binaries: Binaries
    data: Path
    account: Account | None
    port: int
    passwords: Mapping[str, str] = field(repr=False)


class EmbeddedPostgres:
    """One PostgreSQL server whose files are in `directory` (0700, or 0711 as root).

    `port` 0 takes a free one and remembers it. `options` are server settings on top of
    SERVER_OPTIONS. All methods may be called by several processes at once, and again.
    """

    def __init__(
        self,
        directory: Path,
        *,
        binaries: Path | None = None,
        port: int = 0,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self._chosen_binaries = binaries
        self._chosen_port = port
        self._options = {**SERVER_OPTIONS, **(options or {})}
        self._cluster: Cluster | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def cluster(self) -> Cluster:
        """The prepared cluster; prepares it on first use."""
        return self._cluster or self.prepare()

    @property
    def urls(self) -> dict[str, str]:
        """Environment variable → URL of a database, with role and password."""
        return {variable: self.url(role) for role, (_, variable) in ROLES.items()}

    @property
    def command(self) -> list[str]:
        """The server's command line; run it as `cluster.account`, in the folder `cluster.data`."""
        settings = {**self._options, "port": str(self.cluster.port)}
        return [
            str(self.cluster.binaries.folder / "postgres"),
            "-D",
            str(self.cluster.data),
            *(
                argument
                for name, value in settings.items()
                for argument in ("-c", f"{name}={value}")
            ),
        ]

    def url(self, role: str) -> str:
        """URL of the database of one of ROLES, as that role."""
        return self._url(role, ROLES[role][0])

    @property
    def admin_url(self) -> str:
        """URL of the server's own database, as its superuser."""
        return self._url(SUPERUSER, SUPERUSER)

    def prepare(self) -> Cluster:
        """Finds the programs and makes the cluster and its passwords where they do not exist.

        Raises PostgresError with the fix.
        """
        with self._lock():
            self._cluster = self._prepare()
        return self._cluster

    def start(self, timeout: float = 60.0) -> dict[str, str]:
        """Starts the server if it does not run, makes the databases, and returns `urls`.

        Raises PostgresError with the server's own words when it isn't ready in `timeout` seconds.
        """
        with self._lock():
            self._cluster = self._prepare()
            if self.process() is None:
                self._spawn(timeout)
            if not self.answers():
                raise PostgresError(f"PostgreSQL on port {self.cluster.port} does not answer.")
            self.create_databases()
        return self.urls

    def stop(self, timeout: float = 30.0) -> None:
        """Stops the server, even one of another process; kills it after `timeout` seconds."""
        process = self.process()
        if process is None:
            return
        backends = process.children()
        process.send_signal(2)  # SIGINT: PostgreSQL's fast shutdown
        try:
            process.wait(timeout)
        except psutil.TimeoutExpired:
            for each in (process, *backends):
                _kill(each)
            psutil.wait_procs([process, *backends], timeout=5)
        if self._child is not None:
            self._child.wait()

    def process(self) -> psutil.Process | None:
        """The running postmaster of this cluster, or None."""
        return postmaster(self.data)

    def answers(self) -> bool:
        """Whether the server answers SELECT 1. Raises PostgresError on a wrong password."""
        import psycopg

        try:
            with psycopg.connect(self.admin_url, connect_timeout=3) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise PostgresError(
                    f"PostgreSQL on port {self.cluster.port} refuses the password in"
                    f" {self._secrets}: another server has the port, or the file was changed."
                ) from error
            return False
        return True

    def create_databases(self) -> None:
        """Makes roles and databases that are missing; each role may connect to its own only."""
        create_databases(self.admin_url, self.cluster.passwords)

    def remove(self) -> None:
        """Removes the cluster, with all its data. The server must be stopped."""
        for folder in (self.directory, self._fallback()):
            if folder.exists():
                shutil.rmtree(folder)

    # ---------------------------------------------------------------------------------- internals

    @property
    def _secrets(self) -> Path:
        """server.json, next to the data, so that both are kept or removed together."""
        moved = os.geteuid() == 0 and self._fallback().exists()
        return (self._fallback() if moved else self.directory) / "server.json"

    def _url(self, role: str, database: str) -> str:
        cluster = self.cluster
        return f"postgresql://{role}:{cluster.passwords[role]}@{LOOPBACK}:{cluster.port}/{database}"

    def _fallback(self) -> Path:
        return FALLBACK_ROOT / hashlib.sha256(str(self.directory).encode()).hexdigest()[:16]

    @property
    def data(self) -> Path:
        """The cluster's folder, where it is or will first be tried."""
        moved = self._fallback() / "data"
        return moved if os.geteuid() == 0 and moved.exists() else self.directory / "data"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        make_private_folder(self.directory)
        try:
            handle = (self.directory / "lock").open("w")
        except PermissionError as error:
            raise PostgresError(
                f"{self.directory} belongs to another user: {error}. Run as that user, or set"
                " REALTOR_HOME to a folder of your own."
            ) from error
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _prepare(self) -> Cluster:
        data = self.data
        account = account_for(data)
        binaries = find_binaries(self._chosen_binaries)
        folder = data.parent
        if account is not None:
            folder, binaries = self._reachable_places(folder, binaries, account)
            data = folder / "data"
        secret = self._load_secrets(new=not data.exists())
        if not data.exists():
            initdb(binaries, data, account, secret["passwords"][SUPERUSER])
        made_by = int((data / "PG_VERSION").read_text())
        if made_by != binaries.major:
            raise PostgresError(
                f"The cluster in {data} was made by PostgreSQL {made_by}, the programs in"
                f" {binaries.folder} are {binaries.major}: set REALTOR_PG_BIN to PostgreSQL"
                f" {made_by}, or move the cluster with pg_upgrade."
            )
        running = postmaster(data) is not None
        if not running:
            remove_stale_lock(data)
        port = secret["port"] if running else self._choose_port(secret["port"])
        if port != secret["port"]:
            write_private(self._secrets, json.dumps({**secret, "port": port}))
        return Cluster(binaries, data, account, port, secret["passwords"])

    def _reachable_places(
        self, folder: Path, binaries: Binaries, account: Account
    ) -> tuple[Path, Binaries]:
        if not account.can(["/bin/sh", "-c", 'cd "$0"', folder]):
            folder = self._fallback()
            make_private_folder(FALLBACK_ROOT)
            make_private_folder(folder)
        if not account.can([binaries.folder / "initdb", "--version"]):
            binaries = copy_binaries(binaries, folder / f"postgresql-{binaries.major}")
        return folder, binaries

    def _load_secrets(self, *, new: bool) -> dict[str, Any]:
        try:
            return dict(json.loads(self._secrets.read_text()))
        except FileNotFoundError as error:
            if not new:
                raise PostgresError(
                    f"{self._secrets}, which holds the passwords, is missing, and the cluster"
                    f" {self.data} exists: restore the file, or remove the cluster."
                ) from error
        secret = {
            "port": 0,
            "passwords": {name: secrets.token_urlsafe(24) for name in (SUPERUSER, *ROLES)},
        }
        write_private(self._secrets, json.dumps(secret))
        return secret

    def _choose_port(self, remembered: int) -> int:
        if self._chosen_port:
            return self._chosen_port
        return remembered if remembered and is_free(remembered) else free_port()

    def _spawn(self, timeout: float) -> None:
        """Starts the postmaster, and again while a killed one's last processes are leaving."""
        cluster = self.cluster
        deadline = time.monotonic() + timeout
        log = self.directory / "server.log"
        while True:
            remove_stale_lock(cluster.data)
            with log.open("wb") as output:
                server = subprocess.Popen(  # noqa: S603  # a fixed command
                    self.command,
                    cwd=cluster.data,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    **(cluster.account.popen if cluster.account else {}),
                )
            while server.poll() is None:
                if "ready to accept connections" in log.read_text(errors="replace"):
                    self._child = server
                    return
                if time.monotonic() > deadline:
                    server.kill()
                    server.wait()
                    break
                time.sleep(0.02)
            if time.monotonic() > deadline or "Address already in use" in log.read_text():
                raise PostgresError(f"PostgreSQL does not start:\n{log.read_text().strip()}")
            time.sleep(0.2)


@contextmanager
def temporary_postgres(**options: str) -> Iterator[EmbeddedPostgres]:
    """A running server in a temporary folder, gone afterwards. For tests: no fsync."""
    with tempfile.TemporaryDirectory(prefix="realtor-pg-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # mkdtemp's 0700 would keep the server's user out
        server = EmbeddedPostgres(directory, options={"fsync": "off", **options})
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
