"""Ingestion end to end (landing over HTTP, parsing, contract, deduplication) and other methods.

    python -m benchmarks.ingest --rows 2200000

The other methods get rows that are already parsed and typed, and neither land nor check them. It
measures `executemany` after every batch, so that a slow phase of the machine affects both. Exits
with status 1 when a figure misses its target.
"""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import psycopg2
import pyarrow as pa
import sqlalchemy

from realtor_assets.resources import Database, ObjectStore, copy_arrow
from realtor_assets.schema import migrate
from realtor_local.postgres import temporary_postgres
from realtor_local.synthetic_market import COLUMNS, generate
from realtor_local.upstream.api import END_OF_DATA
from realtor_local.upstream.served_listings import json_rows
from realtor_model.listing import US_LISTINGS
from realtor_model.reading.received_batch import check

BATCH_ROWS = 400_000
FASTER_THAN_EXECUTEMANY = 8.0
PEAK_MEMORY_MB = 600.0
EXECUTEMANY = "executemany (psycopg2)"
# Number of rows for the slower methods; executemany gets this many after every batch.
SAMPLE = {"INSERT and commit per row": 4_000, "executemany": 10_000, "pandas.to_sql": 100_000}


@dataclass(frozen=True)
class Measured:
    """Measurement of one method to write rows to PostgreSQL."""

    method: str
    rows: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


# ---- the upstream ---------------------------------------------------------------------------


def write_batches(listings: pd.DataFrame, folder: Path) -> int:
    """Writes the upstream's JSON files of `BATCH_ROWS` rows each; returns their number."""
    number = 0
    for number, start in enumerate(range(0, len(listings), BATCH_ROWS)):
        with (folder / f"{number}.json").open("w") as file:
            file.write(f'{{"group_number":1,"batch_number":{number},"data":[')
            file.writelines(json_rows(listings.iloc[start : start + BATCH_ROWS]))
            file.write("]}")
    return number + 1


def serve_files(folder: Path, batches: int, port: Connection) -> None:
    """Serves prepared files with the upstream's protocol, so that its own work is not measured."""
    cursor = iter(range(batches))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = next(cursor, None)
            path = folder / f"{number}.json"
            end = json.dumps({"detail": END_OF_DATA}).encode()
            self.send_response(400 if number is None else 200)
            self.send_header(
                "Content-Length", str(len(end) if number is None else path.stat().st_size)
            )
            self.end_headers()
            if number is None:
                self.wfile.write(end)
                return
            with path.open("rb") as file:
                while block := file.read(2**18):
                    self.wfile.write(block)

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.send(server.server_port)
    server.serve_forever()


@contextmanager
def upstream(folder: Path, batches: int) -> Iterator[str]:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(
        target=serve_files, args=(folder, batches, sender), daemon=True
    )
    process.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}"
    finally:
        process.terminate()
        process.join()


# ---- the platform's ingestion ---------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """One batch: its rows, and the seconds of `land_next_batch` and `load_payload`."""

    rows: int
    landing: float
    loading: float

    @property
    def rate(self) -> float:
        return self.rows / (self.landing + self.loading)


@dataclass(frozen=True)
class Rest:
    """Figures that the process sends after the last batch: memory, and a repeated load."""

    base_mb: float
    peak_mb: float
    replayed: int
    replaying: float


