"""How good a model is: the statistician's errors, the assessor's ratios, the fair duel."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SEGMENT_FIGURES = (
    "mdape", "within_20", "rmse", "mae", "median_ratio", "cod", "prd", "prb",
)  # fmt: skip


def regression_metrics(price: Floats, predicted: Floats) -> dict[str, float]:
    """Errors of `predicted` against `price`, both (n,), dollars, positive.

    Returns:
        n; rmse, mae (dollars); r2; mape, mdape (mean and median of |error| / price); within_10,
        within_20 (share of homes with that relative error or less); r2_log, rmse_log, mae_log (of
        log price). The r2 of prices that are all equal is 0.

    Raises:
        ValueError: no rows, lengths that differ, or values that are not positive.
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
    """The assessor's statistics of the ratios estimate / price, both (n,), dollars, positive.

    Formulas: International Association of Assessing Officers, Standard on Ratio Studies (2013),
    sections 5.3 to 5.6 and appendix D.

    Returns:
        n.
        median_ratio: the level of the estimates; 1 is right.
        cod: coefficient of dispersion, 100 * mean |ratio - median| / median.
        prd: price-related differential, mean ratio / (sum of estimates / sum of prices); above 1
            dear homes are valued too low.
        prb: coefficient of price-related bias, the slope of (ratio - median) / median on log2 of
            the value, which is half the price plus half the estimate / median ratio: the relative
            change of the ratio when value doubles. 0 when all values are equal.

    Raises:
        ValueError: as `regression_metrics`.
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
        "cod": float(100.0 * np.mean(np.abs(ratio - median)) / median),
        "prd": float(ratio.mean() / (predicted.sum() / price.sum())),
        "prb": float(centred @ deviation / spread) if spread > 0.0 else 0.0,
    }


def ratio_intervals(
    price: Floats, predicted: Floats, *, seed: int = 0, resamples: int = 1_000
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals (percentile method, whole listings drawn) of `ratio_study`.

    Returns lower and upper end of median_ratio, cod, prd and prb.

    Raises:
        ValueError: as `regression_metrics`.
    """
    _require_positive(price, predicted)
    generator = np.random.default_rng(seed)
    n = len(price)
    studies = []
    for _ in range(resamples):
        drawn = generator.integers(0, n, n)
        studies.append(ratio_study(price[drawn], predicted[drawn]))
    return {
        name: (
            float(np.quantile([study[name] for study in studies], 0.025)),
            float(np.quantile([study[name] for study in studies], 0.975)),
        )
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
    """Compare two predictions of the same prices, all (n,), dollars, listing by listing.

    Raises:
        ValueError: as `regression_metrics`.
    """
    of_champion = regression_metrics(price, champion)
    of_challenger = regression_metrics(price, challenger)
    log_price = np.log(price)
    difference = np.abs(np.log(challenger) - log_price) - np.abs(np.log(champion) - log_price)
    generator = np.random.default_rng(seed)
    n = len(price)
    means = [difference[generator.integers(0, n, n)].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [0.025, 0.975])
    return PairedComparison(
        n=n,
        difference=float(difference.mean()),
        low=float(low),
        high=float(high),
        champion=of_champion,
        challenger=of_challenger,
    )


def slices(price: Floats, predicted: Floats, labels: NDArray[np.object_]) -> pd.DataFrame:
    """The figures of each segment: one row for each of `labels` (n,), largest segment first.

    Columns: segment (text; "missing" where there is no label), n, mdape, within_20, rmse, mae,
    median_ratio, cod, prd, prb. Figures of fewer than some 30 homes are mostly chance.
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
