"""Exact Shapley values of a single row over thousands of trees, in NumPy.

They are the path-dependent values of TreeSHAP (S. M. Lundberg et al., Nature Machine Intelligence
2, 2020): a tree's answer without a feature is the mean of both branches by train weight. A leaf
whose path asks D features gives feature i

    v (o_i - z_i) * integral over t in [0, 1] of the product over j != i of (t o_j + (1 - t) z_j)

where o is whether the row takes all of the path's branches of the feature, z the share of train
weight that does: with S features known, the weights |S|! (D - |S| - 1)! / D! of Shapley's sum are
the integrals of t^|S| (1 - t)^(D - |S| - 1) (G. Owen, "Multilinear Extensions of Games",
Management Science 18, 1972). The integrand is a polynomial of degree D - 1, so ceil(D / 2)
Gauss-Legendre nodes give it exactly; the products of all leaves are one pass down the levels of all
trees at once, their sums one pass back up (as in P. Yu et al., "Linear TreeSHAP", NeurIPS 2022).
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

# Memory that explanations may take for a model: 500 trees of depth 8 take 25 MB, forests of depth
# 20 far more.
MAX_BYTES = 96 * 1024**2

# Whether a row is on the branch before that asks the same feature, and on this one.
_STATES = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))


class _Level(NamedTuple):
    """One depth of all trees below the roots, in the order of levels.

    left, right: the nodes. parents: theirs. splits: those parents among all splits. again: nodes
    whose feature a branch above asks as well.
    """

    left: slice
    right: slice
    parents: Ints
    splits: slice
    again: Ints


@dataclass(frozen=True)
class TreeShap:
    """What explaining a row needs, computed once: arrays over all k nodes, level after level.

    feature, threshold, default_left: of the splits, in this order. asked: (k,) the feature of the
    branch into each node. before: (k,) the nearest branch above of that feature; k, which every row
    takes, where there is none. factor[3 * node + state] is by how much the branch multiplies the
    product, at each Gauss-Legendre node; gain, what a unit of the products below gives its feature.
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
        """Prepare `trees`; None when that takes more than `MAX_BYTES`, as deep forests do.

        None, too, where a branch has no train weight: nothing says how much it counts then.
        """
        order = list(trees.levels())
        nodes = np.concatenate(order)
        count, roots = len(nodes), len(order[0])
        split = trees.left[nodes] >= 0
        splits = np.flatnonzero(split)
        parent = np.full(count, -1, np.intp)
        start = done = 0
        for each, following in pairwise(order):
            inside = splits[done : done + len(following) // 2]
            start += len(each)
            parent[start : start + len(following)] = np.tile(inside, 2)
            done += len(inside)
        asked = np.full(count, -1, np.intp)
        asked[roots:] = trees.feature[nodes[parent[roots:]]]
        before = _before(parent, asked)
        again = before < count
        own = np.ones(count)
        own[roots:] = trees.cover[nodes[roots:]] / trees.cover[nodes[parent[roots:]]]
        # Shares of a feature's branches together; of all branches, the mean of the leaves.
        share, reach = np.append(own, 1.0), own.copy()
        distinct = np.zeros(count, np.int64)
        levels = []
        start, done = roots, 0
        for each in order[1:]:
            pairs = len(each) // 2
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
            # What every row takes has share 1, and its factor is 1 whatever the state.
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
        """SHAP values, float64 (n, n_features); with `base` they add up to the trees' answers."""
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
        return np.arange(0, len(self.asked) * len(_STATES), len(_STATES))


def _before(parent: Ints, asked: Ints) -> Ints:
    """The nearest branch above each that asks the same feature; the number of nodes for none."""
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
