"""Quantile boosters of XGBoost before 3.4, in the order of quantiles that later versions read.

XGBoost 3.4 refuses to read a booster whose quantiles do not ascend, and sorts the outputs of each
row. Bundles written with an older version have the median first, then the two ends of each
interval.
"""

import json
import re
from typing import Any

import numpy as np
import xgboost

# In UBJSON the name is followed by the type of the value, a string, and by its length, an int64.
_QUANTILES = re.compile(rb"quantile_alphaSL.{8}\[([^\]]+)\]", re.DOTALL)


def sort_quantiles(content: bytes) -> bytes:
    """The booster `content` with ascending quantiles, and its outputs in the same order.

    Each output keeps its values bit for bit; it only moves to another column.

    Args:
        content: a booster in UBJSON. Without quantiles, or with ascending ones, it is returned
            unchanged.

    Returns:
        A booster that XGBoost reads: UBJSON, or JSON if its outputs had to move.

    Raises:
        xgboost.core.XGBoostError: `content` is damaged.
    """
    found = _QUANTILES.search(content)
    if found is None:
        return content
    quantiles = found[1].split(b",")
    order = sorted(range(len(quantiles)), key=lambda output: float(quantiles[output]))
    if order == list(range(len(quantiles))):
        return content
    # XGBoost parses the UBJSON once its quantiles ascend. The same numbers in another order take
    # as many bytes, so the lengths inside stay right.
    ascending = b",".join(quantiles[output] for output in order)
    booster = xgboost.Booster()
    booster.load_model(bytearray(content[: found.start(1)] + ascending + content[found.end(1) :]))
    model = json.loads(booster.save_raw("json"))
    _move_outputs(model["learner"], order)
    return json.dumps(model).encode()


def _move_outputs(learner: dict[str, Any], order: list[int]) -> None:
    """Make output `order[i]` of XGBoost's JSON its output i."""
    parameters = learner["learner_model_param"]
    scores = parameters["base_score"].strip("[]").split(",")
    parameters["base_score"] = f"[{','.join(scores[output] for output in order)}]"
    trees = learner["gradient_booster"]["model"]
    if trees["trees"][0]["tree_param"]["size_leaf_vector"] == "1":
        # A tree for each output: `tree_info` names the output.
        trees["tree_info"] = [order.index(output) for output in trees["tree_info"]]
        return
    for tree in trees["trees"]:
        for name in ("base_weights", "leaf_weights"):
            vectors = np.array(tree[name]).reshape(-1, len(order))
            tree[name] = vectors[:, order].ravel().tolist()
