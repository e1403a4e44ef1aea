"""Our exact SHAP values beside those of the libraries, and beside Shapley's definition."""

from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
import shap
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realtor_model.candidates import CANDIDATES
from realtor_model.estimators import TreeEnsemble, tree_shap
from realtor_model.estimators.tree_arrays import Trees
from realtor_model.estimators.tree_shap import TreeShap
from realtor_model.valuation.valuation_model import ValuationModel

ModelOf = Callable[[str], ValuationModel]
Columns = dict[str, NDArray[Any]]
Matrix = NDArray[np.float32]
TREE_CANDIDATES = [
    name for name, candidate in CANDIDATES.items() if issubclass(candidate.estimator, TreeEnsemble)
]


def data(seed: int, rows: int = 400, features: int = 5) -> tuple[Matrix, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(rows, features)), 1).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = np.nan_to_num(x[:, 0]) * np.nan_to_num(x[:, 1]) + rng.normal(0.0, 0.2, rows)
    return x, y


def booster_of(seed: int, depth: int, rounds: int = 8) -> tuple[xgboost.Booster, Matrix]:
    x, y = data(seed)
    settings = {"max_depth": depth, "base_score": 0.7, "seed": seed, "min_child_weight": 1.0}
    return xgboost.train(settings, xgboost.QuantileDMatrix(x, y), rounds), x


@pytest.mark.parametrize("candidate", TREE_CANDIDATES)
def test_shap_values_equal_those_of_the_library(
    model_of: ModelOf, homes: Columns, candidate: str
) -> None:
    model = model_of(candidate)
    x = model.encoder.transform({name: values[:40] for name, values in homes.items()})
    estimator: Any = model.estimator
    assert estimator._tree_shap is not None

    base, values = estimator._contributions(x)
    their_base, theirs = estimator._library_contributions(x)

    assert base == pytest.approx(their_base, abs=1e-5)
    assert np.abs(values - theirs).max() < 1e-4
    assert base + values.sum(axis=1) == pytest.approx(estimator._predict(x), abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), depth=st.integers(1, 12))
def test_shap_values_equal_xgboosts_when_any_booster_has_missing_values(
    seed: int, depth: int
) -> None:
    booster, x = booster_of(seed, depth)
    few = x[:30]
    tree_shap = TreeShap.of(Trees.of_xgboost(booster), few.shape[1])
    assert tree_shap is not None

    values = tree_shap.values(few)
    theirs = booster.predict(xgboost.DMatrix(few), pred_contribs=True)

    assert np.abs(values - theirs[:, :-1]).max() < 1e-4
    assert tree_shap.base == pytest.approx(float(theirs[0, -1]), abs=1e-5)
    assert tree_shap.base + values.sum(axis=1) == pytest.approx(booster.predict(
        xgboost.DMatrix(few)
    ), abs=1e-5)  # fmt: skip


def test_shap_values_equal_shapleys_sum_over_all_subsets() -> None:
    booster, x = booster_of(seed=3, depth=4, rounds=1)
    trees, features = Trees.of_xgboost(booster), range(x.shape[1])

    def answer(row: Matrix, known: frozenset[int], node: int = 0) -> float:
        left, right = int(trees.left[node]), int(trees.right[node])
        if left < 0:
            return float(trees.value[node])
        feature = int(trees.feature[node])
        if feature not in known:
            cover = trees.cover
            both = answer(row, known, left) * cover[left] + answer(row, known, right) * cover[right]
            return float(both / cover[node])
        gap = np.isnan(row[feature])
        goes = trees.default_left[node] if gap else row[feature] < trees.threshold[node]
        return answer(row, known, left if goes else right)

    def shapley(row: Matrix, feature: int) -> float:
        others = [each for each in features if each != feature]
        total = 0.0
        for size in range(len(features)):
            weight = factorial(size) * factorial(len(others) - size) / factorial(len(features))
            for known in map(frozenset, combinations(others, size)):
                total += weight * (answer(row, known | {feature}) - answer(row, known))
        return total

    tree_shap = TreeShap.of(trees, len(features))
    assert tree_shap is not None
    for row in x[:10]:
        expected = [shapley(row, feature) for feature in features]
        assert tree_shap.values(row[None])[0] == pytest.approx(expected, abs=1e-6)


def test_library_explains_when_a_forest_exceeds_the_memory_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = data(seed=1)
    x = np.nan_to_num(x)
    monkeypatch.setattr(tree_shap, "MAX_BYTES", 10_000)
    estimator: Any = CANDIDATES["random_forest"].fit(
        x, np.exp(y), hyperparameters={"n_estimators": 5},
        feature_names=list("abcde"),
    )  # fmt: skip

    assert estimator._tree_shap is None
    base, values = estimator.contributions(x[:5])
    theirs = shap.TreeExplainer(estimator.model).shap_values(x[:5])
    assert values == pytest.approx(theirs, abs=1e-9)
    assert base + values.sum(axis=1) == pytest.approx(estimator.predict_log(x[:5]), abs=1e-6)


@pytest.mark.parametrize("candidate", TREE_CANDIDATES)
def test_leaves_equal_those_of_the_library(
    model_of: ModelOf, homes: Columns, candidate: str
) -> None:
    model = model_of(candidate)
    x = model.encoder.transform(homes)
    estimator: Any = model.estimator
    trees: Trees = estimator._trees

    assert trees.predict(estimator._seen(x)) == pytest.approx(estimator._predict(x), abs=1e-4)
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
