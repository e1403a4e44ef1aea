"""The duel: every criterion in turn, and the verdict."""

from datetime import date

import numpy as np
from numpy.typing import NDArray

from realtor_model.duel import absolute_criteria, relative_criteria
from realtor_model.duel.duel_policy import Criterion, DuelPolicy
from realtor_model.duel.model_comparison import ModelComparison
from realtor_model.evaluation.scored_listings import ScoredListings
from realtor_model.features import Columns, take
from realtor_model.valuation.valuation_model import ValuationModel

Floats = NDArray[np.float64]

MOST_ROWS = 50_000


def duel(
    challenger: ValuationModel,
    champion: ValuationModel | None,
    columns: Columns,
    price: Floats,
    as_of: date,
    policy: DuelPolicy,
) -> list[Criterion]:
    """The criteria in the order in which they are judged; without a champion the absolute ones.

    Args:
        columns, price: n listings that neither model learned from, as listed; dollars. Of more than
            50,000 as many are drawn at random.
        as_of: the date that the data speaks for.

    Raises:
        ValueError: no rows, or a price that is not positive.
    """
    if len(price) > MOST_ROWS:
        chosen = np.random.default_rng(0).permutation(len(price))[:MOST_ROWS]
        columns, price = take(columns, chosen), price[chosen]
    after = ScoredListings.by(challenger, columns, price)
    absolute = [
        absolute_criteria.monotone(challenger, columns, policy),
        absolute_criteria.unknown_and_missing(challenger, columns),
        absolute_criteria.golden_homes(challenger, policy),
    ]
    if champion is None:
        return [
            absolute_criteria.leak_canary(after),
            absolute_criteria.coverage(after, None, policy),
            *absolute,
        ]
    meeting = ModelComparison(
        after, ScoredListings.by(champion, columns, price), champion.price_range, policy
    )
    return [
        absolute_criteria.leak_canary(after),
        relative_criteria.accuracy(meeting),
        relative_criteria.rmse(meeting),
        relative_criteria.sold_and_newest(meeting, as_of),
        relative_criteria.median_ratio(meeting, as_of),
        relative_criteria.vertical_equity(meeting),
        relative_criteria.segments(meeting),
        absolute_criteria.coverage(after, meeting, policy),
        *absolute,
        relative_criteria.stability(meeting),
    ]


def verdict(criteria: list[Criterion], has_champion: bool) -> tuple[str, str, str]:
    """Decision ("promoted" or "rejected"), the rule that settled it, and the reason in words."""
    failed = [criterion for criterion in criteria if not criterion.passed]
    if failed:
        told = " ".join(_sentence(criterion.words) for criterion in failed)
        if [criterion.name for criterion in failed] == ["accuracy"]:
            told = f"Not clearly more accurate: {failed[0].words}."
        return "rejected", failed[0].name, told
    words = {criterion.name: criterion.words for criterion in criteria}
    if not has_champion:
        return (
            "promoted",
            "first model",
            "There was no model in Production; the first one becomes the baseline, having passed "
            f"all {len(criteria)} criteria. {_sentence(words['leak_canary'])} "
            f"{_sentence(words['coverage'])}",
        )
    return (
        "promoted",
        "clearly better",
        f"Clearly more accurate: {words['accuracy']}. {_sentence(words['rmse'])} "
        f"All {len(criteria)} criteria are passed.",
    )


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
