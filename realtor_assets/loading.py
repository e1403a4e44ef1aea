"""Landed payload → RAW: parse, check, deduplicate, split, in one transaction per payload.

Loading never calls the upstream and may be repeated: a payload that `ingestion_summary` knows is
not loaded again, and a row that RAW holds is not inserted again.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import IO, Any

import ijson
import pandas as pd
import psycopg
import pyarrow as pa
import zstandard
from psycopg import sql

from realtor_assets.resources import ObjectStore, copy_arrow
from realtor_assets.upstream import PAYLOADS
from realtor_model.listing import COLUMNS, SchemaChanged, check

CHUNK_ROWS = 50_000
SPLITS = ("train", "validation", "test")

# The split is a hash of the property, so that all listings of one house fall on one side, and a
# row never moves as data grows: 70 / 15 / 15.
_STAGE = """
CREATE TEMP TABLE staged_listing (
    brokered_by bigint, status text, price double precision, bed integer, bath integer,
    acre_lot double precision, street bigint, city text, state text, zip_code text,
    house_size integer, prev_sold_date date
) ON COMMIT DROP
"""
_HASH = """
CREATE TEMP TABLE hashed_listing ON COMMIT DROP AS
SELECT md5(staged_listing::text)::uuid AS row_hash,
       ('x' || left(md5(concat_ws('|', coalesce(street::text, ''), lower(coalesce(city, '')),
                                  coalesce(zip_code, ''))), 8))::bit(32)::bigint % 100 AS bucket,
       staged_listing.*
