"""What the pipeline decides is told in every language from its codes and figures."""

from dataclasses import asdict, replace
from datetime import date
from typing import Any

import pytest

from realtor_assets.release.promotion_decision import CRITERIA
from realtor_model.duel import DuelPolicy, duel, verdict
from realtor_model.features import columns_from_frame
from realtor_model.retraining.retrain_policy import Evidence, RetrainDecision, RetrainPolicy
from realtor_ui import decision_texts, responses
from realtor_ui.texts import LANGUAGES, Texts, catalogue
from tests.serving.running import listings, make_model

WHEN = "2026-03-01T12:00:00+00:00"
EN, ES = catalogue("en"), catalogue("es")
CALM = Evidence(
    n=500, error=0.16, expected_error=0.15, worst_psi=0.05, worst_psi_feature="bed",
    worst_wasserstein=0.06, worst_wasserstein_feature="house_size", target_psi=0.04,
    unseen_share=0.01, unseen_feature="zip_code", null_rate_change=0.01, null_rate_feature="bath",
    above_range=0.01, below_range=0.0, worst_segments=[], suspicions=[], new_rows=500,
    champion_rows=10_000, age_days=12.0,
)  # fmt: skip
ALL = replace(
    CALM, error=0.3, worst_psi=0.4, target_psi=0.3, worst_wasserstein=0.5, unseen_share=0.5,
    null_rate_change=0.2, above_range=0.3, new_rows=5_000, age_days=120.0,
)  # fmt: skip


def batch(decided: RetrainDecision) -> responses.RetrainDecision:
    more = {"champion_version": "1", "admitted": False, "decided_at": WHEN}
    return responses.RetrainDecision.model_validate(asdict(decided) | more)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_limit_that_a_batch_passed_is_told(language: str) -> None:
    decided = RetrainPolicy().decide(ALL, "4")
    told = decision_texts.retrain_decision_text(catalogue(language), batch(decided))

    assert told != decided.reason
    assert told.count(". ") == len(decided.figures["rules"]) - 1
    for figure in ("0.40", "0.30", "0.50", "5,000", "10,000", "120", "50.0%", "30%", "+20"):
        assert figure in told
    assert decision_texts.rule_name(ES, decided.rule) == "error"


@pytest.mark.parametrize(
    ("evidence", "beginning"),
    [
        (None, "Aún no hay ningún modelo en producción"),
        (replace(CALM, n=0), "Todas sus filas ya estaban aquí"),
        (CALM, "No se supera ningún límite: error mediano 16%"),
        (replace(CALM, suspicions=["bed is always 3"]), "Parece dañado"),
    ],
)
def test_what_is_no_limit_is_told_too(evidence: Evidence | None, beginning: str) -> None:
    decided = RetrainPolicy().decide(evidence, "4")

    told = decision_texts.retrain_decision_text(ES, batch(decided))
    assert told.startswith(beginning)
    assert decision_texts.rule_name(ES, decided.rule) != decided.rule
    assert all(each in told for each in (evidence.suspicions if evidence else []))


def test_without_figures_the_pipelines_own_words_are_told() -> None:
    decided = RetrainPolicy().decide(ALL, "4")
    older = replace(decided, figures={})
    assert decision_texts.retrain_decision_text(ES, batch(older)) == decided.reason
    refused = RetrainDecision("skip", "refused", "Batch 4 was refused as a whole.", {})
    assert decision_texts.retrain_decision_text(ES, batch(refused)) == refused.reason


def promotion(texts: Texts, champion: str | None, **changes: Any) -> responses.Promotion:
    """A duel of two small models, as it is published."""
    policy = DuelPolicy()
    frame = listings(400, 7)
    opponent = None if champion is None else make_model(seed=1)
    found = duel(
        make_model(), opponent, columns_from_frame(frame), frame["price"].to_numpy(float),
        date(2026, 1, 31), policy,
    )  # fmt: skip
    decision, rule, reason = verdict(found, champion is not None)
    told = {
        "decision_id": 7, "model_version": "2", "champion_version": champion, "decision": decision,
        "rule": rule, "reason": reason, "criteria": [asdict(each) for each in found],
        "figures": {"policy": asdict(policy)}, "decided_at": WHEN,
    }  # fmt: skip
    return responses.Promotion.model_validate(told | changes)


@pytest.mark.parametrize("champion", [None, "1"])
def test_a_duel_is_told_criterion_by_criterion(champion: str | None) -> None:
    decision = promotion(ES, champion)
    policy = decision.figures["policy"]

    for each in decision.criteria:
        told = decision_texts.gate_result_text(ES, each, policy)
        assert told != decision_texts.gate_result_text(EN, each, policy), each.name
        assert each.words not in told
    told = decision_texts.promotion_text(ES, decision)
    assert decision.reason not in told
    assert told != decision_texts.promotion_text(EN, decision)


def test_a_rejection_tells_what_failed() -> None:
    decision = promotion(ES, "1")
    failing = [each.model_copy(update={"passed": each.name != "stability"})
               for each in decision.criteria]  # fmt: skip
    update = {"rule": "stability", "decision": "rejected", "criteria": failing}
    told = decision_texts.promotion_text(ES, decision.model_copy(update=update))
    (stability,) = [each for each in failing if each.name == "stability"]

    assert told == decision_texts.gate_result_text(ES, stability, decision.figures["policy"])
    assert decision_texts.rule_name(ES, "stability") == ES("criterion.stability")


def test_a_release_is_told_by_its_decision_and_a_persons_reason_as_it_is() -> None:
    decision = promotion(ES, None)
    by_hand = decision.model_copy(update={"decision_id": 8, "rule": "by hand", "reason": "me"})
    history = responses.History.model_validate(
        {"published_at": WHEN, "champion": "2", "versions": []}
    ).model_copy(update={"promotions": [decision, by_hand]})

    def released(action: str, decision_id: int | None) -> str:
        told = {"model_version": "2", "replaced": None, "action": action, "reason": "as it was",
                "begun_at": WHEN, "decision_id": decision_id}  # fmt: skip
        return decision_texts.alias_move_text(ES, history, responses.AliasMove.model_validate(told))

    assert released("promoted", 7) == decision_texts.promotion_text(ES, decision)
    assert released("promoted", 8) == "me"
    assert released("promoted", None) == "as it was"
    assert released("found", None) == ES("reason.found")


def test_every_criterion_has_its_text() -> None:
    begun = {key.removeprefix("judged.") for key in EN.entries if key.startswith("judged.")}
    assert {name for name in CRITERIA if name not in begun} == {"sold_and_newest"}
    assert {"sold", "newest", "sold_and_newest_few"} <= begun


def test_what_was_moved_without_a_duel_met_nobody() -> None:
    back = responses.Promotion(
        model_version="1", champion_version="2", decision="rolled back", rule="by hand",
        reason="worse", criteria=[], decided_at=WHEN,
    )  # fmt: skip

    assert (
        decision_texts.opponent_text(EN, back) == "It took the place of version 2, on 1 March 2026."
    )
    judged = responses.Criterion(name="accuracy", passed=True, words="closer", figures={})
    assert decision_texts.opponent_text(
        EN, back.model_copy(update={"criteria": [judged]})
    ).startswith("It met version 2")
