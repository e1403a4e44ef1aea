"""Estimators of scikit-learn, stored with skops.

scikit-learn, skops and shap are imported inside functions, so that models of other libraries load
without them.
"""

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from zipfile import ZIP_DEFLATED

import numpy as np

from realtor_model.estimators.estimator import Estimator, Floats, Matrix, TrainRows
from realtor_model.estimators.row_chunks import map_row_chunks
from realtor_model.estimators.tree_arrays import Trees
from realtor_model.estimators.tree_ensemble import TreeEnsemble


class ScikitEstimator(Estimator):
    """A model of scikit-learn, stored in the skops format, which needs no pickle."""

    file_name = "model.skops"
    # Types that skops may build when it loads a model of this class, besides those that skops
    # trusts by default. It refuses all others.
    trusted_types: ClassVar[tuple[str, ...]] = ()

    def _write(self, path: Path) -> None:
        import skops.io

        # Level 1 shrinks a forest to a third; level 9 takes minutes to save a few percent more.
        skops.io.dump(self.model, path, compression=ZIP_DEFLATED, compresslevel=1)

    @classmethod
    def _read(cls, path: Path) -> Any:
        import skops.io

        return skops.io.load(path, trusted=list(cls.trusted_types))


class LinearEstimator(ScikitEstimator):
    """Least squares on standardised features."""

    @staticmethod
    def _fit(rows: TrainRows, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        from sklearn.linear_model import LinearRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), LinearRegression(**settings))
        return model.fit(rows.x.astype(np.float64), rows.y), {}

    def _predict(self, x: Matrix) -> Floats:
        base, values = self._contributions(x)
        predicted: Floats = base + values.sum(axis=1)
        return predicted

    def _contributions(self, x: Matrix) -> tuple[float, Floats]:
        # The SHAP value of a linear model is coefficient * (x - mean); the scaler centres x.
        scaler, regression = self.model[0], self.model[-1]
        standardised = (x.astype(np.float64) - scaler.mean_) / scaler.scale_
        return float(regression.intercept_), standardised * regression.coef_


class _ScikitTrees(ScikitEstimator, TreeEnsemble):
    """Tree ensembles of scikit-learn; shap explains them."""

    @cached_property
    def _explainer(self) -> Any:
        import shap

        return shap.TreeExplainer(self.model)

    def _contributions(self, x: Matrix) -> tuple[float, Floats]:
        values = self._explainer.shap_values(x, check_additivity=False)
        return float(np.ravel(self._explainer.expected_value)[0]), np.asarray(values, np.float64)


class ForestEstimator(_ScikitTrees):
    """A random forest whose bootstrap samples have at most `max_samples` rows."""

    trusted_types = ("sklearn.tree._tree.Tree",)
    # shap takes 100 ms for a row of 200 deep trees.
    importance_rows = 25

    @staticmethod
    def _fit(rows: TrainRows, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        from sklearn.ensemble import RandomForestRegressor

        bounded = settings | {"max_samples": min(settings["max_samples"], len(rows.y))}
        forest = RandomForestRegressor(**bounded, random_state=seed, n_jobs=-1)
        return forest.fit(rows.x, rows.y), {}

    def _predict(self, x: Matrix) -> Floats:
        # Two reasons against the forest's own `predict`: its thread pool takes 10 ms for a single
        # row, and it sums the trees in the order in which they finish, so rounding varies.
        trees = [tree.tree_ for tree in self.model.estimators_]

        def mean(rows: Matrix) -> Floats:
            total = np.zeros(len(rows))
            for tree in trees:
                total += tree.predict(rows)[:, 0]
            return total / len(trees)

        return map_row_chunks(mean, x)

    def _read_trees(self) -> Trees:
        return Trees.of_forest(self.model)


class HistogramBoostingEstimator(_ScikitTrees):
    """Gradient boosting on binned features, with early stopping on the validation rows."""

    trusted_types = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
    rounds = "max_iter"

    @staticmethod
    def _fit(rows: TrainRows, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        from sklearn.ensemble import HistGradientBoostingRegressor

        x, y = rows.held_out or (None, None)
        boosting = HistGradientBoostingRegressor(
            **settings,
            monotonic_cst=[rows.monotone.get(name, 0) for name in rows.feature_names],
            early_stopping=x is not None,
            random_state=seed,
        )
        boosting.fit(rows.x, rows.y, X_val=x, y_val=y)
        return boosting, {} if x is None else {"best_iteration": boosting.n_iter_ - 1}

    def _predict(self, x: Matrix) -> Floats:
        # `predict` synchronises its threads after each of the 200 trees, which takes 50 ms for a
        # single row on busy cores.
        def on_one_thread(rows: Matrix) -> Floats:
            raw: Floats = self.model._raw_predict(rows, n_threads=1)
            return raw.ravel()

        return map_row_chunks(on_one_thread, x)

    def _read_trees(self) -> Trees:
        return Trees.of_histogram_boosting(self.model)
