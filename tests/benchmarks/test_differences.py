"""Comparing two results: what counts as a difference, and what does not."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks._differences import (
    Comparison,
    compare_bundles,
    compare_openapi,
    compare_parquet,
    compare_tables,
)


def compared(old: Any, new: Any) -> Comparison:
    result = Comparison("test")
    result.compare(old, new)
    return result


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"price": [0.1, None]}, {"price": [0.1, None]}),
        ({"n": 149}, {"n": 149.0}),
        ({"psi": float("nan")}, {"psi": float("nan")}),
        ({"decided_at": "today"}, {"decided_at": "tomorrow"}),
        ({"price": 1.0}, {"price": 1.0, "code": "new"}),
        ({"reason": "it is told"}, {"reason": "it is said"}),
    ],
)
def test_values_that_mean_the_same_are_equal(old: Any, new: Any) -> None:
    assert compared(old, new).differences == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"price": 0.3}, {"price": 0.1 + 0.2}),
        ({"passed": True}, {"passed": 1}),
        ({"price": 1.0}, {}),
        ({"reason": "no model"}, {"reason": None}),
        ({"warnings": ["a", "b"]}, {"warnings": ["a"]}),
        ({"rows": [1, 2]}, {"rows": [2, 1]}),
        ([{"name": "a"}, {"name": "b"}], [{"name": "b"}, {"name": "a"}]),
        ([{"name": "a", "passed": True}], [{"name": "a", "passed": False}]),
    ],
)
def test_values_that_changed_differ(old: Any, new: Any) -> None:
    assert compared(old, new).differences


def test_added_fields_and_changed_wordings_are_listed() -> None:
    result = compared(
        {"criteria": [{"name": "prd", "words": "old"}]},
        {"criteria": [{"name": "prd", "words": "new", "code": "prd"}, {"name": "toy"}]},
    )
    assert result.added == {"criteria[prd].code", "criteria[toy]"}
    assert result.words == [("criteria[prd].words", "old", "new")]
    assert result.differences == []


def test_rows_of_a_table_are_paired_by_key_in_any_order() -> None:
    old = {"columns": ["id", "price"], "key": ["id"], "rows": [["a", 1.0], ["b", 2.0]]}
    new = {"columns": ["id", "price", "code"], "key": ["id"],
           "rows": [["b", 2.0, "x"], ["a", 1.5, "y"]]}  # fmt: skip
    result = compare_tables("listings", old, new)
    assert result.differences == ["a.price: 1.0 → 1.5"]
    assert (result.compared, result.added) == (2, {"code"})


def test_rows_are_paired_by_content_when_the_key_is_random() -> None:
    old = {"columns": ["request_id", "price"], "key": ["request_id"], "rows": [["1", 3], ["2", 4]]}
    new = {"columns": ["request_id", "price"], "key": ["request_id"], "rows": [["8", 4], ["9", 3]]}
    assert compare_tables("log", old, new).differences == []


def test_a_missing_row_or_column_differs() -> None:
    old = {"columns": ["id", "price"], "key": ["id"], "rows": [["a", 1.0], ["b", 2.0]]}
    new = {"columns": ["id"], "key": ["id"], "rows": [["a"]]}
    differences = compare_tables("listings", old, new).differences
    assert differences == ["column price: 'present' → 'missing'", "rows: 2 → 1"]


def test_parquet_files_are_compared_by_their_values(tmp_path: Path) -> None:
    for name, compression, price in (("a", "zstd", 1.0), ("b", None, 1.0), ("c", None, 2.0)):
        pq.write_table(pa.table({"price": [price]}), tmp_path / name, compression=compression)
    assert compare_parquet("", tmp_path / "a", tmp_path / "b").differences == []
    assert compare_parquet("", tmp_path / "a", tmp_path / "c").differences


def test_a_skops_file_is_compared_without_the_addresses_in_it(tmp_path: Path) -> None:
    for folder, address, array in (("a", 1, b"x"), ("b", 2, b"x"), ("c", 3, b"y")):
        (tmp_path / folder).mkdir()
        with zipfile.ZipFile(tmp_path / folder / "model.skops", "w") as archive:
            schema = {"__class__": "Ridge", "__id__": address, "file": f"{address}.npy"}
            archive.writestr("schema.json", json.dumps(schema))
            archive.writestr(f"{address}.npy", array)
    assert compare_bundles("", tmp_path / "a", tmp_path / "b").differences == []
    assert compare_bundles("", tmp_path / "a", tmp_path / "c").differences


def api(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    home = {"type": "object", "properties": properties, "required": required}
    content = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Home"}}}}
    return {
        "paths": {"/predict": {"post": {"requestBody": content, "responses": {"200": content}}}},
        "components": {"schemas": {"Home": home}},
    }


BED, BATH = {"bed": {"type": "number"}}, {"bath": {"type": "number", "description": "of it"}}


def test_an_api_may_gain_fields() -> None:
    result = compare_openapi(api(BED, ["bed"]), api(BED | BATH, ["bed"]))
    assert result.differences == []
    assert any(name.endswith("properties.bath") for name in result.added)


@pytest.mark.parametrize(
    "new",
    [
        api(BATH, []),
        api({"bed": {"type": "string"}}, ["bed"]),
        api(BED, []),
        api(BED | BATH, ["bed", "bath"]),
        {"paths": {}, "components": api(BED, ["bed"])["components"]},
    ],
    ids=["field lost", "type changed", "required lost", "required gained", "path lost"],
)
def test_an_api_that_loses_something_differs(new: dict[str, Any]) -> None:
    assert compare_openapi(api(BED, ["bed"]), new).differences
