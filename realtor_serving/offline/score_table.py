"""Offline valuation of a table, with the same model code as the service.

`python -m realtor_serving.offline.score_table homes.parquet valued.csv` writes every row of the
input in the same order, with its columns and the estimate, or the reason why it has none. If the
job is killed, the rows valued so far stay in a folder beside the output, and the same command
resumes from them.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from realtor_model.listing import TARGET, ListingContract, TableReading
from realtor_model.messages import CodedMessage
from realtor_model.reading import ROW_CELLS, FileKind, UnreadableFile, open_file, table_writer
from realtor_model.reading.home_tables import understand_batches
from realtor_model.valuation.bundle import BrokenBundle, load_bundle
from realtor_model.valuation.table_estimates import CHUNK_ROWS, ESTIMATES, estimate
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.champion.champion_cache import ChampionCache
from realtor_serving.service_settings import settings

FILE_KINDS: Mapping[str, FileKind] = {".csv": "csv", ".parquet": "parquet"}
# Chunks per saved part: a killed job loses at most these.
CHUNKS_IN_PART = 4


class UnusableFile(Exception):
    """The table cannot be scored; the text names it and says why."""


@dataclass(frozen=True)
class Source:
    """A table to score.

    Attributes:
        name: shown in messages.
        identity: a text that changes when the rows change.
        schema: the columns.
        batches: `batches(skip)` yields the rows after the first `skip`, always in the same order.
        notes: what was detected in a file.
        date_1904: whether serial numbers of dates count from 1904.
    """

    name: str
    identity: str
    schema: pa.Schema
    batches: Callable[[int], Iterator[pa.RecordBatch]]
    notes: tuple[CodedMessage, ...] = ()
    date_1904: bool = False


@dataclass(frozen=True)
class ScoreReport:
    """The counts of a finished job.

    Attributes:
        rows: all rows; valued + failed.
        valued: rows with an estimate.
        failed: rows with an error.
        resumed: rows taken from an earlier run of the same job.
        seconds: duration of this run.
    """

    rows: int
    valued: int
    failed: int
    resumed: int
    seconds: float


def score_file(
    input: Path,  # noqa: A002  # the command line's word
    output: Path,
    model: ValuationModel,
    *,
    progress: Callable[[int], None] | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> ScoreReport:
    """`score` the file `input`, of any kind that `open_file` reads."""
    source = file_source(input, model.contract)
    return score(source, output, model, progress=progress, chunk_rows=chunk_rows)


def score(
    source: Source,
    output: Path,
    model: ValuationModel,
    *,
    reading: TableReading | None = None,
    progress: Callable[[int], None] | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> ScoreReport:
    """Value every row of `source` as sold and write `output`.

    The columns that are inputs of the model's market are read, under any of their headers. The
    output has all columns of the source and those of `ESTIMATES`: prices, confidence, warnings,
    and `error`, which says why a row has no estimate. If the source has columns of these names, the
    estimates replace them.

    Chunks are valued on all cores. Finished parts are saved in a folder beside `output`, and a
    later run with the same source and model resumes from them. `output` appears when all rows are
    done.

    Args:
        source: the table to score.
        output: CSV or Parquet file to write, by suffix.
        model: the model that values the rows.
        reading: how the rows are read; None: as `understand_source` decides.
        progress: called with the number of rows done so far.
        chunk_rows: rows valued at a time on one core; bounds the memory.

    Raises:
        UnusableFile: the source cannot be read, has none of the inputs as columns or two columns
            of one name; or `output` cannot be written, or another run is writing it.
    """
    _kind_of(output)
    started = time.monotonic()
    how = reading or understand_source(source, model.contract)
    replaced = {*ESTIMATES.names, ROW_CELLS}
    own_columns = pa.schema([field for field in source.schema if field.name not in replaced])
    schema = pa.schema([*own_columns, *ESTIMATES])
    rows = valued = resumed = 0

    def valued_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [batch.column(name) for name in own_columns.names]
        estimates = estimate(model, batch, how)
        return pa.RecordBatch.from_arrays([*columns, *estimates.columns], schema=schema)

    job = f"{source.identity}|{_identity_of(model)}|{','.join(ESTIMATES.names)}"
    try:
        with (
            _named_errors(source),
            _parts(output, job) as parts,
            _writer(output, schema) as write,
        ):
            for part in parts.done():
                for batch in part:
                    write(batch)
                    rows += batch.num_rows
                    valued += batch.num_rows - batch.column("estimated_price").null_count
            resumed = rows
            if progress is not None and resumed:
                progress(rows)
            chunks = _sliced(source.batches(resumed), chunk_rows)
            waiting: list[pa.RecordBatch] = []
            for batch in _in_order(valued_rows, chunks):
                waiting.append(batch)
                if len(waiting) == CHUNKS_IN_PART:
                    parts.add(waiting)
                    waiting = []
                write(batch)
                rows += batch.num_rows
                valued += batch.num_rows - batch.column("estimated_price").null_count
                if progress is not None:
                    progress(rows)
    except OSError as problem:
        raise UnusableFile(f"{source.name} into {output}: {problem}") from problem
    return ScoreReport(rows, valued, rows - valued, resumed, time.monotonic() - started)


def file_source(path: Path, contract: ListingContract) -> Source:
    """The file `path`, read in blocks: text, Excel, Parquet or Arrow.

    Args:
        contract: of the model's market, whose headers show where the table begins.

    Raises:
        UnusableFile: the file cannot be opened, or is not a table.
    """
    try:
        table = open_file(path, contract)
        file_status = path.stat()
    except (UnreadableFile, OSError) as problem:
        raise UnusableFile(f"{path}: {problem}") from problem
    identity = f"{path.resolve()}|{file_status.st_size}|{file_status.st_mtime_ns}"
    return Source(
        str(path),
        identity,
        table.schema,
        lambda rows: skipping(table.batches(), rows),
        table.notes,
        table.date_1904,
    )


def understand_source(source: Source, contract: ListingContract) -> TableReading:
    """Decide how the rows of `source` are read, by its whole columns.

    Raises:
        UnusableFile: the source cannot be read, has none of the inputs as columns or two columns
            of one name.
    """
    names = source.schema.names
    if len(set(names)) < len(names):
        raise UnusableFile(f"{source.name}: it has two columns of one name")
    with _named_errors(source):
        reading = understand_batches(
            names, source.batches(0), contract, calendar_1904=source.date_1904
        )
    if not any(column.key != TARGET for column in reading.matching.columns.values()):
        raise UnusableFile(
            f"{source.name}: none of its columns is one of {', '.join(contract.by_name)}; "
            f"it has {', '.join(names)}"
        )
    return reading


@contextmanager
def _named_errors(source: Source) -> Iterator[None]:
    """Errors of reading name the source."""
    try:
        yield
    except (pa.ArrowInvalid, UnreadableFile) as problem:
        raise UnusableFile(f"{source.name}: {problem}") from problem


def skipping(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """`batches` without their first `rows` rows."""
    for batch in batches:
        left = batch.slice(min(rows, batch.num_rows))
        rows -= batch.num_rows - left.num_rows
        if left.num_rows:
            yield left


def _kind_of(path: Path) -> FileKind:
    kind = FILE_KINDS.get(path.suffix.lower())
    if kind is None:
        raise UnusableFile(f"{path}: the name must end in {' or '.join(FILE_KINDS)}")
    return kind


def _identity_of(model: ValuationModel) -> str:
    """A hash of the model's metadata, which differs between any two trainings."""
    metadata = json.dumps([model.candidate, model.metadata], sort_keys=True)
    return hashlib.sha256(metadata.encode()).hexdigest()


