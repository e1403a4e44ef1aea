"""SHAP values beside Shapley's definition, and leaves beside those of the libraries."""

from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
import shap
import xgboost
from numpy.typing import NDArray

from realtor_model.candidates import CANDIDATES
from realtor_model.estimators import TreeEnsemble
from realtor_model.estimators.tree_arrays import Trees, xgboost_trees
from realtor_model.valuation.valuation_model import ValuationModel

ModelOf = Callable[[str], ValuationModel]
Columns = dict[str, NDArray[Any]]
Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]
TREE_CANDIDATES = [
    name for name, candidate in CANDIDATES.items() if issubclass(candidate.estimator, TreeEnsemble)
]
FEATURES = "abcde"
FEW_TREES: dict[str, dict[str, Any]] = {
    "random_forest": {"n_estimators": 3, "max_depth": 4},
    "gradient_boosting": {"max_iter": 3, "max_depth": 4},
    "xgboost": {"n_estimators": 3, "max_depth": 4, "num_parallel_tree": 1, "learning_rate": 0.3},
}


def values_and_covers(estimator: Any) -> tuple[Floats, Floats]:
    """Value (leaves) and train weight of each node of all trees, as the libraries store them."""
    model = estimator.model
    if estimator.candidate == "xgboost":
        trees = [tree for _, tree in xgboost_trees(model)]
        value = [tree["split_conditions"] for tree in trees]
        cover = [tree["sum_hessian"] for tree in trees]
    elif estimator.candidate == "random_forest":
        grown = [regressor.tree_ for regressor in model.estimators_]
        value = [tree.value[:, 0, 0] / len(grown) for tree in grown]
        cover = [tree.weighted_n_node_samples for tree in grown]
    else:
        value = [predictor.nodes["value"] for (predictor,) in model._predictors]
        cover = [predictor.nodes["count"] for (predictor,) in model._predictors]
    return np.concatenate(value).astype(float), np.concatenate(cover).astype(float)


@pytest.mark.parametrize("candidate", TREE_CANDIDATES)
def test_shap_values_equal_shapleys_sum_over_all_subsets(candidate: str) -> None:
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(size=(400, len(FEATURES))), 1).astype(np.float32)
    if candidate == "xgboost":
        x[rng.random(x.shape) < 0.1] = np.nan
    log_price = np.nan_to_num(x[:, 0]) * np.nan_to_num(x[:, 1]) + rng.normal(0.0, 0.2, len(x))
    estimator: Any = CANDIDATES[candidate].fit(
        x, np.exp(log_price), hyperparameters=FEW_TREES[candidate], feature_names=FEATURES,
        importance=False,
    )  # fmt: skip
    trees: Trees = estimator._trees
    value, cover = values_and_covers(estimator)

    def answer(row: Matrix, known: frozenset[int], node: int) -> float:
        left, right = int(trees.left[node]), int(trees.right[node])
        if left < 0:
            return float(value[node])
        feature = int(trees.feature[node])
        if feature not in known:
            both = answer(row, known, left) * cover[left] + answer(row, known, right) * cover[right]
            return float(both / cover[node])
        gap = np.isnan(row[feature])
        goes = trees.default_left[node] if gap else row[feature] < trees.threshold[node]
        return answer(row, known, left if goes else right)

    def shapley(row: Matrix, feature: int) -> float:
        others = [each for each in range(len(FEATURES)) if each != feature]
        total = 0.0
        for size in range(len(FEATURES)):
            weight = factorial(size) * factorial(len(others) - size) / factorial(len(FEATURES))
            for known in map(frozenset, combinations(others, size)):
                for root in trees.roots.tolist():
                    gain = answer(row, known | {feature}, root) - answer(row, known, root)
                    total += weight * gain
        return total

    base, values = estimator._contributions(x[:5])
    for row, explained in zip(x[:5], values, strict=True):
        expected = [shapley(row, feature) for feature in range(len(FEATURES))]
        assert explained == pytest.approx(expected, abs=1e-5)
    assert base + values.sum(axis=1) == pytest.approx(estimator._predict(x[:5]), abs=1e-5)


def test_contributions_of_xgboost_equal_those_of_shap(model_of: ModelOf, homes: Columns) -> None:
    model = model_of("xgboost")
    x = model.encoder.transform({name: values[:50] for name, values in homes.items()})
    estimator: Any = model.estimator
    explainer = shap.TreeExplainer(estimator.model)
    # Otherwise it asks XGBoost.
    explainer.model.model_type = "internal"

    theirs = explainer.shap_values(estimator._seen(x), check_additivity=False)

    assert np.abs(estimator._contributions(x)[1] - theirs).max() < 1e-4


def test_a_gap_that_is_no_rounding_is_not_hidden(
    model_of: ModelOf, homes: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of("xgboost")
    x = model.encoder.transform({name: values[:2] for name, values in homes.items()})
    estimator: Any = model.estimator
    predicted = estimator.predict_log(x)
    monkeypatch.setattr(estimator, "_predict", lambda rows: predicted[: len(rows)] + 0.01)

    base, values = estimator._contributions(x)

    assert np.abs(base + values.sum(axis=1) - predicted).max() < 1e-4


@pytest.mark.parametrize("candidate", TREE_CANDIDATES)
def test_no_rows_have_no_contributions(model_of: ModelOf, homes: Columns, candidate: str) -> None:
    model = model_of(candidate)
    x = model.encoder.transform({name: values[:1] for name, values in homes.items()})

    base, values = model.estimator.contributions(x[:0])
    assert values.shape == (0, x.shape[1])
    assert base == model.estimator.contributions(x)[0]


@pytest.mark.parametrize("candidate", TREE_CANDIDATES)
def test_leaves_equal_those_of_the_library(
    model_of: ModelOf, homes: Columns, candidate: str
) -> None:
    model = model_of(candidate)
    x = model.encoder.transform(homes)
    estimator: Any = model.estimator
    trees: Trees = estimator._trees

    leaves = estimator.leaves(x)
    assert leaves.shape == (len(x), min(300, len(trees.roots)))
    for tree in (0, leaves.shape[1] - 1):
        number = int(trees.some(300)[tree])
        one = leaves[:, tree]
        if candidate == "xgboost":
            theirs = estimator.model.predict(xgboost.DMatrix(estimator._seen(x)), pred_leaf=True)[
                :, number
            ]
        elif candidate == "random_forest":
            theirs = estimator.model.estimators_[number].tree_.apply(x)
        else:
            ends = estimator.model._predictors[number][0]
            theirs = ends.predict(
                np.asarray(x, np.float64), np.zeros((0, 8), np.uint32), np.zeros(1, np.uint32), 1
            )
        pairs = set(zip(one.tolist(), theirs.tolist(), strict=True))
        assert len(pairs) == len({mine for mine, _ in pairs})
        # That library returns values only, and two leaves may have the same one.
        assert candidate == "gradient_boosting" or len(pairs) == len({leaf for _, leaf in pairs})


def test_leaves_are_none_when_the_model_is_linear(model_of: ModelOf, homes: Columns) -> None:
    model = model_of("linear_regression")

    assert model.estimator.leaves(model.encoder.transform(homes)) is None
