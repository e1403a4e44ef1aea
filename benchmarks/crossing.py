"""Whether champions that an older checkout trained with older libraries are served unchanged.

    python -m benchmarks.crossing --against /path/to/old/checkout --python /path/to/its/python

The older checkout, run by its own Python, trains each candidate on a synthetic market, saves its
bundle and values homes. This checkout reads the bundles with its own libraries and values the same
homes: together, a few by one, and once more from a bundle that it saved itself. Exits with status 1
when a value differs by a cent, the end of a range by more than 1e-6 of it, or a grade at all.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._checkouts import Checkout
from realtor_model.candidates import CANDIDATES
from realtor_model.features import take
from realtor_model.valuation.bundle import MANIFEST, load_bundle, save_bundle
from realtor_model.valuation.valuation_model import ValuationModel

CENT, RANGE_TOLERANCE, ADDITIVITY = 0.01, 1e-6, 1e-6
# Homes that are valued one by one as well: few rows take another path than many.
ALONE, EXPLAINED = 200, 20

# Names are those that its own `benchmarks.serving` imports: its modules may lie elsewhere.
_OLDER = """
import sys
from pathlib import Path
import numpy as np
import benchmarks.serving as own
from benchmarks._market import AS_OF
folder, rows, seed, count = Path(sys.argv[1]), *map(int, sys.argv[2:5])
splits = own.splits_of(rows, seed)
fitted, held_out = splits["train"], splits["validation"]
encoder, matrix = own.FeatureEncoder.fit(fitted.columns, fitted.price, as_of=AS_OF)
train = own.Rows(matrix, fitted.price)
validation = own.Rows(encoder.transform(held_out.columns), held_out.price)
columns = {
    name: np.concatenate([splits[part].columns[name] for part in ("test", "validation", "train")])
    for name in fitted.columns
}
homes = own.as_sold({name: values[:count] for name, values in columns.items()})
np.savez(folder / "homes.npz", **homes)
for candidate in sys.argv[5:]:
    model = own.train_model(
        candidate, encoder, train, validation,
        profile=own.profile(fitted.columns, fitted.price),
        metadata={"data_version": "benchmark", "batches": [0], "as_of": str(AS_OF)},
    )
    own.save_bundle(model, folder / candidate)
    values = own.load_bundle(folder / candidate).value(homes)
    np.savez(
        folder / f"{candidate}.npz", price=values.price, low=values.low, high=values.high,
        deviation=values.deviation, confidence=values.confidence.astype(str),
    )
"""


@dataclass(frozen=True)
class Figure:
    """The largest difference of one kind, and its limit."""

    candidate: str
    name: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        # Not a number is not met.
        return self.value < self.limit


def compare(folder: Path, candidate: str) -> Iterator[Figure]:
    """The differences between the older checkout's valuations and those of its bundle here."""
    with np.load(folder / "homes.npz", allow_pickle=True) as stored:
        homes = dict(stored)
    with np.load(folder / f"{candidate}.npz") as stored:
        older = dict(stored)
    model = load_bundle(folder / candidate)
    yield from _differences(candidate, "", _valued(model, homes), older)
    alone = [
        _valued(model, take(homes, np.array([row])))
        for row in range(min(ALONE, len(older["price"])))
    ]
    together = {name: np.concatenate([one[name] for one in alone]) for name in older}
    few = {name: values[: len(alone)] for name, values in older.items()}
    yield from _differences(candidate, ", one by one", together, few)
    save_bundle(model, folder / "again")
    yield from _differences(
        candidate, ", saved again", _valued(load_bundle(folder / "again"), homes), older
    )
    explained = model.explain(take(homes, np.arange(EXPLAINED)))
    error = float(explained.additivity_error.max())
    yield Figure(candidate, "additivity error of explanations, log price", error, ADDITIVITY)


def _valued(model: ValuationModel, homes: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    values = model.value(homes)
    return {
        "price": values.price, "low": values.low, "high": values.high,
        "deviation": values.deviation, "confidence": values.confidence.astype(str),
    }  # fmt: skip


def _differences(
    candidate: str, how: str, ours: Mapping[str, NDArray[Any]], older: Mapping[str, NDArray[Any]]
) -> Iterator[Figure]:
    price = float(np.abs(ours["price"] - older["price"]).max())
    yield Figure(candidate, f"values{how}, dollars", price, CENT)
    ends = ("low", "high", "deviation")
    relative = max(float(np.abs(ours[end] / older[end] - 1.0).max()) for end in ends)
    yield Figure(candidate, f"ranges{how}, relative", relative, RANGE_TOLERANCE)
    grades = float((ours["confidence"] != older["confidence"]).sum())
    yield Figure(candidate, f"grades{how}, homes", grades, 1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--against", type=Path, required=True, help="the older checkout")
    parser.add_argument("--python", type=Path, required=True, help="its Python")
    parser.add_argument("--rows", type=int, default=20_000, help="listings, default %(default)s")
    parser.add_argument("--homes", type=int, default=10_000, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument(
        "--candidates", nargs="+", default=list(CANDIDATES), help="default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    # Not resolved: a virtual environment's Python is a link.
    older = Checkout(options.against.resolve(), interpreter=options.python.absolute())
    figures = []
    with tempfile.TemporaryDirectory(prefix="realtor-crossing-") as scratch:
        folder = Path(scratch)
        numbers = map(str, (options.rows, options.seed, options.homes))
        older.python("-c", _OLDER, scratch, *numbers, *options.candidates, folder=folder)
        for candidate in options.candidates:
            versions = json.loads((folder / candidate / MANIFEST).read_text())["versions"]
            print(f"{candidate} of {older.commit}: {versions}", file=sys.stderr)
            figures += compare(folder, candidate)
    if options.json:
        print(json.dumps([asdict(figure) | {"met": figure.met} for figure in figures]))
    else:
        print(f"{'':22}{'largest difference':48}{'measured':>12}{'target':>10}")
        for figure in figures:
            verdict = "" if figure.met else "   MISSED"
            target = f"< {figure.limit:g}"
            print(
                f"{figure.candidate:22}{figure.name:48}{figure.value:>12.3g}{target:>10}{verdict}"
            )
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
