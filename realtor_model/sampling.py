"""Random samples, bootstrap intervals and quintiles: one declaration for everybody who needs one.

Every function draws from a generator of its own with a fixed seed, so that the same rows give the
same figures on every machine.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

QUINTILES = 5
# The ends of a 95 % interval.
TAILS_95 = (0.025, 0.975)


def draw_rows(rows: int, at_most: int, seed: int = 0) -> Rows:
    """Positions of `at_most` of `rows` rows, drawn without replacement, in random order.

    Returns:
        Shape (min(rows, at_most),). Of fewer rows than `at_most` all positions, shuffled.

    >>> sorted(draw_rows(3, 10).tolist())
    [0, 1, 2]
    """
    return np.random.default_rng(seed).permutation(rows)[:at_most]


def resamples(rows: int, times: int, seed: int = 0) -> Iterator[Rows]:
    """`times` bootstrap resamples: positions (rows,) of rows drawn with replacement.

    Resamples of the same `rows` and `seed` are the same, so that two estimates over them are
    paired.

    >>> [resample.shape for resample in resamples(4, 2)]
    [(4,), (4,)]
    """
    generator = np.random.default_rng(seed)
    for _ in range(times):
        yield generator.integers(0, rows, rows)


def percentile_interval(
    estimates: ArrayLike, tails: tuple[float, float] = TAILS_95
) -> tuple[float, float]:
    """Bootstrap interval by the percentile method: the quantiles `tails` of the estimates (m,).

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), 13.3.

    >>> percentile_interval(range(41))
    (1.0, 39.0)
    """
    low, high = np.quantile(np.asarray(estimates), tails)
    return float(low), float(high)


def mean_interval(
    values: Floats, times: int, tails: tuple[float, float] = TAILS_95, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of the mean of `values` (n,), n >= 1, over `times` resamples.

    >>> mean_interval(np.array([2.0, 2.0, 2.0]), 10)
    (2.0, 2.0)
    """
    means = [values[rows].mean() for rows in resamples(len(values), times, seed)]
    return percentile_interval(means, tails)


def quintiles(values: Floats) -> NDArray[np.object_]:
    """The quintile of each value: text (n,), "1" (lowest) to "5"; None where the value is NaN.

    A value on the edge of two quintiles belongs to the upper one.

    >>> quintiles(np.array([10.0, 20.0, 30.0, 40.0, np.nan])).tolist()
    ['1', '2', '4', '5', None]
    """
    if np.isnan(values).all():
        return np.full(len(values), None, object)
    edges = np.nanquantile(values, np.arange(1, QUINTILES) / QUINTILES)
    labels = (np.searchsorted(edges, values, side="right") + 1).astype(str).astype(object)
    labels[np.isnan(values)] = None
    return labels


def tails_of(level: float) -> tuple[float, float]:
    """The quantiles at the ends of a central interval that covers `level`.

    >>> tails_of(0.5)
    (0.25, 0.75)
    """
    return (1.0 - level) / 2.0, (1.0 + level) / 2.0
