"""Loads a landed payload into RAW: read, check, deduplicate, split, in one transaction.

Loading never calls the upstream and may be repeated: a row that RAW or its quarantine holds is not
stored again.
"""

import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import psycopg
import psycopg.rows
import pyarrow as pa
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb

from realtor_assets.raw.row_identity import SPLITS, row_hashes, splits
from realtor_assets.resources import ObjectStore, copy_arrow, lock_key
from realtor_assets.source.landing import LandedPayload, Progress
from realtor_assets.source.payload_errors import PayloadUnreadable, blamed_on_payload
from realtor_assets.source.payload_reader import Piece, check_piece, read_pieces
from realtor_model.listing import ListingContract
from realtor_model.listing.parsing import printable, shown
from realtor_model.reading.received_batch import SchemaChanged

_RULES_SHOWN = 3
# A load holds this lock until its transaction ends, so that no other load adds the same rows.
_ONE_LOAD = lock_key("one load at a time")
# Looks up each hash in the primary key: a join would read the whole table for every piece.
_KNOWN = """
SELECT position FROM unnest(%s::uuid[]) WITH ORDINALITY AS asked (row_hash, position)
WHERE (SELECT true FROM {} held WHERE held.row_hash = asked.row_hash)
"""
_STAGE = """
CREATE TEMP TABLE staged_quarantine (
    position bigint, column_name text, rule text, value text, record jsonb, code text
) ON COMMIT DROP
"""
_QUARANTINE = """
INSERT INTO raw_quarantine
    (partition_key, position, load_id, batch_number, column_name, rule, code, value, record)
SELECT %(partition)s, position, %(load_id)s, %(batch)s, column_name, rule, code, value, record
FROM staged_quarantine ON CONFLICT (partition_key, position) DO NOTHING
"""


class TooManyBroken(Exception):
    """A larger share of a batch breaks the contract than REALTOR_MAX_BROKEN_SHARE allows."""


@dataclass(frozen=True)
class LoadReport:
    """What happened to the rows of one payload; `received` is the sum of the other row counts.

    unused_columns: header that no column of the market takes -> number of rows with a value there.
    """

    load_id: int
    partition_key: str
    state: str
    group_number: int
    batch_number: int | None
    received: int
    inserted_train: int
    inserted_validation: int
    inserted_test: int
    duplicate: int
    quarantined: int
    error: str | None
    seconds: float
    unused_columns: dict[str, int]

    @property
    def inserted(self) -> int:
        """Rows new to RAW, all splits together."""
        return self.inserted_train + self.inserted_validation + self.inserted_test


