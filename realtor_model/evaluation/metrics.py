"""Figures of a model's estimates: errors, appraisal ratios, and two models compared in pairs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model import sampling

Floats = NDArray[np.float64]

_SEGMENT_FIGURES = (
    "mdape", "within_20", "rmse", "mae", "median_ratio", "cod", "prd", "prb",
)  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """One of the `regression_metrics`: its name there, and what people call it."""

    name: str
    label: str


# The metric that says which of several models is best: of candidates, of a search's trials, and of
# champion and challenger. Lower is better. docs/MODEL.md says why.
SELECTION_METRIC = Metric("mae_log", "mean absolute error of log price")


def regression_metrics(price: Floats, predicted: Floats) -> dict[str, float]:
    """Errors of estimates against sale or asking prices.

    Args:
        price: dollars, shape (n,), n >= 1, all positive.
        predicted: the estimate of each price, dollars, shape (n,), all positive.

    Returns:
        n; rmse, mae (dollars); r2; mape, mdape (mean and median of |error| / price); within_10,
        within_20 (share of homes with that relative error or less); r2_log, rmse_log, mae_log (of
        log price). The r2 of prices that are all equal is 0.

    Raises:
        ValueError: no rows, lengths that differ, or a value that is not positive.

    >>> figures = regression_metrics(np.array([100.0, 200.0]), np.array([110.0, 160.0]))
    >>> round(figures["mdape"], 3), round(figures["mae"], 1), figures["within_10"]
    (0.15, 25.0, 0.5)
    """
    _require_positive(price, predicted)
    error = predicted - price
    relative = np.abs(error) / price
    log_error = np.log(predicted) - np.log(price)
    return {
        "n": float(len(price)),
        "rmse": _root_mean_square(error),
        "mae": float(np.mean(np.abs(error))),
        "r2": _r2(price, error),
        "mape": float(np.mean(relative)),
        "mdape": float(np.median(relative)),
        "within_10": float(np.mean(relative <= 0.10)),
        "within_20": float(np.mean(relative <= 0.20)),
        "r2_log": _r2(np.log(price), log_error),
        "rmse_log": _root_mean_square(log_error),
        "mae_log": float(np.mean(np.abs(log_error))),
    }


def ratio_study(price: Floats, predicted: Floats) -> dict[str, float]:
    """The appraiser's statistics of the ratios estimate / price.

    Formulas: International Association of Assessing Officers, Standard on Ratio Studies (2013),
    sections 5.3 to 5.6 and appendix D.

    Args:
        price: dollars, shape (n,), n >= 1, all positive.
        predicted: the estimate of each price, dollars, shape (n,), all positive.

    Returns:
        n.
        median_ratio: the level of the estimates; 1 is right.
        cod: coefficient of dispersion, percent; see `coefficient_of_dispersion`.
        prd: price-related differential, mean ratio / (sum of estimates / sum of prices); above 1
            expensive homes are valued too low.
        prb: coefficient of price-related bias, the slope of (ratio - median) / median on log2 of
            the value, which is half the price plus half the estimate / median ratio: the relative
            change of the ratio when value doubles. 0 when all values are equal.

    Raises:
        ValueError: as `regression_metrics`.

    >>> ratio_study(np.array([100.0, 200.0]), np.array([110.0, 220.0]))["median_ratio"]
    1.1
    """
    _require_positive(price, predicted)
    ratio = predicted / price
    median = float(np.median(ratio))
    log_value = np.log2(0.5 * price + 0.5 * predicted / median)
    centred = log_value - log_value.mean()
    spread = float(centred @ centred)
    deviation = (ratio - median) / median
    return {
        "n": float(len(price)),
        "median_ratio": median,
        "cod": coefficient_of_dispersion(ratio),
        "prd": float(ratio.mean() / (predicted.sum() / price.sum())),
        "prb": float(centred @ deviation / spread) if spread > 0.0 else 0.0,
    }


def coefficient_of_dispersion(ratios: Floats) -> float:
    """Coefficient of dispersion (COD) of appraisal ratios, in percent.

    The mean absolute deviation from the median ratio, relative to it (IAAO, Standard on Ratio
    Studies, 2013, 5.4). Lower is more uniform; 5 to 15 is usual for single-family homes.

    Args:
        ratios: estimate / price, shape (n,), n >= 1, all positive.

    >>> round(coefficient_of_dispersion(np.array([0.9, 1.0, 1.1])), 1)
    6.7
    """
    median = float(np.median(ratios))
    return float(100.0 * np.mean(np.abs(ratios - median)) / median)


def ratio_intervals(
    price: Floats, predicted: Floats, *, seed: int = 0, resamples: int = 1_000
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals (percentile method, whole listings drawn) of `ratio_study`.

    Args:
        price: dollars, shape (n,), n >= 1, all positive.
        predicted: the estimate of each price, dollars, shape (n,), all positive.
        seed: of the generator that draws the listings.
        resamples: how many times n listings are drawn.

    Returns:
        median_ratio, cod, prd and prb, each as (lower end, upper end).

    Raises:
        ValueError: as `regression_metrics`.
    """
    _require_positive(price, predicted)
    studies = [
        ratio_study(price[rows], predicted[rows])
        for rows in sampling.resamples(len(price), resamples, seed)
    ]
    return {
        name: sampling.percentile_interval([study[name] for study in studies])
        for name in ("median_ratio", "cod", "prd", "prb")
    }


