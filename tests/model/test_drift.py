"""Drift: nothing where nothing moved, and where something did, which and how far."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance

from realtor_model import drift
from realtor_model.listing import check
from tests.model.conftest import Listed, received


@pytest.fixture(scope="module")
def reference() -> Listed:
    return Listed(check(received(4000, seed=20))[0])


@pytest.fixture(scope="module")
def profile(reference: Listed) -> dict[str, Any]:
    made = drift.profile(reference.columns, reference.price, reference.price * 1.1)
    return json.loads(json.dumps(made, allow_nan=False))  # type: ignore[no-any-return]


def compared(profile: dict[str, Any], rows: Listed) -> pd.DataFrame:
    return drift.compare(profile, rows.columns, rows.price).set_index("feature")


def test_the_rows_themselves_have_not_moved(profile: dict[str, Any], reference: Listed) -> None:
    report = compared(profile, reference)

    assert list(report.index) == [
        "bed", "bath", "acre_lot", "house_size", "price", "status", "city", "state", "zip_code",
    ]  # fmt: skip
    assert report["psi"].abs().max() < 1e-9
    assert report["null_rate_change"].abs().max() < 1e-12
    assert report["unseen_share"].max() == 0
    assert report["wasserstein"].max() < 1e-9


def test_other_rows_of_the_same_market_have_hardly_moved(profile: dict[str, Any]) -> None:
    report = compared(profile, Listed(check(received(4000, seed=21))[0]))

    assert report["psi"].max() < 0.05
    assert report["wasserstein"].max() < 0.1


def test_what_moved_is_named(profile: dict[str, Any], reference: Listed) -> None:
    dear = Listed(reference.frame[reference.price > np.quantile(reference.price, 0.7)])
    report = compared(profile, dear)

    assert report["psi"].idxmax() == "price"
    assert report.loc["price", "psi"] > 0.25
    assert report.loc["price", "wasserstein"] > 0.5


def test_missing_and_new_values_are_told(profile: dict[str, Any], reference: Listed) -> None:
    frame = reference.frame.copy()
    frame.loc[: len(frame) // 2 - 1, "acre_lot"] = np.nan
    frame.loc[: len(frame) // 4 - 1, "zip_code"] = "99999"
    report = compared(profile, Listed(frame))

    assert report.loc["acre_lot", "null_rate_change"] == pytest.approx(0.425, abs=0.02)
    assert report.loc["zip_code", "unseen_share"] == pytest.approx(0.25)
    assert report.loc["zip_code", "psi"] > 0.25
    assert report.loc["city", "unseen_share"] == 0


def test_psi_by_hand() -> None:
    # Half and half against 3 to 1: (.75 - .5) ln(.75 / .5) + (.25 - .5) ln(.25 / .5).
    psi = drift._psi(np.array([0.5, 0.5]), np.array([0.75, 0.25]))
    assert psi == pytest.approx(0.25 * np.log(1.5) + 0.25 * np.log(2))
    assert np.isfinite(drift._psi(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


def test_the_distance_agrees_with_scipy(profile: dict[str, Any], reference: Listed) -> None:
    frame = reference.frame.copy()
    frame["house_size"] = (frame["house_size"] * 1.3).round()
    ours = compared(profile, Listed(frame)).loc["house_size", "wasserstein"]
    was, now = (
        np.log1p(rows["house_size"].dropna().to_numpy(np.float64))
        for rows in (reference.frame, frame)
    )

    assert ours == pytest.approx(wasserstein_distance(was, now) / was.std(), rel=0.02)


def test_predictions_count_when_given(profile: dict[str, Any], reference: Listed) -> None:
    report = drift.compare(profile, reference.columns, predictions=reference.price * 2.2).set_index(
        "feature"
    )

    assert "price" not in report.index
    assert report.loc["prediction", "wasserstein"] > 0.5


def test_columns_without_a_single_value(reference: Listed) -> None:
    empty = reference.frame.assign(bed=pd.array([None] * len(reference.frame), dtype="Int64"))
    profile = drift.profile(Listed(empty).columns)

    report = compared(profile, reference)
    assert report.loc["bed", "psi"] == 0
    assert report.loc["bed", "null_rate_change"] == pytest.approx(-0.9, abs=0.02)
    assert "price" not in report.index