def _sliced(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def _in_order(
    work: Callable[[pa.RecordBatch], pa.RecordBatch], chunks: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Yield `work(chunk)` in order, computed on all cores; at most two chunks per core wait."""
    cores = os.cpu_count() or 1
    pending: deque[Future[pa.RecordBatch]] = deque()
    with ThreadPoolExecutor(cores) as pool:
        try:
            for chunk in chunks:
                pending.append(pool.submit(work, chunk))
                if len(pending) >= 2 * cores:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class _Parts:
    """The rows that a job has valued so far, in numbered files that are written atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def done(self) -> Iterator[list[pa.RecordBatch]]:
        """The parts of an earlier run of the same job."""
        while (path := self._path()).is_file():
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                yield [reader.get_batch(i) for i in range(reader.num_record_batches)]
            self._count += 1

    def add(self, batches: Sequence[pa.RecordBatch]) -> None:
        """Save one more part."""
        temporary = self._folder / "next"
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(temporary, batches[0].schema, options=options) as writer:
            for batch in batches:
                writer.write_batch(batch)
        temporary.replace(self._path())
        self._count += 1

    def _path(self) -> Path:
        return self._folder / f"{self._count:06d}.arrow"


@contextmanager
def _parts(output: Path, job: str) -> Iterator[_Parts]:
    """The saved parts of `job`, in a folder beside `output`.

    The folder is removed when the job is done. If the job fails or is killed, its parts stay for
    the next run of the same job.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = output.parent / f".{output.name}.parts"
    folder.mkdir(exist_ok=True)
    with (folder / "job").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnusableFile(f"{output}: another run is writing it") from None
        file.seek(0)
        if file.read() != job:
            for path in folder.glob("*.arrow"):
                path.unlink()
            file.truncate(0)
            file.write(job)
            file.flush()
        finished = False
        try:
            yield _Parts(folder)
            finished = True
        finally:
            if finished or not list(folder.glob("*.arrow")):
                shutil.rmtree(folder)


@contextmanager
def _writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """Write to a temporary file that replaces `path` at the end; an error removes it."""
    temporary = path.parent / f".{path.name}.parts" / "output"
    try:
        with table_writer(temporary, schema, _kind_of(path)) as write:
            yield write
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0, or 1 when the file or the model cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m realtor_serving.offline.score_table",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument(
        "input",
        type=Path,
        help="CSV or other text, Excel, Parquet or Arrow file with any of the inputs",
    )
    parser.add_argument("output", type=Path, help="CSV or Parquet to write")
    parser.add_argument(
        "--bundle",
        type=Path,
        help="the model's bundle; by default the one that the service on this machine serves",
    )
    chosen = parser.parse_args(arguments)
    bundle: Path | None = chosen.bundle
    if bundle is None:
        current = ChampionCache(settings().cache).current()
        if current is None:
            print(
                f"There is no model in {settings().cache}: start the service once, or name a "
                "--bundle.",
                file=sys.stderr,
            )
            return 1
        bundle = current.path
    try:
        model = load_bundle(bundle)
        source = file_source(chosen.input, model.contract)
        reading = understand_source(source, model.contract)
        for note in (*source.notes, *reading.notes):
            print(note.text, file=sys.stderr)
        report = score(
            source,
            chosen.output,
            model,
            reading=reading,
            progress=lambda rows: print(f"\r{rows:,} rows", end="", file=sys.stderr, flush=True),
        )
    except (UnusableFile, BrokenBundle) as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    print(
        f"\r{chosen.output}: {report.valued:,} of {report.rows:,} homes valued in "
        f"{report.seconds:.1f} s; the column `error` says why {report.failed:,} were not."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
