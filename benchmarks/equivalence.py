"""Whether two checkouts of the code give the same tables, decisions, models and valuations.

    python -m benchmarks.equivalence --against /path/to/old/checkout --keep /tmp/dumps

Each checkout runs its own platform on the same seeded market, one after the other: three batches,
two trainings, a duel. Then every table of RAW and CLEAN, the decisions, each candidate's bundle and
valuations, the service's answers and its OpenAPI are compared; floats to the bit. The new side may
have more: columns, fields, files and paths that only it has are counted, and named by --added.
Texts whose wording differs are counted, and shown by --words. Exit status 1 on a difference.

What differs between two runs of one checkout is left out by name: see `IGNORED` in
`benchmarks/_differences.py`. With --keep, the dump of a clean checkout is used again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks._checkouts import Checkout, end_cleanly
from benchmarks._differences import (
    IGNORED,
    WORDS,
    Comparison,
    compare_bundles,
    compare_openapi,
    compare_parquet,
    compare_tables,
)
from benchmarks._platform import dump, say
from benchmarks._servers import ROOT

# Whose columns hold English beside those of every table: `rule` is a code elsewhere.
TABLE_WORDS = {"raw_quarantine": WORDS | {"rule"}}
DECISIONS = ("retrain_decisions", "promotion_decisions", "releases")


def compare(old: Path, new: Path) -> Iterator[Comparison]:
    """What came of comparing each part of two dumps."""
    yield _winners(old, new)
    for database in ("raw", "clean"):
        yield from _tables(old / "tables" / database, new / "tables" / database)
    for model in _names(old / "models", new / "models"):
        before, after = old / "models" / model, new / "models" / model
        if not (before.exists() and after.exists()):
            yield _one_sided(f"model of {model}", before)
            continue
        yield compare_bundles(f"bundle of {model}, files", before / "bundle", after / "bundle")
        yield _valuations(model, before, after)
    for name in _names(old / "answers", new / "answers"):
        before, after = (_read(side / "answers" / name) for side in (old, new))
        yield (
            compare_openapi(before, after)
            if name == "docs.json"
            else _answers(name.removesuffix(".json"), before, after)
        )
    yield _answers(
        "realtor history --json", _read(old / "history.json"), _read(new / "history.json")
    )
    yield compare_parquet("realtor score, rows", old / "score.parquet", new / "score.parquet")
    yield from _batch_valuations(old / "valuations", new / "valuations")


def _winners(old: Path, new: Path) -> Comparison:
    """Which candidate became each version: all that follows differs where they do."""
    result = Comparison("candidate of each version")
    history = [_read(side / "answers" / "published-history.json") for side in (old, new)]
    versions = [
        {each["version"]: each["candidate"] for each in side["versions"]} for side in history
    ]
    result.compare(*versions)
    result.note = ", ".join(f"{version}: {name}" for version, name in versions[0].items())
    return result


def _tables(old: Path, new: Path) -> Iterator[Comparison]:
    for name in _names(old, new):
        if not (old / name).exists() or not (new / name).exists():
            yield _one_sided(f"table {old.name}.{name.removesuffix('.json')}", old / name)
            continue
        table = name.removesuffix(".json")
        words = TABLE_WORDS.get(table, WORDS)
        before, after = _read(old / name), _read(new / name)
        yield compare_tables(f"{old.name}.{table}, rows", before, after, words)


def _valuations(model: str, old: Path, new: Path) -> Comparison:
    before, after = _read(old / "valuations.json"), _read(new / "valuations.json")
    result = Comparison(f"valuations of {model}, homes")
    result.compare(before, after)
    result.compared = len(before["price"])
    return result


def _answers(name: str, old: Any, new: Any) -> Comparison:
    result = Comparison(f"{name}, values")
    result.compare(old, new)
    if name == "predict-batch":
        result.what, result.compared = "/predict-batch, homes", len(old["results"])
        result.note = f"{old['valued']:,} valued, {old['failed']:,} refused"
    elif isinstance(old, list):
        result.what, result.compared = f"/{name}, homes", len(old)
    return result


def _batch_valuations(old: Path, new: Path) -> Iterator[Comparison]:
    for path in sorted(old.rglob("*.parquet")):
        name = str(path.relative_to(old))
        if (new / name).is_file():
            yield compare_parquet(f"valuations/{name}, rows", path, new / name)
        else:
            yield _one_sided(f"valuations/{name}", path)


def _one_sided(what: str, old: Path) -> Comparison:
    result = Comparison(what)
    if old.exists():
        result.differ(what, "present", "missing")
    else:
        result.added.add(what)
    return result


def _names(old: Path, new: Path) -> list[str]:
    return sorted({path.name for side in (old, new) for path in side.iterdir()})


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _dumped(
    checkout: Checkout, folder: Path, options: argparse.Namespace, homes_file: Path
) -> Path:
    """The dump of a checkout; one that was kept, where the code and the market are the same."""
    wanted = {name: getattr(options, name) for name in ("rows", "seed", "homes")}
    wanted["commit"] = checkout.commit
    facts = folder / "facts.json"
    if facts.is_file() and homes_file.is_file() and not wanted["commit"].endswith("+"):
        known = _read(facts)
        if all(known[name] == value for name, value in wanted.items()):
            say(f"{checkout.root}: the dump of {wanted['commit']} in {folder} is used again")
            return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="realtor-equal-") as work:
        dump(checkout, folder, Path(work), options.rows, options.seed, options.homes, homes_file)
    return folder


def main() -> int:
    end_cleanly()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--against", type=Path, required=True, metavar="FOLDER", help="the old checkout"
    )
    parser.add_argument(
        "--this", type=Path, default=ROOT, metavar="FOLDER", help="the new one; default: this one"
    )
    parser.add_argument(
        "--rows", type=int, default=60_000, help="of the market; default %(default)s"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the market; default %(default)s")
    parser.add_argument("--homes", type=int, default=2_000, help="valued; default %(default)s")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep both dumps there")
    parser.add_argument("--words", action="store_true", help="show texts whose wording differs")
    parser.add_argument("--added", action="store_true", help="name what only the new side has")
    parser.add_argument("--ignored", action="store_true", help="name what is left out, and why")
    options = parser.parse_args()
    if options.ignored:
        for name, reason in IGNORED.items():
            print(f"{name:24}{reason}")
    with tempfile.TemporaryDirectory(prefix="realtor-dumps-") as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        homes_file = folder / f"homes-{options.rows}-{options.seed}-{options.homes}.json"
        against = Checkout(options.against.resolve())
        old = _dumped(against, folder / "old", options, homes_file)
        new = _dumped(Checkout(options.this.resolve()), folder / "new", options, homes_file)
        results = list(compare(old, new))
    _print(results, options)
    return 1 if any(result.differences for result in results) else 0


def _print(results: list[Comparison], options: argparse.Namespace) -> None:
    print(f"{'':58}{'compared':>10}{'differ':>8}{'added':>7}{'words':>7}")
    for result in results:
        verdict = "   DIFFERS" if result.differences else f"   {result.note}".rstrip()
        print(
            f"{result.what:58}{result.compared:>10,}{len(result.differences):>8,}"
            f"{len(result.added):>7,}{len(result.words):>7,}{verdict}"
        )
    for result in results:
        lines = [f"≠ {line}" for line in result.differences[:10]]
        if len(result.differences) > len(lines):
            lines.append(f"  … and {len(result.differences) - len(lines):,} more")
        if options.added:
            lines += [f"+ {name}" for name in sorted(result.added)]
        if options.words:
            lines += _wordings(result)
        if lines:
            print(f"\n{result.what}")
            print("\n".join(f"  {line}" for line in lines))


def _wordings(result: Comparison) -> list[str]:
    """Each change of wording once, with the first place that has it."""
    texts: dict[tuple[str, str], str] = {}
    for where, old, new in result.words:
        texts.setdefault((old, new), where)
    return [
        line
        for (old, new), where in texts.items()
        for line in (f"~ {where}", f"    - {old}", f"    + {new}")
    ]


if __name__ == "__main__":
    sys.exit(main())
