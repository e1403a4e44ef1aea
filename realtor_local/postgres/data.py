"""A cluster's folder of data: made whole or not at all, and the server that runs on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psutil

from realtor_local.errors import PostgresError
from realtor_local.postgres.account import Account
from realtor_local.postgres.binaries import Binaries
from realtor_local.postgres.databases import SUPERUSER
from realtor_local.private_files import write_private


def initdb(binaries: Binaries, data: Path, account: Account | None, password: str) -> None:
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


def postmaster(data: Path) -> psutil.Process | None:
    """The running server of the cluster in `data`, or None."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        # A recycled pid is not our server, and neither is a zombie.
        if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == data:
            return process
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return None


def remove_stale_lock(data: Path) -> None:
    """Removes a killed server's postmaster.pid, once none of its processes is left.

    PostgreSQL does so itself, unless the pid has been recycled (usual after a container restart) or
    stays a zombie (PID 1 reaps nothing).
    """
    lock = data / "postmaster.pid"
    if not lock.exists() or postmaster(data) is not None:
        return
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(data):
            return
    lock.unlink(missing_ok=True)
