"""Explanations of valuations: exact SHAP values by feature, by input, and in dollars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from realtor_model.features import features_of
from realtor_model.listing import US_LISTINGS, ListingContract

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """SHAP values of n valuations; all arrays are float64.

    Attributes:
        base_log: log price (log dollars) that all homes start from.
        predicted_log: (n,) log prices.
        feature_names: names of the features.
        contributions_log: (n, n_features) SHAP values, log dollars. base_log plus a row's sum is
            its predicted_log.
        inputs: keys of all inputs that a feature is computed from.
        by_input_log: (n, n_inputs) log dollars, the SHAP values summed by input.
        by_input_dollars: (n, n_inputs) dollars. base_price plus a row's sum is its price.
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
        """Price that all homes start from, dollars."""
        return float(np.exp(self.base_log))

    @property
    def additivity_error(self) -> Floats:
        """|base + contributions - prediction| (n,), log dollars: the rounding error."""
        total = self.base_log + self.contributions_log.sum(axis=1)
        error: Floats = np.abs(total - self.predicted_log)
        return error


def explain(
    base_log: float,
    contributions_log: Floats,
    predicted_log: Floats,
    feature_names: Sequence[str],
    contract: ListingContract = US_LISTINGS,
) -> Explanation:
    """Sum the SHAP values by input, and convert them into dollars.

    The factor from log dollars to dollars is the logarithmic mean of price and base price,
    (price - base price) / (log price - log base price), the same for all inputs of a home. So the
    dollars are exactly additive and do not depend on an order of the inputs (B. W. Ang, "LMDI",
    Energy Policy 33, 2005).

    Args:
        base_log: log price that all homes start from.
        contributions_log: (n, n_features) float64, SHAP values, log dollars.
        predicted_log: (n,) float64, log prices.
        feature_names: names of the features.
        contract: of the market. A feature counts for the first of its inputs that the market has.

    Raises:
        KeyError: the market has no such feature.

    >>> contributions = np.array([[np.log(2.0), 0.0]])
    >>> explanation = explain(np.log(1e5), contributions, np.log([2e5]), ["log_house_size", "bed"])
    >>> dollars = dict(zip(explanation.inputs, explanation.by_input_dollars[0].tolist()))
    >>> round(dollars["house_size"], 2), dollars["bed"]
    (100000.0, 0.0)
    """
    entered = _input_of(contract)
    inputs = tuple(key for key in contract.keys if key in set(entered.values()))
    member = np.zeros((len(feature_names), len(inputs)))
    for row, name in enumerate(feature_names):
        member[row, inputs.index(entered[name])] = 1.0
    by_input = contributions_log @ member
    moved = contributions_log.sum(axis=1)
    # The limit of expm1(m) / m at m = 0 is 1.
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


def counted_for_place(
    explanation: Explanation, placed_by: Mapping[str, NDArray[np.bool_]]
) -> Explanation:
    """The explanation with the contributions of missing place inputs counted for a given one.

    A zip code gives a missing state, say: what the state contributes is the zip code's.

    Args:
        explanation: of n valuations, or of one, which is repeated for each row of `placed_by`.
        placed_by: key -> mask (n,) of the rows that have the input, the narrowest input first. The
            first that a row has gets what the missing ones contribute. A row with none stays.
    """
    at = {key: i for i, key in enumerate(explanation.inputs) if key in placed_by}
    keys = [key for key in placed_by if key in at]
    if not keys:
        return explanation
    columns = np.array([at[key] for key in keys])
    given = np.column_stack([placed_by[key] for key in keys])
    receiver = columns[given.argmax(axis=1)]
    missing = ~given & given.any(axis=1, keepdims=True)

    def counted(amounts: Floats) -> Floats:
        amounts = np.broadcast_to(amounts, (len(given), amounts.shape[1])).copy()
        moved = np.where(missing, amounts[:, columns], 0.0)
        amounts[:, columns] -= moved
        amounts[np.arange(len(given)), receiver] += moved.sum(axis=1)
        return amounts

    return replace(
        explanation,
        by_input_log=counted(explanation.by_input_log),
        by_input_dollars=counted(explanation.by_input_dollars),
    )


@cache
def _input_of(contract: ListingContract) -> Mapping[str, str]:
    """Feature -> the input that it counts for: the first of its inputs that the market has.

    Features of inputs that it lacks are nearly constant; they count for what places a home.
    """
    declared = {column.key for column in contract.inputs}
    return {
        name: next((key for key in keys if key in declared), contract.places[0].key)
        for name, keys in features_of(contract).inputs_of.items()
    }
