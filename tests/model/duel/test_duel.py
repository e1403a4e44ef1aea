"""The duel: what each gate catches, that honest models pass, and that no gate rejects for ever."""

import dataclasses
import datetime as dt
import json
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realtor_model.candidates import CANDIDATES
from realtor_model.duel import (
    Criterion,
    DuelContext,
    DuelPolicy,
    ServiceTrial,
    absolute_criteria,
    behaviour,
    duel,
    gates,
    relative_criteria,
    verdict,
)
from realtor_model.duel.gate import Answer
from realtor_model.duel.model_comparison import ModelComparison
from realtor_model.evaluation.scored_listings import ScoredListings
from realtor_model.features import FeatureEncoder, property_fold, take
from realtor_model.listing import US_LISTINGS
from realtor_model.messages import message
from realtor_model.training import Rows, train_model
from realtor_model.valuation.valuation_model import ValuationModel
from tests.model.conftest import AS_OF, SMALL, Listed, Market, batches

ModelOf = Callable[[str], ValuationModel]
Floats = NDArray[np.float64]

# A forest of 20 trees wavers more than one that anybody would serve.
SETTINGS = SMALL | {"random_forest": {}}
TODAY = dt.date(2022, 5, 6)
SERVICE = ["serving", "latency", "bundle_size"]
ALONE = ["leak_canary", "unknown_and_missing", "golden_homes", "monotone", "coverage"]
ALL = [
    *ALONE, "accuracy", "rmse", "sold_and_newest", "median_ratio", "vertical_equity", "segments",
    "stability",
]  # fmt: skip


def split_of(k: int, folds: range) -> Listed:
    """The listings of the batches 0 to `k` whose property is in one of 20 `folds`."""
    rows = Listed(pd.concat([batch.frame for batch in batches(30_000)[: k + 1]]))
    chosen = np.isin(property_fold(rows.columns, 20, 99), folds)
    return Listed(rows.frame[chosen].reset_index(drop=True))


def trained(candidate: str, train: Listed, validation: Listed, worth: Any) -> ValuationModel:
    encoder, matrix = FeatureEncoder.fit(train.columns, worth(train.price), as_of=AS_OF)
    return train_model(
        candidate,
        encoder,
        Rows(matrix, worth(train.price)),
        Rows(encoder.transform(validation.columns), worth(validation.price)),
        hyperparameters=SETTINGS[candidate],
        profile={},
        metadata={},
    )


@cache
def champion_of(candidate: str, k: int) -> ValuationModel:
    """What is trained once batches 0 to `k` have arrived."""
    return trained(
        candidate, split_of(k, range(14)), split_of(k, range(14, 17)), lambda price: price
    )


def test_of(k: int) -> Listed:
    return split_of(k, range(17, 20))


test_of.__test__ = False  # type: ignore[attr-defined]


def by_name(criteria: list[Criterion]) -> dict[str, Criterion]:
    return {criterion.name: criterion for criterion in criteria}


def settled(criteria: list[Criterion], has_champion: bool = True) -> tuple[str, str, str]:
    """Decision, rule and reason of the verdict."""
    settled = verdict(criteria, has_champion)
    return settled.decision, settled.rule, settled.reason


# ---- whole duels ----------------------------------------------------------------------------


@pytest.mark.parametrize("candidate", list(CANDIDATES))
@pytest.mark.parametrize("k", [0, 1])
def test_an_honest_first_model_of_any_kind_becomes_the_baseline(candidate: str, k: int) -> None:
    test = test_of(k)
    model = champion_of(candidate, k)
    criteria = duel(model, None, test.columns, test.price, TODAY, DuelPolicy())
    decision, rule, reason = settled(criteria, has_champion=False)

    assert [criterion.name for criterion in criteria] == ALONE
    assert (decision, rule) == ("promoted", "first model"), reason
    assert "becomes the baseline" in reason


