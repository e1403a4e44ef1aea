"""How many Python calls one `POST /predict` takes, and how many of our files it passes through.

    python -m benchmarks.calls --against /path/to/old/checkout

Counted by `sys.setprofile` on the event loop's thread of a warm in-process ASGI application: each
Python frame that is entered (a function, a comprehension, each resumption of a coroutine or of a
generator) and whose code is ours, from the request until the answer is counted and logged, which is
a few turns of the event loop after it is sent. The home is an ordinary one: seven inputs, known to
the model, without a warning. Exit status 1 when a figure misses its target.
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
) -> Count:
    """Counted in a process of the checkout's own, with a bundle that its own code trained."""
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
    counted = [
        (Path(file), function, number)
        for file, function, number in json.loads(output.splitlines()[-1])["calls"]
        if Path(file) != COUNTER
    ]
    ours: Counter[tuple[str, str]] = Counter()
    for path, function, number in counted:
        if path.is_relative_to(checkout.root) and "site-packages" not in path.parts:
            ours[str(path.relative_to(checkout.root)), function] += number
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
    counts: dict[str, Count] = {}
    with tempfile.TemporaryDirectory(prefix="realtor-calls-") as folder:
        for name, checkout in checkouts.items():
            counts[name] = count(checkout, Path(folder) / name, options.rows, options.seed, whole)
    _print(counts, each=options.calls)
    here = counts["this"]
    return 0 if here.calls <= CALLS and len(here.files) <= FILES else 1


def _print(counts: dict[str, Count], *, each: bool) -> None:
    for name, counted in counts.items():
        print(
            f"{name}: {counted.calls} calls through {len(counted.files)} files of ours"
            f" ({counted.calls_of_all} through {counted.files_of_all} with libraries)"
        )
        for file, number in counted.files.most_common():
            print(f"{number:>6}  {file}")
            if each:
                for (place, function), calls in counted.ours.items():
                    if place == file:
                        print(f"{calls:>12}  {function}")
    here = counts["this"]
    for figure, value, target in (("calls", here.calls, CALLS), ("files", len(here.files), FILES)):
        verdict = "" if value <= target else "   MISSED"
        print(f"{figure:8}{value:>6}{f'≤ {target}':>8}{verdict}")


if __name__ == "__main__":
    sys.exit(main())
