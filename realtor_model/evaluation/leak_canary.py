"""Signs of a leak: features or models that know more about the price than they honestly can.

Honest models of these data reach an R2 of log price of 0.6 to 0.8 and a median error above 10 %.
The limits of a model are the duel's (`DuelPolicy`), those of features stand here.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from realtor_model.features import Columns, features_of, property_fold
from realtor_model.listing import US_LISTINGS, ListingContract

Floats = NDArray[np.float64]
Featurise = Callable[[Columns, Floats], NDArray[np.float32]]

MAX_FEATURE_R2 = 0.90
MAX_PERMUTED_R2 = 0.05
# Enough rows to find a leak with, and few enough for seconds.
PERMUTED_ROWS = 20_000


def strongest_feature(
    x: NDArray[np.float32], price: Floats, feature_names: Iterable[str]
) -> tuple[str, float]:
    """The feature that explains most of log price by rank alone, and how much (R2).

    Ranks (Spearman): a leak need not be linear in log price.
    """
    target = _ranks(np.log(price))
    names = tuple(feature_names)
    r2 = [_squared_correlation(_ranks(x[:, i]), target) for i in range(len(names))]
    best = int(np.argmax(r2))
    return names[best], r2[best]


def permuted_r2(featurise: Featurise, columns: Columns, price: Floats, *, seed: int = 0) -> float:
    """R2 of log price, in homes held out, of features and a model made of shuffled prices.

    Shuffled, a price goes with nothing about its home, so 0 or below is honest. A feature that has
    seen its own row's price (a target mean that is not out-of-fold, price per square foot) still
    reveals it, however far from linear.

    Args:
        featurise: columns and price (n,) of train rows to their matrix (n, n_features), as training
            makes it.
        columns, price: n train rows, by preference `PERMUTED_ROWS` drawn at random.
    """
    shuffled = np.random.default_rng(seed).permutation(price)
    x, y = featurise(columns, shuffled), np.log(shuffled)
    learned = property_fold(columns, 2, seed) == 0
    model = HistGradientBoostingRegressor(max_iter=30, early_stopping=False, random_state=seed)
    error = model.fit(x[learned], y[learned]).predict(x[~learned]) - y[~learned]
    return float(1.0 - np.sum(error**2) / np.sum((y[~learned] - y[~learned].mean()) ** 2))


def not_computable(
    feature_names: Iterable[str], contract: ListingContract = US_LISTINGS
) -> list[str]:
    """Features that no inputs of a request make: they can't be there when a home is valued."""
    inputs_of = features_of(contract).inputs_of
    return [
        name for name in feature_names if not set(inputs_of.get(name, ("?",))) <= {*contract.keys}
    ]


def too_good(metrics: Mapping[str, float], *, max_r2_log: float, min_mdape: float) -> list[str]:
    """Which of a model's held-out metrics are better than an honest model's, a sentence for each.

    Args:
        metrics: r2_log and mdape, as `regression_metrics` returns them.
        max_r2_log: highest R2 of log price that an honest model reaches.
        min_mdape: lowest median absolute percentage error, a fraction.

    >>> too_good({"r2_log": 0.95, "mdape": 0.16}, max_r2_log=0.93, min_mdape=0.06)
    ['R2 of log price is 0.950, above 0.93']
    """
    reasons = []
    if metrics["r2_log"] > max_r2_log:
        reasons.append(f"R2 of log price is {metrics['r2_log']:.3f}, above {max_r2_log}")
    if metrics["mdape"] < min_mdape:
        reasons.append(f"median error is {metrics['mdape']:.1%}, below {min_mdape:.0%}")
    return reasons


def _ranks(values: NDArray[np.floating]) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    # Equal values share their mean rank.
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return ranks


def _squared_correlation(one: Floats, other: Floats) -> float:
    if one.std() == 0.0 or other.std() == 0.0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1] ** 2)
