"""Why a home is valued as it is: exact SHAP values, by feature, by what was entered, in dollars."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtor_model.features import INPUTS_OF
from realtor_model.listing import INPUTS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """The contributions to n valuations.

    base_log: log price from which all homes start. contributions_log: (n, n_features), by
    `feature_names`; base_log plus a row's sum is its predicted_log (n,). by_input_log and
    by_input_dollars: (n, n_inputs), added up by what a person entered (`inputs`); `base_price` plus
    a row's dollars is its price.
    """

    base_log: float
    predicted_log: Floats
    feature_names: tuple[str, ...]
    contributions_log: Floats
    inputs: tuple[str, ...]
    by_input_log: Floats
    by_input_dollars: Floats

    @property
    def base_price(self) -> float:
        """The price from which all homes start, dollars."""
        return float(np.exp(self.base_log))

    @property
    def additivity_error(self) -> Floats:
        """|base + contributions - prediction| (n,), log dollars: rounding only."""
        total = self.base_log + self.contributions_log.sum(axis=1)
        error: Floats = np.abs(total - self.predicted_log)
        return error


def explain(
    base_log: float,
    contributions_log: Floats,
    predicted_log: Floats,
    feature_names: Sequence[str],
) -> Explanation:
    """Add SHAP values (n, n_features) up by input, and put them into dollars.

    A log dollar of a home is worth (price - base price) / (log price - log base price), the
    logarithmic mean of the two prices, whatever input it comes from: so the dollars are exactly
    additive, and no order of the inputs is preferred (B. W. Ang, "LMDI", Energy Policy 33, 2005).
    """
    entered = {name: inputs[0] for name, inputs in INPUTS_OF.items()}
    inputs = tuple(name for name in INPUTS if name in set(entered.values()))
    member = np.zeros((len(feature_names), len(inputs)))
    for row, name in enumerate(feature_names):
        member[row, inputs.index(entered[name])] = 1.0
    by_input = contributions_log @ member
    moved = contributions_log.sum(axis=1)
    # expm1(m) / m tends to 1 as m does to 0.
    growth = np.divide(np.expm1(moved), moved, out=np.ones_like(moved), where=moved != 0.0)
    return Explanation(
        base_log=base_log,
        predicted_log=predicted_log,
        feature_names=tuple(feature_names),
        contributions_log=contributions_log,
        inputs=inputs,
        by_input_log=by_input,
        by_input_dollars=by_input * (np.exp(base_log) * growth)[:, None],
    )
