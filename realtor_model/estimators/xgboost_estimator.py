"""The estimator of XGBoost, and the parameters it shares with training on a cluster."""

from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from realtor_model.estimators import small_batch
from realtor_model.estimators.estimator import Floats, Matrix, TrainRows
from realtor_model.estimators.row_chunks import map_row_chunks
from realtor_model.estimators.small_batch import SmallBatchPredictor
from realtor_model.estimators.tree_arrays import Trees
from realtor_model.estimators.tree_ensemble import TreeEnsemble
from realtor_model.features import imputed_features

# Most that XGBoost loses when it adds up thousands of trees in float32, log price.
_ROUNDING = 1e-3


class XGBoostEstimator(TreeEnsemble):
    """Gradient boosting with early stopping on the validation rows."""

    file_name = "model.ubj"

    @staticmethod
    def _fit(rows: TrainRows, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        parameters = boosting_parameters(
            settings, rows.feature_names, rows.monotone, float(np.median(rows.y)), seed
        )
        rounds, patience = settings["n_estimators"], settings["early_stopping_rounds"]
        train_rows = xgboost.QuantileDMatrix(
            mark_imputed_as_missing(rows.x, rows.feature_names), rows.y
        )
        if rows.held_out is None:
            booster = xgboost.train(parameters, train_rows, rounds)
            best = rounds - 1
        else:
            x, y = rows.held_out
            validation_x = mark_imputed_as_missing(x, rows.feature_names)
            validation_rows = xgboost.QuantileDMatrix(validation_x, y, ref=train_rows)
            booster = xgboost.train(
                parameters,
                train_rows,
                rounds,
                evals=[(validation_rows, "validation")],
                early_stopping_rounds=patience,
                verbose_eval=False,
            )
            best = booster.best_iteration
            booster = booster[: best + 1]
        booster.set_param({"nthread": 1})
        return booster, {"best_iteration": best}

    def _predict(self, x: Matrix) -> Floats:
        seen = self._seen(x)
        if len(seen) <= small_batch.MAX_ROWS:
            return self._few_rows.predict(seen)[:, 0].astype(np.float64)
        return map_row_chunks(self.model.inplace_predict, seen).astype(np.float64)

    @cached_property
    def _few_rows(self) -> SmallBatchPredictor:
        return SmallBatchPredictor.of(self.model)

    def _seen(self, x: Matrix) -> Matrix:
        return mark_imputed_as_missing(x, self.feature_names)

    def _read_trees(self) -> Trees:
        return Trees.of_xgboost(self.model)

    def _contributions(self, x: Matrix) -> tuple[float, Floats]:
        def explain(rows: Matrix) -> NDArray[np.float32]:
            matrix = xgboost.DMatrix(rows, nthread=1)
            values: NDArray[np.float32] = self.model.predict(matrix, pred_contribs=True)
            return values

        explained = map_row_chunks(explain, self._seen(x), at_least=100).astype(np.float64)
        base, values = float(explained[0, -1]), explained[:, :-1]
        # The rounding error is shared among the features in proportion to their values. A
        # larger gap has another cause and stays, so that the service refuses the model.
        size = np.abs(values)
        total = size.sum(axis=1)
        lost = self._predict(x) - base - values.sum(axis=1)
        rounding = (np.abs(lost) <= _ROUNDING) & (total != 0.0)
        share = np.divide(lost, total, out=np.zeros_like(lost), where=rounding)
        return base, values + size * share[:, None]

    def _write(self, path: Path) -> None:
        path.write_bytes(self.model.save_raw("ubj"))

    @classmethod
    def _read(cls, path: Path) -> Any:
        # One thread: the service already predicts for many callers in parallel, and
        # `map_row_chunks` splits large matrices over the cores.
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(path.read_bytes()))
        booster.set_param({"nthread": 1})
        return booster


def boosting_parameters(
    hyperparameters: Mapping[str, Any],
    feature_names: Sequence[str],
    monotone: Mapping[str, int],
    base_score: float,
    seed: int,
) -> dict[str, Any]:
    """Parameters of `xgboost.train`, without the number of rounds and the patience.

    Args:
        hyperparameters: all hyperparameters of the candidate.
        feature_names: names of the columns of the matrix.
        monotone: feature -> the sign that its effect may have; the others may have any.
        base_score: prediction before the first round, log dollars: the median of the train rows.
        seed: seed of all random choices.
    """
    arguments = ("n_estimators", "early_stopping_rounds")
    return {name: value for name, value in hyperparameters.items() if name not in arguments} | {
        # Errors of log price have heavy tails, because some asking prices are unrealistic and some
        # listings are wrong. The pseudo-Huber loss is quadratic near zero and linear far out.
        "objective": "reg:pseudohubererror",
        # Far out the curvature of the loss is close to zero, and a Newton step would overshoot.
        "max_delta_step": 1.0,
        "base_score": base_score,
        "tree_method": "hist",
        "monotone_constraints": tuple(monotone.get(name, 0) for name in feature_names),
        "seed": seed,
    }


@cache
def _imputed_columns(
    feature_names: tuple[str, ...],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the columns that flag imputed values, and of the columns that they flag."""
    pairs = imputed_features(feature_names)
    flags = np.array([feature_names.index(flag) for _, flag in pairs], np.intp)
    return flags, np.array([feature_names.index(name) for name, _ in pairs], np.intp)


def mark_imputed_as_missing(x: Matrix, feature_names: Sequence[str]) -> Matrix:
    """A copy of `x` with NaN in place of imputed values, so that XGBoost learns their branch.

    Args:
        x: float32 (n, n_features).
        feature_names: names of its columns.

    >>> x = np.array([[3.0, 0.0], [2.5, 1.0]], np.float32)
    >>> mark_imputed_as_missing(x, ["bed", "bed_missing"])
    array([[ 3.,  0.],
           [nan,  1.]], dtype=float32)
    """
    flags, values = _imputed_columns(tuple(feature_names))
    x = x.copy()
    x[:, values] = np.where(x[:, flags] == 1.0, np.float32(np.nan), x[:, values])
    return x
