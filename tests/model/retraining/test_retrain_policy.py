"""The retrain decision: what fires, in which order, and what it says; what looks broken is held."""

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtor_model.features import take
from realtor_model.messages import message
from realtor_model.reading.received_batch import check
from realtor_model.retraining.retrain_policy import Evidence, RetrainPolicy, gather
from realtor_model.valuation.valuation_model import ValuationModel
from tests.model.conftest import Listed, Market, received

ModelOf = Callable[[str], ValuationModel]

CALM = Evidence(
    n=800,
    error=0.12,
    expected_error=0.12,
    worst_psi=0.04,
    worst_psi_feature="bed",
    worst_wasserstein=0.05,
    worst_wasserstein_feature="house_size",
    target_psi=0.03,
    unseen_share=0.01,
    unseen_feature="zip_code",
    null_rate_change=0.01,
    null_rate_feature="acre_lot",
    above_range=0.0,
    below_range=0.0,
    worst_segments=[],
    suspicions=[],
    new_rows=800,
    champion_rows=10_000,
    age_days=3.0,
)
LOST = message(
    "relation_lost", column="bed", others=["bath"], measured=["bath (rank correlation 0.0)"]
)
# What passes each limit, in the order of the rules.
PASSED: dict[str, dict[str, Any]] = {
    "error": {"error": 0.31},
    "price range": {"above_range": 1.0},
    "drift": {"worst_psi": 0.41, "worst_psi_feature": "house_size"},
    "unseen categories": {"unseen_share": 0.2},
    "missing values": {"null_rate_change": -0.2},
    "volume": {"new_rows": 2_500},
    "age": {"age_days": 120.0},
}


def with_all(*rules: str) -> Evidence:
    changes: dict[str, Any] = {}
    for rule in rules:
        changes |= PASSED[rule]
    return dataclasses.replace(CALM, **changes)


def test_without_a_champion_the_first_model_is_trained() -> None:
    decision = RetrainPolicy().decide(None, "0")

    assert (decision.decision, decision.rule) == ("train", "first model")


def test_within_all_limits_nothing_is_trained_and_the_reason_has_the_figures() -> None:
    decision = RetrainPolicy().decide(CALM, "2")

    assert (decision.decision, decision.rule) == ("skip", "no reason to train")
    assert "12.0%, was 12.0%" in decision.reason
    assert "800 new rows on top of 10,000" in decision.reason


def test_rows_that_were_all_here_already_are_nothing_new() -> None:
    decision = RetrainPolicy().decide(dataclasses.replace(with_all("error"), n=0), "2")

    assert (decision.decision, decision.rule) == ("skip", "nothing new")
    assert "each of its rows is in RAW or in the quarantine already" in decision.reason


def test_broken_data_is_held_whatever_else_is_passed() -> None:
    evidence = dataclasses.replace(with_all(*PASSED), suspicions=[LOST])
    decision = RetrainPolicy().decide(evidence, "2")

    assert (decision.decision, decision.rule) == ("hold", "suspect data")
    assert "bed no longer goes with bath" in decision.reason
    assert [detail["code"] for detail in decision.details] == ["suspect_data", "relation_lost"]
    assert decision.details[1] == LOST.to_dict()


@given(st.sets(st.sampled_from(list(PASSED)), min_size=1))
def test_every_limit_that_is_passed_is_named_and_the_first_is_the_rule(rules: set[str]) -> None:
    decision = RetrainPolicy().decide(with_all(*rules), "4")
    words = {
        "error": "The median error on batch 4 is 31.0%, was 12.0% on the champion's own test split",
        "price range": "100.0% of its prices lie above the range seen in training",
        "drift": "house_size has drifted: PSI 0.41 (limit 0.25)",
        "unseen categories": "20.0% of its rows name a zip_code never seen in training "
        "(0.0% are usual, limit 5.0%)",
        "missing values": "The share of rows without acre_lot changed by -20 percentage points "
        "since training (limit 10)",
        "volume": "2,500 new rows on top of 10,000 (limit 20%)",
        "age": "The champion is 120 days old (limit 90)",
    }

    assert decision.decision == "train"
    assert decision.rule == next(rule for rule in PASSED if rule in rules)
    assert {rule for rule, text in words.items() if text in decision.reason} == rules
    assert ("only reason" in decision.reason) == (rules <= {"volume", "age"})
    assert [detail["code"].replace("_", " ") for detail in decision.details] == [
        rule for rule in PASSED if rule in rules
    ]
    assert all(detail["message"] in decision.reason for detail in decision.details)
    json.dumps([decision.figures, decision.details], allow_nan=False)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (["volume"], "Volume is the only reason: "),
        (["age"], "Age is the only reason: "),
        (["volume", "age"], "Volume and age are the only reasons: "),
    ],
)
def test_volume_and_age_alone_say_so(rules: list[str], words: str) -> None:
    reason = RetrainPolicy().decide(with_all(*rules), "4").reason

    assert reason.startswith(words)
    assert "median error on batch 4 is 12.0%" in reason


