"""The study of a model: its segments add up, its card tells what it cannot see."""

from collections.abc import Callable

import numpy as np
import pytest

from realtor_model.evaluation.metrics import ratio_intervals, ratio_study, regression_metrics
from realtor_model.evaluation.model_card import model_card
from realtor_model.evaluation.scored_listings import (
    ScoredListings,
    fairness,
    newest_month,
    segments,
    summary,
)
from realtor_model.sampling import quintiles
from realtor_model.training import Rows, learning_curve, refit
from realtor_model.valuation.valuation_model import ValuationModel
from tests.model.conftest import AS_OF, Market

ModelOf = Callable[[str], ValuationModel]


@pytest.fixture(scope="module")
def judged(market: Market, model_of: ModelOf) -> ScoredListings:
    return ScoredListings.by(model_of("gradient_boosting"), market.test.columns, market.test.price)


def test_a_summary_is_the_metrics_of_its_rows(judged: ScoredListings) -> None:
    figures = summary(judged, AS_OF, resamples=100)

    assert figures["mdape"] == regression_metrics(judged.price, judged.predicted)["mdape"]
    assert figures["cod_low"] < figures["cod"] < figures["cod_high"]
    assert figures["coverage"] == pytest.approx(0.8, abs=0.06)
    sold = judged.rows(judged.columns["status"] == "sold")
    assert figures["sold_n"] == len(sold.price)
    assert figures["sold_prb"] == ratio_study(sold.price, sold.predicted)["prb"]
    assert figures["sold_cod_low"] < figures["sold_cod"] < figures["sold_cod_high"]
    assert figures["newest_month_n"] == newest_month(judged.columns, AS_OF).sum()


def test_some_rows_are_judged_as_among_all(
    judged: ScoredListings, market: Market, model_of: ModelOf
) -> None:
    some = ScoredListings.by(
        model_of("gradient_boosting"), market.test.columns, market.test.price, most=100
    )

    assert len(some.price) == len(some.columns["status"]) == 100
    told = dict(zip(zip(judged.price, judged.columns["street"], strict=True),
                    judged.predicted, strict=True))  # fmt: skip
    for price, street, predicted in zip(
        some.price, some.columns["street"], some.predicted, strict=True
    ):
        assert told[price, street] == pytest.approx(predicted, rel=1e-9)


def test_thin_groups_are_left_out(judged: ScoredListings) -> None:
    few = judged.rows(np.arange(len(judged.price)) < 40)

    assert not any(name.startswith("newest_month") for name in summary(few, AS_OF, resamples=9))
    assert (segments(judged, AS_OF)["n"] >= 30).all()


def test_segments_add_up(judged: ScoredListings) -> None:
    table = segments(judged, AS_OF)

    for by in ("fifth of the estimate", "kind", "state"):
        part = table[table["by"] == by]
        assert part["n"].sum() == len(judged.price)
        covered = float((part["coverage"] * part["n"]).sum() / part["n"].sum())
        assert covered == pytest.approx(judged.covered.mean())


def test_fairness_is_by_what_no_model_sees(judged: ScoredListings) -> None:
    table = fairness(judged)

    assert set(table["by"]) == {"fifth of the zip's income", "fifth of the zip's non-white share"}
    assert set(table["segment"]) <= set("12345")


def test_quintiles_are_of_equal_size_and_none_where_the_value_is_nan() -> None:
    labels = quintiles(np.array([np.nan, *np.arange(100.0)]))

    assert labels[0] is None
    assert [int((labels[1:] == name).sum()) for name in "12345"] == [20] * 5


def test_the_card_says_what_is_asked_of_it(judged: ScoredListings, model_of: ModelOf) -> None:
    card = model_card(
        model_of("gradient_boosting"),
        summary(judged, AS_OF, resamples=20),
        segments(judged, AS_OF),
        fairness(judged),
        split="test",
    )

    for text in ("condition, age, renovation", "PRB", "fifth of the zip's income", "CC BY 4.0",
                 "inside the 80 % range", "- **coordinates**: latitude"):  # fmt: skip
        assert text in card
    assert "nan" not in card.lower().replace("finan", "")


def test_bootstrap_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(5)
    price = np.exp(rng.normal(12.5, 0.5, 400))
    covered = 0
    for _ in range(40):
        told = ratio_intervals(price, price * np.exp(rng.normal(0, 0.2, 400)), resamples=150)
        covered += told["median_ratio"][0] <= 1.0 <= told["median_ratio"][1]

    assert 33 <= covered <= 40


def test_more_rows_are_learned_from_better(market: Market, model_of: ModelOf) -> None:
    validation = Rows(market.encoder.transform(market.validation.columns), market.validation.price)
    curve = learning_curve(
        model_of("gradient_boosting"), Rows(market.matrix, market.train.price), validation
    )

    fifth = len(market.train.price) // 5
    assert [rows for rows, _ in curve] == [fifth // 4, fifth, len(market.train.price)]
    assert curve[-1][1] < curve[0][1]


def test_refitted_it_knows_the_validation_rows_and_keeps_its_ranges(
    market: Market, model_of: ModelOf
) -> None:
    model = model_of("xgboost")
    validation = Rows(market.encoder.transform(market.validation.columns), market.validation.price)
    again = refit(model, Rows(market.matrix, market.train.price), validation)

    rows = len(market.train.price) + len(market.validation.price)
    assert again.estimator.n_train_rows == again.metadata["train_rows"] == rows
    chosen = model.estimator.hyperparameters["best_iteration"]
    assert again.estimator.hyperparameters["best_iteration"] == chosen
    assert again.ranges is model.ranges
    assert again.encoder is model.encoder
    before, after = (
        regression_metrics(market.validation.price, each.predict(market.validation.columns))
        for each in (model, again)
    )
    assert after["rmse_log"] < before["rmse_log"], "it has learned from them"
