"""A search for better hyperparameters: optional, bounded, resumable.

Its trials are MLflow runs and have no other storage: a study is rebuilt from the finished ones, so
a search that was stopped or killed goes on where it was.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from pydantic import Field

from realtor_assets.clean.clean_build import read_encoder, read_snapshot, required_build
from realtor_assets.metadata import OWNERS
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_model import estimators
from realtor_model.evaluation.metrics import regression_metrics
from realtor_model.features import FEATURE_VERSION
from realtor_model.training import TRAINING_VERSION, Rows

if TYPE_CHECKING:
    from mlflow.entities import Run

SEARCH_TAG, CANDIDATE_TAG = "realtor.search", "realtor.search.candidate"
PARAMETERS_TAG = "realtor.search.hyperparameters"
# What a promotion is decided by, on the validation split: the test split takes no part.
METRIC = "mae_log"
OBJECTIVE = f"validation_{METRIC}"

# Bounds keep the bundles as small as the defaults do.
SPACES: Mapping[str, Mapping[str, BaseDistribution]] = MappingProxyType(
    {
        "random_forest": {
            "max_depth": IntDistribution(10, 20),
            "min_samples_leaf": IntDistribution(8, 60, log=True),
            "max_features": FloatDistribution(0.1, 0.8),
        },
        "gradient_boosting": {
            "max_iter": IntDistribution(100, 500),
            "max_depth": IntDistribution(3, 9),
            "learning_rate": FloatDistribution(0.03, 0.3, log=True),
            "min_samples_leaf": IntDistribution(5, 200, log=True),
        },
        "xgboost": {
            "max_depth": IntDistribution(4, 10),
            "learning_rate": FloatDistribution(0.02, 0.3, log=True),
            "min_child_weight": FloatDistribution(0.5, 50.0, log=True),
            "subsample": FloatDistribution(0.4, 1.0),
            "colsample_bynode": FloatDistribution(0.1, 1.0),
            "huber_slope": FloatDistribution(0.05, 1.0, log=True),
            "reg_lambda": FloatDistribution(0.1, 20.0, log=True),
        },
    }
)


class SearchConfig(dg.Config):
    """What to search, and for how long."""

    candidate: str = Field("xgboost", description=f"One of {', '.join(SPACES)}.")
    trials: int = Field(
        30, ge=1, description="In all: finished ones of the same search, on the same build, count."
    )
    minutes: float = Field(30.0, gt=0, description="After so long no further trial begins.")
    rows: int = Field(200_000, ge=1, description="Train rows that each trial learns from, at most.")
    seed: int = Field(0, description="Seed of rows, trainings and sampler.")


@dataclass(frozen=True)
class Trial:
    """One finished trial: what was tried, and the error that came of it."""

    run_id: str
    hyperparameters: dict[str, Any]
    error: float

    @classmethod
    def of(cls, run: "Run") -> "Trial":
        """The trial that `run` is."""
        parameters = json.loads(run.data.tags[PARAMETERS_TAG])
        return cls(run.info.run_id, parameters, run.data.metrics[OBJECTIVE])


@dg.asset(
    group_name="train",
    kinds={"mlflow", "optuna"},
    owners=OWNERS,
    deps=["clean_train", "clean_validation"],
    description="Looks for better hyperparameters of one candidate (Optuna), by the mean absolute "
    "error of log price on the validation split. Launch it with a config; again, it goes on. A "
    "candidate takes what it found when its config says `searched`.",
)
def hyperparameter_search(
    context: dg.AssetExecutionContext,
    config: SearchConfig,
    store: ObjectStore,
    clean_database: Database,
    tracking: Tracking,
) -> dg.MaterializeResult[None]:
    if config.candidate not in SPACES:
        raise dg.Failure(
            f"there is nothing to search for {config.candidate}; there is for {', '.join(SPACES)}",
            allow_retries=False,
        )
    build = required_build(clean_database)
    names = read_encoder(store, build).feature_names
    train, validation = (
        Rows(*read_snapshot(store, build, split, names)) for split in ("train", "validation")
    )
    train = train.some(config.rows, config.seed)
    key = "/".join(
        map(str, (config.candidate, build.data_version, FEATURE_VERSION, TRAINING_VERSION,
                  len(train.price), config.seed))
    )  # fmt: skip
    trials = _finished(tracking, SEARCH_TAG, key)
    before = len(trials)
    study = _study(config, trials, len(train.price))
    parent = tracking.parent_run_id(context, clean_database)
    deadline = time.monotonic() + 60.0 * config.minutes
    while len(trials) < config.trials and time.monotonic() < deadline:
        asked = study.ask(dict(SPACES[config.candidate]))
        with tracking.child_run(parent, f"search {config.candidate} {len(trials)}", context) as run:
            error = _try(config, asked.params, train, validation, names, key)
        study.tell(asked, error)
        trials.append(Trial(run.info.run_id, asked.params, error))
        context.log.info("%s %.5f with %s", OBJECTIVE, error, asked.params)
    if not trials:
        raise dg.Failure(f"no trial began within {config.minutes} minutes", allow_retries=False)
    best = min(trials, key=lambda trial: trial.error)
    return dg.MaterializeResult(
        metadata={
            "candidate": config.candidate,
            "best": dg.MetadataValue.json(best.hyperparameters),
            "best_mlflow_run_id": best.run_id,
            f"best_{OBJECTIVE}": best.error,
            "trials": len(trials),
            "new_trials": len(trials) - before,
            "found": dg.MetadataValue.md(_table(trials)),
        }
    )


def best_hyperparameters(tracking: Tracking, candidate: str) -> dict[str, Any]:
    """The best of the newest search for `candidate`. Raises `dagster.Failure` if there is none."""
    newest = _runs(tracking, CANDIDATE_TAG, candidate)
    if not newest:
        raise dg.Failure(
            f"no search for {candidate} has a finished trial: materialize hyperparameter_search, "
            "or train without `searched`",
            allow_retries=False,
        )
    trials = _finished(tracking, SEARCH_TAG, newest[0].data.tags[SEARCH_TAG])
    return min(trials, key=lambda trial: trial.error).hyperparameters


def _study(config: SearchConfig, trials: list[Trial], rows: int) -> optuna.Study:
    """A study that knows `trials`; a new one begins with the defaults, so it can only gain."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = SPACES[config.candidate]
    # A sampler that began with the same seed again would ask what it has asked before.
    sampler = optuna.samplers.TPESampler(seed=config.seed + len(trials))
    study = optuna.create_study(sampler=sampler)
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                params=trial.hyperparameters, distributions=dict(space), value=trial.error
            )
        )
    if not trials:
        defaults = estimators.default_hyperparameters(config.candidate, rows)
        study.enqueue_trial({name: defaults[name] for name in space})
    return study


