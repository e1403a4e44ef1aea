"""Decisions of the pipeline are written in every language from their codes and figures."""

from dataclasses import asdict, replace
from datetime import date
from typing import Any

import pytest

from realtor_model.duel import DuelPolicy, duel, verdict
from realtor_model.duel.gates import GATES
from realtor_model.features import columns_from_frame
from realtor_model.messages import message
from realtor_model.retraining.retrain_policy import Evidence, RetrainDecision, RetrainPolicy
from realtor_ui import decision_texts, responses
from realtor_ui.texts import LANGUAGES, Texts, catalogue
from tests.serving.running import listings, make_model

WHEN = "2026-03-01T12:00:00+00:00"
EN, ES = catalogue("en"), catalogue("es")
VOLUME = {"code": "volume", "message": "900 new rows.",
          "params": {"new_rows": 900, "champion_rows": 1_500, "limit": 0.2}}  # fmt: skip
AGE = {"code": "age", "message": "It is old.", "params": {"days": 120.4, "limit": 90.0}}


def batch(*details: dict[str, Any]) -> responses.RetrainDecision:
    """A decision about a batch, as it is published."""
    return responses.RetrainDecision.model_validate(
        {
            "decision": "train", "rule": "volume", "reason": "900 new rows; it is old.",
            "details": details, "champion_version": "1", "admitted": False, "decided_at": WHEN,
        }
    )  # fmt: skip


def test_each_limit_that_a_batch_exceeds_is_a_sentence() -> None:
    decision = batch(VOLUME, AGE)

    assert decision_texts.retrain_decision_text(EN, decision) == (
        "900 new rows on top of 1,500 (limit 20%). The champion is 120 days old (limit 90)."
    )
    assert decision_texts.retrain_decision_text(ES, decision) == (
        "900 filas nuevas frente a 1,500 (límite 20%). El campeón tiene 120 días (límite 90)."
    )
    assert decision_texts.rule_name(ES, decision.rule) == "filas nuevas"


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


def published(decided: RetrainDecision) -> responses.RetrainDecision:
    """A decision of the policy, as it is published."""
    more = {"champion_version": "1", "admitted": False, "decided_at": WHEN}
    return responses.RetrainDecision.model_validate(asdict(decided) | more)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_limit_of_the_policy_is_translated(language: str) -> None:
    decided = RetrainPolicy().decide(ALL, "4")
    text = decision_texts.retrain_decision_text(catalogue(language), published(decided))

    assert text != decided.reason
    assert text.count(". ") == len(decided.details) - 1
    for figure in ("0.40", "0.30", "0.50", "5,000", "10,000", "120", "50.0%", "30", "+20"):
        assert figure in text
    if language != "en":
        assert all(detail["message"] not in text for detail in decided.details)
    assert decision_texts.rule_name(ES, decided.rule) == "error"


@pytest.mark.parametrize(
    ("evidence", "beginning"),
    [
        (None, "Aún no hay ningún modelo en producción: el lote 4 entrena el primero"),
        (replace(CALM, n=0), "El lote 4 no tiene filas nuevas"),
        (CALM, "No se supera ningún límite: error mediano 16"),
        (replace(CALM, suspicions=[message("prices_off_level", ratio=7.25)]),
         "El lote 4 parece dañado. El entrenamiento espera hasta que alguien lo revise. Sus "
         "precios son 7.25 veces"),
    ],
)  # fmt: skip
def test_decision_without_an_exceeded_limit_is_translated(
    evidence: Evidence | None, beginning: str
) -> None:
    decided = RetrainPolicy().decide(evidence, "4")

    text = decision_texts.retrain_decision_text(ES, published(decided))
    assert text.startswith(beginning)
    assert decision_texts.rule_name(ES, decided.rule) != decided.rule


def test_decision_without_details_keeps_the_stored_reason() -> None:
    decision = batch()
    assert decision_texts.retrain_decision_text(ES, decision) == decision.reason


