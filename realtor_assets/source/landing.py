"""Landed payloads: batches as received, in the object store and in the table `landed_payloads`."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import IO

import psycopg
import zstandard
from psycopg import sql

from realtor_assets.resources import Database, ObjectStore

PAYLOADS = "payloads"
# Group of CSV files; the upstream's groups begin at 1.
FILES = 0
ZSTD_LEVEL = 3
_BLOCK = 2**20

# Called with the progress of long work, as text.
Progress = Callable[[str], None]


@dataclass(frozen=True)
class LandedPayload:
    """A batch as received, safe in the object store.

    Attributes:
        partition_key: its partition in Dagster: group, batch and the first digits of its sha256,
            so that other bytes under the same batch number are another partition.
        batch_number: None when the payload names none.
        bytes, sha256: of the payload as received, before compression.
    """

    partition_key: str
    payload_key: str
    source: str
    group_number: int
    day: str | None
    batch_number: int | None
    bytes: int
    sha256: str


_COLUMNS = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(LandedPayload))


def partition_key(group: int, day: str | None, batch: int | None, sha256: str) -> str:
    """The partition of a batch: group, day, number and the first 8 digits of its sha256.

    >>> partition_key(1, None, 3, "5f0c62aa" + 56 * "0")
    'group-1-batch-003-5f0c62aa'
    >>> partition_key(FILES, None, 0, "5f0c62aa" + 56 * "0")
    'file-000-5f0c62aa'
    """
    number = "unreadable" if batch is None else f"{batch:03d}"
    if group == FILES:
        return f"file-{number}-{sha256[:8]}"
    source = f"group-{group}" + (f"-{day.lower()}" if day else "")
    return f"{source}-batch-{number}-{sha256[:8]}"


def find(connection: psycopg.Connection, partition: str) -> LandedPayload | None:
    """The landed payload of a partition, or None."""
    query = sql.SQL("SELECT {} FROM landed_payloads WHERE partition_key = %s").format(_COLUMNS)
    row = connection.execute(query, [partition]).fetchone()
    return LandedPayload(*row) if row else None


def pending(connection: psycopg.Connection) -> list[LandedPayload]:
    """The payloads that were never loaded and never refused, in order of landing."""
    query = sql.SQL(
        "SELECT {} FROM landed_payloads p WHERE NOT EXISTS (SELECT FROM ingestion_summary s"
        " WHERE s.partition_key = p.partition_key) ORDER BY landed_at, partition_key"
    ).format(_COLUMNS)
    return [LandedPayload(*row) for row in connection.execute(query)]


def register(connection: psycopg.Connection, payload: LandedPayload) -> None:
    """Insert a payload that is in the object store into `landed_payloads`."""
    connection.execute(
        sql.SQL("INSERT INTO landed_payloads ({}) VALUES ({})").format(
            _COLUMNS, sql.SQL(", ").join(sql.Placeholder() * len(fields(payload)))
        ),
        astuple(payload),
    )


def describe_payload(payload: LandedPayload, store: ObjectStore) -> dict[str, str | int]:
    """`payload` and its URL as metadata of a materialization."""
    metadata = asdict(payload) | {"url": store.url_of(payload.payload_key)}
    return {name: value for name, value in metadata.items() if value is not None}


def measure(store: ObjectStore, key: str) -> tuple[int, str]:
    """Size and sha256 of the payload in the zstd-compressed object `key`.

    Raises:
        zstandard.ZstdError: the object is damaged.
        FileNotFoundError: there is no such object.
    """
    size, digest = 0, hashlib.sha256()
    with store.open(key) as file, zstandard.ZstdDecompressor().stream_reader(file) as reader:
        while block := reader.read(_BLOCK):
            size += len(block)
            digest.update(block)
    return size, digest.hexdigest()


def land_file(
    path: Path, store: ObjectStore, database: Database, progress: Progress
) -> LandedPayload:
    """Land a CSV file as a batch of its own. The same bytes again return the batch they are in.

    Raises:
        OSError: the file cannot be read, or changed while it was read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        sha256 = _copy(file, None, size, lambda text: progress(f"reading {path.name}: {text}"))
    key = f"{PAYLOADS}/files/{sha256}.csv.zst"
    with database.lock("landing of files"):
        with database.transaction() as connection:
            row = connection.execute(
                "SELECT partition_key FROM landed_payloads WHERE payload_key = %s", [key]
            ).fetchone()
            if row is not None:
                landed = find(connection, row[0])
                assert landed is not None
                return landed
            count = connection.execute(
                "SELECT count(*) FROM landed_payloads WHERE group_number = %s", [FILES]
            ).fetchone()
            assert count is not None
        with path.open("rb") as file, store.create(key) as target:
            writer = zstandard.ZstdCompressor(level=ZSTD_LEVEL).stream_writer(target, closefd=False)
            with writer:
                landed_sha256 = _copy(
                    file, writer, size, lambda text: progress(f"landing {path.name}: {text}")
                )
            if landed_sha256 != sha256:
                raise OSError(f"{path} changed while it was read")
        number = int(count[0])
        payload = LandedPayload(
            partition_key(FILES, None, number, sha256),
            key, "file", FILES, None, number, path.stat().st_size, sha256,
        )  # fmt: skip
        with database.transaction() as connection:
            register(connection, payload)
    return payload


def _copy(file: IO[bytes], target: IO[bytes] | None, size: int, progress: Progress) -> str:
    """Read `file` to its end, into `target` where there is one; returns its sha256."""
    digest, done = hashlib.sha256(), 0
    while block := file.read(_BLOCK):
        digest.update(block)
        if target is not None:
            target.write(block)
        done += len(block)
        progress(f"{done / max(size, 1):.0%}")
    return digest.hexdigest()
