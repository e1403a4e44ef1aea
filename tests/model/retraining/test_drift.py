"""Drift: nothing where nothing moved, and where something did, which and how far."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from realtor_local.synthetic_market import generate
from realtor_model.reading.received_batch import check
from realtor_model.retraining import drift
from realtor_model.retraining.column_relations import detect_broken_relations
from tests.model.conftest import Listed, batches, received


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


def test_another_spelling_of_a_known_place_is_no_new_place(
    profile: dict[str, Any], reference: Listed
) -> None:
    frame = reference.frame.copy()
    frame["city"] = frame["city"].str.upper().str.replace(" ", "\u00a0")
    frame["state"] = frame["state"].replace({"Texas": "TX", "Puerto Rico": "P.R."})
    report = compared(profile, Listed(frame))

    for name in ("city", "state"):
        assert report.loc[name, "unseen_share"] == 0
        assert report.loc[name, "psi"] == pytest.approx(0, abs=1e-9)
    assert detect_broken_relations(profile, Listed(frame).columns, reference.price) == []


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


@pytest.fixture(scope="module")
def cut_market() -> list[Listed]:
    """The six documented batches of a synthetic market."""
    return batches(30_000)


@pytest.fixture(scope="module")
def whole_profile(cut_market: list[Listed]) -> dict[str, Any]:
    rows = Listed(pd.concat([batch.frame for batch in cut_market[:3]], ignore_index=True))
    made = drift.profile(rows.columns, rows.price)
    assert len(json.dumps(made["segments"])) < 300_000
    return json.loads(json.dumps(made, allow_nan=False))  # type: ignore[no-any-return]


def test_the_rows_themselves_have_not_moved_within_any_segment(
    profile: dict[str, Any], reference: Listed
) -> None:
    report = drift.compare_segments(profile, reference.columns, reference.price)

    assert set(report["by"]) == {"state", "price band"}
    assert (report.groupby("by")["segment"].nunique() == 5).all()
    assert set(report["feature"]) == {"bed", "bath", "acre_lot", "house_size", "price"}
    assert report["psi"].abs().max() < 1e-4
    assert report["wasserstein"].abs().max() < 0.01
    bands = report[(report["by"] == "price band") & (report["feature"] == "bed")]
    assert bands["n"].sum() == len(reference.price)


def test_how_many_zips_are_usually_unseen() -> None:
    frame = check(generate(10_000, seed=3).listings)[0]
    half = np.random.default_rng(0).random(len(frame)) < 0.5
    one, other = (Listed(frame[mask].reset_index(drop=True)) for mask in (half, ~half))
    report = compared(drift.profile(one.columns, one.price), other)

    for name in ("zip_code", "city", "state"):
        line = report.loc[name]
        assert line["unseen_share"] == pytest.approx(line["usual_unseen_share"], abs=0.03)
    assert report.loc["zip_code", "unseen_share"] > 0.3


def test_what_moved_within_one_state_is_named_there(
    profile: dict[str, Any], reference: Listed
) -> None:
    frame = reference.frame.copy()
    texan = frame["state"] == "Texas"
    frame.loc[texan, "house_size"] = (frame.loc[texan, "house_size"] * 1.5).round()
    rows = Listed(frame)
    worst = drift.compare_segments(profile, rows.columns, rows.price).nlargest(1, "psi").iloc[0]

    assert (worst["by"], worst["segment"], worst["feature"]) == ("state", "Texas", "house_size")
    assert worst["n"] == texan.sum()


def test_prices_that_training_never_had_are_a_segment_of_their_own(
    whole_profile: dict[str, Any], cut_market: list[Listed]
) -> None:
    rows = cut_market[4]
    report = drift.compare_segments(whole_profile, rows.columns, rows.price)
    bands = report[report["by"] == "price band"]

    assert bands["segment"].tolist() == [drift.ABOVE]
    assert bands["n"].item() == len(rows.price)
    assert bands["psi"].isna().all()
    cheap = Listed(rows.frame.assign(price=1.0))
    below = drift.compare_segments(whole_profile, cheap.columns, cheap.price)
    assert drift.BELOW in set(below["segment"])


def test_a_profile_of_before_has_no_segments_and_no_structure(
    profile: dict[str, Any], reference: Listed
) -> None:
    old = {"rows": profile["rows"], "features": profile["features"]}

    assert drift.compare(old, reference.columns, reference.price)["psi"].max() < 1e-9
    report = drift.compare_segments(old, reference.columns, reference.price)
    assert list(report) == ["by", "segment", "n", "feature", "psi", "wasserstein"]
    assert report.empty
    assert detect_broken_relations(old, reference.columns, reference.price) == []


@pytest.mark.parametrize(
    "name", ["bed", "bath", "house_size", "price", "zip_code", "city", "state"]
)
@pytest.mark.parametrize("batch", [2, 4])
def test_a_shuffled_column_is_named(
    whole_profile: dict[str, Any], cut_market: list[Listed], batch: int, name: str
) -> None:
    frame = cut_market[batch].frame.copy()
    frame[name] = frame[name].sample(frac=1.0, random_state=batch).to_numpy()
    rows = Listed(frame)

    (lost,) = detect_broken_relations(whole_profile, rows.columns, rows.price)
    assert (lost.code, lost.params["column"]) == ("relation_lost", name)
    assert lost.text.startswith(f"{name} no longer goes with ")
    assert "in training" in lost.text


def test_a_zip_that_parts_from_its_city_within_one_state(
    whole_profile: dict[str, Any], cut_market: list[Listed]
) -> None:
    frame = cut_market[5].frame
    frame = frame[frame["state"] == "California"].copy()
    frame["city"] = frame["city"].sample(frac=1.0, random_state=0).to_numpy()
    rows = Listed(frame)

    (lost,) = detect_broken_relations(whole_profile, rows.columns, rows.price)
    assert lost.text.startswith("zip_code no longer goes with city ")
    assert lost.params["others"] == ["city"]


@pytest.mark.parametrize("seed", [0, 5])
def test_batches_cut_by_price_and_size_are_not_broken(seed: int) -> None:
    arriving = batches(30_000, seed)
    for k in range(1, len(arriving)):
        before = Listed(pd.concat([batch.frame for batch in arriving[:k]], ignore_index=True))
        made = drift.profile(before.columns, before.price)
        for rows in arriving:
            assert detect_broken_relations(made, rows.columns, rows.price) == []


def test_a_market_with_gaps_is_not_broken(whole_profile: dict[str, Any]) -> None:
    rows = Listed(check(generate(20_000, seed=9).listings)[0])

    assert detect_broken_relations(whole_profile, rows.columns, rows.price) == []


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 3_000), batch=st.integers(0, 2))
def test_a_sample_of_the_training_is_never_broken(
    whole_profile: dict[str, Any],
    cut_market: list[Listed],
    seed: int,
    size: int,
    batch: int,
) -> None:
    drawn = cut_market[batch].frame.sample(size, replace=True, random_state=seed)
    rows = Listed(drawn.reset_index(drop=True))

    assert detect_broken_relations(whole_profile, rows.columns, rows.price) == []
