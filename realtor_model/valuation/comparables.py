"""Sold homes like the one being valued, and what tells their prices apart.

Likeness is the assessor's leaf similarity: the share of trees in which two homes fall into the same
leaf (Cook County Assessor's Office, "Comparables", ccao-data/model-res-avm). It knows what matters
to the price, but not that a comparable has to be near: so it only ranks the sales of a
neighbourhood, which is widened until there are enough of them.
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
from realtor_model.listing import INPUTS, NUMBERS, TARGET
from realtor_model.valuation.explanation import Explanation

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

MOST_HOMES = 50_000
KM_PER_MILE = 1.609344
# Miles, from the same zip outwards. Distances are those of the centres of zips: listings tell no
# more.
RADII = (0.5, 3.0, 6.0, 12.0, 25.0, 50.0, 100.0)
# So many sales are worth ranking; a wider neighbourhood is not needed then.
ENOUGH = 30

_ID = "id"


@dataclass(frozen=True)
class SoldHomes:
    """n sales of the train rows, the newest first.

    id: (n,) text that names a sale, the same in every model that learned from it. columns: the 11
    inputs as they were listed; prev_sold_date is the day of the sale. price: (n,) dollars.
    """

    id: NDArray[np.object_]
    columns: Columns
    price: Floats

    def __len__(self) -> int:
        return len(self.price)

    @classmethod
    def of(cls, columns: Columns, price: Floats, most: int = MOST_HOMES) -> Self:
        """The newest `most` dated sales among n listings, each of them once."""
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
        """As a table: id, price and the 11 inputs."""
        return pd.DataFrame({_ID: self.id, TARGET: self.price, **self.columns})

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Self:
        """The homes whose `to_frame` this is."""
        typed = frame.astype(dict.fromkeys(NUMBERS, np.float64))
        columns = columns_from_frame(typed[list(INPUTS)])
        return cls(frame[_ID].to_numpy(object), columns, frame[TARGET].to_numpy(np.float64))


class Found(NamedTuple):
    """k sales like a home, the most similar first.

    rows: (k,) positions among the sold homes. similarity: (k,) from 0 to 1. miles: (k,). radius:
    miles, within which `within` sales were ranked.
    """

    rows: Rows
    similarity: Floats
    miles: Floats
    radius: float
    within: int


class Neighbourhoods:
    """Sold homes, ready to be compared with: where each lies, and what the model sees in it."""

    def __init__(self, sold: SoldHomes, encoder: FeatureEncoder, estimator: Estimator) -> None:
        self._encoder = encoder
        self._estimator = estimator
        self._id = sold.id
        self._street, self._zip_code = sold.columns["street"], sold.columns["zip_code"]
        self._points = on_sphere(encoder.coordinates(sold.columns))
        matrix = encoder.transform(sold.columns)
        leaves = estimator.leaves(matrix)
        if leaves is None:
            # Without trees: features, in standard deviations.
            self._scale = np.maximum(matrix.std(axis=0), 1e-6) if len(matrix) else np.float32(1.0)
            self._seen: NDArray[Any] = matrix / self._scale
        else:
            # Bytes where they do: a quarter of a million cells are compared for each answer.
            self._seen = leaves.astype(np.uint8) if leaves.max(initial=0) < 256 else leaves

    def like(self, columns: Columns, count: int, exclude: Collection[str] = ()) -> Found:
        """The `count` sales most like the one home `columns`, but for the ids in `exclude`.

        A sale of the home itself, known by its street and zip, is no comparable.
        """
        point = on_sphere(self._encoder.coordinates(columns))[0]
        miles = np.sqrt(((self._points - point) ** 2).sum(axis=1)) / KM_PER_MILE
        if exclude:
            miles[np.isin(self._id, list(exclude))] = np.inf
        # A street that is not told is none of theirs: NaN is not itself.
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
        leaves = self._estimator.leaves(x)
        if leaves is None:
            gap = self._seen[rows] - x[0] / self._scale
            distance: Floats = np.sqrt((gap.astype(np.float64) ** 2).mean(axis=1))
            return 1.0 / (1.0 + distance)
        similarity: Floats = (self._seen[rows] == leaves[0]).mean(axis=1)
        return similarity


@dataclass(frozen=True)
class Comparison:
    """A home beside k sales.

    found: which, and how similar and near. price: (k,) what they sold for, dollars. inputs: names
    of m inputs. adjustments: (k, m) dollars that each difference from the home is worth; a row adds
    up to adjusted_price - price. adjusted_price: (k,) what the sale tells of the home.
    """

    found: Found
    price: Floats
    inputs: tuple[str, ...]
    adjustments: Floats
    adjusted_price: Floats

    @property
    def net(self) -> Floats:
        """What the adjustments (k,) of each sale add up to, relative to its price."""
        return self.adjusted_price / self.price - 1.0

    @property
    def gross(self) -> Floats:
        """What they (k,) would, were they all upwards: how unlike the home the sale is."""
        gross: Floats = np.abs(self.adjustments).sum(axis=1) / self.price
        return gross


def adjust(home: Explanation, sales: Explanation, price: Floats, found: Found) -> Comparison:
    """What `sales` (k) tell of one `home`: each price moved by the differences of SHAP values.

    In log price the differences add up to that of the two valuations. They become dollars by the
    logarithmic mean of the price and the adjusted price, as in `explanation.explain`.
    """
    difference = home.by_input_log[0] - sales.by_input_log
    moved = difference.sum(axis=1)
    growth = np.divide(np.expm1(moved), moved, out=np.ones_like(moved), where=moved != 0.0)
    return Comparison(
        found=found,
        price=price,
        inputs=home.inputs,
        adjustments=difference * (price * growth)[:, None],
        adjusted_price=price * np.exp(moved),
    )
