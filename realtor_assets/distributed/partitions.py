"""RAW listings as partitioned Parquet in the object store, for many readers at once.

`listings/load=7/split=train/part-00000.parquet`, and a manifest that appears once all partitions of
the load are written. RAW only grows and a row keeps its load, so each load is written once.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
import pyarrow.parquet

from realtor_assets.pipeline_settings import market_version
from realtor_assets.raw.raw_listings import Listings, listings_query
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database, ObjectStore
from realtor_model.listing import ListingContract

# What a worker holds at a time: as listings and as features about 150 MB.
PARTITION_ROWS = 131_072


@dataclass(frozen=True)
class Partition:
    """The rows from `start` to `stop` of one Parquet file with listings of one split."""

    key: str
    split: str
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start

    def cut(self, pieces: int) -> "list[Partition]":
        """The same rows in `pieces`; fewer where there are fewer rows."""
        bounds = [self.start + self.rows * i // pieces for i in range(pieces + 1)]
        cut = [replace(self, start=bounds[i], stop=bounds[i + 1]) for i in range(pieces)]
        return [piece for piece in cut if piece.rows]

    def table(self, store: ObjectStore) -> pa.Table:
        """The rows as they lie in the file."""
        with store.open(self.key) as file:
            return pa.parquet.read_table(file).slice(self.start, self.rows)

    def listings(self, store: ObjectStore, contract: ListingContract) -> Listings:
        """The rows as listings of the market `contract`."""
        return Listings(self.table(store).to_pandas(date_as_object=False), contract)


def export(
    database: Database,
    store: ObjectStore,
    loads: Iterable[int],
    partition_rows: int = PARTITION_ROWS,
) -> None:
    """Write the listings of `loads` as partitions, unless they are there already.

    Streamed: no more than a partition and a piece of the database's answer is in memory.
    """
    for load in loads:
        if store.exists(_manifest(load)):
            continue
        written: list[Partition] = []
        for split in SPLITS:
            batches = database.stream(listings_query(split, [load]))
            for number, table in enumerate(_rechunked(batches, partition_rows)):
                key = f"{_folder(load)}/split={split}/part-{number:05d}.parquet"
                with store.create(key) as file:
                    pa.parquet.write_table(table, file, compression="zstd")
                written.append(Partition(key, split, 0, table.num_rows))
        with store.create(_manifest(load)) as file:
            file.write(json.dumps([asdict(partition) for partition in written]).encode())


def partitions(
    store: ObjectStore, loads: Iterable[int], splits: Collection[str] = SPLITS
) -> list[Partition]:
    """The partitions of `splits` in `loads`.

    Raises:
        FileNotFoundError: one of the loads is not exported yet.
    """
    exported: list[Partition] = []
    for load in loads:
        with store.open(_manifest(load)) as file:
            exported += [Partition(**entry) for entry in json.load(file)]
    return [partition for partition in exported if partition.split in splits]


def _folder(load: int) -> str:
    # Another version of the market has other columns, or another range of prices.
    version = market_version()
    return f"listings/load={load}" + (f"/market={version}" if version else "")


def _manifest(load: int) -> str:
    return f"{_folder(load)}/manifest.json"


def _rechunked(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """The rows of `batches` in tables of so many `rows`, the last one smaller."""
    waiting: list[pa.RecordBatch] = []
    rows_waiting = 0
    for batch in batches:
        waiting.append(batch)
        rows_waiting += batch.num_rows
        while rows_waiting >= rows:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, rows)
            waiting = table.slice(rows).to_batches()
            rows_waiting -= rows
    if rows_waiting:
        yield pa.Table.from_batches(waiting)
