"""Backups: the four databases and two stores of a platform in one folder.

The databases are dumped before the stores are copied. A row is written after the object that it
names, and objects never change, so every object that a dump names is in the copy. A manifest has
the sha256 of every file. A backup appears whole or not at all; then RAW's table `backups` gets a
row, which monitoring reads.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import psycopg
from rich.console import Console

from realtor_local.errors import RealtorError

MANIFEST = "manifest.json"
_FORMAT = 1
_DATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")


class BackupError(RealtorError):
    """A backup cannot be made, is not whole, or would be restored over something."""


@dataclass(frozen=True)
class Platform:
    """Where a platform keeps what it knows.

    databases: name → URL, as the role that owns it. stores: name → folder, as fsspec has it
    (file://, s3://). programs: the folder with pg_dump and pg_restore, none older than the server.
    """

    databases: Mapping[str, str]
    stores: Mapping[str, str]
    programs: Path


def save(platform: Platform, folder: Path, console: Console) -> None:
    """Write a backup as the new folder `folder`, then record it in RAW.

    Raises BackupError; what had been written is removed, unless only the note could not be made.
    """
    if folder.exists():
        raise BackupError(f"{folder} exists: a backup is a folder of its own")
    taken_at = datetime.now(UTC)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        made = Path(name) / "made"
        made.mkdir(mode=0o700)
        for database, url in platform.databases.items():
            console.print(f"Dumping {database}")
            dump = ("--format=custom", "--no-owner", "--file", str(made / f"{database}.dump"))
            _run(platform, "pg_dump", *dump, url=url)
        for store, at in platform.stores.items():
            console.print(f"Copying the {store}")
            source, root = fsspec.url_to_fs(at)
            for key, path in _objects(source, root):
                target = made / store / key
                target.parent.mkdir(parents=True, exist_ok=True)
                source.get_file(path, str(target))
        manifest: dict[str, Any] = {
            "format": _FORMAT,
            "made_at": taken_at.isoformat(timespec="seconds"),
            "databases": list(platform.databases),
            "stores": list(platform.stores),
            "files": {
                str(path.relative_to(made)): _sha256(path)
                for path in sorted(made.rglob("*"))
                if path.is_file()
            },
        }
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1))
        made.rename(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    console.print(f"{folder}: {len(manifest['files'])} files, {size / 1024**2:,.1f} MB")
    _record_in_raw(platform, taken_at, folder)


def save_and_keep(platform: Platform, folder: Path, keep: int, console: Console) -> None:
    """Write a backup into `folder`, named after the time, and keep the newest `keep` of these.

    Raises BackupError; then none is removed.
    """
    save(platform, folder / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ"), console)
    dated = [
        each.parent for each in folder.glob(f"*/{MANIFEST}") if _DATED.fullmatch(each.parent.name)
    ]
    for old in sorted(dated)[:-keep]:
        shutil.rmtree(old)
        console.print(f"{old} is removed: the newest {keep} are kept")


def restore(folder: Path, platform: Platform, console: Console, *, again: Path) -> None:
    """Fill the empty databases and stores of `platform` from the backup in `folder`.

    `again` is a file that says which backup is being restored: when this was cut off, the same
    backup is restored over what it had done. Raises BackupError, before anything is changed, when
    a file of the backup is missing or changed, or when there is something else to lose.
    """
    manifest = read_manifest(folder)
    manifest_sha256 = _sha256(folder / MANIFEST)
    lacking = {*platform.databases, *platform.stores} ^ {
        *manifest["databases"],
        *manifest["stores"],
    }
    if lacking:
        raise BackupError(f"{folder} and this platform differ in {', '.join(sorted(lacking))}")
    if not (again.is_file() and again.read_text() == manifest_sha256):
        _refuse_full(platform)
        again.write_text(manifest_sha256)
    for store, at in platform.stores.items():
        console.print(f"Copying the {store}")
        target, root = fsspec.url_to_fs(at)
        for path in sorted((folder / store).rglob("*")):
            if path.is_file():
                key = f"{root.rstrip('/')}/{path.relative_to(folder / store).as_posix()}"
                target.makedirs(key.rpartition("/")[0], exist_ok=True)
                target.put_file(str(path), key)
    for database, url in platform.databases.items():
        console.print(f"Restoring {database}")
        whole = ("--single-transaction", "--exit-on-error", "--clean", "--if-exists", "--no-owner")
        _run(platform, "pg_restore", *whole, str(folder / f"{database}.dump"), url=url)
    again.unlink()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the backup in `folder`, every file of which is as it was saved.

    Raises BackupError naming the file that is not.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as problem:
        raise BackupError(f"{folder} is not a backup: {problem}") from problem
    if manifest.get("format") != _FORMAT:
        raise BackupError(f"{folder} has format {manifest.get('format')}; this reads {_FORMAT}")
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file() or _sha256(path) != digest:
            raise BackupError(f"{path} is missing or not as it was saved")
    return manifest


def _record_in_raw(platform: Platform, taken_at: datetime, folder: Path) -> None:
    try:
        with psycopg.connect(platform.databases["realtor_raw"], connect_timeout=10) as connection:
            connection.execute("INSERT INTO backups VALUES (%s, %s)", [taken_at, str(folder)])
    except psycopg.Error as problem:
        raise BackupError(
            f"{folder} is complete, but RAW cannot record it, so monitoring does not see it:"
            f" {problem}"
        ) from problem


def _refuse_full(platform: Platform) -> None:
    full = []
    for name, url in platform.databases.items():
        with psycopg.connect(url, connect_timeout=10) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            ).fetchone()
        if row is not None and row[0]:
            full.append(f"database {name}")
    for name, at in platform.stores.items():
        if next(_objects(*fsspec.url_to_fs(at)), None) is not None:
            full.append(f"{name} {at}")
    if full:
        raise BackupError(f"{', '.join(full)} hold data: restore a backup into an empty platform")


def _objects(store: Any, root: str) -> Iterator[tuple[str, str]]:
    """Key below `root`, and path, of every object."""
    store.invalidate_cache()
    if store.exists(root):
        for path in sorted(store.find(root)):
            yield path[len(root) :].lstrip("/"), path


def _run(platform: Platform, program: str, *arguments: str, url: str) -> None:
    executable = platform.programs / program
    if not executable.is_file():
        raise BackupError(f"{executable} is missing: set REALTOR_PG_BIN to a folder that has it")
    info: dict[str, Any] = dict(psycopg.conninfo.conninfo_to_dict(url))
    # The password by the environment: arguments can be seen in `ps`.
    secret = {"PGPASSWORD": str(info.pop("password"))} if "password" in info else {}
    done = subprocess.run(  # noqa: S603  # a fixed program
        [executable, *arguments, "--dbname", psycopg.conninfo.make_conninfo(**info)],
        env={**secret, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise BackupError(f"{program} of {info.get('dbname')} failed: {done.stderr.strip()}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