def ingest(url: str, database: str, store: str, pipe: Connection) -> None:
    """Ingests one batch per message, as the ingest and load jobs do.

    It runs in a process of its own, so that its memory can be measured.
    """
    from realtor_assets.raw.loading import load_payload
    from realtor_assets.source.landing import pending
    from realtor_assets.source.upstream_client import ListingsApi

    raw, objects = Database(url=database), ObjectStore(url=store)
    api = ListingsApi(url, 1, None, timeout_seconds=60, attempts=1, max_bytes=2**40)

    def quiet(text: str) -> None:
        del text

    def load(payload: Any) -> int:
        with raw.transaction() as connection:
            report = load_payload(
                objects,
                connection,
                payload,
                contract=US_LISTINGS,
                max_broken_share=1.0,
                progress=quiet,
            )
        assert report.state == "loaded", report.error
        return report.received

    base = _peak_memory_mb()
    payloads = []
    while True:
        pipe.recv()
        started = time.perf_counter()
        landed = api.land_next_batch(objects, raw, quiet)
        landing = time.perf_counter() - started
        if landed is None:
            break
        started = time.perf_counter()
        with raw.transaction() as connection:
            (payload,) = pending(connection)
        rows = load(payload)
        pipe.send(Batch(rows, landing, time.perf_counter() - started))
        payloads.append(payload)
    peak = _peak_memory_mb()
    started = time.perf_counter()
    again = sum(load(payload) for payload in payloads)
    pipe.send(Rest(base, peak, again, time.perf_counter() - started))


def _peak_memory_mb() -> float:
    # Not getrusage, whose maximum includes the memory of the parent before the exec.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure_ours(
    url: str, database: str, store: str, beside: Callable[[int], Measured]
) -> tuple[list[tuple[Batch, Measured]], Rest]:
    """Measures every batch, and `beside` after each of them."""
    # A new interpreter, because a fork would start with the memory of this process.
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=ingest, args=(url, database, store, theirs))
    process.start()
    theirs.close()
    rounds: list[tuple[Batch, Measured]] = []
    try:
        while True:
            pipe.send("next")
            answer = pipe.recv()
            if isinstance(answer, Rest):
                return rounds, answer
            rounds.append((answer, beside(len(rounds))))
    finally:
        process.join()


# ---- the other methods ----------------------------------------------------------------------

_TABLE = """
CREATE {kind} TABLE {name} ({key} brokered_by bigint, status text, price double precision,
    bed integer, bath integer, acre_lot double precision, street bigint, city text, state text,
    zip_code text, house_size integer, prev_sold_date date)
"""


def _records(rows: pa.Table) -> list[tuple[object, ...]]:
    columns = [rows.column(name).to_pylist() for name in COLUMNS]
    return list(zip(*columns, strict=True))


def _keyed(record: tuple[object, ...]) -> tuple[object, ...]:
    return (hashlib.md5(repr(record).encode(), usedforsecurity=False).hexdigest(), *record)


_INSERT = (
    f"INSERT INTO {{}} (row_hash, {', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * 13)})"
    " ON CONFLICT DO NOTHING"
)


def per_row(url: str, records: list[tuple[object, ...]]) -> None:
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        for record in records:
            cursor.execute(_INSERT.format("per_row"), _keyed(record))
            connection.commit()


def executemany(url: str, records: list[tuple[object, ...]]) -> None:
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(_INSERT.format("many"), map(_keyed, records))


def pipelined(url: str, records: list[tuple[object, ...]]) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(_INSERT.format("pipelined"), map(_keyed, records))


def timed(method: str, n: int, action: Callable[[], object]) -> Measured:
    started = time.perf_counter()
    action()
    return Measured(method, n, time.perf_counter() - started)


def create_tables(url: str) -> None:
    """Creates a table per method, with the same key (except for `to_sql` and the bare COPY)."""
    key = "row_hash uuid PRIMARY KEY,"
    with psycopg.connect(url) as connection:
        for name in ("per_row", "many", "pipelined"):
            connection.execute(_TABLE.format(kind="", name=name, key=key))  # type: ignore[arg-type]
        connection.execute(_TABLE.format(kind="UNLOGGED", name="floor", key=""))  # type: ignore[arg-type]


def measure_others(url: str, rows: pa.Table) -> list[Measured]:
    """Measures each other method on its own number of rows."""
    measured = []
    records = _records(rows.slice(0, SAMPLE["INSERT and commit per row"]))
    measured.append(
        timed("INSERT and commit per row (psycopg2)", len(records), lambda: per_row(url, records))
    )
    many = _records(rows.slice(0, SAMPLE["pandas.to_sql"]))
    measured.append(
        timed("executemany (psycopg 3, pipelined)", len(many), lambda: pipelined(url, many))
    )
    frame = rows.slice(0, SAMPLE["pandas.to_sql"]).to_pandas()
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    measured.append(
        timed("pandas.to_sql", len(frame), lambda: frame.to_sql("by_pandas", engine, index=False))
    )

    def copy() -> None:
        with psycopg.connect(url) as connection:
            copy_arrow(connection, "floor", rows)

    measured.append(timed("bare COPY (no key, unlogged)", len(rows), copy))
    return measured