def load_payload(
    store: ObjectStore,
    connection: psycopg.Connection,
    payload: LandedPayload,
    *,
    contract: ListingContract,
    max_broken_share: float,
    progress: Progress,
) -> LoadReport:
    """Load one payload into RAW inside the caller's transaction.

    A payload that cannot be read, lacks columns, or has more than `max_broken_share` of its rows
    broken is recorded as refused, with the reason as `error`, and stays in the object store.

    Reading and checking are the payload's: whatever fails there refuses it (`blamed_on_payload`).
    What fails while checked rows are written is ours or the database's. It is raised, the
    transaction is rolled back, and the next try loads the same payload.

    Args:
        connection: with an open transaction.
        contract: of the market; RAW has its columns (`realtor_assets.schema.migrate`).
        max_broken_share: 0 to 1.
        progress: called after each piece.
    """
    started = time.monotonic()
    load_id = _next_load_id(connection)
    counts = _Counts()
    error = None
    try:
        if payload.batch_number is None:
            raise PayloadUnreadable(f"{payload.payload_key} has no batch_number")
        with connection.transaction(), _Loader(connection, payload, load_id, contract) as loader:
            for piece in read_pieces(store, payload.payload_key, contract):
                with blamed_on_payload(payload.payload_key):
                    valid, broken = check_piece(piece, contract)
                    counts.add(piece, broken)
                loader.load(valid, broken.assign(row=broken["row"] + piece.first))
                share = "" if piece.share is None else f"{piece.share:.0%}, "
                progress(f"{share}{counts.received:,} rows read")
            counts.refuse_beyond(max_broken_share)
        inserted, quarantined = loader.inserted, loader.quarantined
    except (PayloadUnreadable, SchemaChanged, TooManyBroken) as problem:
        error, counts = printable(str(problem)), _Counts()
        inserted, quarantined = dict.fromkeys(SPLITS, 0), 0
    report = LoadReport(
        load_id=load_id,
        partition_key=payload.partition_key,
        state="loaded" if error is None else "refused",
        group_number=payload.group_number,
        batch_number=payload.batch_number,
        received=counts.received,
        inserted_train=inserted["train"],
        inserted_validation=inserted["validation"],
        inserted_test=inserted["test"],
        duplicate=counts.received - sum(inserted.values()) - quarantined,
        quarantined=quarantined,
        error=error,
        seconds=time.monotonic() - started,
        unused_columns=dict(counts.unused),
    )
    values = asdict(report) | {"unused_columns": Jsonb(report.unused_columns)}
    connection.execute(
        sql.SQL("INSERT INTO ingestion_summary ({}) VALUES ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        ),
        values,
    )
    return report


class _Counts:
    """Counts of the received rows, of those that break each rule, and of unused values."""

    def __init__(self) -> None:
        self.received = self.broken = 0
        self.unused: Counter[str] = Counter()
        self._rules: dict[str, int] = {}
        self._examples: dict[str, str] = {}

    def add(self, piece: Piece, broken: pd.DataFrame) -> None:
        self.received += len(piece.rows)
        self.broken += len(broken)
        for header, rows in piece.unused.items():
            self.unused[shown(header)] += rows
        by_rule = broken.groupby("rule", sort=False)["value"].agg(["size", "first"])
        for rule, number, example in zip(
            by_rule.index, by_rule["size"], by_rule["first"], strict=True
        ):
            self._rules[rule] = self._rules.get(rule, 0) + int(number)
            self._examples.setdefault(rule, example)

    def refuse_beyond(self, share: float) -> None:
        """Raise `TooManyBroken`, naming the most frequent rules, above this share of rows."""
        if self.broken <= share * self.received:
            return
        most = sorted(self._rules, key=lambda rule: -self._rules[rule])[:_RULES_SHOWN]
        rules = "; ".join(
            f"{rule}: {self._rules[rule] / self.received:.0%} of the rows, such as "
            f"{self._examples[rule]!r}"
            for rule in most
        )
        raise TooManyBroken(
            f"{self.broken:,} of {self.received:,} rows break the contract, more than "
            f"{share:.0%}: the data has changed ({rules})"
        )


class _Loader:
    """Writes pieces in a thread, so that one piece is written while the next is read.

    All pieces go through one connection and one transaction.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        payload: LandedPayload,
        load_id: int,
        contract: ListingContract,
    ) -> None:
        self._connection = connection
        self._contract = contract
        self._values = {
            "load_id": load_id,
            "batch": payload.batch_number,
            "partition": payload.partition_key,
        }
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._work: Future[None] | None = None
        # Rows new to each split, and to the quarantine.
        self.inserted = dict.fromkeys(SPLITS, 0)
        self.quarantined = 0
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_ONE_LOAD])
        connection.execute(_STAGE)

    def __enter__(self) -> "_Loader":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # The thread must be done with the connection before its transaction ends.
        self._thread.shutdown(wait=True)
        if kind is None:
            self._wait()

    def load(self, valid: pd.DataFrame, broken: pd.DataFrame) -> None:
        """Start writing one piece after the one before is written; raises what that one raised."""
        rows = _listings(valid, self._contract)
        hashes, sides = row_hashes(rows), splits(rows)
        quarantined = pa.Table.from_pandas(
            broken.rename(columns={"row": "position"}), preserve_index=False
        )
        self._wait()
        self._work = self._thread.submit(self._write, rows, hashes, sides, quarantined)

    def _wait(self) -> None:
        if self._work is not None:
            self._work.result()

    def _write(
        self,
        rows: pa.Table,
        hashes: NDArray[np.bytes_],
        sides: NDArray[np.int64],
        quarantined: pa.Table,
    ) -> None:
        # Sorted rows fill the key's pages one by one; unsorted rows would touch most of them.
        _, distinct = np.unique(hashes, return_index=True)
        for side, split in enumerate(SPLITS):
            of_split = distinct[sides[distinct] == side]
            new = of_split[self._unknown(f"raw_{split}", hashes[of_split])]
            copy_arrow(
                self._connection,
                f"raw_{split}",
                rows.take(new)
                .append_column("row_hash", pa.array(hashes[new]).cast(pa.string()))
                .append_column("load_id", pa.array(np.full(len(new), self._values["load_id"])))
                .append_column("batch_number", pa.array(np.full(len(new), self._values["batch"]))),
            )
            self.inserted[split] += len(new)
        if len(quarantined):
            copy_arrow(self._connection, "staged_quarantine", quarantined)
            added = self._connection.execute(_QUARANTINE, self._values)
            self.quarantined += added.rowcount
            self._connection.execute("TRUNCATE staged_quarantine")
        # Without this, Arrow keeps the memory of the largest piece.
        pa.default_memory_pool().release_unused()

    def _unknown(self, table: str, hashes: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Mask (n,) of the hashes (n,) that `table` does not hold."""
        keys = (b"{" + b",".join(hashes) + b"}").decode()
        query = sql.SQL(_KNOWN).format(sql.Identifier(table))
        with self._connection.cursor(row_factory=psycopg.rows.scalar_row) as cursor:
            known = cursor.execute(query, [keys]).fetchall()
        unknown = np.ones(len(hashes), dtype=bool)
        unknown[np.array(known, dtype=np.int64) - 1] = False
        return unknown


def _listings(valid: pd.DataFrame, contract: ListingContract) -> pa.Table:
    rows = pa.Table.from_pandas(valid[list(contract.table_keys)], preserve_index=False)
    for index, key in enumerate(contract.table_keys):
        if contract.is_date(key):
            rows = rows.set_column(index, key, rows.column(index).cast(pa.date32()))
    return rows


def _next_load_id(connection: psycopg.Connection) -> int:
    row = connection.execute(
        "SELECT nextval(pg_get_serial_sequence('ingestion_summary', 'load_id'))"
    ).fetchone()
    assert row is not None
    return int(row[0])
