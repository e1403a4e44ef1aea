"""A CSV of homes scored, and only read, compared with another checkout.

    python -m benchmarks.reading --rows 1000000 --against ../earlier

`realtor score` values the same file, CSV to CSV, with the same model, in both checkouts by turns:
seconds of wall time and the peak of memory of each process. Reading alone is opening the file and
iterating over its rows, in seconds of processor time: a file is passed over once before it is read,
for its encoding and open quotes. Exits with status 1 when scoring takes more than `TARGET` times
the time of the other checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from realtor_local.synthetic_market import generate

ROOT = Path(__file__).parents[1]
TARGET = 1.1
TRAIN_ROWS = 20_000

TRAIN = """
import sys
from pathlib import Path
from benchmarks.scoring import champion
from realtor_model.valuation.bundle import save_bundle
save_bundle(champion(int(sys.argv[2]), 0), Path(sys.argv[1]))
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


def read(code: str, path: Path, checkout: Path) -> float:
    """Seconds of processor time of a process that reads the file."""
    answer = _run([sys.executable, "-c", code, str(path)], checkout)
    return float(answer.split()[0])


def scored(path: Path, bundle: Path, checkout: Path) -> tuple[float, float]:
    """Seconds, and the peak of memory in MB, of a process that scores the file."""
    command = [
        sys.executable, "-m", "realtor_serving.offline.score_table", str(path),
        str(path.with_name("valued.csv")), "--bundle", str(bundle),
    ]  # fmt: skip
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=checkout, env=_environment(checkout), stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"scoring failed in {checkout}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def _run(command: list[str], checkout: Path) -> bytes:
    return subprocess.run(
        command, cwd=checkout, env=_environment(checkout), capture_output=True, check=True
    ).stdout


def _environment(checkout: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(checkout)}


def write_homes(path: Path, rows: int) -> None:
    """A CSV of listings of the synthetic market."""
    listings = generate(min(rows, 200_000), 1).listings
    with path.open("w") as file:
        for start in range(0, rows, len(listings)):
            part = listings.head(rows - start)
            part.to_csv(file, index=False, header=start == 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000, help="default %(default)s")
    parser.add_argument("--turns", type=int, default=5, help="default %(default)s")
    parser.add_argument(
        "--against", type=Path, required=True, help="a checkout from before `open_file`"
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    earlier = options.against.resolve()
    with tempfile.TemporaryDirectory() as name:
        path, bundle = Path(name) / "homes.csv", Path(name) / "bundle"
        write_homes(path, options.rows)
        _run([sys.executable, "-c", TRAIN, str(bundle), str(TRAIN_ROWS)], earlier)
        turns = [
            (*scored(path, bundle, earlier), *scored(path, bundle, ROOT),
             read(EARLIER, path, earlier), read(OURS, path, ROOT))
            for _ in range(options.turns)
        ]  # fmt: skip
    before, before_mb, ours, ours_mb, read_before, read_ours = np.median(turns, axis=0).tolist()
    ratio = float(np.median([turn[2] / turn[0] for turn in turns]))
    figure = {
        "rows": options.rows, "before_seconds": before, "seconds": ours, "ratio": ratio,
        "before_mb": before_mb, "mb": ours_mb, "reading_ratio": read_ours / read_before,
        "target": TARGET, "met": ratio <= TARGET,
    }  # fmt: skip
    if options.json:
        print(json.dumps(figure))
    else:
        print(
            f"{options.rows:,} rows scored: {ours:.2f} s, {ours_mb:,.0f} MB; before {before:.2f} s,"
            f" {before_mb:,.0f} MB; ratio {ratio:.2f}, target ≤ {TARGET}"
            f"{'' if figure['met'] else '   MISSED'}; of reading alone "
            f"{figure['reading_ratio']:.2f}"
        )
    return 0 if figure["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
