"""The candidate xgboost."""

from realtor_model.candidates.candidate import Candidate, FloatRange, IntRange
from realtor_model.estimators import XGBoostEstimator

XGBOOST = Candidate(
    name="xgboost",
    library="XGBoost",
    kinds=frozenset({"xgboost"}),
    description="Boosted histogram trees with early stopping on the validation split.",
    estimator=XGBoostEstimator,
    requirements=("xgboost",),
    hyperparameters={
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
    # On few rows most of the error is variance, and small bagged steps lower it.
    thin={
        "n_estimators": 300,
        "max_depth": 6,
        "learning_rate": 0.05,
        "subsample": 0.5,
        "colsample_bynode": 0.2,
        "num_parallel_tree": 8,
        "early_stopping_rounds": 60,
    },
    # Bounds keep the bundle as small as the defaults do.
    search_space={
        "max_depth": IntRange(4, 10),
        "learning_rate": FloatRange(0.02, 0.3, log=True),
        "min_child_weight": FloatRange(0.5, 50.0, log=True),
        "subsample": FloatRange(0.4, 1.0),
        "colsample_bynode": FloatRange(0.1, 1.0),
        "huber_slope": FloatRange(0.05, 1.0, log=True),
        "reg_lambda": FloatRange(0.1, 20.0, log=True),
    },
    cluster_trainer="realtor_assets.distributed.boosting:train_xgboost",
)
