"""The answers of an XGBoost model of numeric features, to the bit, a good deal sooner.

`Booster.inplace_predict` of a single row spends most of its time on walking every node of every
tree to find how deep they are, and branches at every node on the way down. Here all trees are laid
out so that a step down needs no branch: a leaf is its own child, and a gap is looked up as plus or
minus infinity. The processor then takes the steps of many trees at once: a row alone takes a
seventieth of the time, many rows two thirds (`benchmarks/scoring.py`).
"""

from typing import Any, Self

import numba
import numpy as np
import xgboost
from numpy.typing import NDArray

from realtor_model.trees import base_scores, xgboost_trees

Matrix = NDArray[np.float32]
Ints = NDArray[np.int32]

# child: position of the left child, the right one follows it; of itself at a leaf. entry: of the
# row, doubled as `_answer` does it. threshold: from here on a row goes right; NaN at a leaf.
_NODE = np.dtype(
    [("threshold", np.float32), ("entry", np.int32), ("child", np.int32), ("value", np.float32)]
)
# Trees that a row goes down together, and rows that go down them one after another while their
# nodes are in the processor's cache.
_TREES, _ROWS = 32, 64


class BoostedTrees:
    """The trees of a booster of numeric features, laid out for prediction."""

    def __init__(
        self, nodes: NDArray[Any], roots: Ints, output: Ints, base: Matrix, depth: int
    ) -> None:
        """m trees for k outputs, end to end in `nodes` of `_NODE`.

        roots: (m,) positions. output: (m,) what each tree adds to. base: (k,) what is added to.
        depth: of the deepest tree.
        """
        self._trees = (nodes, roots, output, base, depth)

    @classmethod
    def of(cls, booster: xgboost.Booster) -> Self:
        """The trees of `booster`."""
        parts, output, depth, size = [], [], 0, 0
        for group, tree in xgboost_trees(booster):
            nodes, levels = _laid_out(tree, booster.num_features())
            nodes["child"] += size
            size += len(nodes)
            depth = max(depth, levels)
            parts.append(nodes)
            output.append(group)
        roots = np.cumsum([0, *(len(nodes) for nodes in parts[:-1])])
        base = np.broadcast_to(np.array(base_scores(booster), np.float32), max(output) + 1)
        return cls(
            np.concatenate(parts),
            roots.astype(np.int32),
            np.array(output, np.int32),
            base.copy(),
            depth,
        )

    def predict(self, x: Matrix) -> Matrix:
        """The outputs (n, k) of the rows of `x` (n, n_features), float32; NaN is a gap."""
        answers = np.empty((len(x), len(self._trees[3])), np.float32)
        _answer(x, *self._trees, answers)
        return answers


def _laid_out(tree: dict[str, Any], n_features: int) -> tuple[NDArray[Any], int]:
    """The nodes of one tree, breadth first so that siblings are neighbours, and its depth."""
    left = np.array(tree["left_children"], np.int32)
    right = np.array(tree["right_children"], np.int32)
    level, order, depth = np.zeros(1, np.int32), [np.zeros(1, np.int32)], 0
    while len(inside := level[left[level] >= 0]):
        level = np.stack([left[inside], right[inside]], 1).ravel()
        order.append(level)
        depth += 1
    nodes_at = np.concatenate(order)
    position = np.empty(len(left), np.int32)
    position[nodes_at] = np.arange(len(nodes_at), dtype=np.int32)
    leaf = left[nodes_at] < 0
    condition = np.array(tree["split_conditions"], np.float32)[nodes_at]
    feature = np.array(tree["split_indices"], np.int32)[nodes_at]
    default_left = np.array(tree["default_left"], bool)[nodes_at]
    nodes = np.empty(len(nodes_at), _NODE)
    nodes["threshold"] = np.where(leaf, np.float32(np.nan), condition)
    nodes["entry"] = np.where(leaf, 0, feature + np.where(default_left, n_features, 0))
    nodes["child"] = np.where(leaf, np.arange(len(nodes_at)), position[left[nodes_at]])
    # A leaf keeps its value where a split keeps its threshold.
    nodes["value"] = np.where(leaf, condition, np.float32(0.0))
    return nodes, depth


@numba.njit(nogil=True)
def _answer(
    x: Matrix,
    nodes: NDArray[Any],
    roots: Ints,
    output: Ints,
    base: Matrix,
    depth: int,
    answers: Matrix,
) -> None:
    n, features = x.shape
    # Each row twice: with its gaps at +inf, which go right, and at -inf, which go left.
    entries = np.empty((_ROWS, 2 * features), np.float32)
    at = np.empty(_TREES, np.int32)
    for first in range(0, n, _ROWS):
        rows = min(_ROWS, n - first)
        for row in range(rows):
            for feature in range(features):
                value = x[first + row, feature]
                gap = np.isnan(value)
                entries[row, feature] = np.inf if gap else value
                entries[row, features + feature] = -np.inf if gap else value
            answers[first + row] = base
        for start in range(0, len(roots), _TREES):
            trees = min(_TREES, len(roots) - start)
            for row in range(rows):
                at[:trees] = roots[start : start + trees]
                for _ in range(depth):
                    for tree in range(trees):
                        node = nodes[at[tree]]
                        right = np.int32(entries[row, node.entry] >= node.threshold)
                        at[tree] = node.child + right
                # One by one in float32, as XGBoost adds.
                for tree in range(trees):
                    answers[first + row, output[start + tree]] += nodes[at[tree]].value
