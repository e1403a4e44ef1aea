"""How many Python calls one `POST /predict` takes, and how many of our files it passes through.

    python -m benchmarks.calls --against /path/to/old/checkout

Counted by `sys.setprofile` on the event loop's thread of a warm in-process ASGI application: each
Python frame that is entered (a function, a comprehension, each resumption of a coroutine or of a
generator) and whose code is ours, from the request until the answer is counted and logged, which is
a few turns of the event loop after it is sent. Two ordinary homes of seven inputs are asked about:
one without a warning, and the same one in a zip that the model never saw. Exit status 1 when one of
them misses a target.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks._baselines import NUMBERS, TEXTS
from benchmarks._checkouts import Checkout
from benchmarks._market import splits_of
from benchmarks.serving import homes

CALLS, FILES = 90, 16
UNKNOWN = "an unknown zip"
COUNTER = Path(__file__).with_name("_count_calls.py")


@dataclass(frozen=True)
class Count:
    """Calls of one request by file, from the checkout's root, and function; and with libraries."""

    ours: Counter[tuple[str, str]]
    calls_of_all: int
    files_of_all: int

    @property
    def calls(self) -> int:
        """Calls of our code."""
        return self.ours.total()

    @property
    def files(self) -> Counter[str]:
        """Calls by file of ours."""
        by_file: Counter[str] = Counter()
        for (file, _), number in self.ours.items():
            by_file[file] += number
        return by_file


def count(
    checkout: Checkout, folder: Path, rows: int, seed: int, described: list[dict[str, Any]]
) -> dict[str, Count]:
    """By home, counted in a process of the checkout's own, with a bundle that it trained."""
    folder.mkdir()
    checkout.make_bundle(folder / "bundle", rows, seed)
    served = replace(
        checkout,
        environment={
            "REALTOR_CHAMPION_BUNDLE": str(folder / "bundle"),
            "REALTOR_HOME": str(folder / "home"),
            "BENTOML_HOME": str(folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
        },
    )
    output = served.python(
        str(COUNTER), checkout.service, folder=folder, standard_input=json.dumps(described)
    )
    return {
        home: _count(checkout.root, calls)
        for home, calls in json.loads(output.splitlines()[-1]).items()
    }


def _count(root: Path, calls: list[tuple[str, str, int]]) -> Count:
    counted = [
        (Path(file), function, number) for file, function, number in calls if Path(file) != COUNTER
    ]
    ours: Counter[tuple[str, str]] = Counter()
    for path, function, number in counted:
        if path.is_relative_to(root) and "site-packages" not in path.parts:
            ours[str(path.relative_to(root)), function] += number
    return Count(
        ours,
        calls_of_all=sum(number for _, _, number in counted),
        files_of_all=len({path for path, _, _ in counted}),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="count another checkout too")
    parser.add_argument(
        "--rows", type=int, default=5_000, help="of the market; default %(default)s"
    )
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--calls", action="store_true", help="print each function")
    options = parser.parse_args()
    whole = [
        home
        for home in homes(splits_of(options.rows, options.seed)["test"], 500)
        if len(home) == len((*NUMBERS, *TEXTS))
    ]
    checkouts = {"this": Checkout()}
    if options.against:
        checkouts["against"] = Checkout(options.against.resolve())
    counts: dict[str, dict[str, Count]] = {}
    with tempfile.TemporaryDirectory(prefix="realtor-calls-") as folder:
        for name, checkout in checkouts.items():
            counts[name] = count(checkout, Path(folder) / name, options.rows, options.seed, whole)
    _print(counts, each=options.calls)
    here = counts["this"].values()
    return 0 if all(home.calls <= CALLS and len(home.files) <= FILES for home in here) else 1


def _print(counts: dict[str, dict[str, Count]], *, each: bool) -> None:
    for name, homes_of in counts.items():
        print(f"{name}: {UNKNOWN}")
        for file, number in homes_of[UNKNOWN].files.most_common():
            print(f"{number:>6}  {file}")
            if each:
                for (place, function), calls in homes_of[UNKNOWN].ours.items():
                    if place == file:
                        print(f"{calls:>12}  {function}")
    print(f"{'':34}{'calls':>8}{'files':>8}   with libraries")
    for name, homes_of in counts.items():
        for home, counted in homes_of.items():
            missed = counted.calls > CALLS or len(counted.files) > FILES
            verdict = "   MISSED" if missed and name == "this" else ""
            print(
                f"{f'{name}, {home}':34}{counted.calls:>8}{len(counted.files):>8}"
                f"   {counted.calls_of_all} through {counted.files_of_all}{verdict}"
            )
    print(f"{'target':34}{f'≤ {CALLS}':>8}{f'≤ {FILES}':>8}")


if __name__ == "__main__":
    sys.exit(main())
