"""What a candidate is: one declaration from which assets, search, bundle and registry follow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from realtor_model.estimators import Estimator, Floats, Matrix, TrainRows
from realtor_model.features import FEATURE_NAMES, features_of
from realtor_model.libraries import library_version
from realtor_model.listing import US_LISTINGS

# With fewer train rows a candidate is trained with its `thin` hyperparameters.
THIN_ROWS = 100_000

# Every valuation model needs these, whatever its candidate: arrays, tables, and XGBoost, which
# makes the price ranges.
SHARED_REQUIREMENTS = ("numpy", "pandas", "pyarrow", "xgboost")


@dataclass(frozen=True)
class IntRange:
    """Whole numbers from `low` to `high`, both included; searched on a log scale if `log`."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class FloatRange:
    """Numbers from `low` to `high`, both included; searched on a log scale if `log`."""

    low: float
    high: float
    log: bool = False


SearchRange = IntRange | FloatRange


@dataclass(frozen=True)
class Candidate:
    """A kind of model that is trained on every build of the clean tables.

    Attributes:
        name: identifies the candidate everywhere: asset, MLflow run, bundle, API.
        library: the library that trains it, as people write it.
        kinds: Dagster's kinds of its asset, beside "mlflow".
        description: what it is, in a sentence; the description of its asset.
        estimator: the class that fits, predicts, explains, and writes itself without pickle.
        requirements: libraries, by their names on PyPI, that train, read or explain it, beyond
            `SHARED_REQUIREMENTS`. The bundle and the training key record their versions.
        hyperparameters: all of them, with their defaults.
        thin: defaults that replace these below `THIN_ROWS` train rows.
        search_space: hyperparameters that a search varies, with their bounds. Empty: there is
            nothing to search.
        code_version: raise it when the estimator would train another model from the same rows and
            hyperparameters; the candidate is then trained anew.
        slow_to_explain: one explanation may take a second, so explain few homes.
        cluster_trainer: "module:function" that fits it on the workers of a Dask cluster, or None.
            A path, and not the function: this package knows no cluster. See
            `realtor_assets.distributed.cluster_trainer`.

    Raises:
        ValueError: `thin` or `search_space` names an unknown hyperparameter, or a default lies
            outside its bounds.
    """

    name: str
    library: str
    kinds: frozenset[str]
    description: str
    estimator: type[Estimator]
    requirements: tuple[str, ...] = ()
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    thin: Mapping[str, Any] = field(default_factory=dict)
    search_space: Mapping[str, SearchRange] = field(default_factory=dict)
    code_version: str = "1"
    slow_to_explain: bool = False
    cluster_trainer: str | None = None

    def __post_init__(self) -> None:
        self._require_known({**self.thin, **self.search_space})
        for rows in (THIN_ROWS - 1, THIN_ROWS):
            defaults = self.default_hyperparameters(rows)
            for name, bounds in self.search_space.items():
                if not bounds.low <= defaults[name] <= bounds.high:
                    raise ValueError(f"{self.name}: {name} {defaults[name]} is outside {bounds}")

    def default_hyperparameters(self, rows: int) -> dict[str, Any]:
        """The hyperparameters for `rows` train rows when nobody sets any."""
        return {**self.hyperparameters, **(self.thin if rows < THIN_ROWS else {})}

    def resolve_hyperparameters(self, rows: int, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """All hyperparameters for `rows` train rows, where `overrides` replace defaults.

        Raises:
            ValueError: the candidate has no such hyperparameter.
        """
        self._require_known(overrides)
        return self.default_hyperparameters(rows) | dict(overrides)

    def library_versions(self) -> dict[str, str]:
        """Installed versions of the libraries that train, read and explain this candidate's models.

        Raises:
            importlib.metadata.PackageNotFoundError: one of them is not installed.
        """
        return {name: library_version(name) for name in self.libraries()}

    def libraries(self) -> tuple[str, ...]:
        """Names of its libraries."""
        return tuple(dict.fromkeys((*SHARED_REQUIREMENTS, *self.requirements)))

    def fit(
        self,
        x: Matrix,
        price: Floats,
        x_validation: Matrix | None = None,
        price_validation: Floats | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        seed: int = 0,
        *,
        feature_names: Sequence[str] = FEATURE_NAMES,
        monotone: Mapping[str, int] = features_of(US_LISTINGS).monotone,
        importance: bool = True,
    ) -> Estimator:
        """Fit to log price, on all cores; the same seed makes the same model.

        Args:
            x: float32 (n, n_features), finite.
            price: float64 (n,), dollars, positive.
            x_validation, price_validation: the same two of homes that are not in `x`. Boosting
                stops early by them; other candidates ignore them. Without them boosting makes all
                its rounds.
            hyperparameters: replace single defaults.
            seed: of everything random.
            feature_names: names of the columns of `x`.
            monotone: feature -> 1 if the price never falls as it rises, -1 if it never rises.
            importance: measure feature importance as well; it costs explanations of a sample.

        Raises:
            ValueError: an unknown hyperparameter, or `feature_names` do not match the columns.
        """
        settings = self.resolve_hyperparameters(len(price), hyperparameters or {})
        if x.shape[1] != len(feature_names):
            raise ValueError(f"x has {x.shape[1]} columns and {len(feature_names)} feature names")
        validation = None
        if x_validation is not None and price_validation is not None:
            validation = (x_validation, np.log(price_validation))
        estimator = self.estimator.fitted(
            TrainRows(x, np.log(price), validation, tuple(feature_names), monotone),
            candidate=self.name,
            hyperparameters=settings,
            seed=seed,
        )
        if importance:
            estimator.measure_importance(x, seed)
        return estimator

    def _require_known(self, names: Mapping[str, Any]) -> None:
        if unknown := sorted(names.keys() - self.hyperparameters.keys()):
            known = ", ".join(self.hyperparameters) or "none"
            raise ValueError(
                f"{self.name} has no hyperparameter {', '.join(unknown)}; it has: {known}"
            )
