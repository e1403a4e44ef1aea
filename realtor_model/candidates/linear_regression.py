"""The candidate linear_regression."""

from realtor_model.candidates.candidate import Candidate
from realtor_model.estimators import LinearEstimator

LINEAR_REGRESSION = Candidate(
    name="linear_regression",
    library="scikit-learn",
    kinds=frozenset({"scikitlearn"}),
    description="Ordinary least squares of log price on standardised features: the baseline that "
    "a better model must beat.",
    estimator=LinearEstimator,
    requirements=("scikit-learn", "skops"),
)
