"""Regressors of log price: fitting, prediction, SHAP values and storage without pickle.

`Estimator` is the base class of all candidates. `ScikitEstimator` stores models of scikit-learn;
`TreeEnsemble` finds the leaves of tree models of any library.
"""

from realtor_model.estimators.estimator import LOG_MARGIN, Estimator, Floats, Matrix, TrainRows
from realtor_model.estimators.scikit_estimators import (
    ForestEstimator,
    HistogramBoostingEstimator,
    LinearEstimator,
    ScikitEstimator,
)
from realtor_model.estimators.tree_ensemble import TreeEnsemble
from realtor_model.estimators.xgboost_estimator import (
    XGBoostEstimator,
    boosting_parameters,
    mark_imputed_as_missing,
)

__all__ = [
    "LOG_MARGIN",
    "Estimator",
    "Floats",
    "ForestEstimator",
    "HistogramBoostingEstimator",
    "LinearEstimator",
    "Matrix",
    "ScikitEstimator",
    "TrainRows",
    "TreeEnsemble",
    "XGBoostEstimator",
    "boosting_parameters",
    "mark_imputed_as_missing",
]
