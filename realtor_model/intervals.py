"""Ranges around a valuation: split conformal prediction on the residuals of log price.

Mondrian (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005): one quantile of
the absolute residual for each fifth of the predicted price, so that cheap and dear homes are each
covered as often as promised. One quantile for all covers the cheapest fifth far too rarely.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GROUPS = 5
# With fewer calibration rows in each group its quantile is noise: then there is one group.
MIN_GROUP_ROWS = 50


@dataclass(frozen=True)
class ConformalInterval:
    """Half widths in log dollars, by group of predicted log price.

    coverage: share of homes whose price should lie inside. edges: what parts the groups, ascending,
    one fewer than half_widths. A prediction on an edge belongs to the group above.
    """

    coverage: float
    edges: tuple[float, ...]
    half_widths: tuple[float, ...]

    @classmethod
    def fit(cls, log_predicted: Floats, log_price: Floats, coverage: float = 0.8) -> Self:
        """Calibrate on rows (n,) that the model did not learn from.

        Raises:
            ValueError: no rows, lengths that differ, or a coverage outside (0, 1).
        """
        if not 0.0 < coverage < 1.0:
            raise ValueError(f"coverage is {coverage}; it must lie between 0 and 1")
        if not 0 < len(log_predicted) == len(log_price):
            raise ValueError("an interval needs calibration rows, each with a price")
        groups = GROUPS if len(log_predicted) >= GROUPS * MIN_GROUP_ROWS else 1
        # Forests and held predictions repeat values: equal edges would make empty groups.
        edges = np.unique(np.quantile(log_predicted, np.arange(1, groups) / groups))
        member = np.searchsorted(edges, log_predicted, side="right")
        sizes = np.bincount(member, minlength=len(edges) + 1)
        if sizes.min() < MIN_GROUP_ROWS:
            edges, member = edges[:0], np.zeros_like(member)
        residual = np.abs(log_price - log_predicted)
        half_widths = [
            _conformal_quantile(residual[member == group], coverage)
            for group in range(len(edges) + 1)
        ]
        return cls(coverage, tuple(map(float, edges)), tuple(half_widths))

    def half_width(self, log_predicted: Floats) -> Floats:
        """Half width (n,), log dollars, of the interval around each prediction (n,)."""
        member = np.searchsorted(np.array(self.edges), log_predicted, side="right")
        return np.array(self.half_widths)[member]

    def interval(self, log_predicted: Floats) -> tuple[Floats, Floats]:
        """Lower and upper end (n,) of the interval of each prediction (n,), all log dollars."""
        half = self.half_width(log_predicted)
        return log_predicted - half, log_predicted + half

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The interval that `to_dict` described."""
        return cls(values["coverage"], tuple(values["edges"]), tuple(values["half_widths"]))


def _conformal_quantile(residual: Floats, coverage: float) -> float:
    """The ceil((n + 1) * coverage)-th smallest residual, or the largest when there are too few."""
    rank = int(np.ceil((len(residual) + 1) * coverage))
    return float(np.sort(residual)[min(rank, len(residual)) - 1])
