"""The cache of model bundles on disk, and the version that each worker serves.

The cache folder holds one folder per version. `current.json` names the version to serve. In the
folder `workers`, each worker reports the version it serves.
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
        """An id of this pointer. Two pointers to the same version have different keys."""
        return f"{self.registered.key} {self.loaded_at.isoformat()}"


class ChampionCache:
    """The bundles on disk. Several processes can use one cache: every write is a rename.

    Args:
        folder: the cache folder; it is created when needed.
    """

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
        """Write `current.json`, so that every worker loads and serves `pointer`."""
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
        """The folder of the version's bundle in the cache."""
        return self.folder / registered.key

    def fetch(
        self, registered: RegisteredVersion, download: Callable[[RegisteredVersion, Path], Path]
    ) -> Path:
        """Download a version's bundle and return its folder in the cache.

        The folder appears only when the download is complete.

        Args:
            registered: the version to download.
            download: downloads the version into the given folder and returns the bundle's path.
        """
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".download-") as folder:
            bundle = download(registered, Path(folder))
            target = self.path(registered)
            shutil.rmtree(target, ignore_errors=True)
            bundle.rename(target)
        return target

    def refusal(self, registered: RegisteredVersion) -> str | None:
        """The reason why the version was refused in the last ten minutes; None if it was not."""
        file = self._refusal_file(registered)
        try:
            age = time.time() - file.stat().st_mtime
            return file.read_text() if age < REFUSED_SECONDS else None
        except FileNotFoundError:
            return None

    def refuse(self, registered: RegisteredVersion, reason: str) -> None:
        """Record that the version cannot serve, so that workers do not download it repeatedly."""
        self._refusal_file(registered).write_text(reason)

    def prune(self, keep: int = KEPT_VERSIONS) -> None:
        """Keep the `keep` most recently used bundles; remove the others and abandoned downloads."""
        current = self.current()
        folders = [path for path in self.folder.iterdir() if path.is_dir() and path != self.workers]
        newest = sorted(
            (path for path in folders if not path.name.startswith(".")),
            key=lambda path: (current is not None and path == current.path, path.stat().st_mtime),
            reverse=True,
        )
        abandoned = [path for path in folders if path.name.startswith(".download-")]
        for folder in [*newest[keep:], *abandoned]:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Wait for the lock `name` of this cache and hold it inside the `with` block."""
        with self._lock_file(name) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def try_lock(self, name: str) -> IO[bytes] | None:
        """Take the lock `name` without waiting. It is held until the returned file is closed.

        Returns None if another process holds the lock.
        """
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
    """A worker's report.

    Attributes:
        pid: the worker's process id.
        followed: key of the last pointer that the worker read; None before the first.
        version: the version it serves; None without a model.
        problem: why it could not load the pointer's bundle; None if it could.
    """

    pid: int
    followed: str | None
    version: str | None
    problem: str | None


class WorkerFile:
    """The file in which this worker reports the version it serves.

    The worker locks the file for its lifetime. An unlocked file belongs to a dead worker, even if
    another process has its pid.
    """

    def __init__(self, cache: ChampionCache) -> None:
        cache.workers.mkdir(parents=True, exist_ok=True)
        name = f"{os.getpid()}-{time.monotonic_ns()}.json"
        self._file = (cache.workers / name).open("w+")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def report(self, pointer: Pointer | None, version: str | None, problem: str | None) -> None:
        """Write the pointer that was read, the version served now, and the problem, if any."""
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
        """Remove the file, because this worker has stopped serving."""
        Path(self._file.name).unlink(missing_ok=True)
        self._file.close()


def living_workers(cache: ChampionCache) -> list[Worker]:
    """The reports of all living workers. Removes the files of dead ones."""
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
        # The worker is writing its report at this moment.
        return Worker(int(path.name.partition("-")[0]), None, None, None)