def test_detail_with_an_unknown_code_keeps_its_own_words() -> None:
    newer = {"code": "price_shock", "message": "prices jumped", "params": {}}
    assert decision_texts.retrain_decision_text(ES, batch(newer)) == "Prices jumped."


def promotion(texts: Texts, champion: str | None, **changes: Any) -> responses.Promotion:
    """A duel of two small models, as it is published."""
    policy = DuelPolicy()
    frame = listings(400, 7)
    opponent = None if champion is None else make_model(seed=1)
    found = duel(
        make_model(), opponent, columns_from_frame(frame), frame["price"].to_numpy(float),
        date(2026, 1, 31), policy,
    )  # fmt: skip
    settled = verdict(found, champion is not None)
    told = {
        "decision_id": 7, "model_version": "2", "champion_version": champion,
        "decision": settled.decision, "rule": settled.rule, "reason": settled.reason,
        "criteria": [asdict(each) for each in found],
        "figures": {"policy": asdict(policy)}, "decided_at": WHEN,
    }  # fmt: skip
    return responses.Promotion.model_validate(told | changes)


@pytest.mark.parametrize("champion", [None, "1"])
def test_every_gate_result_is_translated(champion: str | None) -> None:
    decision = promotion(ES, champion)
    policy = decision.figures["policy"]

    for each in decision.criteria:
        told = decision_texts.gate_result_text(ES, each, policy)
        assert told != decision_texts.gate_result_text(EN, each, policy), each.name
        assert each.words not in told
    told = decision_texts.promotion_text(ES, decision)
    assert decision.reason not in told
    assert told != decision_texts.promotion_text(EN, decision)


def test_rejection_shows_the_gate_that_failed() -> None:
    decision = promotion(ES, "1")
    failing = [each.model_copy(update={"passed": each.name != "stability"})
               for each in decision.criteria]  # fmt: skip
    update = {"rule": "stability", "decision": "rejected", "criteria": failing}
    told = decision_texts.promotion_text(ES, decision.model_copy(update=update))
    (stability,) = [each for each in failing if each.name == "stability"]

    assert told == decision_texts.gate_result_text(ES, stability, decision.figures["policy"])
    assert decision_texts.rule_name(ES, "stability") == ES("criterion.stability")


def test_alias_move_shows_its_decision_or_a_persons_reason() -> None:
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
    assert released("found", None) == ES("models.moved_outside")


def test_every_gate_has_a_text() -> None:
    begun = {
        key.removeprefix("gate_result.") for key in EN.entries if key.startswith("gate_result.")
    }
    assert {gate.name for gate in GATES if gate.name not in begun} == {"sold_and_newest"}
    assert {"sold", "newest", "sold_and_newest_few"} <= begun


def test_version_moved_without_a_duel_replaces_the_champion() -> None:
    back = responses.Promotion(
        model_version="1", champion_version="2", decision="rolled back", rule="by hand",
        reason="worse", criteria=[], decided_at=WHEN,
    )  # fmt: skip

    assert decision_texts.opponent_text(EN, back) == "Replaced version 2 on March 1, 2026."
    judged = responses.Criterion(name="accuracy", passed=True, words="closer", figures={})
    assert decision_texts.opponent_text(
        EN, back.model_copy(update={"criteria": [judged]})
    ).startswith("Compared with version 2")


def test_promotion_without_figures_is_written_from_its_details() -> None:
    details = [
        {"code": "champion_unreadable", "message": "", "params": {"version": "1", "problem": "x"}},
        {"code": "passed_absolute_gates", "message": "", "params": {"gates": 6}},
    ]
    promoted = responses.Promotion(
        model_version="2", champion_version="1", decision="promoted", rule="champion unreadable",
        reason="In English.", criteria=[], details=details, decided_at=WHEN,
    )  # fmt: skip

    text = decision_texts.promotion_text(ES, promoted)
    assert "Este programa no puede leer la versión 1" in text
    assert "cumple los 6 criterios que aplican" in text
    bare = promoted.model_copy(update={"details": []})
    assert decision_texts.promotion_text(ES, bare) == "In English."