@pytest.mark.parametrize(
    ("champion", "challenger", "k"),
    [
        ("gradient_boosting", "gradient_boosting", 4),
        ("gradient_boosting", "gradient_boosting", 5),
        ("linear_regression", "xgboost", 4),
    ],
)
def test_dearer_batches_are_no_trap(champion: str, challenger: str, k: int) -> None:
    test = test_of(k)
    models = champion_of(challenger, k), champion_of(champion, k - 1)
    criteria = duel(*models, test.columns, test.price, TODAY, DuelPolicy())
    decision, rule, reason = settled(criteria)

    assert [criterion.name for criterion in criteria] == ALL
    assert (decision, rule) == ("promoted", "clearly better"), reason
    assert "→" in reason
    json.dumps([dataclasses.asdict(criterion) for criterion in criteria], allow_nan=False)


def test_ranges_of_unknown_prices_would_be_a_trap_without_the_exception() -> None:
    test = test_of(5)
    models = champion_of("gradient_boosting", 5), champion_of("gradient_boosting", 4)

    def judged(policy: DuelPolicy) -> tuple[str, str, str]:
        criteria = duel(*models, test.columns, test.price, TODAY, policy)
        return settled(criteria)

    # Width asked of ranges whatever they hold: homes above the range need wider ones.
    asked = DuelPolicy(coverage=(0.0, 1.0))
    decision, rule, reason = judged(dataclasses.replace(asked, max_foreign_share=1.0))
    assert (decision, rule) == ("rejected", "coverage")
    assert "mean width" in reason
    assert judged(asked)[0] == "promoted"


def test_a_champion_that_knows_half_of_the_market_is_no_trap_either() -> None:
    test = test_of(2)
    models = champion_of("gradient_boosting", 2), champion_of("gradient_boosting", 0)
    criteria = duel(*models, test.columns, test.price, TODAY, DuelPolicy())
    decision, _, reason = settled(criteria)

    assert decision == "promoted", reason


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 1_000), rows=st.integers(20, 900))
def test_no_model_is_promoted_over_itself(model: ValuationModel, seed: int, rows: int) -> None:
    listed = test_rows()
    chosen = np.random.default_rng(seed).integers(0, len(listed.price), rows)
    columns, price = take(listed.columns, chosen), listed.price[chosen]
    criteria = duel(model, model, columns, price, TODAY, DuelPolicy())
    decision, _, reason = settled(criteria)

    assert decision == "rejected"
    # Beside itself nothing is worse: only what it is asked alone may fail as well.
    failed = {criterion.name for criterion in criteria if not criterion.passed}
    assert "accuracy" in failed
    assert failed - {"accuracy"} <= set(ALONE)
    assert "+0.0%" in reason


@cache
def test_rows() -> Listed:
    return test_of(5)


test_rows.__test__ = False  # type: ignore[attr-defined]


def test_an_older_model_does_not_come_back() -> None:
    test = test_of(5)
    models = champion_of("gradient_boosting", 3), champion_of("gradient_boosting", 5)
    criteria = duel(*models, test.columns, test.price, TODAY, DuelPolicy())
    decision, rule, reason = settled(criteria)

    # The absolute gates come first in the registry, as in every recorded duel.
    assert (decision, rule) == ("rejected", "coverage")
    failed = {criterion.name for criterion in criteria if not criterion.passed}
    assert {"accuracy", "rmse", "sold_and_newest", "median_ratio", "segments"} <= failed
    assert "RMSE $" in reason


def test_of_many_listings_some_are_drawn(market: Market, model_of: ModelOf) -> None:
    policy = DuelPolicy(max_rows=300)
    criteria = duel(
        model_of("xgboost"), None, market.test.columns, market.test.price, TODAY, policy
    )

    assert by_name(criteria)["leak_canary"].figures["n"] == 300


# ---- the verdict ----------------------------------------------------------------------------


@given(st.sets(st.sampled_from(ALL), min_size=1))
def test_the_first_that_fails_is_the_rule_and_all_are_named(failing: set[str]) -> None:
    criteria = [Criterion(name, name not in failing, f"it says {name}") for name in ALL]
    decision, rule, reason = settled(criteria)

    assert decision == "rejected"
    assert rule == next(name for name in ALL if name in failing)
    assert {name for name in ALL if f"it says {name}" in reason.replace("It", "it")} == failing
    assert reason.startswith("Not clearly more accurate") == (failing == {"accuracy"})


