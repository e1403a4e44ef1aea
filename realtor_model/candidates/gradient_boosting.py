"""The candidate gradient_boosting."""

from realtor_model.candidates.candidate import Candidate, FloatRange, IntRange
from realtor_model.estimators import HistogramBoostingEstimator

GRADIENT_BOOSTING = Candidate(
    name="gradient_boosting",
    library="scikit-learn",
    kinds=frozenset({"scikitlearn"}),
    description="200 boosted histogram trees (scikit-learn), with early stopping on the "
    "validation split.",
    estimator=HistogramBoostingEstimator,
    requirements=("scikit-learn", "shap", "skops"),
    hyperparameters={
        "max_iter": 200,
        "max_depth": 5,
        "learning_rate": 0.1,
        "min_samples_leaf": 20,
        "n_iter_no_change": 20,
    },
    # Bounds keep the bundle as small as the defaults do.
    search_space={
        "max_iter": IntRange(100, 500),
        "max_depth": IntRange(3, 9),
        "learning_rate": FloatRange(0.03, 0.3, log=True),
        "min_samples_leaf": IntRange(5, 200, log=True),
    },
)
