"""Names the packages that an upgraded lock changes, and the folders of tests that fail with it.

    rehearsal.py BEFORE.lock AFTER.lock TESTS.xml --steps "lock=success tests=failure" --run URL

Writes Markdown to standard output. TESTS.xml is pytest's JUnit report; without it no test has run.
"""

import argparse
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

MAX_TESTS = 30


def locked_versions(lock: Path) -> dict[str, str]:
    """Name → version of each package in a uv.lock; several where platforms differ."""
    versions: dict[str, list[str]] = {}
    for package in tomllib.loads(lock.read_text())["package"]:
        if "version" in package:
            versions.setdefault(package["name"], []).append(package["version"])
    return {name: ", ".join(sorted(each)) for name, each in versions.items()}


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Rows of name, version before and version after, by name; an absent version is "none"."""
    return [
        (name, before.get(name, "none"), after.get(name, "none"))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def failed_tests(report: Path) -> list[str]:
    """Names of the tests with a failure or an error, e.g. "tests.model.test_training.test_it"."""
    # Our own pytest has written it, in a job that has no rights to lose.
    cases = ElementTree.parse(report).iter("testcase")  # noqa: S314
    return sorted(
        {
            ".".join(filter(None, (case.get("classname"), case.get("name"))))
            for case in cases
            if case.find("failure") is not None or case.find("error") is not None
        }
    )


def folder(test: str) -> str:
    """The folder of a test below tests/: "tests/model" for "tests.model.duel.test_it.test_x".

    A module that cannot be imported is a test too: "tests.model.duel.test_it".
    """
    parts = test.partition("[")[0].split(".")
    return parts[0] if parts[1].startswith("test_") else "/".join(parts[:2])


def summary(
    changed: list[tuple[str, str, str]], failed: list[str], steps: Mapping[str, str], run: str
) -> str:
    """The report, as Markdown."""
    broken = [name for name, outcome in steps.items() if outcome == "failure"]
    skipped = [name for name, outcome in steps.items() if outcome in ("skipped", "")]
    lines = [f"`uv lock --upgrade`, tried by [this run]({run})."]
    if broken:
        lines += ["", f"**Fails:** {', '.join(broken)}."]
        if skipped:
            lines += [f"Not tried: {', '.join(skipped)}."]
    else:
        lines += ["", "**Everything passes.**"]
    if failed:
        counts = sorted(Counter(map(folder, failed)).items())
        lines += ["", "| folder | failing tests |", "|---|---|"]
        lines += [f"| `{name}` | {count} |" for name, count in counts]
        lines += ["", *(f"- `{test}`" for test in failed[:MAX_TESTS])]
        if len(failed) > MAX_TESTS:
            lines += [f"- and {len(failed) - MAX_TESTS} more"]
    lines += [
        "",
        f"{len(changed)} packages change:",
        "",
        "| package | locked | newest |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {old} | {new} |" for name, old, new in changed]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("tests", type=Path)
    parser.add_argument(
        "--steps", required=True, help="NAME=OUTCOME of each step, with spaces between"
    )
    parser.add_argument("--run", required=True, help="URL of the run")
    options = parser.parse_args()
    steps = dict(step.split("=", 1) for step in options.steps.split())
    failed = failed_tests(options.tests) if options.tests.exists() else []
    changed = changes(locked_versions(options.before), locked_versions(options.after))
    sys.stdout.write(summary(changed, failed, steps, options.run))


if __name__ == "__main__":
    main()
