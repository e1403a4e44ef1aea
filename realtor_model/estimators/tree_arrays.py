"""Fitted trees as arrays, whatever library grew them, and the leaves that a home falls into."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xgboost
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

# Rounds whose trees are read at a time: parsing holds the interpreter's lock, and a service answers
# between two slices.
_SLICE = 25


def base_scores(booster: xgboost.Booster) -> list[float]:
    """What the leaves of each output of `booster` are added to."""
    learner = json.loads(booster.save_config())["learner"]["learner_model_param"]
    return [float(score) for score in learner["base_score"].strip("[]").split(",")]


def xgboost_trees(booster: xgboost.Booster) -> Iterator[tuple[int, dict[str, Any]]]:
    """Output and JSON document of each tree of `booster`."""
    rounds = booster.num_boosted_rounds()
    for start in range(0, rounds, _SLICE):
        part = booster[start : min(start + _SLICE, rounds)]
        model = json.loads(part.save_raw("json"))["learner"]["gradient_booster"]["model"]
        yield from zip(model["tree_info"], model["trees"], strict=True)


@dataclass(frozen=True)
class Trees:
    """m trees end to end: arrays (nodes,), children after their parents.

    base: what is added to the sum of the leaves. roots: (m,) positions. left, right: positions of
    the children, -1 at leaves. feature, threshold: a row goes left when its float32 value is less
    than the threshold (float32); where it is NaN, when default_left. value: of leaves. cover:
    train weight that came by.
    """

    base: float
    roots: Ints
    left: Ints
    right: Ints
    feature: Ints
    threshold: NDArray[np.float32]
    default_left: NDArray[np.bool_]
    value: Floats
    cover: Floats

    @classmethod
    def of_xgboost(cls, booster: xgboost.Booster) -> Self:
        """The trees of a booster of numeric features with one output."""
        (base,) = base_scores(booster)
        parts = []
        for _, tree in xgboost_trees(booster):
            condition = np.array(tree["split_conditions"], np.float32)
            parts.append(
                {
                    "left": tree["left_children"],
                    "right": tree["right_children"],
                    "feature": tree["split_indices"],
                    "threshold": condition,
                    "default_left": np.array(tree["default_left"], bool),
                    # A leaf keeps its value where a split keeps its threshold.
                    "value": condition,
                    "cover": tree["sum_hessian"],
                }
            )
        return cls._joined(base, parts)

    @classmethod
    def of_forest(cls, forest: Any) -> Self:
        """The trees of a fitted `RandomForestRegressor`."""
        grown = [each.tree_ for each in forest.estimators_]
        return cls._joined(
            0.0,
            [
                {
                    "left": tree.children_left,
                    "right": tree.children_right,
                    "feature": tree.feature,
                    "threshold": _up_to(tree.threshold),
                    "default_left": tree.missing_go_to_left.astype(bool),
                    "value": tree.value[:, 0, 0] / len(grown),
                    "cover": tree.weighted_n_node_samples,
                }
                for tree in grown
            ],
        )

    @classmethod
    def of_histogram_boosting(cls, boosting: Any) -> Self:
        """The trees of a fitted `HistGradientBoostingRegressor` of numeric features."""
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
                    "value": nodes["value"],
                    "cover": nodes["count"],
                }
            )
        return cls._joined(float(np.ravel(boosting._baseline_prediction)[0]), parts)

    @classmethod
    def _joined(cls, base: float, parts: list[dict[str, Any]]) -> Self:
        sizes = np.array([len(part["left"]) for part in parts])
        roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)

        def whole(name: str, dtype: Any) -> NDArray[Any]:
            return np.concatenate([np.asarray(part[name], dtype) for part in parts])

        offset = np.repeat(roots, sizes)
        left, right = whole("left", np.int32), whole("right", np.int32)
        leaf = left < 0
        return cls(
            base=base,
            roots=roots,
            left=np.where(leaf, -1, left + offset).astype(np.int32),
            right=np.where(leaf, -1, right + offset).astype(np.int32),
            feature=whole("feature", np.int32),
            threshold=whole("threshold", np.float32),
            default_left=whole("default_left", bool),
            value=np.where(leaf, whole("value", np.float64), 0.0),
            cover=whole("cover", np.float64),
        )

    def some(self, most: int) -> NDArray[np.int64]:
        """Numbers of `most` trees at most, evenly spread over all rounds."""
        count = min(most, len(self.roots))
        return np.arange(count) * len(self.roots) // count

    def leaves(self, x: Matrix, trees: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Which leaf of each of `trees` the rows fall into: (n, len(trees)), counted in the tree.

        Raises:
            ValueError: a tree has more than 65,536 leaves.
        """
        number = self._leaf_numbers()
        leaves = np.empty((len(x), len(trees)), np.uint16)
        for start in range(0, len(x), _ROWS):
            rows = x[start : start + _ROWS]
            leaves[start : start + _ROWS] = number[self._fall(rows, self.roots[trees])]
        return leaves

    def predict(self, x: Matrix) -> Floats:
        """The sum over all trees (n,), in float64."""
        total = np.full(len(x), self.base)
        for start in range(0, len(x), _ROWS):
            at = self._fall(x[start : start + _ROWS], self.roots)
            total[start : start + _ROWS] += self.value[at].sum(axis=1)
        return total

    def _leaf_numbers(self) -> NDArray[np.uint16]:
        leaf = self.left < 0
        before: NDArray[np.int64] = np.cumsum(leaf) - leaf
        ends = np.append(self.roots[1:], len(self.left))
        number: NDArray[np.int64] = before - np.repeat(before[self.roots], ends - self.roots)
        if number.max(initial=0) > np.iinfo(np.uint16).max:
            raise ValueError("a tree has more than 65,536 leaves")
        return number.astype(np.uint16)

    def _fall(self, x: Matrix, roots: Ints) -> NDArray[np.intp]:
        """Where each row ends in each tree (n, trees)."""
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

    def levels(self) -> Iterator[NDArray[np.int64]]:
        """The positions of the nodes of all trees, depth by depth.

        Below the roots all left children of the depth above, then their siblings in that order.
        """
        nodes = self.roots.astype(np.int64)
        while len(nodes):
            yield nodes
            split = nodes[self.left[nodes] >= 0]
            nodes = np.concatenate([self.left[split], self.right[split]]).astype(np.int64)


_ROWS = 2_048


def _up_to(threshold: NDArray[Any]) -> NDArray[np.float32]:
    """The float32 bound below which are just the float32 values that are <= `threshold`."""
    rounded = threshold.astype(np.float32)
    below = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return np.nextafter(below, np.float32(np.inf)).astype(np.float32)
