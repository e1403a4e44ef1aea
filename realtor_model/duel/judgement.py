"""The duel: every gate in turn, and the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtor_model.duel import gates
from realtor_model.duel.duel_policy import DuelPolicy
from realtor_model.duel.gate import Criterion, DuelContext, ServiceTrial
from realtor_model.duel.model_comparison import ModelComparison
from realtor_model.evaluation.scored_listings import ScoredListings, draw_listings
from realtor_model.features import Columns
from realtor_model.messages import CodedMessage, message
from realtor_model.valuation.valuation_model import ValuationModel

Floats = NDArray[np.float64]


def duel(
    challenger: ValuationModel,
    champion: ValuationModel | None,
    columns: Columns,
    price: Floats,
    as_of: date,
    policy: DuelPolicy,
    trial: ServiceTrial | None = None,
) -> list[Criterion]:
    """The answers of the challenger to all gates that apply, in the order of `gates.GATES`.

    Args:
        challenger: the model that may take over.
        champion: the model in production; without one the relative gates are not asked.
        columns: the inputs of n listings that neither model learned from, each (n,). Of more than
            `policy.max_rows` that many are drawn at random.
        price: as listed, dollars, shape (n,), n >= 1, all positive.
        as_of: the date that the data speaks for.
        policy: the limits.
        trial: what the service's own code made of the challenger; without it the gates of the
            service are not asked.

    Raises:
        ValueError: no rows, or a price that is not positive.
    """
    if len(price) > policy.max_rows:
        columns, price = draw_listings(columns, price, policy.max_rows)
    listings = ScoredListings.by(challenger, columns, price)
    comparison = None
    if champion is not None:
        before = ScoredListings.by(champion, columns, price)
        comparison = ModelComparison(listings, before, champion.price_range, policy)
    context = DuelContext(challenger, listings, comparison, trial, policy, as_of)
    return [gate.judge(context) for gate in gates.GATES if gate.applies(context)]


@dataclass(frozen=True)
class Verdict:
    """What follows from a duel.

    decision: "promoted" or "rejected". rule: the gate that failed first, or "first model",
    "champion unreadable", "clearly better". reason: in English. details: code, params and message
    of each gate that failed, or of what settled a promotion.
    """

    decision: str
    rule: str
    reason: str
    details: list[dict[str, Any]]


def verdict(
    criteria: Sequence[Criterion],
    has_champion: bool,
    unreadable: CodedMessage | None = None,
) -> Verdict:
    """Promote a challenger that passed every gate, or reject it.

    Args:
        criteria: the answers, in the order of the gates.
        has_champion: whether a champion was met.
        unreadable: why the champion could not be met, where this code can't read it.
    """
    failed = [criterion for criterion in criteria if not criterion.passed]
    if failed:
        reason = " ".join(_sentence(criterion.words) for criterion in failed)
        if [criterion.name for criterion in failed] == ["accuracy"]:
            reason = f"Not clearly more accurate: {failed[0].words}."
        return Verdict("rejected", failed[0].name, reason, [_detail(each) for each in failed])
    words = {criterion.name: criterion.words for criterion in criteria}
    if has_champion:
        won = message("clearly_better", gates=len(criteria))
        reason = f"Clearly more accurate: {words['accuracy']}. {_sentence(words['rmse'])}"
        return Verdict("promoted", "clearly better", f"{reason} {won.text}", [won.to_dict()])
    shown = f"{_sentence(words['leak_canary'])} {_sentence(words['coverage'])}"
    if unreadable is not None:
        passed = message("passed_absolute_gates", gates=len(criteria))
        reason = f"{unreadable.text} {passed.text} {shown}"
        details = [unreadable.to_dict(), passed.to_dict()]
        return Verdict("promoted", "champion unreadable", reason, details)
    first = message("first_champion", gates=len(criteria))
    return Verdict("promoted", "first model", f"{first.text} {shown}", [first.to_dict()])


def _detail(criterion: Criterion) -> dict[str, Any]:
    return {
        "code": criterion.name,
        "params": criterion.figures,
        "message": _sentence(criterion.words),
    }


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