@dataclass(frozen=True)
class PairedComparison:
    """Two models on the same `n` listings.

    difference: mean over listings of |log error| of the challenger less the champion's: below 0 the
    challenger is closer. low, high: its 95 % bootstrap interval (percentile method, whole listings
    drawn). champion, challenger: `regression_metrics` of each.
    """

    n: int
    difference: float
    low: float
    high: float
    champion: dict[str, float]
    challenger: dict[str, float]


def paired_comparison(
    price: Floats,
    champion: Floats,
    challenger: Floats,
    *,
    seed: int = 0,
    resamples: int = 1_000,
) -> PairedComparison:
    """Compare two models' estimates of the same prices, listing by listing.

    Args:
        price: dollars, shape (n,), n >= 1, all positive.
        champion: its estimate of each price, dollars, shape (n,), all positive.
        challenger: its estimate of each price, dollars, shape (n,), all positive.
        seed: of the generator that draws the listings.
        resamples: how many times n listings are drawn.

    Raises:
        ValueError: as `regression_metrics`.
    """
    of_champion = regression_metrics(price, champion)
    of_challenger = regression_metrics(price, challenger)
    log_price = np.log(price)
    difference = np.abs(np.log(challenger) - log_price) - np.abs(np.log(champion) - log_price)
    low, high = sampling.mean_interval(difference, resamples, seed=seed)
    return PairedComparison(
        n=len(price),
        difference=float(difference.mean()),
        low=low,
        high=high,
        champion=of_champion,
        challenger=of_challenger,
    )


def slices(price: Floats, predicted: Floats, labels: NDArray[np.object_]) -> pd.DataFrame:
    """The figures of each segment, largest segment first.

    Args:
        price: dollars, shape (n,), all positive.
        predicted: the estimate of each price, dollars, shape (n,), all positive.
        labels: the segment of each listing, shape (n,); None where it has none.

    Returns:
        A row for each segment: segment (text; "missing" where there is no label), n, mdape,
        within_20, rmse, mae, median_ratio, cod, prd, prb. Figures of fewer than some 30 homes are
        mostly chance.

    Raises:
        ValueError: as `regression_metrics`.
    """
    segments = pd.Series(labels, dtype=object)
    segments = segments.where(segments.notna(), "missing").astype(str)
    rows = []
    for segment, members in segments.groupby(segments).indices.items():
        of = (price[members], predicted[members])
        figures = regression_metrics(*of) | ratio_study(*of)
        rows.append(
            {"segment": segment, "n": len(members)}
            | {name: figures[name] for name in _SEGMENT_FIGURES}
        )
    frame = pd.DataFrame(rows, columns=["segment", "n", *_SEGMENT_FIGURES])
    return frame.sort_values(["n", "segment"], ascending=[False, True], ignore_index=True)


def _root_mean_square(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _r2(actual: Floats, error: Floats) -> float:
    total = float(np.sum((actual - actual.mean()) ** 2))
    return 1.0 - float(np.sum(error**2)) / total if total > 0.0 else 0.0


def _require_positive(price: Floats, predicted: Floats) -> None:
    if not 0 < len(price) == len(predicted):
        raise ValueError(f"{len(price)} prices and {len(predicted)} predictions")
    if not (np.all(price > 0) and np.all(predicted > 0)):
        raise ValueError("prices and predictions must be positive")