def test_details_name_each_failed_gate_with_its_figures() -> None:
    failed = Criterion("rmse", False, "RMSE rises", {"change": 0.2})
    criteria = [Criterion("accuracy", True, "closer"), failed]

    assert verdict(criteria, has_champion=True).details == [
        {"code": "rmse", "params": {"change": 0.2}, "message": "RMSE rises."}
    ]


def test_a_challenger_of_an_unreadable_champion_is_no_first_model() -> None:
    criteria = [Criterion(name, True, f"it says {name}") for name in ALONE]
    unreadable = message("champion_unreadable", version="3", problem="it has features 1")
    settled = verdict(criteria, has_champion=False, unreadable=unreadable)

    assert (settled.decision, settled.rule) == ("promoted", "champion unreadable")
    assert "Version 3 is in Production" in settled.reason
    assert [detail["code"] for detail in settled.details] == [
        "champion_unreadable", "passed_absolute_gates",
    ]  # fmt: skip


# ---- the registry -----------------------------------------------------------------------------


def test_every_limit_of_the_policy_belongs_to_a_gate() -> None:
    limits = {field.name for field in dataclasses.fields(DuelPolicy)}

    assert {limit for gate in gates.GATES for limit in gate.limits} == limits - {"max_rows"}
    assert len({gate.name for gate in gates.GATES}) == len(gates.GATES)
    assert [gate.name for gate in gates.GATES if gate.of_service] == SERVICE


@pytest.mark.parametrize(
    ("trial", "failed"),
    [
        (ServiceTrial(34.0, "", 0.4, 500, 0.005, 3.0), []),
        (ServiceTrial(34.0, "", 0.4, 500, 0.5, 3.0), ["serving"]),
        (ServiceTrial(34.0, "", 0.4, 500, 0.005, 80.0), ["latency"]),
        (ServiceTrial(300.0, "", 0.4, 500, 0.005, 3.0), ["bundle_size"]),
        (ServiceTrial(34.0, "no file"), ["serving", "latency"]),
    ],
)
def test_what_the_service_cannot_serve_fails_its_gates(
    market: Market, model_of: ModelOf, trial: ServiceTrial, failed: list[str]
) -> None:
    test = market.test
    criteria = duel(model_of("xgboost"), None, test.columns, test.price, TODAY, DuelPolicy(), trial)
    of_service = [criterion for criterion in criteria if criterion.name in SERVICE]

    assert [criterion.name for criterion in of_service] == SERVICE
    assert [criterion.name for criterion in of_service if not criterion.passed] == failed


# ---- single criteria, on homes of known prices ------------------------------------------------


def listings(n: int = 4_000, seed: int = 0) -> tuple[dict[str, NDArray[Any]], Floats]:
    rng = np.random.default_rng(seed)
    columns = {
        "state": rng.choice(np.array(["Ohio", "Texas", "Maine"], object), n),
        "zip_code": np.full(n, "44101", object),
        "status": rng.choice(np.array(["sold", "for_sale"], object), n),
        "prev_sold_date": np.full(n, np.datetime64("2022-04-20"), "datetime64[D]"),
    }
    return columns, np.exp(rng.normal(12.5, 0.5, n))


def context_of(comparison: ModelComparison) -> DuelContext:
    challenger: Any = None
    return DuelContext(challenger, comparison.after, comparison, None, comparison.policy, TODAY)


def met(
    change: Callable[[Floats, dict[str, NDArray[Any]], Floats], Floats],
    *,
    before: float = 0.2,
    champion_range: tuple[float, float] = US_LISTINGS.price_range,
    width: float = 1.0,
) -> DuelContext:
    """A champion with errors of `before`, and a challenger that makes `change` of them.

    change: errors of log price (n,), columns, price -> the challenger's errors.
    """
    columns, price = listings()
    error = np.random.default_rng(1).normal(0.0, before, len(price))

    def judged(error: Floats, width: float) -> ScoredListings:
        value, half = price * np.exp(error), 1.2816 * before * width
        return ScoredListings(columns, price, value, value * np.exp(-half), value * np.exp(half))

    after = change(error, columns, price)
    comparison = ModelComparison(
        judged(after, width), judged(error, 1.0), champion_range, DuelPolicy()
    )
    return context_of(comparison)


