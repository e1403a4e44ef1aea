"""The candidate random_forest."""

from realtor_model.candidates.candidate import Candidate, FloatRange, IntRange
from realtor_model.estimators import ForestEstimator

RANDOM_FOREST = Candidate(
    name="random_forest",
    library="scikit-learn",
    kinds=frozenset({"scikitlearn"}),
    description="200 trees on bounded bootstraps of the train split.",
    estimator=ForestEstimator,
    requirements=("scikit-learn", "shap", "skops"),
    # Bounded bootstraps and leaves keep 200 trees of depth 20 under 200 MB.
    hyperparameters={
        "n_estimators": 200,
        "max_depth": 20,
        "min_samples_leaf": 8,
        "max_features": 0.33,
        "max_samples": 50_000,
    },
    # Bounds keep the bundle as small as the defaults do.
    search_space={
        "max_depth": IntRange(10, 20),
        "min_samples_leaf": IntRange(8, 60, log=True),
        "max_features": FloatRange(0.1, 0.8),
    },
    slow_to_explain=True,
)
