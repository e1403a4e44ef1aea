"""Fitted trees of XGBoost or scikit-learn as arrays, and the leaves that rows fall into.

The libraries have no replacement: XGBoost's `pred_leaf` always walks every tree, which takes nine
times as long as the trees that are compared, and histogram boosting has no function for leaves.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xgboost
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Ints = NDArray[np.int32]

# Boosting rounds parsed at a time. Parsing holds the interpreter's lock; between two slices the
# service can answer requests.
_SLICE = 25


def base_scores(booster: xgboost.Booster) -> list[float]:
    """Base score of each output of `booster`; the leaf values are added to it."""
    learner = json.loads(booster.save_config())["learner"]["learner_model_param"]
    return [float(score) for score in learner["base_score"].strip("[]").split(",")]


def xgboost_trees(booster: xgboost.Booster) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (output, tree) for each tree of `booster`; the tree is a dict of XGBoost's JSON."""
    rounds = booster.num_boosted_rounds()
    for start in range(0, rounds, _SLICE):
        part = booster[start : min(start + _SLICE, rounds)]
        model = json.loads(part.save_raw("json"))["learner"]["gradient_booster"]["model"]
        yield from zip(model["tree_info"], model["trees"], strict=True)


@dataclass(frozen=True)
class Trees:
    """m trees; the arrays (nodes,) hold all trees one after the other, children after parents.

    Attributes:
        roots: int32 (m,), positions of the roots.
        left, right: int32 (nodes,), positions of the children, -1 at leaves.
        feature: int32 (nodes,), column of the split.
        threshold: float32 (nodes,), of the split; a row goes left if its float32 value is smaller.
        default_left: bool (nodes,), whether NaN goes left.
    """

    roots: Ints
    left: Ints
    right: Ints
    feature: Ints
    threshold: NDArray[np.float32]
    default_left: NDArray[np.bool_]

    @classmethod
    def of_xgboost(cls, booster: xgboost.Booster) -> Self:
        """Read the trees of a booster of numeric features."""
        return cls._joined(
            [
                {
                    "left": tree["left_children"],
                    "right": tree["right_children"],
                    "feature": tree["split_indices"],
                    "threshold": np.array(tree["split_conditions"], np.float32),
                    "default_left": np.array(tree["default_left"], bool),
                }
                for _, tree in xgboost_trees(booster)
            ]
        )

    @classmethod
    def of_forest(cls, forest: Any) -> Self:
        """Read the trees of a fitted `RandomForestRegressor`."""
        grown = [regressor.tree_ for regressor in forest.estimators_]
        return cls._joined(
            [
                {
                    "left": tree.children_left,
                    "right": tree.children_right,
                    "feature": tree.feature,
                    "threshold": _up_to(tree.threshold),
                    "default_left": tree.missing_go_to_left.astype(bool),
                }
                for tree in grown
            ]
        )

    @classmethod
    def of_histogram_boosting(cls, boosting: Any) -> Self:
        """Read the trees of a fitted `HistGradientBoostingRegressor` of numeric features."""
        parts = []
        for (predictor,) in boosting._predictors:
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            parts.append(
                {
                    "left": np.where(leaf, -1, nodes["left"].astype(np.int64)),
                    "right": np.where(leaf, -1, nodes["right"].astype(np.int64)),
                    "feature": nodes["feature_idx"],
                    "threshold": _up_to(nodes["num_threshold"]),
                    "default_left": nodes["missing_go_to_left"].astype(bool),
                }
            )
        return cls._joined(parts)

    @classmethod
    def _joined(cls, parts: list[dict[str, Any]]) -> Self:
        sizes = np.array([len(part["left"]) for part in parts])
        roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)

        def whole(name: str, dtype: Any) -> NDArray[Any]:
            return np.concatenate([np.asarray(part[name], dtype) for part in parts])

        offset = np.repeat(roots, sizes)
        left, right = whole("left", np.int32), whole("right", np.int32)
        leaf = left < 0
        return cls(
            roots=roots,
            left=np.where(leaf, -1, left + offset).astype(np.int32),
            right=np.where(leaf, -1, right + offset).astype(np.int32),
            feature=whole("feature", np.int32),
            threshold=whole("threshold", np.float32),
            default_left=whole("default_left", bool),
        )

    def some(self, most: int) -> NDArray[np.int64]:
        """Indices, int64, of at most `most` trees, evenly spread over all rounds."""
        count = min(most, len(self.roots))
        return np.arange(count) * len(self.roots) // count

    def leaves(self, x: Matrix, trees: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Find the leaf of each tree that n rows fall into.

        Args:
            x: float32 (n, n_features).
            trees: int64 (k,), indices of trees.

        Returns:
            Leaf numbers, uint16 (n, k); they start at 0 in each tree.

        Raises:
            ValueError: a tree has more than 65,536 leaves.
        """
        number = self._leaf_numbers()
        leaves = np.empty((len(x), len(trees)), np.uint16)
        for start in range(0, len(x), _ROWS):
            rows = x[start : start + _ROWS]
            leaves[start : start + _ROWS] = number[self._fall(rows, self.roots[trees])]
        return leaves

    def _leaf_numbers(self) -> NDArray[np.uint16]:
        """Number (nodes,) of each leaf within its tree; undefined at splits."""
        leaf = self.left < 0
        before: NDArray[np.int64] = np.cumsum(leaf) - leaf
        ends = np.append(self.roots[1:], len(self.left))
        number: NDArray[np.int64] = before - np.repeat(before[self.roots], ends - self.roots)
        if number.max(initial=0) > np.iinfo(np.uint16).max:
            raise ValueError("a tree has more than 65,536 leaves")
        return number.astype(np.uint16)

    def _fall(self, x: Matrix, roots: Ints) -> NDArray[np.intp]:
        """Positions (n, k) of the leaves that n rows reach from `roots` (k,)."""
        at = np.broadcast_to(roots.astype(np.intp), (len(x), len(roots))).copy()
        row = np.arange(len(x))[:, None]
        while True:
            left = self.left[at]
            inside = left >= 0
            if not inside.any():
                return at
            entry = x[row, self.feature[at]]
            goes = np.where(np.isnan(entry), self.default_left[at], entry < self.threshold[at])
            at = np.where(inside, np.where(goes, left, self.right[at]), at)


_ROWS = 2_048


def _up_to(threshold: NDArray[Any]) -> NDArray[np.float32]:
    """Thresholds t (float32) such that v < t is v <= `threshold` for all float32 v.

    scikit-learn sends a row left if its value is <= the threshold; `Trees` compares with <.

    >>> bound = _up_to(np.array([2.0]))
    >>> np.float32(2.0) < bound, np.nextafter(np.float32(2.0), np.float32(3.0)) < bound
    (array([ True]), array([False]))
    """
    rounded = threshold.astype(np.float32)
    below = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return np.nextafter(below, np.float32(np.inf)).astype(np.float32)
