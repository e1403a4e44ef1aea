"""Ratio statistics of a file: how its estimates compare with its prices.

The definitions are those of the International Association of Assessing Officers (IAAO), Standard on
Ratio Studies, 2013, section 5. A ratio is estimate / price.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Of fewer homes, the figures depend on single ones.
LEAST_HOMES = 10


class RatioStatistics(NamedTuple):
    """The figures of n homes.

    Attributes:
        homes: n.
        median_ratio: 1 if half of the estimates are above their prices.
        cod: coefficient of dispersion, percent.
        prd: price-related differential.
    """

    homes: int
    median_ratio: float
    cod: float
    prd: float


def ratio_statistics(
    estimates: NDArray[np.float64], prices: NDArray[np.float64]
) -> RatioStatistics | None:
    """The ratio statistics of the homes with an estimate and a price.

    Args:
        estimates: dollars, shape (n,), NaN where missing.
        prices: dollars, shape (n,), NaN where missing.

    Returns:
        None if fewer than `LEAST_HOMES` homes have both.

    >>> estimates = np.array([90.0, 100.0, 110.0] * 4)
    >>> statistics = ratio_statistics(estimates, np.full(12, 100.0))
    >>> statistics.homes, statistics.median_ratio, round(statistics.cod, 1), statistics.prd
    (12, 1.0, 6.7, 1.0)
    >>> ratio_statistics(estimates[:9], np.full(9, 100.0)) is None
    True
    """
    both = (estimates > 0) & (prices > 0)
    if np.count_nonzero(both) < LEAST_HOMES:
        return None
    estimated, paid = estimates[both], prices[both]
    ratios = estimated / paid
    return RatioStatistics(
        len(ratios),
        float(np.median(ratios)),
        coefficient_of_dispersion(ratios),
        price_related_differential(estimated, paid),
    )


def coefficient_of_dispersion(ratios: NDArray[np.float64]) -> float:
    """Coefficient of dispersion (COD), in percent; lower is more uniform.

    100 · mean |ratio - median ratio| / median ratio (IAAO, 2013, 5.3.1). 5 to 15 is usual for
    single-family homes.

    Args:
        ratios: shape (n,), n >= 1, all positive.

    >>> round(coefficient_of_dispersion(np.array([0.9, 1.0, 1.1])), 1)
    6.7
    """
    median = np.median(ratios)
    return float(100.0 * np.mean(np.abs(ratios - median)) / median)


def price_related_differential(
    estimates: NDArray[np.float64], prices: NDArray[np.float64]
) -> float:
    """Price-related differential (PRD); above 1, expensive homes are valued too low.

    Mean ratio / (sum of estimates / sum of prices) (IAAO, 2013, 5.6.1).

    Args:
        estimates: shape (n,), n >= 1, all positive.
        prices: shape (n,), all positive.

    >>> round(price_related_differential(np.array([100.0, 160.0]), np.array([100.0, 200.0])), 3)
    1.038
    """
    return float(np.mean(estimates / prices) / (estimates.sum() / prices.sum()))
