"""Offline valuation of a file, through the same model code as the service, without it.

`python -m realtor_serving.batch homes.parquet valued.csv`: every row of the input comes out, in its
order, with its own columns and the estimate, or the reason why there is none.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from pydantic import ValidationError

from realtor_model.bundle import BrokenBundle, ValuationModel
from realtor_model.features import as_sold, columns_from_properties
from realtor_model.listing import INPUTS, Property
from realtor_serving.cache import ChampionCache
from realtor_serving.requests import in_words, problems
from realtor_serving.settings import settings

ESTIMATES = pa.schema(
    [
        ("estimated_price", pa.float64()),
        ("estimated_low", pa.float64()),
        ("estimated_high", pa.float64()),
        ("confidence", pa.string()),
        ("warnings", pa.string()),
        ("error", pa.string()),
    ]
)
SUFFIXES = (".csv", ".parquet")
CSV_BLOCK_BYTES = 8 * 1024 * 1024


class UnusableFile(Exception):
    """A file that cannot be scored; the text names it and says why."""


@dataclass(frozen=True)
class ScoreReport:
    """What became of the rows: rows = valued + failed."""

    rows: int
    valued: int
    failed: int
    seconds: float


def score_file(
    input: Path,  # noqa: A002  # what it is
    output: Path,
    model: ValuationModel,
    *,
    progress: Callable[[int], None] | None = None,
    chunk_rows: int = 50_000,
) -> ScoreReport:
    """Value every row of `input` as sold; `output` appears whole when all is done.

    CSV or Parquet, by suffix. Columns named as the 11 inputs are read, all columns are kept, and
    those of `ESTIMATES` are added: dollars, confidence, warnings, and `error`, which says why a row
    has no estimate. `progress` is told the number of rows done so far. Memory is bounded by
    `chunk_rows`.

    Raises `UnusableFile` when the input cannot be read or has none of the inputs as columns.
    """
    for path in (input, output):
        if path.suffix.lower() not in SUFFIXES:
            raise UnusableFile(f"{path}: the name must end in {' or '.join(SUFFIXES)}")
    started = time.monotonic()
    rows = valued = 0
    try:
        schema, batches = _read(input, chunk_rows)
        known = [name for name in INPUTS if name in schema.names]
        if not known:
            raise UnusableFile(
                f"{input}: none of its columns is one of {', '.join(INPUTS)}; it has "
                f"{', '.join(schema.names)}"
            )
        kept = pa.schema([field for field in schema if field.name not in ESTIMATES.names])
        with _writer(output, pa.schema([*kept, *ESTIMATES])) as write:
            for batch in batches:
                estimates = _estimates(batch, known, model)
                write(
                    pa.RecordBatch.from_arrays(
                        [*(batch.column(name) for name in kept.names), *estimates.columns],
                        schema=pa.schema([*kept, *ESTIMATES]),
                    )
                )
                rows += batch.num_rows
                valued += batch.num_rows - estimates.column("estimated_price").null_count
                if progress is not None:
                    progress(rows)
    except (pa.ArrowInvalid, OSError) as problem:
        raise UnusableFile(f"{input}: {problem}") from problem
    return ScoreReport(rows, valued, rows - valued, time.monotonic() - started)


def _estimates(
    batch: pa.RecordBatch, known: Sequence[str], model: ValuationModel
) -> pa.RecordBatch:
    properties: list[Property] = []
    errors: list[str | None] = []
    values = [_python(batch.column(name)) for name in known]
    for row in zip(*values, strict=True):
        try:
            properties.append(Property.model_validate(dict(zip(known, row, strict=True))))
        except ValidationError as error:
            errors.append("; ".join(map(in_words, problems(error))))
        else:
            errors.append(None)
    failed = pa.array([error is not None for error in errors], pa.bool_())
    if not properties:
        empty: list[Any] = [pa.nulls(len(errors), field.type) for field in ESTIMATES][:-1]
        return pa.RecordBatch.from_arrays([*empty, pa.array(errors, pa.string())], schema=ESTIMATES)
    columns = as_sold(columns_from_properties(properties))
    valued = model.value(columns)
    answers = [
        *(pa.array(np.round(each, 2)) for each in (valued.price, valued.low, valued.high)),
        pa.array(valued.confidence, pa.string()),
        pa.array(["; ".join(each) or None for each in model.warnings(columns)], pa.string()),
    ]
    # Row i takes the answer of the properties before it that passed, nothing where it failed.
    passed = pc.cumulative_sum(pc.cast(pc.invert(failed), pa.int64()))
    position = pc.if_else(failed, None, pc.subtract(passed, 1))
    arrays = [pc.take(answer, position) for answer in answers]
    return pa.RecordBatch.from_arrays([*arrays, pa.array(errors, pa.string())], schema=ESTIMATES)


def _python(column: pa.Array) -> list[Any]:
    """The values of a column; NaN is how some writers say that there is none."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    values: list[Any] = column.to_pylist()
    return values


def _read(path: Path, chunk_rows: int) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    if path.suffix.lower() == ".parquet":
        file = pa.parquet.ParquetFile(path)
        return file.schema_arrow, file.iter_batches(batch_size=chunk_rows)
    with pa.csv.open_csv(path) as header:
        names = header.schema.names
    # As text: what a column means is for `Property` to say, and it comes out as it came in.
    reader = pa.csv.open_csv(
        path,
        pa.csv.ReadOptions(block_size=CSV_BLOCK_BYTES),
        pa.csv.ParseOptions(newlines_in_values=True),
        pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    return reader.schema, _sliced(reader, chunk_rows)


def _sliced(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


@contextmanager
def _writer(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """Writes to a file beside `path`, which takes its place at the end; on an error it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(handle)
    temporary = Path(name)
    try:
        if path.suffix.lower() == ".parquet":
            with pa.parquet.ParquetWriter(temporary, schema) as parquet:
                yield parquet.write_batch
        else:
            options = pa.csv.WriteOptions(quoting_style="needed")
            with pa.csv.CSVWriter(temporary, schema, write_options=options) as csv:
                yield csv.write_batch
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0, or 1 when the file or the model cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m realtor_serving.batch", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("input", type=Path, help="CSV or Parquet with any of the 11 inputs")
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
        report = score_file(
            chosen.input,
            chosen.output,
            ValuationModel.load(bundle),
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
