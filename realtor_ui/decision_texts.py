"""Decisions of the pipeline in the language of the reader, from their codes and figures.

Published without codes or figures, or given by a person, a reason is shown as it was stored, in
English.
"""

from collections.abc import Mapping
from typing import Any

from realtor_ui import formatting
from realtor_ui.message_texts import message_text
from realtor_ui.responses import AliasMove, Criterion, History, Promotion, RetrainDecision
from realtor_ui.texts import Texts

# Gates whose result is put together from several texts, as far as their figures are there.
_GATE_PARTS = {
    "coverage": ("coverage", "coverage_width"),
    "sold_and_newest": ("sold", "newest"),
    "median_ratio": ("median_ratio", "median_ratio_newest"),
    "stability": ("stability", "stability_movers"),
}
# Gates whose results are shown for a first model.
_ABSOLUTE = {"leak_canary", "coverage"}


def rule_name(texts: Texts, rule: str) -> str:
    """The name of the rule that settled a decision: a limit, an event, or a gate."""
    return texts.named("rule" if f"rule.{rule}" in texts.entries else "criterion", rule)


def gate_result_text(texts: Texts, criterion: Criterion, policy: Mapping[str, Any]) -> str:
    """The result of one gate: a sentence with its figures and limits."""
    name = criterion.name
    failed = f"{name}_failed"
    if not criterion.passed and f"gate_result.{failed}" in texts.entries:
        keys: tuple[str, ...] = (failed,)
    else:
        keys = _GATE_PARTS.get(name, (name,))
    figures = {**policy, **criterion.figures}
    parts = [part for key in keys if (part := _filled(texts, f"gate_result.{key}", figures))]
    text = "; ".join(parts) or _filled(texts, f"gate_result.{name}_few", figures)
    return _sentence(text or criterion.words)


def promotion_text(texts: Texts, promotion: Promotion) -> str:
    """Why a version was promoted, staged or rejected."""
    policy = promotion.figures.get("policy")
    results = {
        criterion.name: gate_result_text(texts, criterion, policy)
        for criterion in promotion.criteria
        if policy is not None and criterion.figures
    }
    failed = [criterion.name for criterion in promotion.criteria if not criterion.passed]
    count = len(promotion.criteria)
    match promotion.rule:
        case "first model" if set(results) >= _ABSOLUTE:
            opening = texts("message.first_champion", gates=count)
            return " ".join([opening, results["leak_canary"], results["coverage"]])
        case "clearly better" | "waits for approval" if {"accuracy", "rmse"} <= set(results):
            passed = texts("message.clearly_better", gates=count)
            parts = [results["accuracy"], results["rmse"], passed]
            if promotion.rule == "waits for approval":
                version = promotion.model_version
                parts.append(texts("message.waits_for_approval", version=version))
            return " ".join(parts)
        case rule if rule in failed and set(failed) <= set(results):
            return " ".join(results[name] for name in failed)
    sentences = [_sentence(message_text(texts, detail)) for detail in promotion.details]
    return " ".join(sentences) or promotion.reason


def opponent_text(texts: Texts, promotion: Promotion) -> str:
    """The champion that a version was compared with, or replaced without a duel, and when."""
    champion = promotion.champion_version
    day = formatting.date_text(texts, promotion.decided_at)
    if champion is None:
        return texts("models.met_nobody", day=day)
    key = "models.met" if promotion.criteria else "models.instead"
    return texts(key, champion=champion, day=day)


def alias_move_text(texts: Texts, history: History, move: AliasMove) -> str:
    """Why the alias moved."""
    if move.action == "found":
        return texts("models.moved_outside")
    for promotion in history.promotions:
        if promotion.decision_id is not None and promotion.decision_id == move.decision_id:
            return promotion_text(texts, promotion)
    return move.reason


def retrain_decision_text(texts: Texts, decision: RetrainDecision) -> str:
    """Why a batch was trained on, skipped or held."""
    sentences = [_sentence(message_text(texts, detail)) for detail in decision.details]
    return " ".join(sentences) or decision.reason


def _filled(texts: Texts, key: str, figures: Mapping[str, Any]) -> str:
    """The text with its figures, or "" if there is no such text or a figure is missing."""
    if key not in texts.entries:
        return ""
    try:
        return texts(key, **figures)
    except (KeyError, TypeError):
        return ""


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].removesuffix('.')}."
