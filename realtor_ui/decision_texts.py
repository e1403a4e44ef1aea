"""The pipeline's decisions in the language of the reader, from their codes and figures.

What was published without figures, what a person gave as a reason, and what a text has no figures
for is told in the pipeline's own words, which are English.
"""

from collections.abc import Mapping
from typing import Any

from realtor_ui import formatting
from realtor_ui.responses import AliasMove, Criterion, History, Promotion, RetrainDecision
from realtor_ui.texts import Texts

# Texts that a criterion is told in, one after the other, as far as it has their figures.
_PARTS = {
    "coverage": ("coverage", "coverage_width"),
    "sold_and_newest": ("sold", "newest"),
    "median_ratio": ("median_ratio", "median_ratio_newest"),
    "stability": ("stability", "stability_movers"),
}
_FEATURES = (
    "worst_psi_feature", "worst_wasserstein_feature", "unseen_feature", "null_rate_feature",
)  # fmt: skip


def rule_name(texts: Texts, code: str) -> str:
    """What people call the rule that settled a decision: a limit, an event, or a criterion."""
    return texts.named("rule" if f"rule.{code}" in texts.entries else "criterion", code)


def gate_result_text(texts: Texts, criterion: Criterion, policy: Mapping[str, Any]) -> str:
    """The answer to one question, a sentence with its figures and limits."""
    name = criterion.name
    outcome = f"{name}_failed"
    if not criterion.passed and f"judged.{outcome}" in texts.entries:
        parts: tuple[str, ...] = (outcome,)
    else:
        parts = _PARTS.get(name, (name,))
    figures = {**policy, **criterion.figures}
    told = [words for part in parts if (words := _filled(texts, f"judged.{part}", figures))]
    words = "; ".join(told) or _filled(texts, f"judged.{name}_few", figures) or criterion.words
    return _sentence(words)


def promotion_text(texts: Texts, decision: Promotion) -> str:
    """Why a version was promoted, staged or rejected."""
    policy = decision.figures.get("policy")
    told = {
        each.name: gate_result_text(texts, each, policy)
        for each in decision.criteria
        if policy is not None and each.figures
    }
    failed = [each.name for each in decision.criteria if not each.passed]
    count = len(decision.criteria)
    match decision.rule:
        case "first model" if {"leak_canary", "coverage"} <= set(told):
            opening = texts("reason.first_champion", n=count)
            return f"{opening} {told['leak_canary']} {told['coverage']}"
        case "clearly better" | "waits for approval" if {"accuracy", "rmse"} <= set(told):
            parts = [told["accuracy"], told["rmse"], texts("reason.all_passed", n=count)]
            if decision.rule == "waits for approval":
                parts.append(texts("reason.waits", version=decision.model_version))
            return " ".join(parts)
        case "overtaken":
            return texts(
                "reason.overtaken", version=decision.model_version, met=decision.champion_version
            )
        case name if name in failed and set(failed) <= set(told):
            return " ".join(told[name] for name in failed)
    return decision.reason


def opponent_text(texts: Texts, decision: Promotion) -> str:
    """Which champion a version met, or took the place of without a duel, and when."""
    met, when = decision.champion_version, formatting.date_text(texts, decision.decided_at)
    if met is None:
        return texts("models.met_nobody", day=when)
    return texts("models.met" if decision.criteria else "models.instead", champion=met, day=when)


def alias_move_text(texts: Texts, history: History, move: AliasMove) -> str:
    """Why the alias moved."""
    if move.action == "found":
        return texts("reason.found")
    for decision in history.promotions:
        if decision.decision_id is not None and decision.decision_id == move.decision_id:
            return promotion_text(texts, decision)
    return move.reason


def retrain_decision_text(texts: Texts, decision: RetrainDecision) -> str:
    """Why a batch was trained on, skipped or held."""
    figures = dict(decision.figures)
    figures |= figures.pop("policy", {})
    figures |= {
        name: texts.named("input", figures[name]) for name in _FEATURES if figures.get(name)
    }
    rules = figures.get("rules") or [decision.rule]
    if decision.rule == "suspect data":
        figures["what"] = "; ".join(figures.get("suspicions", []))
    told = [_limit(texts, each, figures) for each in rules]
    if not all(told):
        return decision.reason
    return " ".join(_sentence(words) for words in told)


def _limit(texts: Texts, code: str, figures: Mapping[str, Any]) -> str:
    """One limit that was passed; "" where the figures do not tell."""
    if code == "drift":
        return _drift(texts, figures)
    if code == "unseen categories" and {"usual_unseen_share", "max_unseen_share"} <= set(figures):
        limit = (figures["usual_unseen_share"] or 0.0) + figures["max_unseen_share"]
        figures = {**figures, "unseen_limit": limit}
    if code == "missing values" and {"null_rate_change", "max_null_rate_change"} <= set(figures):
        points = {"points": 100 * figures["null_rate_change"]}
        figures = {**figures, **points, "most_points": 100 * figures["max_null_rate_change"]}
    return _filled(texts, f"reason.{code.replace(' ', '_')}", figures)


def _drift(texts: Texts, figures: Mapping[str, Any]) -> str:
    limits = ("worst_psi", "target_psi", "worst_wasserstein", "max_psi", "max_wasserstein")
    if not all(isinstance(figures.get(name), int | float) for name in limits):
        return ""
    price = texts.named("input", "price")
    moved = [
        ("psi", figures["worst_psi_feature"], figures["worst_psi"], figures["max_psi"]),
        ("psi", price, figures["target_psi"], figures["max_psi"]),
        ("distance", figures["worst_wasserstein_feature"], figures["worst_wasserstein"],
         figures["max_wasserstein"]),
    ]  # fmt: skip
    return "; ".join(
        texts(f"reason.drift_{kind}", feature=feature, value=value, limit=limit)
        for kind, feature, value, limit in dict.fromkeys(moved)
        if value > limit
    )


def _filled(texts: Texts, key: str, figures: Mapping[str, Any]) -> str:
    """The text with its figures; "" where there is none, or a figure is missing or unknown."""
    if key not in texts.entries:
        return ""
    try:
        return texts(key, **figures)
    except (KeyError, TypeError):
        return ""


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].removesuffix('.')}."
