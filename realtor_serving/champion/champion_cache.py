"""The models on disk, and which of them each worker serves.

The cache folder holds one folder per version, `current.json`, which names the one to serve, and
`workers`, in which each worker reports the version it serves.
"""

import fcntl
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from realtor_serving.champion.model_registry import RegisteredVersion

KEPT_VERSIONS = 3
# A refused version is tried again after this time: its download may have been incomplete.
REFUSED_SECONDS = 600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pointer:
    """The content of `current.json`: the version to serve, and its folder in the cache."""

    registered: RegisteredVersion
    path: Path
    loaded_at: datetime

    @property
    def key(self) -> str:
        """Unique to this pointer, also among pointers to the same version."""
        return f"{self.registered.key} {self.loaded_at.isoformat()}"


class ChampionCache:
    """The models on disk. Safe between processes: every write is a rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers = folder / "workers"
        self._pointer_file = folder / "current.json"

    def current(self) -> Pointer | None:
        """The pointer to the model to serve; None before the first model."""
        try:
            entry = json.loads(self._pointer_file.read_text())
            return Pointer(
                RegisteredVersion(entry["version"], entry["run_id"]),
                Path(entry["path"]),
                datetime.fromisoformat(entry["loaded_at"]),
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as problem:
            logger.warning("%s cannot be read and is ignored: %s", self._pointer_file, problem)
            return None

    def point_at(self, pointer: Pointer) -> None:
        """Make every worker serve `pointer`."""
        entry = {
            "version": pointer.registered.version,
            "stage": "Production",
            "run_id": pointer.registered.run_id,
            "path": str(pointer.path),
            "loaded_at": pointer.loaded_at.isoformat(),
        }
        with tempfile.NamedTemporaryFile(
            "w", dir=self.folder, prefix=".current-", delete=False
        ) as file:
            json.dump(entry, file)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(self._pointer_file)

    def path(self, registered: RegisteredVersion) -> Path:
        """The folder of a version's bundle."""
        return self.folder / registered.key

    def fetch(
        self, registered: RegisteredVersion, download: Callable[[RegisteredVersion, Path], Path]
    ) -> Path:
        """Download a version's bundle; its folder appears whole or not at all."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".download-") as folder:
            bundle = download(registered, Path(folder))
            target = self.path(registered)
            shutil.rmtree(target, ignore_errors=True)
            bundle.rename(target)
        return target

    def refusal(self, registered: RegisteredVersion) -> str | None:
        """Why a version was refused in the last ten minutes; None if it was not."""
        file = self._refusal_file(registered)
        try:
            age = time.time() - file.stat().st_mtime
            return file.read_text() if age < REFUSED_SECONDS else None
        except FileNotFoundError:
            return None

    def refuse(self, registered: RegisteredVersion, reason: str) -> None:
        """Remember that a version cannot serve, so that no worker downloads it again and again."""
        self._refusal_file(registered).write_text(reason)

    def prune(self, keep: int = KEPT_VERSIONS) -> None:
        """Remove all but the `keep` bundles that were used last, and what crashes left behind."""
        current = self.current()
        folders = [each for each in self.folder.iterdir() if each.is_dir() and each != self.workers]
        newest = sorted(
            (each for each in folders if not each.name.startswith(".")),
            key=lambda each: (current is not None and each == current.path, each.stat().st_mtime),
            reverse=True,
        )
        abandoned = [each for each in folders if each.name.startswith(".download-")]
        for folder in [*newest[keep:], *abandoned]:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock `name` of this cache, waiting for it."""
        with self._lock_file(name) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def try_lock(self, name: str) -> IO[bytes] | None:
        """The lock `name` if it is free, held until the returned file is closed."""
        file = self._lock_file(name)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def _lock_file(self, name: str) -> IO[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return (self.folder / f"{name}.lock").open("ab")

    def _refusal_file(self, registered: RegisteredVersion) -> Path:
        return self.folder / f"{registered.key}.refused"


@dataclass(frozen=True)
class Worker:
    """A worker's report: the pointer it followed, and why it could not load it, if so."""

    pid: int
    followed: str | None
    version: str | None
    problem: str | None


class WorkerFile:
    """A file in which this worker reports the version it serves.

    The worker locks it while it lives: an unlocked file belongs to a dead worker, even if its pid
    has been reused.
    """

    def __init__(self, cache: ChampionCache) -> None:
        cache.workers.mkdir(parents=True, exist_ok=True)
        name = f"{os.getpid()}-{time.monotonic_ns()}.json"
        self._file = (cache.workers / name).open("w+")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def report(self, pointer: Pointer | None, version: str | None, problem: str | None) -> None:
        """Write which pointer was followed, and with what outcome."""
        report = {
            "pid": os.getpid(),
            "followed": pointer.key if pointer else None,
            "version": version,
            "problem": problem,
        }
        self._file.seek(0)
        self._file.truncate()
        json.dump(report, self._file)
        self._file.flush()

    def close(self) -> None:
        """Remove the file: this worker has stopped serving."""
        Path(self._file.name).unlink(missing_ok=True)
        self._file.close()


def living_workers(cache: ChampionCache) -> list[Worker]:
    """The reports of all living workers; files of dead ones are removed."""
    workers = []
    for path in sorted(cache.workers.glob("*.json")):
        try:
            with path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    workers.append(_worker(path, file.read()))
                else:
                    path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
    return workers


def _worker(path: Path, content: str) -> Worker:
    try:
        return Worker(**json.loads(content))
    except (ValueError, TypeError):
        # The worker is writing it at this moment.
        return Worker(int(path.name.partition("-")[0]), None, None, None)
