"""Ranges cover what they promise, in every price group."""

import json

import numpy as np
import pytest

from realtor_model.intervals import GROUPS, MIN_GROUP_ROWS, ConformalInterval


def errors_by_price(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions whose error is largest for cheap homes."""
    rng = np.random.default_rng(seed)
    predicted = rng.normal(12.5, 0.7, n)
    return predicted, predicted + rng.normal(0, np.where(predicted < 12.0, 0.6, 0.15))


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
def test_every_price_fifth_is_covered_as_promised(coverage: float) -> None:
    interval = ConformalInterval.fit(*errors_by_price(4_000, 1), coverage)
    predicted, actual = errors_by_price(20_000, 2)

    low, high = interval.interval(predicted)
    covered = (low <= actual) & (actual <= high)

    assert covered.mean() == pytest.approx(coverage, abs=0.02)
    fifths = np.array_split(np.argsort(predicted), GROUPS)
    for fifth in fifths:
        assert covered[fifth].mean() == pytest.approx(coverage, abs=0.045)
    assert interval.half_widths[0] > 2 * interval.half_widths[-1]


def test_thin_data_has_one_group() -> None:
    predicted, actual = errors_by_price(GROUPS * MIN_GROUP_ROWS - 1, 3)
    interval = ConformalInterval.fit(predicted, actual)

    assert interval.edges == ()
    assert len(interval.half_widths) == 1
    assert np.ptp(interval.half_width(np.array([5.0, 12.0, 20.0]))) == 0


def test_repeated_predictions_make_no_thin_groups() -> None:
    predicted = np.repeat([12.0, 13.0], [960, 40])
    interval = ConformalInterval.fit(predicted, predicted + 0.1)

    assert interval.edges == ()


def test_the_quantile_is_conformal() -> None:
    # Of 9 residuals, 80 % coverage takes the ceil(10 * 0.8) = 8th.
    actual = np.arange(1.0, 10.0) / 10
    assert ConformalInterval.fit(np.zeros(9), actual, 0.8).half_widths == (0.8,)
    assert ConformalInterval.fit(np.zeros(9), actual, 0.95).half_widths == (0.9,)
    assert ConformalInterval.fit(np.zeros(1), np.ones(1)).half_widths == (1.0,)


def test_json_round_trip() -> None:
    interval = ConformalInterval.fit(*errors_by_price(1_000, 4))

    assert ConformalInterval.from_dict(json.loads(json.dumps(interval.to_dict()))) == interval


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"coverage is 1\.0"):
        ConformalInterval.fit(np.zeros(9), np.zeros(9), 1.0)
    with pytest.raises(ValueError, match="calibration rows"):
        ConformalInterval.fit(np.zeros(0), np.zeros(0))
