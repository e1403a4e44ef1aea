"""Comparable sales of a home, and their prices adjusted to it.

Similarity is the share of trees in which two homes fall into the same leaf (Cook County Assessor's
Office, "Comparables", ccao-data/model-res-avm). It weighs features by their effect on the price,
but ignores distance. So it ranks only the sales within a radius, and the radius grows until it
holds enough sales.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.estimators import Estimator
from realtor_model.features import Columns, FeatureEncoder, columns_from_frame, take
from realtor_model.features.place_context import on_sphere
from realtor_model.listing import TARGET, US_LISTINGS, ListingContract
from realtor_model.valuation.explanation import Explanation

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

MOST_HOMES = 50_000
KM_PER_MILE = 1.609344
# Miles, in the order in which they are tried; the first covers the home's own zip. Distances are
# between the homes where they have coordinates, else between the centres of their zips.
RADII = (0.5, 3.0, 6.0, 12.0, 25.0, 50.0, 100.0)
# The radius stops growing when it holds this many sales.
ENOUGH = 30

_ID = "id"


@dataclass(frozen=True)
class SoldHomes:
    """n sales of the train rows, newest first.

    Attributes:
        id: (n,) str, hash of the sale; models trained on the same sale share its id.
        columns: the market's keys (n,) as listed; prev_sold_date is the day of the sale.
        price: (n,) float64, sale prices, dollars.
    """

    id: NDArray[np.object_]
    columns: Columns
    price: Floats

    def __len__(self) -> int:
        return len(self.price)

    @classmethod
    def of(cls, columns: Columns, price: Floats, most: int = MOST_HOMES) -> Self:
        """Select the newest dated sales among n listings, without duplicates.

        Args:
            columns: the market's keys (n,); listings that are not sold or have no date are ignored.
            price: (n,) float64, dollars.
            most: upper limit of sales; they come from the newest 2 * `most`, before duplicates
                are dropped.
        """
        dates = columns["prev_sold_date"]
        sold = np.flatnonzero((columns["status"] == "sold") & ~np.isnat(dates))
        newest = sold[np.argsort(-dates[sold].astype(np.int64), kind="stable")]
        chosen = newest[: 2 * most]
        listed = pd.DataFrame({**take(columns, chosen), TARGET: price[chosen]})
        hashed = pd.util.hash_pandas_object(listed, index=False).to_numpy(np.uint64)
        first = np.sort(np.unique(hashed, return_index=True)[1])[:most]
        names = np.array([f"{value:016x}" for value in hashed[first].tolist()], object)
        return cls(names, take(columns, chosen[first]), price[chosen[first]])

    def to_frame(self) -> pd.DataFrame:
        """Table of id, price and the market's keys, one row for each sale."""
        return pd.DataFrame({_ID: self.id, TARGET: self.price, **self.columns})

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, contract: ListingContract = US_LISTINGS) -> Self:
        """Read the sales from a table that `to_frame` made.

        Raises:
            KeyError: a column is missing.
        """
        numbers = {key: np.float64 for key in contract.keys if contract.is_number(key)}
        columns = columns_from_frame(frame.astype(numbers)[list(contract.keys)], contract)
        return cls(frame[_ID].to_numpy(object), columns, frame[TARGET].to_numpy(np.float64))


class Found(NamedTuple):
    """k comparable sales of one home, most similar first.

    Attributes:
        rows: (k,) intp, positions among the sold homes.
        similarity: (k,) float64, from 0 to 1.
        miles: (k,) float64, distances from the home.
        radius: miles; the sales within it were ranked.
        within: number of sales that were ranked.
    """

    rows: Rows
    similarity: Floats
    miles: Floats
    radius: float
    within: int


