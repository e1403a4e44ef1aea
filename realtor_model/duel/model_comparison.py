"""Two models on the same listings."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from realtor_model import sampling
from realtor_model.duel.duel_policy import DuelPolicy
from realtor_model.evaluation.scored_listings import ScoredListings

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ModelComparison:
    """Challenger (`after`) and champion (`before`) on the same n listings.

    champion_range: lowest and highest price that the champion learned from, dollars.
    """

    after: ScoredListings
    before: ScoredListings
    champion_range: tuple[float, float]
    policy: DuelPolicy

    @property
    def price(self) -> Floats:
        """The prices (n,), dollars."""
        return self.after.price

    @cached_property
    def closer(self) -> Floats:
        """|log error| of the challenger less the champion's (n,): below 0 it is closer."""
        return log_error(self.after) - log_error(self.before)

    @cached_property
    def far_better(self) -> bool:
        """Whether the challenger is more accurate by so much, and by more than chance."""
        change = float(self.closer.mean() / np.maximum(log_error(self.before).mean(), 1e-12))
        everything = np.ones(len(self.price), bool)
        return (
            change <= -self.policy.far_better
            and self.interval(everything, self.policy.confidence)[1] < 0.0
        )

    @cached_property
    def share_outside_training_range(self) -> float:
        """Share of the prices that lie outside those that the champion learned from."""
        low, high = self.champion_range
        # Rounding of the logarithm must not put the highest price above itself.
        outside = (self.price < low * (1 - 1e-9)) | (self.price > high * (1 + 1e-9))
        return float(outside.mean())

    @property
    def out_of_range_exemption(self) -> str:
        """Why comparisons home by home hold nothing against the challenger; "" where they do."""
        if self.share_outside_training_range <= self.policy.max_foreign_share:
            return ""
        low, high = self.champion_range
        return (
            f"{self.share_outside_training_range:.0%} of these prices lie outside the champion's "
            f"training range (${low:,.0f} to ${high:,.0f}), where its estimates can't be right: "
            "this is no reason against the challenger; "
        )

    def interval(self, rows: Mask, level: float) -> tuple[float, float]:
        """Bootstrap interval (percentile method) of the mean of `closer` over `rows` (n,)."""
        return sampling.mean_interval(
            self.closer[rows], self.policy.resamples, sampling.tails_of(level)
        )


def log_error(judged: ScoredListings) -> Floats:
    """|log estimate - log price| of each listing, (n,)."""
    error: Floats = np.abs(np.log(judged.predicted) - np.log(judged.price))
    return error


def mean_width(judged: ScoredListings) -> float:
    """Mean width of the ranges relative to the estimate."""
    return float(np.mean((judged.high - judged.low) / judged.predicted))
