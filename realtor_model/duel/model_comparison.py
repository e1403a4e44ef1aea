"""Two models on the same listings."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from realtor_model.duel.duel_policy import DuelPolicy
from realtor_model.evaluation.scored_listings import ScoredListings

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

RESAMPLES = 1_000


@dataclass(frozen=True)
class ModelComparison:
    """Challenger (`after`) and champion (`before`) on the same n listings."""

    after: ScoredListings
    before: ScoredListings
    champion_range: tuple[float, float]
    policy: DuelPolicy

    @property
    def price(self) -> Floats:
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
        return change <= -self.policy.far_better and self.interval(everything, 0.95)[1] < 0.0

    @cached_property
    def foreign(self) -> float:
        """Share of the prices that lie outside those that the champion learned from."""
        low, high = self.champion_range
        # Rounding of the logarithm must not put the highest price above itself.
        outside = (self.price < low * (1 - 1e-9)) | (self.price > high * (1 + 1e-9))
        return float(outside.mean())

    @property
    def trap(self) -> str:
        """Why comparisons by home hold nothing against the challenger; "" where they do."""
        if self.foreign <= self.policy.max_foreign_share:
            return ""
        low, high = self.champion_range
        return (
            f"{self.foreign:.0%} of these prices lie outside what the champion learned "
            f"(${low:,.0f} to ${high:,.0f}), where it can't be right: this is no reason against "
            "the challenger; "
        )

    def interval(self, rows: Mask, level: float) -> tuple[float, float]:
        """Bootstrap interval (percentile method) of the mean of `closer` over `rows`."""
        values = self.closer[rows]
        generator = np.random.default_rng(0)
        means = [
            values[generator.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)
        ]
        low, high = np.quantile(means, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        return float(low), float(high)


def log_error(judged: ScoredListings) -> Floats:
    error: Floats = np.abs(np.log(judged.predicted) - np.log(judged.price))
    return error


def mean_width(judged: ScoredListings) -> float:
    return float(np.mean((judged.high - judged.low) / judged.predicted))