def test_closer_estimates_pass_all() -> None:
    context = met(lambda error, columns, price: 0.95 * error)

    for criterion in (
        relative_criteria.accuracy(context),
        relative_criteria.rmse(context),
        relative_criteria.sold_and_newest(context),
        relative_criteria.median_ratio(context),
        relative_criteria.vertical_equity(context),
        relative_criteria.segments(context),
        absolute_criteria.coverage(context),
        relative_criteria.stability(context),
    ):
        assert criterion.passed, criterion.words


def test_a_gain_of_half_a_percent_is_not_worth_a_change() -> None:
    assert not relative_criteria.accuracy(met(lambda error, columns, price: 0.995 * error)).passed


def test_a_gain_that_may_be_chance_is_none() -> None:
    rng = np.random.default_rng(2)
    context = met(lambda error, columns, price: rng.normal(0.0, 0.197, len(error)))
    comparison = context.beside_champion
    few = np.arange(len(comparison.price)) < 60
    thin = ModelComparison(
        comparison.after.rows(few),
        comparison.before.rows(few),
        US_LISTINGS.price_range,
        DuelPolicy(),
    )

    assert not relative_criteria.accuracy(context_of(thin)).passed


def test_dear_homes_that_go_wrong_show_in_rmse() -> None:
    def worse_when_dear(error: Floats, columns: Any, price: Floats) -> Floats:
        return np.where(price > np.quantile(price, 0.97), 2.5 * error, 0.9 * error)

    context = met(worse_when_dear)
    assert relative_criteria.accuracy(context).passed
    assert not relative_criteria.rmse(context).passed


def test_sold_homes_are_judged_apart() -> None:
    context = met(
        lambda error, columns, price: np.where(columns["status"] == "sold", 1.1, 0.7) * error
    )
    answer = relative_criteria.sold_and_newest(context)

    assert relative_criteria.accuracy(context).passed
    assert not answer.passed
    assert answer.figures["sold_n"] + 0 == (context.listings.columns["status"] == "sold").sum()
    assert answer.figures["newest_n"] == answer.figures["sold_n"]


def test_a_level_that_is_off_is_rejected() -> None:
    answer = relative_criteria.median_ratio(met(lambda error, columns, price: error + 0.06))

    assert not answer.passed
    assert answer.figures["all_after"] == pytest.approx(math.exp(0.06), abs=0.01)


def test_a_far_better_challenger_may_be_a_little_off_but_not_a_lot() -> None:
    def level(shift: float) -> Answer:
        return relative_criteria.median_ratio(
            met(lambda error, columns, price: 0.5 * error + shift)
        )

    assert level(-0.06).passed
    assert not level(-0.13).passed


def test_valuing_the_dear_too_low_is_rejected() -> None:
    def regressive(error: Floats, columns: Any, price: Floats) -> Floats:
        return error - 0.3 * (np.log(price) - 12.5)

    answer = relative_criteria.vertical_equity(met(regressive))
    assert not answer.passed
    assert answer.figures["after_prb"] < -0.05 < answer.figures["before_prb"]


def test_a_state_that_becomes_worse_is_named_and_rejected() -> None:
    def worse_in_texas(error: Floats, columns: Any, price: Floats) -> Floats:
        return np.where(columns["state"] == "Texas", 1.5, 0.5) * error

    context = met(worse_in_texas)
    answer = relative_criteria.segments(context)
    assert relative_criteria.accuracy(context).passed
    assert not answer.passed
    assert "Texas" in answer.words
    assert "Ohio" not in answer.words


def test_where_the_champion_cannot_know_segments_hold_nothing_against_the_challenger() -> None:
    def worse_in_texas(error: Floats, columns: Any, price: Floats) -> Floats:
        return np.where(columns["state"] == "Texas", 1.5, 0.5) * error

    answer = relative_criteria.segments(met(worse_in_texas, champion_range=(10_000.0, 300_000.0)))
    assert answer.passed
    assert answer.figures["worse"] >= 1
    assert "no reason against the challenger" in answer.words