def test_places_that_are_usually_new_are_no_reason() -> None:
    thin = dataclasses.replace(CALM, unseen_share=0.38, usual_unseen_share=0.35)
    assert RetrainPolicy().decide(thin, "4").rule == "no reason to train"

    new = RetrainPolicy().decide(dataclasses.replace(thin, unseen_share=0.5), "4")
    assert new.rule == "unseen categories"
    assert "(35.0% are usual, limit 40.0%)" in new.reason


def test_figures_are_json_with_the_policy(market: Market, model_of: ModelOf) -> None:
    rows = market.test
    evidence = gather(
        model_of("gradient_boosting"), rows.columns, rows.price, new_rows=900, age_days=1.0
    )
    figures = RetrainPolicy().decide(evidence, "1").figures

    told = json.loads(json.dumps(figures, allow_nan=False))
    assert told["policy"]["max_age_days"] == 90.0
    assert told["n"] == len(rows.price)
    assert told["worst_segments"]


def test_other_rows_of_the_same_market_are_no_surprise(market: Market, model_of: ModelOf) -> None:
    model = model_of("gradient_boosting")
    evidence = gather(model, market.test.columns, market.test.price, new_rows=900, age_days=1.0)
    error = np.abs(model.predict(market.test.columns) / market.test.price - 1)

    assert evidence.error == pytest.approx(np.median(error))
    assert evidence.expected_error == pytest.approx(0.1)
    assert evidence.champion_rows == len(market.train.price)
    assert evidence.suspicions == []
    assert evidence.unseen_share == 0
    assert evidence.worst_psi < 0.25
    assert evidence.worst_wasserstein < 0.25
    assert evidence.above_range + evidence.below_range < 0.05


def test_the_rows_of_the_training_lie_in_its_range(market: Market, model_of: ModelOf) -> None:
    rows = market.train
    evidence = gather(model_of("xgboost"), rows.columns, rows.price, new_rows=0, age_days=1.0)

    assert evidence.above_range == evidence.below_range == 0
    assert evidence.worst_psi < 1e-6


def test_a_column_that_the_champion_lacks_is_a_reason_to_train(
    market: Market, model_of: ModelOf
) -> None:
    year = np.full(len(market.test.price), 1990.0)
    year[::4] = np.nan
    columns = {**market.test.columns, "year_built": year}
    evidence = gather(model_of("xgboost"), columns, market.test.price, new_rows=0, age_days=1.0)
    (detail,) = RetrainPolicy().decide(evidence, "7").details

    assert detail["code"] == "missing_values"
    assert detail["params"]["input"] == "year_built"
    assert detail["params"]["points"] == pytest.approx(-75.0, abs=0.2)


def test_an_empty_batch_is_evidence_too(market: Market, model_of: ModelOf) -> None:
    columns, price = take(market.test.columns, slice(0)), market.test.price[:0]
    evidence = gather(model_of("xgboost"), columns, price, new_rows=0, age_days=1.0)
    decision = RetrainPolicy().decide(evidence, "7")

    assert math.isnan(evidence.error)
    assert decision.rule == "nothing new"
    assert decision.figures["error"] is None


@pytest.fixture(scope="module")
def arriving() -> Listed:
    return Listed(check(received(2500, seed=40))[0])


@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_prices_of_one_state_that_are_ten_times_too_high_are_held(
    arriving: Listed, model_of: ModelOf, factor: float
) -> None:
    price = np.where(arriving.columns["state"] == "Texas", factor, 1.0) * arriving.price
    evidence = gather(model_of("xgboost"), arriving.columns, price, new_rows=1, age_days=1.0)

    (suspicion,) = evidence.suspicions
    assert (suspicion.code, suspicion.params["state"]) == ("state_prices_off_level", "Texas")
    assert suspicion.text.startswith("Prices in Texas are ")
    assert "times elsewhere" in suspicion.text
    assert RetrainPolicy().decide(evidence, "1").rule == "suspect data"


def test_a_whole_batch_in_another_currency_is_held(arriving: Listed, model_of: ModelOf) -> None:
    evidence = gather(
        model_of("xgboost"), arriving.columns, arriving.price * 10, new_rows=1, age_days=1.0
    )

    (suspicion,) = evidence.suspicions
    assert suspicion.code == "prices_off_level"
    assert suspicion.text.startswith("Its prices are ")


def test_a_market_that_doubled_is_a_reason_to_train_not_to_hold(
    arriving: Listed, model_of: ModelOf
) -> None:
    evidence = gather(
        model_of("xgboost"), arriving.columns, arriving.price * 2, new_rows=1, age_days=1.0
    )
    decision = RetrainPolicy().decide(evidence, "1")

    assert (decision.decision, decision.rule) == ("train", "error")


def test_a_shuffled_column_is_held(arriving: Listed, model_of: ModelOf) -> None:
    frame = arriving.frame.copy()
    known = frame["house_size"].notna()
    frame.loc[known, "house_size"] = (
        frame.loc[known, "house_size"].sample(frac=1.0, random_state=1).to_numpy()
    )
    rows = Listed(frame)
    evidence = gather(model_of("xgboost"), rows.columns, rows.price, new_rows=1, age_days=1.0)

    assert any(
        suspicion.text.startswith("house_size no longer goes with")
        for suspicion in evidence.suspicions
    )
    assert RetrainPolicy().decide(evidence, "1").decision == "hold"
