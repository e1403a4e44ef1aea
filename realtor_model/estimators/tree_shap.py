"""Exact Shapley values of a single row over thousands of trees, in NumPy.

These are the path-dependent values of TreeSHAP (S. M. Lundberg et al., Nature Machine Intelligence
2, 2020): where a feature is unknown, the prediction of a tree is the mean of both branches,
weighted by train weight. A leaf of value v whose path splits on D features contributes to feature i

    v (o_i - z_i) * integral over t in [0, 1] of the product over j != i of (t o_j + (1 - t) z_j)

Here o_j is 1 if the row takes every branch of the path that splits on feature j, else 0; z_j is the
share of train weight that takes them. The formula holds because Shapley's weight of a set S of
known features, |S|! (D - |S| - 1)! / D!, is the integral of t^|S| (1 - t)^(D - |S| - 1) (G. Owen,
"Multilinear Extensions of Games", Management Science 18, 1972).

The integrand is a polynomial of degree D - 1, so a Gauss-Legendre rule with ceil(D / 2) nodes is
exact. One pass down the levels of all trees computes the products of all leaves, and one pass up
computes their sums (as in P. Yu et al., "Linear TreeSHAP", NeurIPS 2022).
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from realtor_model.estimators.tree_arrays import Trees

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Matrix = NDArray[np.float32]
Ints = NDArray[np.intp]

# Upper limit of the memory of a `TreeShap`, bytes. 500 trees of depth 8 take 25 MB, forests of
# depth 20 far more.
MAX_BYTES = 96 * 1024**2

# Whether a row takes the earlier branch on the same feature, and whether it takes this one too.
_STATES = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))


class _Level(NamedTuple):
    """The nodes at one depth of all trees, below the roots; nodes are sorted by depth.

    Attributes:
        left, right: ranges of the left and the right children.
        parents: positions of their parents.
        splits: the range of the parents among all splits.
        again: nodes whose branch splits on a feature that an earlier branch of the path splits on.
    """

    left: slice
    right: slice
    parents: Ints
    splits: slice
    again: Ints


@dataclass(frozen=True)
class TreeShap:
    """Arrays of m trees with k nodes that do not depend on the row to explain.

    Nodes are sorted by level. q is the number of Gauss-Legendre nodes, and `state` a position in
    `_STATES`.

    Attributes:
        base: prediction for a row with all features unknown.
        n_features: number of columns of the matrix.
        levels: the levels below the roots.
        feature, threshold, default_left: (splits,) of the splits, as in `Trees`.
        asked: (k,) feature of the branch into each node, -1 at roots.
        before: (k,) the nearest earlier branch on the same feature. k where there is none: a branch
            that every row takes.
        value: float32 (k, 1), leaf values, 0 at splits.
        factor: float32 (3 k, q). Row 3 * node + state is the factor of the branch in the product.
        gain: float32 (3 k, q). Row 3 * node + state is the weight with which the sum of the
            products below the branch counts for its feature.
    """

    base: float
    n_features: int
    levels: tuple[_Level, ...]
    feature: Ints
    threshold: Singles
    default_left: NDArray[np.bool_]
    asked: Ints
    before: Ints
    value: Singles
    factor: Singles
    gain: Singles

    @classmethod
    def of(cls, trees: Trees, n_features: int) -> Self | None:
        """Prepare the explanation of `trees`.

        Args:
            trees: the fitted trees.
            n_features: number of columns of the matrix.

        Returns:
            None if it would take more than `MAX_BYTES`, as for deep forests, or if a branch has no
            train weight, so that its share is undefined.
        """
        order = list(trees.levels())
        nodes = np.concatenate(order)
        count, roots = len(nodes), len(order[0])
        split = trees.left[nodes] >= 0
        splits = np.flatnonzero(split)
        parent = np.full(count, -1, np.intp)
        start = done = 0
        for level_nodes, children in pairwise(order):
            inside = splits[done : done + len(children) // 2]
            start += len(level_nodes)
            parent[start : start + len(children)] = np.tile(inside, 2)
            done += len(inside)
        asked = np.full(count, -1, np.intp)
        asked[roots:] = trees.feature[nodes[parent[roots:]]]
        before = _before(parent, asked)
        again = before < count
        own = np.ones(count)
        own[roots:] = trees.cover[nodes[roots:]] / trees.cover[nodes[parent[roots:]]]
        # share: the product of the shares of train weight over the branches so far on the node's
        # feature. reach: the product over all branches of the path; it weights leaves in `base`.
        share, reach = np.append(own, 1.0), own.copy()
        distinct = np.zeros(count, np.int64)
        levels = []
        start, done = roots, 0
        for level_nodes in order[1:]:
            pairs = len(level_nodes) // 2
            at = slice(start, start + 2 * pairs)
            share[at] *= share[before[at]]
            reach[at] *= reach[parent[at]]
            distinct[at] = distinct[parent[at]] + ~again[at]
            levels.append(
                _Level(
                    slice(start, start + pairs),
                    slice(start + pairs, at.stop),
                    parent[start : start + pairs],
                    slice(done, done + pairs),
                    start + np.flatnonzero(again[at]),
                )
            )
            start, done = at.stop, done + pairs
        points, weights = np.polynomial.legendre.leggauss(max(1, (int(distinct.max()) + 1) // 2))
        if not share.min() > 0.0 or 2 * 4 * count * len(_STATES) * len(points) > MAX_BYTES:
            return None
        points, weights = (points + 1.0) / 2.0, weights / 2.0
        factor = np.empty((count, len(_STATES), len(points)), np.float32)
        gain = np.empty_like(factor)
        was, now = share[before][:, None], share[:count][:, None]
        for state, (on_before, on) in enumerate(_STATES):
            # Position k, the branch that every row takes, has share 1, so that its factor is 1.
            earlier = points * np.where(again, on_before, 1.0)[:, None] + (1.0 - points) * was
            this = points * on + (1.0 - points) * now
            factor[:, state] = this / earlier
            gain[:, state] = weights * ((on - now) / this - (on_before - was) / earlier)
        factor[:roots], gain[:roots] = 1.0, 0.0
        value = trees.value[nodes]
        return cls(
            base=trees.base + float(value @ reach),
            n_features=n_features,
            levels=tuple(levels),
            feature=trees.feature[nodes[splits]].astype(np.intp),
            threshold=trees.threshold[nodes[splits]],
            default_left=trees.default_left[nodes[splits]],
            asked=asked,
            before=before,
            value=value.astype(np.float32)[:, None],
            factor=factor.reshape(-1, len(points)),
            gain=gain.reshape(-1, len(points)),
        )

    def values(self, x: Matrix) -> Floats:
        """Compute the SHAP values of n rows; `base` plus the sum of a row is its prediction.

        Args:
            x: float32 (n, n_features).

        Returns:
            SHAP values, float64 (n, n_features), in the unit of the leaf values.
        """
        values = np.empty((len(x), self.n_features))
        for row, entries in enumerate(x):
            values[row] = self._values(entries)
        return values

    def _values(self, row: Singles) -> Floats:
        count, roots = len(self.asked), len(self.asked) - 2 * len(self.feature)
        entry = row[self.feature]
        goes_left = (entry < self.threshold) | (np.isnan(entry) & self.default_left)
        on = np.ones(count + 1, np.bool_)
        for level in self.levels:
            on[level.left] = goes_left[level.splits]
            np.logical_not(on[level.left], out=on[level.right])
            on[level.again] &= on[self.before[level.again]]
        state = self._first + on[self.before]
        state += on[:count]
        product: Singles = self.factor.take(state, axis=0)
        for level in self.levels:
            above = product.take(level.parents, axis=0)
            product[level.left] *= above
            product[level.right] *= above
        product *= self.value
        for level in reversed(self.levels):
            product[level.parents] = product[level.left] + product[level.right]
        product *= self.gain.take(state, axis=0)
        earned = product[roots:] @ np.ones(product.shape[1], np.float32)
        weights = earned.astype(np.float64)
        values: Floats = np.bincount(self.asked[roots:], weights, self.n_features).astype(
            np.float64
        )
        return values

    @cached_property
    def _first(self) -> Ints:
        """Row of `factor` and `gain` where the states of each node begin, (k,)."""
        return np.arange(0, len(self.asked) * len(_STATES), len(_STATES))


def _before(parent: Ints, asked: Ints) -> Ints:
    """The nearest earlier branch on the same feature of each of k nodes, or k if there is none.

    Args:
        parent: (k,) positions of the parents, -1 at roots.
        asked: (k,) feature of the branch into each node, -1 at roots.

    >>> _before(np.array([-1, 0, 1, 2]), np.array([-1, 7, 4, 7]))
    array([4, 4, 4, 1])
    """
    before = np.full(len(parent), len(parent), np.intp)
    seeking = np.flatnonzero(parent >= 0)
    above = parent[seeking]
    while len(seeking):
        same = asked[above] == asked[seeking]
        before[seeking[same]] = above[same]
        above = parent[above]
        further = ~same & (above >= 0)
        seeking, above = seeking[further], above[further]
    return before
