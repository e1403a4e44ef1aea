"""A CSV of homes opened and read, compared with Arrow's reader alone, or with another checkout.

    python -m benchmarks.reading --rows 1000000 --against ../earlier

Figures are seconds of processor time to open the file and iterate over its rows, by turns, and the
peak of memory. A file is passed over once before it is read, for its encoding and open quotes.
Without `--against` the baseline is Arrow's CSV reader on a regular file, as `realtor score` called
it before files of any layout were read. Exits with status 1 when the ratio of the medians is above
its target.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from realtor_local.synthetic_market import generate

ROOT = Path(__file__).parents[1]
# Reading is a small part of scoring, of which the whole may take 1.1 times as long.
TARGET = 1.2

PLAIN = """
import sys, time, resource
import pyarrow as pa, pyarrow.csv
started = time.process_time()
path = sys.argv[1]
with pa.csv.open_csv(path) as header:
    names = header.schema.names
rows = 0
for batch in pa.csv.open_csv(
    path,
    pa.csv.ReadOptions(block_size=8 * 1024 * 1024),
    pa.csv.ParseOptions(newlines_in_values=True),
    pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
):
    rows += batch.num_rows
print(time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, rows)
"""
OURS = """
import sys, time, resource
from pathlib import Path
from realtor_model.listing import US_LISTINGS
from realtor_model.reading import open_file
started = time.process_time()
rows = sum(batch.num_rows for batch in open_file(Path(sys.argv[1]), US_LISTINGS).batches())
print(time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, rows)
"""
EARLIER = """
import sys, time, resource
from pathlib import Path
from realtor_serving.offline.score_table import file_source
started = time.process_time()
rows = sum(batch.num_rows for batch in file_source(Path(sys.argv[1])).batches(0))
print(time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, rows)
"""


def measured(code: str, path: Path, checkout: Path) -> tuple[float, float]:
    """Seconds, and the peak of memory in MB, of a process that reads the file."""
    command = [sys.executable, "-c", code, str(path)]
    answer = subprocess.run(
        command, cwd=checkout, env={"PYTHONPATH": str(checkout)}, capture_output=True, check=True
    )
    seconds, kilobytes, _ = map(float, answer.stdout.split())
    return seconds, kilobytes / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000, help="default %(default)s")
    parser.add_argument("--turns", type=int, default=7, help="default %(default)s")
    parser.add_argument("--against", type=Path, help="a checkout from before `open_file`")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    baseline = (EARLIER, options.against.resolve()) if options.against else (PLAIN, ROOT)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "homes.csv"
        listings = generate(min(options.rows, 200_000), 1).listings
        with path.open("w") as file:
            for start in range(0, options.rows, len(listings)):
                part = listings.head(options.rows - start)
                part.to_csv(file, index=False, header=start == 0)
        turns = [
            (measured(baseline[0], path, baseline[1]), measured(OURS, path, ROOT))
            for _ in range(options.turns)
        ]
    (before, before_mb), (ours, ours_mb) = np.median(turns, axis=0).tolist()
    figure = {
        "rows": options.rows, "baseline_seconds": before, "seconds": ours, "ratio": ours / before,
        "baseline_mb": before_mb, "mb": ours_mb, "target": TARGET, "met": ours / before <= TARGET,
    }  # fmt: skip
    if options.json:
        print(json.dumps(figure))
    else:
        print(
            f"{options.rows:,} rows: {ours:.2f} s, {ours_mb:,.0f} MB; baseline {before:.2f} s, "
            f"{before_mb:,.0f} MB; ratio {ours / before:.2f}, target ≤ {TARGET}"
            f"{'' if figure['met'] else '   MISSED'}"
        )
    return 0 if figure["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
