"""The candidates of scikit-learn, kept by skops."""

from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from realtor_model.estimators.estimator import Estimator, Floats, Matrix, TrainRows
from realtor_model.estimators.row_chunks import map_row_chunks
from realtor_model.estimators.tree_arrays import Trees
from realtor_model.estimators.tree_ensemble import TreeEnsemble
from realtor_model.features import MONOTONE

# What skops may build, beyond the types that it knows to be harmless, while it loads one of our
# models; any other is refused.
TRUSTED_TYPES = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)


class _Scikit(Estimator):
    """A model of scikit-learn."""

    file_name = "model.skops"

    def _write(self, path: Path) -> None:
        # Not above: it imports all of scikit-learn, a second and 25 MB that XGBoost does without.
        import skops.io

        # Level 1 shrinks a forest to a third; level 9 takes minutes for a few percent more.
        skops.io.dump(self.model, path, compression=ZIP_DEFLATED, compresslevel=1)

    @staticmethod
    def _read(path: Path) -> Any:
        import skops.io

        return skops.io.load(path, trusted=list(TRUSTED_TYPES))


class Linear(_Scikit):
    """Least squares on standardised features."""

    @staticmethod
    def _fit(rows: TrainRows, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        model = make_pipeline(StandardScaler(), LinearRegression(**settings))
        return model.fit(rows.x.astype(np.float64), rows.y), {}

    def _predict(self, x: Matrix) -> Floats:
        base, values = self._contributions(x)
        predicted: Floats = base + values.sum(axis=1)
        return predicted

    def _contributions(self, x: Matrix) -> tuple[float, Floats]:
        # The SHAP value of a linear model is coefficient * (x - mean): the scaler centres x.
        scaler, regression = self.model[0], self.model[-1]
        standardised = (x.astype(np.float64) - scaler.mean_) / scaler.scale_
        return float(regression.intercept_), standardised * regression.coef_


class _ScikitTrees(_Scikit, TreeEnsemble):
    """Trees of scikit-learn."""

    @cached_property
    def _explainer(self) -> Any:
        import shap  # takes seconds to import, and only the largest forests need it

        return shap.TreeExplainer(self.model)

    def _library_contributions(self, x: Matrix) -> tuple[float, Floats]:
        values = self._explainer.shap_values(x, check_additivity=False)
        return float(np.ravel(self._explainer.expected_value)[0]), np.asarray(values, np.float64)


class Forest(_ScikitTrees):
    """Random forest on bounded bootstraps."""

    # Where the forest is too large for `TreeShap`, a row takes 100 ms.
    importance_rows = 25

    @staticmethod
    def _fit(rows: TrainRows, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        bounded = settings | {"max_samples": min(settings["max_samples"], len(rows.y))}
        forest = RandomForestRegressor(**bounded, random_state=seed, n_jobs=-1)
        return forest.fit(rows.x, rows.y), {}

    def _predict(self, x: Matrix) -> Floats:
        # Not the forest's own predict: its thread pool costs a single row 10 ms, and adds the
        # trees up in whatever order they finish.
        trees = [tree.tree_ for tree in self.model.estimators_]

        def mean(rows: Matrix) -> Floats:
            total = np.zeros(len(rows))
            for tree in trees:
                total += tree.predict(rows)[:, 0]
            return total / len(trees)

        return map_row_chunks(mean, x)

    def _read_trees(self) -> Trees:
        return Trees.of_forest(self.model)


class HistogramBoosting(_ScikitTrees):
    """Gradient boosting on binned features (scikit-learn), stopped early by validation rows."""

    rounds = "max_iter"

    @staticmethod
    def _fit(rows: TrainRows, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        x, y = rows.held_out or (None, None)
        boosting = HistGradientBoostingRegressor(
            **settings,
            monotonic_cst=[MONOTONE.get(name, 0) for name in rows.feature_names],
            early_stopping=x is not None,
            random_state=seed,
        )
        boosting.fit(rows.x, rows.y, X_val=x, y_val=y)
        return boosting, {} if x is None else {"best_iteration": boosting.n_iter_ - 1}

    def _predict(self, x: Matrix) -> Floats:
        # Not predict: its OpenMP team meets after each of the 200 trees, and on busy cores a single
        # row then takes 50 ms.
        def on_one_thread(rows: Matrix) -> Floats:
            raw: Floats = self.model._raw_predict(rows, n_threads=1)
            return raw.ravel()

        return map_row_chunks(on_one_thread, x)

    def _read_trees(self) -> Trees:
        return Trees.of_histogram_boosting(self.model)
