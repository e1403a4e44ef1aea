"""The candidates: four regressors of log price, and how a fitted one is kept without pickle."""

from realtor_model.estimators.candidates import (
    CANDIDATES,
    THIN_ROWS,
    Candidate,
    default_hyperparameters,
    hyperparameters_of,
    load,
    train,
)
from realtor_model.estimators.estimator import LOG_MARGIN, Estimator
from realtor_model.estimators.scikit_estimators import TRUSTED_TYPES
from realtor_model.estimators.xgboost_estimator import boosting_parameters, of_booster, with_gaps

__all__ = [
    "CANDIDATES",
    "LOG_MARGIN",
    "THIN_ROWS",
    "TRUSTED_TYPES",
    "Candidate",
    "Estimator",
    "boosting_parameters",
    "default_hyperparameters",
    "hyperparameters_of",
    "load",
    "of_booster",
    "train",
    "with_gaps",
]
