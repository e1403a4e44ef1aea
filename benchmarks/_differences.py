"""Differences between two results of the same work: JSON values, tables, bundles and OpenAPI.

Numbers are equal without any tolerance. A field that only the new side has is listed as
added, one that only the old side has is a difference. English texts are compared apart from
figures and codes: their wording may change.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

MOMENT, DURATION, RANDOM = "a moment of the run", "a duration", "an id drawn at random"
# Fields that two runs of the same code differ in, and why.
IGNORED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "requested_at", "landed_at", "loaded_at", "reported_at", "decided_at", "built_at",
            "begun_at", "finished_at", "admitted_at", "taken_at", "published_at", "trained_at",
        ),
        MOMENT,
    ),
    **dict.fromkeys(("seconds", "load_seconds", "median_milliseconds", "age_days"), DURATION),
    **dict.fromkeys(("request_id", "dagster_run_id", "run_id", "candidate_run_id"), RANDOM),
    "payload_key": "holds a moment and a request id",
    "url": "holds the free port of the upstream",
    "history_url": "holds the folder of the run",
    "bundle_sha256": "the bundle holds trained_at and run ids",
    "megabytes": "the size of the bundle counts its metadata and new files",
    "files": "sha256 and size of the bundle's files, each of which is compared itself",
    "version_num": "the migration, which grows with added columns",
}  # fmt: skip
# Fields in English: equal in presence and number, listed apart where the wording differs.
WORDS = frozenset(
    {
        "reason", "error", "words", "message", "msg", "warnings", "text", "detail", "description",
        "summary", "title",
    }
)  # fmt: skip
# What names an item of a list of objects.
KEYS = ("name", "input", "feature", "code", "id")


@dataclass
class Comparison:
    """What came of comparing `what`.

    compared: values or files that both sides have. differences: a line each. added: fields that
    only the new side has. words: (where, old, new) of texts whose wording changed.
    """

    what: str
    compared: int = 0
    differences: list[str] = field(default_factory=list)
    added: set[str] = field(default_factory=set)
    words: list[tuple[str, str, str]] = field(default_factory=list)
    note: str = ""

    def differ(self, where: str, old: Any, new: Any) -> None:
        """Note a difference."""
        self.differences.append(f"{where}: {_short(old)} → {_short(new)}")

    def compare(
        self, old: Any, new: Any, where: str = "", *, words: frozenset[str] = WORDS
    ) -> None:
        """Compare two JSON values; `words` names the fields that hold English."""
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            self._objects(old, new, where, words)
        elif _is_list(old) and _is_list(new):
            self._lists(old, new, where, words)
        else:
            self.compared += 1
            if not same(old, new):
                self.differ(where, old, new)

    def _objects(
        self, old: Mapping[str, Any], new: Mapping[str, Any], where: str, words: frozenset[str]
    ) -> None:
        for name, value in old.items():
            at = f"{where}.{name}" if where else name
            if name in IGNORED:
                continue
            if name not in new:
                self.differ(at, value, "missing")
            elif name in words and not isinstance(value, Mapping):
                self._words(value, new[name], at)
            else:
                self.compare(value, new[name], at, words=words)
        self.added |= {_general(f"{where}.{name}") for name in new.keys() - old.keys()}

    def _lists(
        self, old: Sequence[Any], new: Sequence[Any], where: str, words: frozenset[str]
    ) -> None:
        key = next((key for key in KEYS if _identifies(key, old) and _identifies(key, new)), None)
        if key is not None:
            by_key = {item[key]: item for item in new}
            for item in old:
                if item[key] in by_key:
                    self.compare(item, by_key[item[key]], f"{where}[{item[key]}]", words=words)
                else:
                    self.differ(f"{where}[{item[key]}]", item, "missing")
            named = [item[key] for item in old]
            self.added |= {f"{_general(where)}[{name}]" for name in by_key.keys() - {*named}}
            order = [item[key] for item in new if item[key] in {*named}]
            if order != [name for name in named if name in by_key]:
                self.differ(f"{where} in order", named, order)
        elif len(old) != len(new):
            self.differ(f"{where}, items", len(old), len(new))
        else:
            for number, (before, after) in enumerate(zip(old, new, strict=True)):
                self.compare(before, after, f"{where}[{number}]", words=words)

    def _words(self, old: Any, new: Any, where: str) -> None:
        self.compared += 1
        if _is_list(old) and _is_list(new) and any(isinstance(item, Mapping) for item in old):
            self._lists(old, new, where, WORDS)
        elif bool(old) != bool(new) or (_is_list(old) and len(old) != len(new)):
            self.differ(where, old, new)
        elif old != new:
            self.words.append((where, str(old), str(new)))


def compare_tables(
    what: str, old: Mapping[str, Any], new: Mapping[str, Any], words: frozenset[str] = WORDS
) -> Comparison:
    """Two tables as {"columns": [...], "key": [...], "rows": [[...]]}, row by row.

    Rows are paired by the key where there is one that is the same in every run, and else in the
    order of their content. `compared` counts rows.
    """
    result = Comparison(what)
    result.added = {name for name in new["columns"] if name not in old["columns"]}
    for name in old["columns"]:
        if name not in new["columns"]:
            result.differ(f"column {name}", "present", "missing")
    common = [name for name in old["columns"] if name in new["columns"] and name not in IGNORED]
    key = [name for name in old["key"] if name in common]
    if key != old["key"]:
        key = []
    sides = [_sorted_rows(side, common, key or [each for each in common if each not in words])
             for side in (old, new)]  # fmt: skip
    if len(sides[0]) != len(sides[1]):
        result.differ("rows", len(sides[0]), len(sides[1]))
    inner = Comparison(what)
    for before, after in zip(*sides, strict=False):
        if before != after:
            at = "/".join(str(before[name]) for name in key)
            inner.compare(before, after, at, words=words)
        result.compared += 1
    result.differences += inner.differences
    result.words, result.added = inner.words, result.added | inner.added
    return result


def compare_bundles(what: str, old: Path, new: Path) -> Comparison:
    """Two bundles, file by file; `compared` counts files."""
    result = Comparison(what)
    for path in sorted(old.iterdir()):
        after = new / path.name
        if not after.is_file():
            result.differ(path.name, "present", "missing")
            continue
        inner = Comparison(what)
        if path.read_bytes() != after.read_bytes():
            inner = _compare_files(path, after)
        result.compared += 1
        result.differences += [f"{path.name} {each}" for each in inner.differences]
        result.added |= {f"{path.name} {each}" for each in inner.added}
        result.words += inner.words
    result.added |= {path.name for path in new.iterdir() if not (old / path.name).exists()}
    return result


def compare_parquet(what: str, old: Path, new: Path) -> Comparison:
    """Two Parquet files, row by row in their order; `compared` counts rows."""
    before, after = pq.read_table(old), pq.read_table(new)
    result = Comparison(what, compared=before.num_rows)
    inner = Comparison(what)
    inner.compare(
        {name: before[name].to_pylist() for name in before.column_names},
        {name: after[name].to_pylist() for name in after.column_names},
    )
    result.differences, result.words, result.added = inner.differences, inner.words, inner.added
    return result


def compare_openapi(old: Mapping[str, Any], new: Mapping[str, Any]) -> Comparison:
    """Whether the new OpenAPI document only gains: no path, field, type or required flag is lost.

    A request needs no field that it could leave out before. `compared` counts nodes.
    """
    walk = _OpenAPI(old, new)
    walk.compare(old["paths"], new["paths"], "paths", request=False)
    names = [set(side.get("components", {}).get("schemas", {})) for side in (old, new)]
    for name in sorted(names[0] - names[1]):
        walk.result.differ(f"components.schemas.{name}", "present", "missing")
    walk.result.added |= {f"components.schemas.{name}" for name in names[1] - names[0]}
    return walk.result


class _OpenAPI:
    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self.result = Comparison("OpenAPI, nodes")
        self._old, self._new = old, new
        self._seen: set[tuple[str, str, bool]] = set()

    def compare(self, old: Any, new: Any, where: str, *, request: bool) -> None:
        references = [side.get("$ref", "") if isinstance(side, Mapping) else ""
                      for side in (old, new)]  # fmt: skip
        if any(references):
            seen = (references[0] or where, references[1] or where, request)
            if seen in self._seen:
                return
            self._seen.add(seen)
            old, new = _resolve(self._old, old), _resolve(self._new, new)
        self.result.compared += 1
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            self._objects(old, new, where, request=request)
        elif _is_list(old) and _is_list(new):
            self._lists(old, new, where, request=request)
        elif not same(old, new):
            self.result.differ(where, old, new)

    def _objects(
        self, old: Mapping[str, Any], new: Mapping[str, Any], where: str, *, request: bool
    ) -> None:
        # A property may have one of these names: only next to a schema's words are they words.
        properties = where.endswith(("properties", "paths", "schemas"))
        prose = set() if properties else {"description", "summary", "title", "example", "examples"}
        for name, value in old.items():
            at, within = f"{where}.{name}", request or name == "requestBody"
            if name in prose:
                continue
            if name not in new:
                self.result.differ(at, value, "missing")
            elif name == "required" and _is_list(value):
                self._required(old, new, at, request=request)
            else:
                self.compare(value, new[name], at, request=within)
        self.result.added |= {f"{where}.{name}" for name in new.keys() - old.keys() - prose}
        if request and "required" in new and "required" not in old and _is_list(new["required"]):
            self.result.differ(f"{where}.required", [], new["required"])

    def _required(
        self, old: Mapping[str, Any], new: Mapping[str, Any], where: str, *, request: bool
    ) -> None:
        before, after = set(old["required"]), set(new["required"])
        if before - after or (request and after - before):
            self.result.differ(where, sorted(before), sorted(after))

    def _lists(self, old: Sequence[Any], new: Sequence[Any], where: str, *, request: bool) -> None:
        if where.endswith(".parameters"):
            named = {each["name"]: each for each in new}
            for each in old:
                self.compare(each, named.get(each["name"]), f"{where}.{each['name']}", request=True)
        elif all(isinstance(each, str) for each in (*old, *new)):
            if lost := set(old) - set(new):
                self.result.differ(where, sorted(lost), "missing")
            self.result.added |= {f"{where}.{each}" for each in set(new) - set(old)}
        elif len(old) > len(new):
            self.result.differ(f"{where}, alternatives", len(old), len(new))
        else:
            for number, (before, after) in enumerate(zip(old, new, strict=False)):
                self.compare(before, after, f"{where}[{number}]", request=request)


def same(old: Any, new: Any) -> bool:
    """Whether two plain values are equal, without rounding; NaN is NaN, no number is a bool."""
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, float) and isinstance(new, float) and math.isnan(old):
        return math.isnan(new)
    return bool(old == new)


def _compare_files(old: Path, new: Path) -> Comparison:
    if old.suffix == ".parquet":
        return compare_parquet(old.name, old, new)
    result = Comparison(old.name)
    if old.suffix == ".json":
        result.compare(json.loads(old.read_text()), json.loads(new.read_text()))
    elif old.suffix == ".skops":
        result.compare(_skops(old), _skops(new))
    else:
        result.compare(*(hashlib.sha256(path.read_bytes()).hexdigest() for path in (old, new)),
                       where="sha256")  # fmt: skip
    return result


def _skops(path: Path) -> Any:
    """The content of a skops file without the ids in it, which are addresses of the writer's."""
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:

        def plain(node: Any) -> Any:
            if isinstance(node, dict):
                return {
                    key: hashlib.sha256(archive.read(value)).hexdigest()
                    if key == "file" and isinstance(value, str)
                    else plain(value)
                    for key, value in node.items()
                    if key != "__id__"
                }
            return [plain(item) for item in node] if isinstance(node, list) else node

        return plain(json.loads(archive.read("schema.json")))


def _sorted_rows(
    table: Mapping[str, Any], columns: Sequence[str], by: Sequence[str]
) -> list[dict[str, Any]]:
    places = {name: table["columns"].index(name) for name in columns}
    rows = [{name: row[place] for name, place in places.items()} for row in table["rows"]]
    return sorted(rows, key=lambda row: json.dumps([row[name] for name in by], sort_keys=True))


def _resolve(document: Mapping[str, Any], node: Any) -> Any:
    while isinstance(node, Mapping) and "$ref" in node:
        target: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def _identifies(key: str, items: Sequence[Any]) -> bool:
    values = [item.get(key) for item in items if isinstance(item, Mapping)]
    return (
        len(values) == len(items) > 0
        and all(isinstance(value, str) for value in values)
        and len(set(values)) == len(values)
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _general(where: str) -> str:
    """A path without the numbers of list items."""
    return "".join(
        "[]" if number % 2 and part.isdigit() else f"[{part}]" if number % 2 else part
        for number, part in enumerate(where.replace("]", "[").split("["))
    ).lstrip(".")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 90 else f"{text[:87]}…"
