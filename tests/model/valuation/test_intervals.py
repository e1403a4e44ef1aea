"""Ranges cover what they promise, in every price band, and agree with an independent library."""

from pathlib import Path

import numpy as np
import pytest
from mapie.regression import ConformalizedQuantileRegressor
from sklearn.base import BaseEstimator, RegressorMixin

from realtor_model.valuation.intervals import (
    BANDS,
    COVERAGES,
    MIN_BAND_ROWS,
    RANGE,
    Calibration,
    Ranges,
    Spans,
)

Floats = np.ndarray


def homes(n: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """x (n, 2), predicted and actual log price; cheap homes and those of x[:, 1] > 0 err more."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.0, 1.0, (n, 2)).astype(np.float32)
    predicted = 12.5 + 0.7 * x[:, 0].astype(np.float64)
    scale = np.where(predicted < 12.0, 0.6, 0.15) * np.where(x[:, 1] > 0, 2.0, 1.0)
    return x, predicted, predicted + rng.normal(0, scale)


def flat(n: int) -> dict[float, tuple[Floats, Floats]]:
    return {coverage: (np.zeros(n), np.zeros(n)) for coverage in COVERAGES}


@pytest.fixture(scope="module")
def ranges() -> Ranges:
    x, _, actual = homes(4_000, 1)
    x_held_out, predicted, actual_held_out = homes(2_000, 2)
    return Ranges.fit(x, actual, x_held_out, predicted, actual_held_out)


@pytest.mark.parametrize("coverage", COVERAGES)
def test_every_price_band_is_covered_as_promised(ranges: Ranges, coverage: float) -> None:
    x, predicted, actual = homes(20_000, 3)

    ((low, high),) = ranges.interval(x, predicted, [coverage])
    covered = (low <= actual) & (actual <= high)

    assert covered.mean() == pytest.approx(coverage, abs=0.025)
    for band in np.array_split(np.argsort(predicted), BANDS):
        assert covered[band].mean() == pytest.approx(coverage, abs=0.07)


def test_a_home_that_errs_more_has_a_wider_range(ranges: Ranges) -> None:
    x, predicted, _ = homes(2_000, 4)
    ((low, high),) = ranges.interval(x, predicted)
    dear = predicted > 12.2

    uncertain = (high - low)[dear & (x[:, 1] > 0.3)].mean()
    assert uncertain > 1.4 * (high - low)[dear & (x[:, 1] < -0.3)].mean()


def test_ranges_hold_the_valuation_and_one_another(ranges: Ranges) -> None:
    x, predicted, _ = homes(2_000, 5)
    ((low, high),) = ranges.interval(x, predicted)

    assert np.all((low < predicted) & (predicted < high))
    for below, above in ranges.spans.predict(x).values():
        assert np.all((below <= 0) & (above >= 0))


def test_kept_and_read_they_are_the_same(ranges: Ranges, tmp_path: Path) -> None:
    ranges.save(tmp_path)
    again = Ranges.load(tmp_path)
    x, predicted, _ = homes(500, 6)

    assert again.calibration == ranges.calibration
    for ours, theirs in zip(
        ranges.interval(x, predicted, COVERAGES),
        again.interval(x, predicted, COVERAGES),
        strict=True,
    ):
        assert np.array_equal(ours, theirs)


class Fitted(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor that answers log dollars at a fixed distance from x's first column."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift
        self.is_fitted_ = True

    def fit(self, x: Floats, y: Floats) -> "Fitted":
        return self

    def predict(self, x: Floats) -> Floats:
        return np.asarray(x[:, 0] + self.shift)


def test_one_band_is_what_mapie_calls_conformalized_quantiles() -> None:
    rng = np.random.default_rng(7)
    predicted = rng.normal(12.5, 0.7, MIN_BAND_ROWS * BANDS - 1)
    actual = predicted + rng.normal(0.0, 0.3, len(predicted))
    asked = rng.normal(12.5, 0.7, 50)
    below, above = -0.2, 0.25

    ours = Calibration.fit(
        predicted,
        actual,
        {RANGE: (np.full(len(predicted), below), np.full(len(predicted), above))},
    ).interval(asked, np.full(50, below), np.full(50, above), RANGE)
    oracle = ConformalizedQuantileRegressor(
        [Fitted(below), Fitted(above), Fitted()], confidence_level=RANGE, prefit=True
    )
    oracle.conformalize(predicted[:, None], actual)
    _, theirs = oracle.predict_interval(asked[:, None], symmetric_correction=True)

    assert ours[0] == pytest.approx(theirs[:, 0, 0])
    assert ours[1] == pytest.approx(theirs[:, 1, 0])


def test_thin_data_has_one_band() -> None:
    n = BANDS * MIN_BAND_ROWS - 1
    _, predicted, actual = homes(n, 3)

    calibration = Calibration.fit(predicted, actual, flat(n))

    assert calibration.edges == ()
    assert [len(margins) for margins in calibration.margins.values()] == [1, 1]


def test_repeated_predictions_make_no_thin_bands() -> None:
    predicted = np.repeat([12.0, 13.0], [960, 40])

    assert Calibration.fit(predicted, predicted + 0.1, flat(1000)).edges == ()


@pytest.mark.parametrize(
    ("n", "coverage", "expected"), [(9, 0.8, 0.8), (9, 0.95, 0.9), (1, 0.8, 0.1)]
)
def test_the_margin_is_the_conformal_quantile(n: int, coverage: float, expected: float) -> None:
    # Of 9 errors, 80 % coverage takes the ceil(10 * 0.8) = 8th.
    actual = np.arange(1.0, n + 1) / 10
    spans = {coverage: (np.zeros(n), np.zeros(n))}

    assert Calibration.fit(np.zeros(n), actual, spans).margins == {coverage: (expected,)}


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"coverage is 1\.0"):
        Calibration.fit(np.zeros(9), np.zeros(9), {1.0: (np.zeros(9), np.zeros(9))})
    with pytest.raises(ValueError, match="calibration rows"):
        Calibration.fit(np.zeros(0), np.zeros(0), flat(0))


def test_spans_are_put_in_order_and_kept_as_ubjson() -> None:
    x, _, actual = homes(300, 8)
    spans = Spans.fit(x, actual)
    again = Spans.from_bytes(spans.to_bytes())

    for coverage, (below, above) in spans.predict(x).items():
        assert np.array_equal(again.predict(x)[coverage], (below, above))
        assert np.all(below <= above)