class Neighbourhoods:
    """Index of the sold homes: the location and the leaves of each, computed once.

    Args:
        sold: n sales.
        encoder: the model's encoder; it gives locations and features.
        estimator: the model's estimator; it gives the leaves.
    """

    def __init__(self, sold: SoldHomes, encoder: FeatureEncoder, estimator: Estimator) -> None:
        self._encoder = encoder
        self._estimator = estimator
        self._id = sold.id
        self._street, self._zip_code = sold.columns["street"], sold.columns["zip_code"]
        self._points = on_sphere(encoder.coordinates(sold.columns))
        matrix = encoder.transform(sold.columns)
        leaves = estimator.leaves(matrix)
        if leaves is None:
            # Models without trees: similarity is by distance of standardised features.
            self._scale = np.maximum(matrix.std(axis=0), 1e-6) if len(matrix) else np.float32(1.0)
            self._seen: NDArray[Any] = matrix / self._scale
        else:
            # uint8 where it suffices: each answer compares a quarter of a million leaves.
            self._seen = leaves.astype(np.uint8) if leaves.max(initial=0) < 256 else leaves

    def like(self, columns: Columns, count: int, exclude: Collection[str] = ()) -> Found:
        """Find the `count` sales most similar to a home, within the smallest sufficient radius.

        Sales of the home itself (same street and zip) are left out.

        Args:
            columns: the market's keys of one home, arrays (1,).
            count: sales wanted; fewer are returned where the largest radius holds fewer.
            exclude: ids of sales to leave out.
        """
        point = on_sphere(self._encoder.coordinates(columns))[0]
        miles = np.sqrt(((self._points - point) ** 2).sum(axis=1)) / KM_PER_MILE
        if exclude:
            miles[np.isin(self._id, list(exclude))] = np.inf
        # A missing street (NaN) equals no other.
        itself = self._street == columns["street"][0]
        miles[itself & (self._zip_code == columns["zip_code"][0])] = np.inf
        radius, within = RADII[-1], np.empty(0, np.intp)
        for radius in RADII:
            within = np.flatnonzero(miles <= radius)
            if len(within) >= max(ENOUGH, count):
                break
        similarity = self._similarity(self._encoder.transform(columns), within)
        best = np.argsort(-similarity, kind="stable")[:count]
        rows = within[best]
        return Found(rows, similarity[best], miles[rows], radius, len(within))

    def _similarity(self, x: NDArray[np.float32], rows: Rows) -> Floats:
        """Similarities (k,), from 0 to 1, of the sales `rows` (k,) to the one home `x`."""
        leaves = self._estimator.leaves(x)
        if leaves is None:
            gap = self._seen[rows] - x[0] / self._scale
            distance: Floats = np.sqrt((gap.astype(np.float64) ** 2).mean(axis=1))
            return 1.0 / (1.0 + distance)
        similarity: Floats = (self._seen[rows] == leaves[0]).mean(axis=1)
        return similarity


@dataclass(frozen=True)
class Comparison:
    """Sales comparison of one home with k sales.

    Attributes:
        found: the sales, with similarity and distance.
        price: (k,) float64, sale prices, dollars.
        inputs: names of the m inputs.
        adjustments: (k, m) float64, dollars, for the difference of each input from the home's. A
            row sums to adjusted_price - price.
        adjusted_price: (k,) float64, dollars, the sale price after all adjustments.
    """

    found: Found
    price: Floats
    inputs: tuple[str, ...]
    adjustments: Floats
    adjusted_price: Floats

    @property
    def net(self) -> Floats:
        """Net adjustment (k,): the sum of a sale's adjustments, relative to its price."""
        return self.adjusted_price / self.price - 1.0

    @property
    def gross(self) -> Floats:
        """Gross adjustment (k,): the sum of a sale's absolute adjustments, relative to its price.

        A large gross adjustment means that the sale is a weak comparable.
        """
        gross: Floats = np.abs(self.adjustments).sum(axis=1) / self.price
        return gross


def adjust(home: Explanation, sales: Explanation, price: Floats, found: Found) -> Comparison:
    """Adjust the prices of k sales to a home by the differences of their SHAP values.

    In log price, the differences of a sale sum to the difference of the two valuations. The
    logarithmic mean of price and adjusted price converts them into dollars, as in
    `explanation.explain`.

    Args:
        home: explanation of one home; of k rows where its inputs count differently beside each
            sale (`explanation.counted_for_place`).
        sales: explanations of the k sales, with the same inputs.
        price: (k,) float64, sale prices, dollars.
        found: the k sales, for the result.

    >>> def explanation(house_size: list[float]) -> Explanation:
    ...     by_input = np.array(house_size)[:, None]
    ...     log_price = 12.0 + by_input[:, 0]
    ...     return Explanation(12.0, log_price, (), by_input, ("house_size",), by_input, by_input)
    >>> found = Found(np.array([0]), np.array([0.9]), np.array([0.2]), 0.5, 1)
    >>> home, sale = explanation([np.log(1.2)]), explanation([np.log(1.0)])
    >>> comparison = adjust(home, sale, np.array([200_000.0]), found)
    >>> comparison.adjusted_price.round(), comparison.adjustments.round()
    (array([240000.]), array([[40000.]]))
    """
    difference = home.by_input_log - sales.by_input_log
    moved = difference.sum(axis=1)
    growth = np.divide(np.expm1(moved), moved, out=np.ones_like(moved), where=moved != 0.0)
    return Comparison(
        found=found,
        price=price,
        inputs=home.inputs,
        adjustments=difference * (price * growth)[:, None],
        adjusted_price=price * np.exp(moved),
    )