# ---- the report -----------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=2_200_000, help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="realtor-bench-") as name,
        temporary_postgres(fsync="on") as postgres,
    ):
        folder = Path(name)
        listings = generate(options.rows, 0).listings.sample(frac=1.0, random_state=0)
        batches = write_batches(listings, folder)
        typed = check(listings.head(max(SAMPLE.values())))[0]
        del listings
        dates = typed.assign(prev_sold_date=typed["prev_sold_date"].dt.date)
        rows = pa.Table.from_pandas(dates, preserve_index=False)
        admin = postgres.admin_url.rpartition("/")[0] + "/realtor_raw"
        migrate(admin, "raw")
        create_tables(admin)

        def beside(number: int) -> Measured:
            n = SAMPLE["executemany"]
            records = _records(rows.slice(number * n % (len(rows) - n), n))
            return timed(EXECUTEMANY, n, lambda: executemany(admin, records))

        with upstream(folder, batches) as url:
            rounds, rest = measure_ours(url, admin, f"file://{folder}/store", beside)
        others = measure_others(admin, rows)
    return report(rounds, rest, others, as_json=options.json)


def report(
    rounds: list[tuple[Batch, Measured]], rest: Rest, others: list[Measured], *, as_json: bool
) -> int:
    ours = [batch for batch, _ in rounds]
    rows = sum(batch.rows for batch in ours)
    landing, loading = sum(batch.landing for batch in ours), sum(batch.loading for batch in ours)
    whole = Measured("realtor, end to end", rows, landing + loading)
    parts = [
        Measured("  landing", rows, landing),
        Measured("  loading", rows, loading),
        Measured("  loading again (nothing new)", rest.replayed, rest.replaying),
    ]
    many = Measured(
        EXECUTEMANY,
        sum(beside.rows for _, beside in rounds),
        sum(beside.seconds for _, beside in rounds),
    )
    round_ratios = sorted(batch.rate / beside.rate for batch, beside in rounds)
    faster = statistics.median(round_ratios)
    ratios = {EXECUTEMANY: faster} | {other.method: whole.rate / other.rate for other in others}
    measured = [whole, *parts, many, *others]
    met = faster >= FASTER_THAN_EXECUTEMANY and rest.peak_mb <= PEAK_MEMORY_MB
    if as_json:
        rates = [asdict(one) | {"rate": one.rate} for one in measured]
        print(
            json.dumps(
                {"measured": rates, "ratios": ratios, "rounds": round_ratios, "met": met}
                | asdict(rest)
            )
        )
        return 0 if met else 1
    print(f"{'':38}{'rows':>11}{'rows/s':>11}   realtor is")
    for one in measured:
        ratio = f"{ratios[one.method]:.2f} times as fast" if one.method in ratios else ""
        print(f"{one.method:38}{one.rows:>11,}{one.rate:>11,.0f}   {ratio}")
    print(
        f"{EXECUTEMANY}: {faster:.1f} times as fast, median of {len(round_ratios)} batches "
        f"({round_ratios[0]:.1f} to {round_ratios[-1]:.1f}); target {FASTER_THAN_EXECUTEMANY:g}"
        f"{'' if faster >= FASTER_THAN_EXECUTEMANY else '   MISSED'}"
    )
    print(
        f"peak memory of the process: {rest.peak_mb:,.0f} MB ({rest.base_mb:,.0f} MB before"
        f" the first batch); target {PEAK_MEMORY_MB:g} MB"
        f"{'' if rest.peak_mb <= PEAK_MEMORY_MB else '   MISSED'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
