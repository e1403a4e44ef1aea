"""What every fitted candidate does, and what its library has to bring."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from realtor_model.sampling import draw_rows

Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]

# A prediction stays within the train prices, or a factor of 2 beyond: a linear model must not
# explode in the exponential when a home is odd.
LOG_MARGIN = float(np.log(2.0))


@dataclass(frozen=True)
class TrainRows:
    """The rows that a candidate is fitted on.

    x: float32 (n, n_features). y: log price (n,). held_out: the same two of validation rows.
    feature_names: of the columns of `x`.
    """

    x: Matrix
    y: Floats
    held_out: tuple[Matrix, Floats] | None
    feature_names: tuple[str, ...]


class Estimator(ABC):
    """A fitted candidate; all its answers are in log dollars.

    A class brings six things: `file_name`, and the methods `_fit`, `_predict`, `_contributions`,
    `_write` and `_read`.

    Attributes:
        candidate: its name in `CANDIDATES`.
        hyperparameters: those it was trained with, and those that training chose
            (`best_iteration`).
        n_train_rows: rows it was fitted on.
        log_range: lowest and highest log price among them.
        feature_names: the columns of its matrix.
    """

    # Of the file with the fitted model, in the bundle.
    file_name: ClassVar[str]
    # The hyperparameter that early stopping chooses.
    rounds: ClassVar[str] = "n_estimators"
    # Train rows that the importance is measured on.
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

    @classmethod
    def fitted(
        cls, rows: TrainRows, *, candidate: str, hyperparameters: Mapping[str, Any], seed: int
    ) -> Self:
        """The estimator fitted on `rows`, on all cores; its importance is not measured."""
        model, chosen = cls._fit(rows, dict(hyperparameters), seed)
        return cls(
            model,
            candidate=candidate,
            hyperparameters={**hyperparameters, **chosen},
            n_train_rows=len(rows.y),
            log_range=(float(rows.y.min()), float(rows.y.max())),
            feature_names=rows.feature_names,
        )

    @classmethod
    def restored(cls, folder: Path, attributes: Mapping[str, Any]) -> Self:
        """The estimator that `save` wrote into `folder`; `attributes`: its `estimator.json`."""
        return cls(cls._read(folder / cls.file_name), **attributes)

    def predict_log(self, x: Matrix) -> Floats:
        """Log price, float64 (n,), of the matrix (n, n_features) float32.

        It stays near the train prices (`LOG_MARGIN`). Large matrices are spread over all cores.
        """
        if not len(x):
            return np.empty(0)
        return self._clipped(self._predict(np.ascontiguousarray(x, np.float32)))

    def contributions(self, x: Matrix) -> tuple[float, Floats]:
        """Exact SHAP values of the rows: a base, and float64 (n, n_features), log dollars.

        base + contributions.sum(axis=1) is `predict_log(x)` to within 1e-4 (XGBoost adds up in
        float32). Where a prediction is clipped near the train prices they shrink in proportion.

        Args:
            x: float32 (n, n_features).
        """
        base, values = self._contributions(np.ascontiguousarray(x, np.float32))
        total = values.sum(axis=1)
        clipped = self._clipped(base + total) - base
        scale = np.divide(clipped, total, out=np.ones_like(total), where=total != 0.0)
        scaled: Floats = values * scale[:, None]
        return base, scaled

    def leaves(self, x: Matrix) -> NDArray[np.uint16] | None:
        """The leaf of each tree, (n, trees), that the rows fall into; None without trees.

        At most `MAX_TREES_COMPARED` trees, evenly spread over all rounds.
        """
        return None

    @property
    def refit_hyperparameters(self) -> dict[str, Any]:
        """Hyperparameters that make this model again without validation rows."""
        settings = dict(self.hyperparameters)
        best = settings.pop("best_iteration", None)
        return settings if best is None else settings | {self.rounds: best + 1}

    def importance(self) -> dict[str, float]:
        """Mean |SHAP value| of each feature over a sample of the train rows, in log dollars."""
        return dict(self._importance)

    def measure_importance(self, x: Matrix, seed: int) -> None:
        """Measure the `importance` on a sample of the train rows `x`, (n, n_features) float32."""
        sample = draw_rows(len(x), self.importance_rows, seed)
        mean = np.abs(self.contributions(x[sample])[1]).mean(axis=0)
        self._importance = dict(zip(self.feature_names, map(float, mean), strict=True))

    def save(self, folder: Path) -> None:
        """Write the model and `estimator.json` into the existing `folder`; see `restored`."""
        self._write(folder / self.file_name)
        attributes = {
            "candidate": self.candidate,
            "hyperparameters": self.hyperparameters,
            "n_train_rows": self.n_train_rows,
            "log_range": self.log_range,
            "feature_names": self.feature_names,
            "importance": self._importance,
        }
        (folder / "estimator.json").write_text(json.dumps(attributes, indent=1))

    def _clipped(self, log_price: Floats) -> Floats:
        low, high = self.log_range
        clipped: Floats = np.minimum(np.maximum(log_price, low - LOG_MARGIN), high + LOG_MARGIN)
        return clipped

    @staticmethod
    @abstractmethod
    def _fit(rows: TrainRows, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        """The fitted model, and the hyperparameters that training chose beyond `settings`."""

    @abstractmethod
    def _write(self, path: Path) -> None:
        """Write the model alone, without pickle."""

    @classmethod
    @abstractmethod
    def _read(cls, path: Path) -> Any:
        """The model that `_write` wrote."""

    @abstractmethod
    def _predict(self, x: Matrix) -> Floats:
        """Log price (n,) of the rows, not clipped."""

    @abstractmethod
    def _contributions(self, x: Matrix) -> tuple[float, Floats]:
        """SHAP values: a base, and (n, n_features); together they add up to `_predict`."""
