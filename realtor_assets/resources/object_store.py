"""The resource `store`: objects under keys, on a local disk or S3."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

import dagster as dg
import fsspec

_PARTIAL = ".partial-"


class ObjectStore(dg.ConfigurableResource[None]):
    """A folder of an fsspec file system: `file:///…` on one machine, `s3://…` elsewhere.

    Keys are relative POSIX paths. An object appears with all its bytes or not at all.
    """

    url: str

    def url_of(self, key: str) -> str:
        """The full URL of `key`."""
        return f"{self.url.rstrip('/')}/{key}"

    @contextmanager
    def create(self, key: str) -> Iterator[IO[bytes]]:
        """Write the object `key`: it appears when the block ends, or not at all if that raises."""
        fs, path = fsspec.url_to_fs(self.url_of(key))
        if "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)):
            with _create_local(Path(path)) as file:
                yield file
            return
        # S3 shows an object when its upload completes; a failed upload is discarded.
        file = fs.open(path, "wb", autocommit=False)
        try:
            yield file
            file.close()
            file.commit()
        except BaseException:
            file.discard()
            raise

    def open(self, key: str) -> IO[bytes]:
        """A reader of the object `key`.

        Raises:
            FileNotFoundError: there is no such object.
        """
        fs, path = fsspec.url_to_fs(self.url_of(key))
        return fs.open(path, "rb")  # type: ignore[no-any-return]

    def size(self, key: str) -> int:
        """Size of the object `key` in bytes.

        Raises:
            FileNotFoundError: there is no such object.
        """
        fs, path = fsspec.url_to_fs(self.url_of(key))
        return int(fs.size(path))

    def delete(self, key: str) -> None:
        """Remove the object `key`, if it exists, and partial files of killed writers."""
        fs, path = fsspec.url_to_fs(self.url_of(key))
        folder, _, name = path.rpartition("/")
        for file in (path, *fs.glob(f"{folder}/{_PARTIAL}{name}-*")):
            if fs.exists(file):
                fs.rm_file(file)

    def exists(self, key: str) -> bool:
        """Whether the object `key` exists."""
        fs, path = fsspec.url_to_fs(self.url_of(key))
        return bool(fs.exists(path))

    def list_keys(self, prefix: str) -> list[str]:
        """The keys under the folder `prefix`, sorted."""
        fs, root = fsspec.url_to_fs(self.url.rstrip("/"))
        fs.invalidate_cache()
        paths: list[str] = fs.find(f"{root}/{prefix}")
        return sorted(
            path.removeprefix(root).lstrip("/")
            for path in paths
            if not path.rsplit("/", 1)[-1].startswith(".")
        )


@contextmanager
def _create_local(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{_PARTIAL}{path.name}-{uuid4().hex[:8]}")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