FROM staged_listing
"""
_BUCKETS = {"train": (0, 70), "validation": (70, 85), "test": (85, 100)}


class PayloadUnreadable(Exception):
    """A landed payload is not the JSON document that the upstream promises."""


@dataclass(frozen=True)
class LoadReport:
    """Where the rows of one payload went. `received` is the sum of the other counts."""

    payload_key: str
    load_id: int
    state: str
    group_number: int | None
    batch_number: int | None
    received: int
    inserted_train: int
    inserted_validation: int
    inserted_test: int
    duplicate: int
    quarantined: int
    error: str | None
    seconds: float

    @property
    def inserted(self) -> int:
        """Rows new to RAW, all splits together."""
        return self.inserted_train + self.inserted_validation + self.inserted_test


def pending_payloads(store: ObjectStore, connection: psycopg.Connection) -> list[str]:
    """Keys of the payloads landed and not yet loaded, refused ones too, oldest first."""
    loaded = connection.execute("SELECT payload_key FROM ingestion_summary WHERE state = 'loaded'")
    known = {key for (key,) in loaded.fetchall()}
    return [key for key in store.list_keys(PAYLOADS) if key not in known]


def load_payload(store: ObjectStore, connection: psycopg.Connection, key: str) -> LoadReport:
    """Load one payload into RAW inside the caller's transaction.

    A payload that cannot be read as a whole (not JSON, other columns) is recorded as refused with
    the reason, and stays in the object store.
    """
    started = time.monotonic()
    load_id = _next_load_id(connection)
    group = batch = None
    received = quarantined = 0
    try:
        with connection.transaction():
            header = read_header(store, key)
            group, batch = header["group_number"], header["batch_number"]
            connection.execute(_STAGE)
            for position, chunk in _chunks(store, key):
                valid, broken = check(chunk)
                received += len(chunk)
                quarantined += len(broken)
                _stage(connection, valid)
                _quarantine(connection, broken, key, batch, position)
            inserted = _insert_new(connection, load_id, batch)
        report = LoadReport(
            payload_key=key,
            load_id=load_id,
            state="loaded",
            group_number=group,
            batch_number=batch,
            received=received,
            **{f"inserted_{split}": inserted[split] for split in SPLITS},
            duplicate=received - quarantined - sum(inserted.values()),
            quarantined=quarantined,
            error=None,
            seconds=time.monotonic() - started,
        )
    except (PayloadUnreadable, SchemaChanged) as problem:
        report = LoadReport(
            key, load_id, "refused", group, batch, 0, 0, 0, 0, 0, 0,
            error=str(problem), seconds=time.monotonic() - started,
        )  # fmt: skip
    values = asdict(report)
    connection.execute(
        sql.SQL(
            "INSERT INTO ingestion_summary ({columns}) VALUES ({values})"
            " ON CONFLICT (payload_key) DO UPDATE SET ({columns}, loaded_at) = ({values}, now())"
        ).format(
            columns=sql.SQL(", ").join(map(sql.Identifier, values)),
            values=sql.SQL(", ").join(map(sql.Placeholder, values)),
        ),
        values,
    )
    return report


def _next_load_id(connection: psycopg.Connection) -> int:
    row = connection.execute(
        "SELECT nextval(pg_get_serial_sequence('ingestion_summary', 'load_id'))"
    ).fetchone()
    assert row is not None
    return int(row[0])


def read_header(store: ObjectStore, key: str) -> dict[str, int]:
    """`group_number` and `batch_number` of a payload. Raises `PayloadUnreadable`."""
    header: dict[str, int] = {}
    with _document(store, key) as document:
        try:
            for prefix, event, value in ijson.parse(document):
                if event == "number" and prefix in ("group_number", "batch_number"):
                    header[prefix] = int(value)
                if len(header) == 2:
                    return header
        except ijson.JSONError as problem:
            raise PayloadUnreadable(f"{key} is not whole JSON: {problem}") from problem
    raise PayloadUnreadable(f"{key} has no group_number and batch_number")


def _chunks(store: ObjectStore, key: str) -> Iterator[tuple[int, pd.DataFrame]]:
    """The rows of a payload in frames of at most `CHUNK_ROWS`, each with its first position."""
    with _document(store, key) as document:
        rows: Iterator[Any] = ijson.items(document, "data.item", use_float=True)
        position = 0
        try:
            while records := list(islice(rows, CHUNK_ROWS)):
                if not all(isinstance(record, dict) for record in records):
                    raise PayloadUnreadable(f"{key}: a row of `data` is not an object")
                yield position, pd.DataFrame.from_records(records)
                position += len(records)
            if position == 0 and not _has_rows_array(store, key):
                raise PayloadUnreadable(f"{key} has no array `data`")
        except ijson.JSONError as problem:
            raise PayloadUnreadable(
                f"{key} is not whole JSON: it breaks off after row {position:,} ({problem})"
            ) from problem


def _has_rows_array(store: ObjectStore, key: str) -> bool:
    with _document(store, key) as document:
        return any(
            (prefix, event) == ("data", "start_array") for prefix, event, _ in ijson.parse(document)
        )


def _document(store: ObjectStore, key: str) -> IO[bytes]:
    reader: IO[bytes] = zstandard.ZstdDecompressor().stream_reader(store.open(key), closefd=True)
    return reader


def _stage(connection: psycopg.Connection, valid: pd.DataFrame) -> None:
    rows = pa.Table.from_pandas(valid[list(COLUMNS)], preserve_index=False)
    index = rows.schema.get_field_index("prev_sold_date")
    dates = rows.column(index).cast(pa.date32())
    copy_arrow(connection, "staged_listing", rows.set_column(index, "prev_sold_date", dates))


def _quarantine(
    connection: psycopg.Connection, broken: pd.DataFrame, key: str, batch: int, first: int
) -> None:
    if broken.empty:
        return
    rows = broken.rename(columns={"row": "position"}).assign(
        payload_key=key, batch_number=batch, position=lambda frame: frame["position"] + first
    )
    copy_arrow(connection, "raw_quarantine", pa.Table.from_pandas(rows, preserve_index=False))


def _insert_new(connection: psycopg.Connection, load_id: int, batch: int) -> dict[str, int]:
    connection.execute(_HASH)
    columns = sql.SQL(", ").join(map(sql.Identifier, ("row_hash", *COLUMNS)))
    inserted = {}
    for split, (low, high) in _BUCKETS.items():
        statement = sql.SQL(
            "INSERT INTO {table} ({columns}, load_id, batch_number)"
            " SELECT {columns}, %s, %s FROM hashed_listing WHERE bucket >= %s AND bucket < %s"
            " ON CONFLICT (row_hash) DO NOTHING"
        ).format(table=sql.Identifier(f"raw_{split}"), columns=columns)
        inserted[split] = connection.execute(statement, [load_id, batch, low, high]).rowcount
    return inserted
