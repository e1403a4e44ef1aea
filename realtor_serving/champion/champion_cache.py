"""The models on disk, and what each worker does with them.

The cache folder holds one folder per version, `current.json`, which names the one to serve, and
`workers`, in which each worker says what it serves.
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

from realtor_serving.champion.model_registry import Release

KEPT_VERSIONS = 3
# A download may have been cut short: what was refused is tried again, but not at every look.
REFUSED_SECONDS = 600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pointer:
    """What `current.json` says: the release to serve, and its folder in the cache."""

    release: Release
    path: Path
    loaded_at: datetime

    @property
    def key(self) -> str:
        """What tells it from every other pointer, one to the same release too."""
        return f"{self.release.key} {self.loaded_at.isoformat()}"


class ChampionCache:
    """The models on disk. Safe between processes: every write is a rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers = folder / "workers"
        self._pointer_file = folder / "current.json"

    def current(self) -> Pointer | None:
        """What to serve; None before the first model."""
        try:
            told = json.loads(self._pointer_file.read_text())
            return Pointer(
                Release(told["version"], told["run_id"]),
                Path(told["path"]),
                datetime.fromisoformat(told["loaded_at"]),
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as problem:
            logger.warning(
                "%s cannot be read, as if it were not there: %s", self._pointer_file, problem
            )
            return None

    def point_at(self, pointer: Pointer) -> None:
        """Make every worker serve `pointer`."""
        told = {
            "version": pointer.release.version,
            "stage": "Production",
            "run_id": pointer.release.run_id,
            "path": str(pointer.path),
            "loaded_at": pointer.loaded_at.isoformat(),
        }
        with tempfile.NamedTemporaryFile(
            "w", dir=self.folder, prefix=".current-", delete=False
        ) as file:
            json.dump(told, file)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(self._pointer_file)

    def path(self, release: Release) -> Path:
        """Where the bundle of `release` is kept."""
        return self.folder / release.key

    def fetch(self, release: Release, download: Callable[[Release, Path], Path]) -> Path:
        """Download the bundle of `release`; its folder appears whole or not at all."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".download-") as folder:
            bundle = download(release, Path(folder))
            target = self.path(release)
            shutil.rmtree(target, ignore_errors=True)
            bundle.rename(target)
        return target

    def refusal(self, release: Release) -> str | None:
        """Why `release` was refused lately; None when it was not."""
        file = self._refusal_file(release)
        try:
            age = time.time() - file.stat().st_mtime
            return file.read_text() if age < REFUSED_SECONDS else None
        except FileNotFoundError:
            return None

    def refuse(self, release: Release, reason: str) -> None:
        """Remember that `release` cannot serve, so that nobody downloads it again and again."""
        self._refusal_file(release).write_text(reason)

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

    def _refusal_file(self, release: Release) -> Path:
        return self.folder / f"{release.key}.refused"


@dataclass(frozen=True)
class Worker:
    """What one worker says of itself: the pointer it has followed, and why it could not, if so."""

    pid: int
    followed: str | None
    version: str | None
    problem: str | None


class WorkerFile:
    """A file in which this worker says what it serves. It is locked for as long as it lives, so
    that one left by a worker that was killed is known, whatever its pid is used for since."""

    def __init__(self, cache: ChampionCache) -> None:
        cache.workers.mkdir(parents=True, exist_ok=True)
        name = f"{os.getpid()}-{time.monotonic_ns()}.json"
        self._file = (cache.workers / name).open("w+")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def tell(self, pointer: Pointer | None, version: str | None, problem: str | None) -> None:
        """Say which pointer was followed, and with what outcome."""
        told = {
            "pid": os.getpid(),
            "followed": pointer.key if pointer else None,
            "version": version,
            "problem": problem,
        }
        self._file.seek(0)
        self._file.truncate()
        json.dump(told, self._file)
        self._file.flush()

    def close(self) -> None:
        """This worker serves no more."""
        Path(self._file.name).unlink(missing_ok=True)
        self._file.close()


def living_workers(cache: ChampionCache) -> list[Worker]:
    """What the workers that are alive say; what dead ones left is removed."""
    found = []
    for path in sorted(cache.workers.glob("*.json")):
        try:
            with path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.append(_worker(path, file.read()))
                else:
                    path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue
    return found


def _worker(path: Path, told: str) -> Worker:
    try:
        return Worker(**json.loads(told))
    except (ValueError, TypeError):
        # It is being written at this moment.
        return Worker(int(path.name.partition("-")[0]), None, None, None)