@pytest.mark.parametrize(("width", "passed"), [(0.7, False), (1.0, True), (1.2, False)])
def test_ranges_hold_what_they_promise_and_are_no_wider_than_they_were(
    width: float, passed: bool
) -> None:
    context = met(lambda error, columns, price: error, width=width)
    answer = absolute_criteria.coverage(context)

    assert answer.passed == passed, answer.words


def test_wider_ranges_are_no_fault_where_the_champion_s_are_too_narrow() -> None:
    columns, price = listings()
    error = np.random.default_rng(1).normal(0.0, 0.2, len(price))
    value = price * np.exp(error)
    right = ScoredListings(columns, price, value, value * np.exp(-0.2563), value * np.exp(0.2563))
    narrow = ScoredListings(columns, price, value, value * np.exp(-0.15), value * np.exp(0.15))
    comparison = ModelComparison(right, narrow, US_LISTINGS.price_range, DuelPolicy())
    answer = absolute_criteria.coverage(context_of(comparison))

    assert answer.passed
    assert "not asked" in answer.words


def test_homes_may_move_when_they_are_valued_closer() -> None:
    nearer = relative_criteria.stability(met(lambda error, columns, price: 0.2 * error, before=0.5))
    elsewhere = relative_criteria.stability(
        met(lambda error, columns, price: -1.05 * error, before=0.5)
    )

    assert nearer.figures["moved"] > 0.05
    assert nearer.passed
    assert not elsewhere.passed


# ---- behaviour --------------------------------------------------------------------------------


@cache
def model_of_prices(worth: Callable[[Floats], Floats]) -> ValuationModel:
    return trained("linear_regression", split_of(2, range(14)), split_of(2, range(14, 17)), worth)


def in_dollars_of_ten_cents(price: Floats) -> Floats:
    return price * 10


def the_other_way_round(price: Floats) -> Floats:
    return 2e10 / price


def test_a_model_of_the_wrong_unit_is_found_by_golden_homes() -> None:
    answer = behaviour.strange_golden_homes(model_of_prices(in_dollars_of_ten_cents), drop=0.1)

    assert len(answer) >= 5
    assert "a square foot" in answer[0]


def test_a_model_that_values_larger_homes_lower_is_found() -> None:
    model, test = model_of_prices(the_other_way_round), test_of(2)

    assert behaviour.share_lower_when_larger(model, test.columns, drop=0.02) > 0.5
    assert any("a half larger" in text for text in behaviour.strange_golden_homes(model, drop=0.1))
    criteria = duel(model, None, test.columns, test.price, TODAY, DuelPolicy())
    assert not by_name(criteria)["monotone"].passed


def test_ranges_that_are_no_numbers_do_not_serve(market: Market, model_of: ModelOf) -> None:
    model = model_of("xgboost")
    calibration = model.ranges.calibration
    broken = dataclasses.replace(
        calibration,
        margins={key: (math.nan,) * len(value) for key, value in calibration.margins.items()},
    )
    unfit = behaviour.unfit_valuations(
        dataclasses.replace(model, ranges=dataclasses.replace(model.ranges, calibration=broken)),
        market.test.columns,
    )

    assert unfit["unknown zip_code"] > 450
    assert behaviour.unfit_valuations(model, market.test.columns) == {}


def test_golden_homes_are_ordinary_homes_of_places_there_are() -> None:
    from realtor_model.features import columns_from_properties
    from realtor_model.retraining.column_relations import relations

    columns = columns_from_properties([golden.home for golden in behaviour.GOLDEN_HOMES])
    placed = {(each["one"], each["other"]): each for each in relations(columns)}

    assert placed["zip_code", "state"]["strength"] == 1.0
    assert placed["zip_code", "city"]["strength"] == 1.0
    for golden in behaviour.GOLDEN_HOMES:
        low, high = golden.per_sqft
        assert 8 <= high / low <= 10, golden.name
