"""Metrics against published examples and against hand-made ones."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as oracle

from realtor_model.evaluation.metrics import (
    paired_comparison,
    ratio_study,
    regression_metrics,
    slices,
)

# IAAO, Standard on Ratio Studies (2013), table 1-4: 17 sales, appraised value and sale price.
APPRAISED = np.array(
    [87200, 38240, 96320, 68610, 32960, 50560, 61360, 47360, 56580, 47040, 136000, 98000, 56000,
     159100, 128000, 132000, 160000], float,
)  # fmt: skip
SOLD = np.array(
    [138720, 59700, 146400, 99000, 47400, 70500, 78000, 60000, 69000, 55500, 154500, 109500, 60000,
     168000, 124500, 127500, 150000], float,
)  # fmt: skip
PRICES = hnp.arrays(np.float64, 20, elements=st.floats(1e4, 1e7))


def test_the_ratio_study_of_the_standard() -> None:
    study = ratio_study(SOLD, APPRAISED)

    assert study["n"] == 17
    assert round(study["median_ratio"], 3) == 0.820
    assert round(study["cod"], 1) == 14.5
    assert round(study["prd"], 2) == 0.98


def test_price_related_bias_is_the_slope_on_doublings() -> None:
    study = ratio_study(SOLD, APPRAISED)
    ratio = APPRAISED / SOLD
    median = np.median(ratio)
    doublings = np.log((SOLD + APPRAISED / median) / 2) / np.log(2)
    slope, _ = np.polyfit(doublings, (ratio - median) / median, 1)

    assert study["prb"] == pytest.approx(slope)


def test_a_ratio_study_by_hand() -> None:
    # Ratios .5, 1, 1.5: median 1, mean |deviation| 1/3; mean 1; sums 850 / 700.
    study = ratio_study(np.array([100.0, 200.0, 400.0]), np.array([50.0, 200.0, 600.0]))

    assert study["median_ratio"] == 1.0
    assert study["cod"] == pytest.approx(100 / 3)
    assert study["prd"] == pytest.approx(1.0 / (850 / 700))
    assert study["prb"] > 0


def test_ratios_that_fall_when_value_doubles() -> None:
    price = 100_000.0 * 2.0 ** np.arange(-4, 5)
    falling = ratio_study(price, price * (1.0 - 0.05 * np.arange(-4, 5)))

    assert falling["prb"] == pytest.approx(-0.05, abs=0.003)
    assert falling["prd"] > 1


@given(PRICES, st.floats(0.1, 10))
def test_a_level_that_is_wrong_for_all_is_no_dispersion(price: np.ndarray, factor: float) -> None:
    study = ratio_study(price, price * factor)

    assert study["median_ratio"] == pytest.approx(factor)
    assert study["cod"] == pytest.approx(0.0, abs=1e-9)
    assert study["prd"] == pytest.approx(1.0)
    assert study["prb"] == pytest.approx(0.0, abs=1e-9)


@given(PRICES, PRICES)
def test_metrics_agree_with_scikit_learn(price: np.ndarray, predicted: np.ndarray) -> None:
    ours = regression_metrics(price, predicted)

    assert ours["rmse"] == pytest.approx(oracle.root_mean_squared_error(price, predicted))
    assert ours["mae"] == pytest.approx(oracle.mean_absolute_error(price, predicted))
    assert ours["mape"] == pytest.approx(oracle.mean_absolute_percentage_error(price, predicted))
    if np.ptp(price) > 1.0:
        assert ours["r2"] == pytest.approx(oracle.r2_score(price, predicted))


def test_metrics_by_hand() -> None:
    price = np.array([100.0, 100.0, 100.0, 100.0])
    ours = regression_metrics(price, np.array([100.0, 109.0, 85.0, 200.0]))

    assert ours["n"] == 4
    assert ours["mdape"] == pytest.approx(0.12)
    assert ours["within_10"] == 0.5
    assert ours["within_20"] == 0.75
    assert ours["r2"] == 0.0
    assert all(np.isfinite(value) for value in ours.values())


@pytest.mark.parametrize(
    ("price", "predicted"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [-1.0])]
)
def test_nonsense_is_refused(price: list[float], predicted: list[float]) -> None:
    for function in (regression_metrics, ratio_study):
        with pytest.raises(ValueError, match=r"positive|prices and"):
            function(np.array(price), np.array(predicted))


def test_a_clearly_better_challenger_and_one_of_luck() -> None:
    rng = np.random.default_rng(0)
    price = np.exp(rng.normal(12.5, 0.7, 3_000))
    champion = price * np.exp(rng.normal(0, 0.30, 3_000))
    better = price * np.exp(rng.normal(0, 0.25, 3_000))
    alike = price * np.exp(rng.normal(0, 0.30, 3_000))

    won = paired_comparison(price, champion, better)
    drawn = paired_comparison(price, champion, alike)

    assert won.high < 0
    assert won.low < won.difference < won.high
    assert won.difference == pytest.approx(won.challenger["mae_log"] - won.champion["mae_log"])
    assert drawn.low < 0 < drawn.high
    assert won == paired_comparison(price, champion, better)
    assert asdict(won)["champion"]["mdape"] > asdict(won)["challenger"]["mdape"]


def test_the_interval_of_a_comparison_covers() -> None:
    """The 95 % interval holds the true difference of two equal models about 95 times in 100."""
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        price = np.full(200, 3e5)
        one, other = (price * np.exp(rng.normal(0, 0.2, 200)) for _ in range(2))
        duel = paired_comparison(price, one, other, resamples=200)
        covered += duel.low <= 0 <= duel.high

    assert 88 <= covered <= 100


def test_slices_are_the_metrics_of_their_rows() -> None:
    rng = np.random.default_rng(1)
    price = np.exp(rng.normal(12.5, 0.5, 60))
    predicted = price * np.exp(rng.normal(0, 0.2, 60))
    labels = np.array(["Ohio"] * 30 + ["Texas"] * 20 + [None] * 10, object)

    table = slices(price, predicted, labels).set_index("segment")

    assert list(table.index) == ["Ohio", "Texas", "missing"]
    assert list(table["n"]) == [30, 20, 10]
    texas = slice(30, 50)
    assert (
        table.loc["Texas", "mdape"] == regression_metrics(price[texas], predicted[texas])["mdape"]
    )
    assert table.loc["Texas", "cod"] == ratio_study(price[texas], predicted[texas])["cod"]
