"""A fifth candidate: all that one has to write, but for its line in the registry."""

from typing import Any

import numpy as np

from realtor_model.candidates import Candidate, FloatRange
from realtor_model.estimators import LinearEstimator, TrainRows


class RidgeEstimator(LinearEstimator):
    """Least squares on standardised features, with a penalty on large coefficients."""

    @staticmethod
    def _fit(rows: TrainRows, settings: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), Ridge(**settings))
        return model.fit(rows.x.astype(np.float64), rows.y), {}


RIDGE_REGRESSION = Candidate(
    name="ridge_regression",
    library="scikit-learn",
    kinds=frozenset({"scikitlearn", "scipy"}),
    description="Least squares with a penalty on large coefficients.",
    estimator=RidgeEstimator,
    requirements=("scikit-learn", "skops", "scipy"),
    hyperparameters={"alpha": 1.0},
    search_space={"alpha": FloatRange(0.01, 100.0, log=True)},
    slow_to_explain=True,
)
