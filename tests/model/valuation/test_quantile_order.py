"""Bundles of XGBoost before 3.4, whose quantiles do not ascend, are read unchanged.

`tests/model/data/xgboost_3_2` are files of a bundle that commit 2fc8008 wrote with XGBoost 3.2.0:
an xgboost candidate of 8 trees with spans of 6 rounds (`intervals._ROUNDS = 6`), trained on
`tests.model.conftest.received(600, 1)`. `expected.npz` has 100 rows of features with the valuations
and ranges that the model gave them.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from realtor_model.candidates import load_estimator
from realtor_model.valuation.bundle import BrokenBundle, load_bundle, save_bundle
from realtor_model.valuation.intervals import COVERAGES, Ranges
from realtor_model.valuation.quantile_order import sort_quantiles
from realtor_model.valuation.valuation_model import ValuationModel

OLDER = Path(__file__).parents[1] / "data" / "xgboost_3_2"
Arrays = dict[str, NDArray[np.float64]]


@pytest.fixture(scope="module")
def expected() -> Arrays:
    with np.load(OLDER / "expected.npz") as stored:
        return dict(stored)


def test_xgboost_refuses_the_stored_file() -> None:
    with pytest.raises(xgboost.core.XGBoostError, match="must be sorted in ascending order"):
        xgboost.Booster(model_file=bytearray((OLDER / "spans.ubj").read_bytes()))


@pytest.mark.parametrize("rows", [1, 100], ids=["few rows", "many rows"])
def test_ranges_and_values_are_those_of_the_writer(expected: Arrays, rows: int) -> None:
    ranges = Ranges.load(OLDER)
    x, log_price = expected["x"][:rows].astype(np.float32), expected["log_price"][:rows]

    assert np.array_equal(load_estimator(OLDER).predict_log(x), log_price)
    for coverage, (low, high) in zip(
        COVERAGES, ranges.interval(x, log_price, COVERAGES), strict=True
    ):
        percent = round(100 * coverage)
        assert np.array_equal(low, expected[f"low_{percent}"][:rows])
        assert np.array_equal(high, expected[f"high_{percent}"][:rows])


def test_outputs_ascend_once_the_ranges_are_saved_again(expected: Arrays, tmp_path: Path) -> None:
    Ranges.load(OLDER).save(tmp_path)

    written = (tmp_path / "spans.ubj").read_bytes()
    assert sort_quantiles(written) == written
    booster = xgboost.Booster(model_file=bytearray(written))
    margins = booster.inplace_predict(expected["x"].astype(np.float32), predict_type="margin")
    assert np.all(np.diff(margins.mean(axis=0)) > 0)


def test_outputs_move_with_their_quantiles_when_each_has_trees_of_its_own() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)).astype(np.float32)
    data = xgboost.QuantileDMatrix(x, x[:, 0] + rng.normal(size=300))
    parameters = {"objective": "reg:quantileerror", "quantile_alpha": np.array([0.1, 0.5, 0.9])}
    booster = xgboost.train({**parameters, "max_depth": 2}, data, 4)
    model = json.loads(booster.save_raw("json"))
    order = [1, 0, 2]  # as an older version would have written the median first
    learner = model["learner"]
    trees = learner["gradient_booster"]["model"]
    scores = learner["learner_model_param"]["base_score"].strip("[]").split(",")
    learner["learner_model_param"]["base_score"] = f"[{','.join(scores[i] for i in order)}]"
    trees["tree_info"] = [order.index(output) for output in trees["tree_info"]]
    shuffled = xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))
    ascending, median_first = b"[1E-1,5E-1,9E-1]", b"[5E-1,1E-1,9E-1]"
    content = bytes(shuffled.save_raw("ubj"))
    assert content.count(ascending) == 1

    again = xgboost.Booster(
        model_file=bytearray(sort_quantiles(content.replace(ascending, median_first)))
    )

    before, after = (each.inplace_predict(x, predict_type="margin") for each in (booster, again))
    assert np.array_equal(before, after)
    assert not np.array_equal(before, shuffled.inplace_predict(x, predict_type="margin"))


def test_other_boosters_are_left_as_they_are() -> None:
    content = (OLDER / "model.ubj").read_bytes()

    assert sort_quantiles(content) is content


def test_sha256_is_that_of_the_file_as_it_was_saved(
    model_of: Callable[[str], ValuationModel], tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    save_bundle(model_of("linear_regression"), bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["read_by"]
    manifest["versions"]["xgboost"] = "3.2.0"
    for name in ("spans.ubj", "calibration.json"):
        shutil.copy(OLDER / name, bundle / name)
        content = (bundle / name).read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"sha256": sha256, "bytes": len(content)}
    (bundle / "manifest.json").write_text(json.dumps(manifest))

    assert load_bundle(bundle).ranges.calibration == Ranges.load(OLDER).calibration

    (bundle / "spans.ubj").write_bytes(sort_quantiles((OLDER / "spans.ubj").read_bytes()))
    with pytest.raises(BrokenBundle, match=r"spans\.ubj is not the file that was saved"):
        load_bundle(bundle)
