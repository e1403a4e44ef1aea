"""`Estimator`, the base class of fitted candidates."""

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

# Predictions are clipped to the range of train prices, extended by a factor of 2 on both sides: for
# an unusual home the exponential of a linear model could be arbitrarily large.
LOG_MARGIN = float(np.log(2.0))


@dataclass(frozen=True)
class TrainRows:
    """The n rows that a candidate is fitted on.

    Attributes:
        x: float32 (n, n_features).
        y: float64 (n,), log prices.
        held_out: x and y of the validation rows; None where there are none.
        feature_names: names of the columns of `x`.
        monotone: feature -> 1 if the price never falls as it rises, -1 if it never rises.
    """

    x: Matrix
    y: Floats
    held_out: tuple[Matrix, Floats] | None
    feature_names: tuple[str, ...]
    monotone: Mapping[str, int]


class Estimator(ABC):
    """A fitted candidate; all predictions are log prices (natural logarithm of dollars).

    A subclass defines `file_name`, `_fit`, `_predict`, `_contributions`, `_write` and `_read`.

    Attributes:
        model: the fitted model of the library.
        candidate: its name in `CANDIDATES`.
        hyperparameters: those given, and those that training chose (`best_iteration`).
        n_train_rows: number of train rows.
        log_range: lowest and highest log price of the train rows.
        feature_names: names of the columns of its matrix.
    """

    # Name of the file with the fitted model in the bundle.
    file_name: ClassVar[str]
    # Name of the hyperparameter that early stopping chooses.
    rounds: ClassVar[str] = "n_estimators"
    # Number of train rows in the sample that the importance is measured on.
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
        """Fit an estimator on all cores; call `measure_importance` for its importance.

        Args:
            rows: train rows, and validation rows for early stopping.
            candidate: name of the candidate.
            hyperparameters: all hyperparameters of the candidate.
            seed: seed of all random choices.
        """
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
        """Read the estimator that `save` wrote.

        Args:
            folder: the folder of the bundle.
            attributes: content of its `estimator.json`.
        """
        return cls(cls._read(folder / cls.file_name), **attributes)

    def predict_log(self, x: Matrix) -> Floats:
        """Predict n log prices, clipped to the range of train prices extended by `LOG_MARGIN`.

        Large matrices are split over all cores.

        Args:
            x: float32 (n, n_features).

        Returns:
            Log prices, float64 (n,).
        """
        if not len(x):
            return np.empty(0)
        return self._clipped(self._predict(np.ascontiguousarray(x, np.float32)))

    def contributions(self, x: Matrix) -> tuple[float, Floats]:
        """Compute exact SHAP values of n rows.

        base + contributions.sum(axis=1) equals `predict_log(x)` to within 1e-6. Where a prediction
        is clipped, its SHAP values shrink in proportion.

        Args:
            x: float32 (n, n_features).

        Returns:
            The base, log dollars, and the contributions, float64 (n, n_features), log dollars.
        """
        # The libraries refuse to explain no rows.
        rows = np.ascontiguousarray(x if len(x) else np.zeros((1, x.shape[1])), np.float32)
        base, values = self._contributions(rows)
        values = values[: len(x)]
        total = values.sum(axis=1)
        clipped = self._clipped(base + total) - base
        scale = np.divide(clipped, total, out=np.ones_like(total), where=total != 0.0)
        scaled: Floats = values * scale[:, None]
        return base, scaled

    def leaves(self, x: Matrix) -> NDArray[np.uint16] | None:
        """Find the leaf of each tree that n rows fall into.

        Args:
            x: float32 (n, n_features).

        Returns:
            Leaf numbers, uint16 (n, trees), of at most `MAX_TREES_COMPARED` trees, evenly spread
            over all rounds; None if the model has no trees.
        """
        return None

    @property
    def refit_hyperparameters(self) -> dict[str, Any]:
        """Hyperparameters for a refit without validation rows.

        The number of rounds is the one that early stopping chose.
        """
        settings = dict(self.hyperparameters)
        best = settings.pop("best_iteration", None)
        return settings if best is None else settings | {self.rounds: best + 1}

    def importance(self) -> dict[str, float]:
        """Mean absolute SHAP value of each feature, log dollars.

        Empty before `measure_importance`.
        """
        return dict(self._importance)

    def measure_importance(self, x: Matrix, seed: int) -> None:
        """Measure the `importance` on a sample of `importance_rows` train rows.

        Args:
            x: float32 (n, n_features), the train rows.
            seed: seed of the sample.
        """
        sample = draw_rows(len(x), self.importance_rows, seed)
        mean = np.abs(self.contributions(x[sample])[1]).mean(axis=0)
        self._importance = dict(zip(self.feature_names, map(float, mean), strict=True))

    def save(self, folder: Path) -> None:
        """Write the model and `estimator.json` into an existing folder; `restored` reads them."""
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
        """Fit the model; return it, and the hyperparameters that training chose."""

    @abstractmethod
    def _write(self, path: Path) -> None:
        """Write `model` to a file, without pickle."""

    @classmethod
    @abstractmethod
    def _read(cls, path: Path) -> Any:
        """Read the model that `_write` wrote."""

    @abstractmethod
    def _predict(self, x: Matrix) -> Floats:
        """Predict the log prices (n,) of n rows, without clipping."""

    @abstractmethod
    def _contributions(self, x: Matrix) -> tuple[float, Floats]:
        """Base and SHAP values (n, n_features); base plus the sum of a row equals `_predict`.

        There is at least one row.
        """