def _try(
    config: SearchConfig,
    hyperparameters: dict[str, Any],
    train: Rows,
    validation: Rows,
    names: tuple[str, ...],
    key: str,
) -> float:
    """Train once, log it into the active MLflow run, and return the error."""
    import mlflow

    estimator = estimators.train(
        config.candidate,
        train.x,
        train.price,
        validation.x,
        validation.price,
        hyperparameters,
        config.seed,
        feature_names=names,
        importance=False,
    )
    metrics = regression_metrics(validation.price, np.exp(estimator.predict_log(validation.x)))
    mlflow.log_params(estimator.hyperparameters | {"train_rows": estimator.n_train_rows})
    mlflow.log_metrics({f"validation_{name}": value for name, value in metrics.items()})
    mlflow.set_tags(
        {
            SEARCH_TAG: key,
            CANDIDATE_TAG: config.candidate,
            PARAMETERS_TAG: json.dumps(hyperparameters),
        }
    )
    return metrics[METRIC]


def _finished(tracking: Tracking, tag: str, value: str) -> list[Trial]:
    """The trials with this tag, oldest first."""
    return [Trial.of(run) for run in reversed(_runs(tracking, tag, value))]


def _runs(tracking: Tracking, tag: str, value: str) -> "list[Run]":
    return tracking.finished_runs(f"tags.`{tag}` = '{value}'")


def _table(trials: list[Trial], *, shown: int = 10) -> str:
    ranked = sorted(trials, key=lambda trial: trial.error)[:shown]
    names = list(ranked[0].hyperparameters)
    lines = [f"| {OBJECTIVE} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [
        f"| {trial.error:.5f} | "
        + " | ".join(f"{trial.hyperparameters[name]:.4g}" for name in names)
        + " |"
        for trial in ranked
    ]
    return "\n".join(lines)
