"""The candidates: four regressors of log price, and how a fitted one is kept without pickle."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar
from zipfile import ZIP_DEFLATED

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from realtor_model import fewrows
from realtor_model.features import FEATURE_NAMES, IMPUTED, MONOTONE
from realtor_model.fewrows import FewRows
from realtor_model.threads import by_rows
from realtor_model.trees import Trees
from realtor_model.treeshap import TreeShap

Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]

# A prediction stays within the train prices, or a factor of 2 beyond: a linear model on an odd home
# must not explode in the exponential.
LOG_MARGIN = float(np.log(2.0))

THIN_ROWS = 100_000

# Enough to tell in how many two homes share a leaf, to a few percent.
MOST_TREES_COMPARED = 300

# What skops may build, beyond the types that it knows to be harmless, while it loads one of our
# models; any other is refused.
TRUSTED_TYPES = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)


class Estimator(ABC):
    """A fitted candidate; everything it answers is in log dollars.

    Attributes:
        candidate: its name in `CANDIDATES`.
        hyperparameters: those it was trained with, and what training chose (`best_iteration`).
        n_train_rows: rows it was fitted on.
        log_range: lowest and highest log price among them.
        feature_names: the columns of its matrix.
    """

    file_name: ClassVar[str] = "model.skops"
    # The hyperparameter that early stopping chooses.
    rounds: ClassVar[str] = "n_estimators"
    # Of forests too large for `TreeShap`, a row takes 100 ms.
    importance_rows: ClassVar[int] = 300

    def __init__(
        self,
        model: Any,
        *,
        candidate: str,
        hyperparameters: Mapping[str, Any],
        n_train_rows: int,
        log_range: Sequence[float],
        feature_names: Sequence[str],
        importance: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.model = model
        self.candidate = candidate
        self.hyperparameters = dict(hyperparameters)
        self.n_train_rows = n_train_rows
        self.log_range = (float(log_range[0]), float(log_range[1]))
        self.feature_names = tuple(feature_names)
        self._importance = dict(importance)

    def predict_log(self, x: Matrix) -> Floats:
        """Log price, float64 (n,), of the matrix (n, n_features) float32.

        It stays near the train prices (`LOG_MARGIN`). Large matrices are spread over all cores.
        """
        if not len(x):
            return np.empty(0)
        return self._held(self._predict(np.ascontiguousarray(x, np.float32)))

    def contributions(self, x: Matrix) -> tuple[float, Floats]:
        """Exact SHAP values of the rows: a base, and float64 (n, n_features).

        base + contributions.sum(axis=1) is `predict_log(x)` to within 1e-4 (XGBoost adds up in
        float32). Where the prediction is held near the train prices they shrink in proportion.
        """
        base, values = self._contributions(np.ascontiguousarray(x, np.float32))
        total = values.sum(axis=1)
        held = self._held(base + total) - base
        scale = np.divide(held, total, out=np.ones_like(total), where=total != 0.0)
        scaled: Floats = values * scale[:, None]
        return base, scaled

    def leaves(self, x: Matrix) -> NDArray[np.uint16] | None:
        """The leaf of each tree, (n, trees), that the rows fall into; None of what has no trees.

        Of `MOST_TREES_COMPARED` trees at most, evenly spread over all rounds.
        """
        return None

    @property
    def chosen(self) -> dict[str, Any]:
        """Hyperparameters that make this model again without validation rows."""
        settings = dict(self.hyperparameters)
        best = settings.pop("best_iteration", None)
        return settings if best is None else settings | {self.rounds: best + 1}

    def importance(self) -> dict[str, float]:
        """Mean |SHAP value| of each feature over a sample of the train rows, in log dollars."""
        return dict(self._importance)

    def save(self, folder: Path) -> None:
        """Write the model and `estimator.json` into the existing `folder`; see `load`."""
        self._write(folder / self.file_name)
        described = {
            "candidate": self.candidate,
            "hyperparameters": self.hyperparameters,
            "n_train_rows": self.n_train_rows,
            "log_range": self.log_range,
            "feature_names": self.feature_names,
            "importance": self._importance,
        }
        (folder / "estimator.json").write_text(json.dumps(described, indent=1))

    def _held(self, log_price: Floats) -> Floats:
        low, high = self.log_range
        held: Floats = np.clip(log_price, low - LOG_MARGIN, high + LOG_MARGIN)
        return held

    def _measure_importance(self, x: Matrix, seed: int) -> None:
        sample = np.random.default_rng(seed).permutation(len(x))[: self.importance_rows]
        mean = np.abs(self.contributions(x[sample])[1]).mean(axis=0)
        self._importance = dict(zip(self.feature_names, map(float, mean), strict=True))

    def _write(self, path: Path) -> None:
        # Not above: it imports all of scikit-learn, a second and 25 MB that XGBoost does without.
        import skops.io

        # Level 1 shrinks a forest to a third; level 9 takes minutes for a few percent more.
        skops.io.dump(self.model, path, compression=ZIP_DEFLATED, compresslevel=1)

    @staticmethod
    def _read(path: Path) -> Any:
        import skops.io

        return skops.io.load(path, trusted=list(TRUSTED_TYPES))

    @staticmethod
    @abstractmethod
    def _fit(data: "_Data", settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        """The fitted model, and what training chose beyond `settings`."""

    @abstractmethod
    def _predict(self, x: Matrix) -> Floats: ...

    @abstractmethod
    def _contributions(self, x: Matrix) -> tuple[float, Floats]: ...


@dataclass(frozen=True)
class _Data:
    x: Matrix
    y: Floats
    held_out: tuple[Matrix, Floats] | None
    feature_names: tuple[str, ...]

    @property
    def monotone(self) -> list[int]:
        return [MONOTONE.get(name, 0) for name in self.feature_names]


class _Linear(Estimator):
    """Least squares on standardised features."""

    @staticmethod
    def _fit(data: _Data, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        model = make_pipeline(StandardScaler(), LinearRegression(**settings))
        return model.fit(data.x.astype(np.float64), data.y), {}

    def _predict(self, x: Matrix) -> Floats:
        base, values = self._contributions(x)
        predicted: Floats = base + values.sum(axis=1)
        return predicted

    def _contributions(self, x: Matrix) -> tuple[float, Floats]:
        # The SHAP value of a linear model is coefficient * (x - mean): the scaler centres x.
        scaler, regression = self.model[0], self.model[-1]
        standardised = (x.astype(np.float64) - scaler.mean_) / scaler.scale_
        return float(regression.intercept_), standardised * regression.coef_


class _OfTrees(Estimator):
    """Trees, whatever library grew them."""

    def leaves(self, x: Matrix) -> NDArray[np.uint16]:
        trees = self._trees
        return trees.leaves(self._seen(x), trees.some(MOST_TREES_COMPARED))

    def _contributions(self, x: Matrix) -> tuple[float, Floats]:
        if self._tree_shap is None:
            return self._library_contributions(x)
        return self._tree_shap.base, by_rows(self._tree_shap.values, self._seen(x), at_least=100)

    @cached_property
    def _trees(self) -> Trees:
        return self._read_trees()

    @cached_property
    def _tree_shap(self) -> TreeShap | None:
        return TreeShap.of(self._trees, len(self.feature_names))

    def _seen(self, x: Matrix) -> Matrix:
        """`x` as the trees see it."""
        return np.ascontiguousarray(x, np.float32)

    @abstractmethod
    def _read_trees(self) -> Trees: ...

    @abstractmethod
    def _library_contributions(self, x: Matrix) -> tuple[float, Floats]:
        """Of trees that are too large for `TreeShap`."""


class _ScikitTrees(_OfTrees):
    """Trees of scikit-learn."""

    @cached_property
    def _explainer(self) -> Any:
        import shap  # takes seconds to import, and only the largest forests need it

        return shap.TreeExplainer(self.model)

    def _library_contributions(self, x: Matrix) -> tuple[float, Floats]:
        values = self._explainer.shap_values(x, check_additivity=False)
        return float(np.ravel(self._explainer.expected_value)[0]), np.asarray(values, np.float64)


class _Forest(_ScikitTrees):
    """Random forest on bounded bootstraps."""

    importance_rows = 25

    @staticmethod
    def _fit(data: _Data, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        bounded = settings | {"max_samples": min(settings["max_samples"], len(data.y))}
        forest = RandomForestRegressor(**bounded, random_state=seed, n_jobs=-1)
        return forest.fit(data.x, data.y), {}

    def _predict(self, x: Matrix) -> Floats:
        # Not the forest's own predict: its thread pool costs a single row 10 ms, and adds the
        # trees up in whatever order they finish.
        trees = [tree.tree_ for tree in self.model.estimators_]

        def mean(rows: Matrix) -> Floats:
            total = np.zeros(len(rows))
            for tree in trees:
                total += tree.predict(rows)[:, 0]
            return total / len(trees)

        return by_rows(mean, x)

    def _read_trees(self) -> Trees:
        return Trees.of_forest(self.model)


class _HistogramBoosting(_ScikitTrees):
    """Gradient boosting on binned features (scikit-learn), stopped early by validation rows."""

    rounds = "max_iter"

    @staticmethod
    def _fit(data: _Data, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        x, y = data.held_out or (None, None)
        boosting = HistGradientBoostingRegressor(
            **settings,
            monotonic_cst=data.monotone,
            early_stopping=x is not None,
            random_state=seed,
        )
        boosting.fit(data.x, data.y, X_val=x, y_val=y)
        return boosting, {} if x is None else {"best_iteration": boosting.n_iter_ - 1}

    def _predict(self, x: Matrix) -> Floats:
        # Not predict: its OpenMP team meets after each of the 200 trees, and on busy cores a single
        # row then takes 50 ms.
        def on_one_thread(rows: Matrix) -> Floats:
            raw: Floats = self.model._raw_predict(rows, n_threads=1)
            return raw.ravel()

        return by_rows(on_one_thread, x)

    def _read_trees(self) -> Trees:
        return Trees.of_histogram_boosting(self.model)


class _XGBoost(_OfTrees):
    """Gradient boosting with early stopping on the validation rows."""

    file_name = "model.ubj"

    @staticmethod
    def _fit(data: _Data, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        parameters = boosting_parameters(
            settings, data.feature_names, float(np.median(data.y)), seed
        )
        rounds, patience = settings["n_estimators"], settings["early_stopping_rounds"]
        train_rows = xgboost.QuantileDMatrix(with_gaps(data.x, data.feature_names), data.y)
        if data.held_out is None:
            kept = xgboost.train(parameters, train_rows, rounds)
            best = rounds - 1
        else:
            x, y = data.held_out
            gaps = with_gaps(x, data.feature_names)
            judged = xgboost.QuantileDMatrix(gaps, y, ref=train_rows)
            booster = xgboost.train(
                parameters,
                train_rows,
                rounds,
                evals=[(judged, "validation")],
                early_stopping_rounds=patience,
                verbose_eval=False,
            )
            best = booster.best_iteration
            kept = booster[: best + 1]
        kept.set_param({"nthread": 1})
        return kept, {"best_iteration": best}

    def _predict(self, x: Matrix) -> Floats:
        seen = self._seen(x)
        if len(seen) <= fewrows.MOST:
            return self._few_rows.predict(seen)[:, 0].astype(np.float64)
        return by_rows(self.model.inplace_predict, seen).astype(np.float64)

    @cached_property
    def _few_rows(self) -> FewRows:
        return FewRows.of(self.model)

    def _seen(self, x: Matrix) -> Matrix:
        return with_gaps(x, self.feature_names)

    def _read_trees(self) -> Trees:
        return Trees.of_xgboost(self.model)

    def _library_contributions(self, x: Matrix) -> tuple[float, Floats]:
        def explain(rows: Matrix) -> NDArray[np.float32]:
            matrix = xgboost.DMatrix(rows, nthread=1)
            values: NDArray[np.float32] = self.model.predict(matrix, pred_contribs=True)
            return values

        values = by_rows(explain, self._seen(x), at_least=100).astype(np.float64)
        return float(values[0, -1]) if len(values) else 0.0, values[:, :-1]

    def _write(self, path: Path) -> None:
        path.write_bytes(self.model.save_raw("ubj"))

    @staticmethod
    def _read(path: Path) -> Any:
        # One thread: a service answers many callers, and `by_rows` spreads what is large.
        booster = xgboost.Booster({"nthread": 1})
        booster.load_model(bytearray(path.read_bytes()))
        booster.set_param({"nthread": 1})
        return booster


@dataclass(frozen=True)
class Candidate:
    """A kind of model that is trained on every build: its class and default hyperparameters.

    thin: what replaces them below `THIN_ROWS` train rows.
    """

    estimator: type[Estimator]
    hyperparameters: Mapping[str, Any]
    thin: Mapping[str, Any] = field(default_factory=dict)


CANDIDATES: Mapping[str, Candidate] = MappingProxyType(
    {
        "linear_regression": Candidate(_Linear, {}),
        # Bounded bootstraps and leaves keep 200 trees of depth 20 under 200 MB.
        "random_forest": Candidate(
            _Forest,
            {
                "n_estimators": 200,
                "max_depth": 20,
                "min_samples_leaf": 8,
                "max_features": 0.33,
                "max_samples": 50_000,
            },
        ),
        "gradient_boosting": Candidate(
            _HistogramBoosting,
            {
                "max_iter": 200,
                "max_depth": 5,
                "learning_rate": 0.1,
                "min_samples_leaf": 20,
                "n_iter_no_change": 20,
            },
        ),
        "xgboost": Candidate(
            _XGBoost,
            {
                "n_estimators": 500,
                "max_depth": 8,
                "learning_rate": 0.1,
                "min_child_weight": 5.0,
                "subsample": 0.8,
                "colsample_bynode": 0.5,
                "num_parallel_tree": 1,
                "huber_slope": 0.4,
                "reg_lambda": 2.0,
                "early_stopping_rounds": 30,
            },
            # Few rows: variance is the error, and small bagged steps are what lowers it.
            {
                "n_estimators": 300,
                "max_depth": 6,
                "learning_rate": 0.05,
                "subsample": 0.5,
                "colsample_bynode": 0.2,
                "num_parallel_tree": 8,
                "early_stopping_rounds": 60,
            },
        ),
    }
)


def default_hyperparameters(candidate: str, rows: int) -> dict[str, Any]:
    """What `candidate` is trained with on so many rows, when nobody says otherwise."""
    kind = CANDIDATES[candidate]
    return {**kind.hyperparameters, **(kind.thin if rows < THIN_ROWS else {})}


def hyperparameters_of(candidate: str, rows: int, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """What `candidate` is trained with on so many rows, where `overrides` replace defaults.

    Raises:
        ValueError: one of them is no hyperparameter of the candidate.
    """
    known = CANDIDATES[candidate].hyperparameters
    if unknown := sorted(overrides.keys() - known.keys()):
        names = ", ".join(known) or "none"
        raise ValueError(f"{candidate} has no hyperparameter {', '.join(unknown)}; it has: {names}")
    return default_hyperparameters(candidate, rows) | dict(overrides)


def boosting_parameters(
    hyperparameters: Mapping[str, Any], feature_names: Sequence[str], base_score: float, seed: int
) -> dict[str, Any]:
    """XGBoost's own parameters; rounds and patience are arguments of its `train`.

    base_score: where boosting begins, log dollars; the median of the train rows.
    """
    rounds_apart = ("n_estimators", "early_stopping_rounds")
    return {name: value for name, value in hyperparameters.items() if name not in rounds_apart} | {
        # Errors of log price have heavy tails: asking prices of fancy, broken listings. The
        # pseudo-Huber loss is squared near zero and linear far out.
        "objective": "reg:pseudohubererror",
        # Far out its curvature is next to nothing, and a Newton step would leap past the price.
        "max_delta_step": 1.0,
        "base_score": base_score,
        "tree_method": "hist",
        "monotone_constraints": tuple(MONOTONE.get(name, 0) for name in feature_names),
        "seed": seed,
    }


def of_booster(
    booster: xgboost.Booster,
    *,
    hyperparameters: Mapping[str, Any],
    n_train_rows: int,
    log_range: Sequence[float],
    feature_names: Sequence[str],
    x: Matrix,
    seed: int,
) -> Estimator:
    """The estimator of a booster of all its rounds that was trained elsewhere.

    Its importance is measured on some of the train rows, `x` (n, n_features) float32.
    """
    booster.set_param({"nthread": 1})
    fitted = _XGBoost(
        booster,
        candidate="xgboost",
        hyperparameters=hyperparameters,
        n_train_rows=n_train_rows,
        log_range=log_range,
        feature_names=feature_names,
    )
    fitted._measure_importance(x, seed)
    return fitted


def train(
    candidate: str,
    x: Matrix,
    price: Floats,
    x_validation: Matrix | None = None,
    price_validation: Floats | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    seed: int = 0,
    *,
    feature_names: Sequence[str] = FEATURE_NAMES,
    importance: bool = True,
) -> Estimator:
    """Fit `candidate` to log price, on all cores; the same seed makes the same model.

    Args:
        candidate: a name in `CANDIDATES`.
        x: float32 (n, n_features), finite.
        price: float64 (n,), dollars, positive.
        x_validation, price_validation: rows of homes not in `x`; boosting stops early by them, the
            others leave them alone. Without them all rounds are made.
        hyperparameters: replaces single defaults of the candidate.
        seed: of everything random.
        feature_names: names of the columns of `x`.
        importance: measure it, too; a model that is only compared does without.

    Raises:
        ValueError: an unknown candidate or hyperparameter, or names that don't fit the matrix.
    """
    if candidate not in CANDIDATES:
        raise ValueError(f"candidate is {candidate!r}; it must be one of {', '.join(CANDIDATES)}")
    kind = CANDIDATES[candidate]
    settings = hyperparameters_of(candidate, len(price), hyperparameters or {})
    if x.shape[1] != len(feature_names):
        raise ValueError(f"x has {x.shape[1]} columns and {len(feature_names)} feature names")
    y = np.log(price)
    held_out = None
    if x_validation is not None and price_validation is not None:
        held_out = (x_validation, np.log(price_validation))
    data = _Data(x, y, held_out, tuple(feature_names))
    model, chosen = kind.estimator._fit(data, settings, seed)
    fitted = kind.estimator(
        model,
        candidate=candidate,
        hyperparameters=settings | chosen,
        n_train_rows=len(y),
        log_range=(float(y.min()), float(y.max())),
        feature_names=feature_names,
    )
    if importance:
        fitted._measure_importance(x, seed)
    return fitted


def load(folder: Path) -> Estimator:
    """The estimator that `Estimator.save` wrote into `folder`, wholly in memory.

    Raises:
        OSError, ValueError, KeyError: a file is missing or not what `save` writes.
        skops.io.exceptions.UntrustedTypesFoundException: the model has types beyond
            `TRUSTED_TYPES`; nothing of it was built.
    """
    described = json.loads((folder / "estimator.json").read_text())
    kind = CANDIDATES[described["candidate"]].estimator
    return kind(kind._read(folder / kind.file_name), **described)


@cache
def _gaps(feature_names: tuple[str, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The columns that tell whether a value was imputed, and those of the values."""
    told = [each for each in IMPUTED.items() if set(each) <= set(feature_names)]
    flags = np.array([feature_names.index(flag) for _, flag in told], np.intp)
    return flags, np.array([feature_names.index(name) for name, _ in told], np.intp)


def with_gaps(x: Matrix, feature_names: Sequence[str]) -> Matrix:
    """`x` with NaN where a value was imputed: XGBoost learns on which side a gap belongs."""
    flags, values = _gaps(tuple(feature_names))
    x = x.copy()
    x[:, values] = np.where(x[:, flags] == 1.0, np.float32(np.nan), x[:, values])
    return x
