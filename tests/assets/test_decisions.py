"""The two policies: when to train, and when a challenger takes over."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtor_assets.monitoring import Evidence, RetrainPolicy, decide
from realtor_assets.release import PromotionPolicy
from realtor_model.evaluation import paired_comparison

QUIET = Evidence(
    new_batches=[4],
    new_rows=100,
    champion_rows=10_000,
    error=0.13,
    expected_error=0.12,
    worst_psi=0.05,
    worst_psi_feature="state",
    unseen_share=0.01,
    unseen_feature="zip_code",
    outside_price_range=0.0,
)


def test_the_first_model_is_always_trained() -> None:
    assert decide(None, RetrainPolicy()).rule == "first model"


def test_nothing_new_is_no_reason() -> None:
    decision = decide(replace(QUIET, new_batches=[], new_rows=0), RetrainPolicy())

    assert (decision.decision, decision.rule) == ("skip", "nothing new")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"error": 0.31, "outside_price_range": 1.0}, "error"),
        ({"worst_psi": 0.4}, "drift"),
        ({"unseen_share": 0.2}, "unseen categories"),
        ({"new_rows": 5_000}, "volume"),
        ({}, "no reason to train"),
    ],
)
def test_each_limit_is_a_reason_of_its_own(change: dict[str, float], rule: str) -> None:
    decision = decide(replace(QUIET, **change), RetrainPolicy())

    assert decision.rule == rule
    assert decision.decision == ("skip" if rule == "no reason to train" else "train")
    assert "batch 4" in decision.reason


def test_the_reason_says_what_happened_in_words() -> None:
    evidence = replace(QUIET, error=0.31, outside_price_range=1.0)

    assert decide(evidence, RetrainPolicy()).reason == (
        "The median error on batch 4 is 31%, was 12% on the champion's own test split: 100% of "
        "prices lie outside the range seen in training."
    )


def test_volume_alone_says_that_it_is_the_only_reason() -> None:
    assert decide(replace(QUIET, new_rows=9_000), RetrainPolicy()).reason.startswith(
        "Volume is the only reason"
    )


PRICE = np.exp(np.random.default_rng(1).normal(12.5, 0.6, 2_000))


def predictions(noise: float, seed: int = 2) -> np.ndarray:
    return PRICE * np.exp(np.random.default_rng(seed).normal(0, noise, len(PRICE)))


def test_a_clearly_better_challenger_is_promoted() -> None:
    duel = paired_comparison(PRICE, predictions(0.4), predictions(0.25, 3))

    assert PromotionPolicy().decide(duel)[0] == "promoted"


def test_an_equally_good_challenger_is_rejected() -> None:
    duel = paired_comparison(PRICE, predictions(0.3), predictions(0.3, 3))

    assert PromotionPolicy().decide(duel)[:2] == ("rejected", "not clearly more accurate")


def test_a_challenger_that_misses_a_few_homes_wildly_is_rejected() -> None:
    wild = predictions(0.25, 3)
    wild[np.argsort(PRICE)[-3:]] *= 12

    decision = PromotionPolicy().decide(paired_comparison(PRICE, predictions(0.4), wild))

    assert decision[:2] == ("rejected", "rmse worse")


@given(noise=st.floats(0.05, 0.6), seed=st.integers(0, 1_000))
def test_no_model_is_promoted_over_itself(noise: float, seed: int) -> None:
    same = predictions(noise, seed)

    decision, _, _ = PromotionPolicy().decide(paired_comparison(PRICE, same, same, resamples=20))

    assert decision == "rejected"
