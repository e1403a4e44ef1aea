"""A search for better hyperparameters: optional, bounded, resumable.

Its trials are MLflow runs and have no other storage: each search rebuilds its study from the
finished ones, so that it resumes where an earlier one was stopped or killed.
"""

import hashlib
import json
import time
from dataclasses import dataclass
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
from realtor_model.candidates import (
    CANDIDATES,
    Candidate,
    IntRange,
    SearchRange,
    candidate_named,
)
from realtor_model.evaluation.metrics import SELECTION_METRIC, regression_metrics
from realtor_model.training import Rows, TrainingSettings, training_key

if TYPE_CHECKING:
    from mlflow.entities import Run

SEARCH_TAG, CANDIDATE_TAG = "realtor.search", "realtor.search.candidate"
PARAMETERS_TAG = "realtor.search.hyperparameters"
OBJECTIVE = f"validation_{SELECTION_METRIC.name}"

SEARCHABLE = [name for name, candidate in CANDIDATES.items() if candidate.search_space]


class SearchConfig(dg.Config):
    """What to search, and for how long."""

    # A default for convenience: the candidate that wins on most builds.
    candidate: str = Field("xgboost", description=f"One of {', '.join(SEARCHABLE)}.")
    trials: int = Field(
        30,
        ge=1,
        description="Trials in total; finished ones of the same search on the same build count.",
    )
    minutes: float = Field(30.0, gt=0, description="No further trial begins after so long.")
    rows: int = Field(200_000, ge=1, description="Train rows that each trial learns from, at most.")
    seed: int = Field(0, description="Seed of rows, trainings and sampler.")


@dataclass(frozen=True)
class Trial:
    """A finished trial: the hyperparameters tried, and their validation error."""

    run_id: str
    hyperparameters: dict[str, Any]
    error: float

    @classmethod
    def of(cls, run: "Run") -> "Trial":
        """The trial that the MLflow `run` logged."""
        parameters = json.loads(run.data.tags[PARAMETERS_TAG])
        return cls(run.info.run_id, parameters, run.data.metrics[OBJECTIVE])


@dg.asset(
    group_name="train",
    kinds={"mlflow", "optuna"},
    owners=OWNERS,
    deps=["clean_train", "clean_validation"],
    description="Searches better hyperparameters of one candidate with Optuna, by the "
    f"{SELECTION_METRIC.label} on the validation split. Launched again, it resumes. A candidate "
    "uses the result when its config says `searched`.",
)
def hyperparameter_search(
    context: dg.AssetExecutionContext,
    config: SearchConfig,
    store: ObjectStore,
    clean_database: Database,
    tracking: Tracking,
) -> dg.MaterializeResult[None]:
    if config.candidate not in SEARCHABLE:
        raise dg.Failure(
            f"there is nothing to search for {config.candidate}; there is for "
            f"{', '.join(SEARCHABLE)}",
            allow_retries=False,
        )
    candidate = candidate_named(config.candidate)
    build = required_build(clean_database)
    names = read_encoder(store, build).feature_names
    train, validation = (
        Rows(*read_snapshot(store, build, split, names)) for split in ("train", "validation")
    )
    train = train.some(config.rows, config.seed)
    key = _search_key(candidate, config.seed, build.data_version, len(train.price))
    trials = _finished(tracking, SEARCH_TAG, key)
    before = len(trials)
    study = _study(candidate, config.seed, trials, len(train.price))
    parent = tracking.parent_run_id(context, clean_database)
    deadline = time.monotonic() + 60.0 * config.minutes
    while len(trials) < config.trials and time.monotonic() < deadline:
        asked = study.ask(_distributions(candidate))
        with tracking.child_run(parent, f"search {candidate.name} {len(trials)}", context) as run:
            error = _try(candidate, asked.params, config.seed, train, validation, names, key)
        study.tell(asked, error)
        trials.append(Trial(run.info.run_id, asked.params, error))
        context.log.info("%s %.5f with %s", OBJECTIVE, error, asked.params)
    if not trials:
        raise dg.Failure(f"no trial began within {config.minutes} minutes", allow_retries=False)
    best = min(trials, key=lambda trial: trial.error)
    return dg.MaterializeResult(
        metadata={
            "candidate": candidate.name,
            "best": dg.MetadataValue.json(best.hyperparameters),
            "best_mlflow_run_id": best.run_id,
            f"best_{OBJECTIVE}": best.error,
            "trials": len(trials),
            "new_trials": len(trials) - before,
            "best_trials": dg.MetadataValue.md(_table(trials)),
        }
    )


def best_hyperparameters(tracking: Tracking, candidate: str) -> dict[str, Any]:
    """The best hyperparameters of the newest search for `candidate`, by name.

    Raises:
        dagster.Failure: no search for it has a finished trial.
    """
    newest = _runs(tracking, CANDIDATE_TAG, candidate)
    if not newest:
        raise dg.Failure(
            f"no search for {candidate} has a finished trial: materialize hyperparameter_search, "
            "or train without `searched`",
            allow_retries=False,
        )
    trials = _finished(tracking, SEARCH_TAG, newest[0].data.tags[SEARCH_TAG])
    return min(trials, key=lambda trial: trial.error).hyperparameters


def _search_key(candidate: Candidate, seed: int, data_version: str, rows: int) -> str:
    """Identifier of a search: its trials may be compared, and its study can be resumed."""
    training = training_key(TrainingSettings(candidate.name, seed=seed), data_version, rows)
    space = repr(sorted(candidate.search_space.items()))
    return f"{candidate.name}/{training}/{rows}/{hashlib.sha256(space.encode()).hexdigest()[:8]}"


def _distributions(candidate: Candidate) -> dict[str, BaseDistribution]:
    """The candidate's search space in Optuna's terms."""
    return {name: _distribution(bounds) for name, bounds in candidate.search_space.items()}


def _distribution(bounds: SearchRange) -> BaseDistribution:
    if isinstance(bounds, IntRange):
        return IntDistribution(bounds.low, bounds.high, log=bounds.log)
    return FloatDistribution(bounds.low, bounds.high, log=bounds.log)


def _study(candidate: Candidate, seed: int, trials: list[Trial], rows: int) -> optuna.Study:
    """A study that knows `trials`; a new one starts with the defaults, so it can only improve."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # A sampler with the same seed would propose the earlier trials again.
    sampler = optuna.samplers.TPESampler(seed=seed + len(trials))
    study = optuna.create_study(sampler=sampler)
    distributions = _distributions(candidate)
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                params=trial.hyperparameters, distributions=distributions, value=trial.error
            )
        )
    if not trials:
        defaults = candidate.default_hyperparameters(rows)
        study.enqueue_trial({name: defaults[name] for name in distributions})
    return study


def _try(
    candidate: Candidate,
    hyperparameters: dict[str, Any],
    seed: int,
    train: Rows,
    validation: Rows,
    names: tuple[str, ...],
    key: str,
) -> float:
    """Train once, log it into the active MLflow run, and return the error."""
    import mlflow

    estimator = candidate.fit(
        train.x,
        train.price,
        validation.x,
        validation.price,
        hyperparameters,
        seed,
        feature_names=names,
        importance=False,
    )
    metrics = regression_metrics(validation.price, np.exp(estimator.predict_log(validation.x)))
    mlflow.log_params(estimator.hyperparameters | {"train_rows": estimator.n_train_rows})
    mlflow.log_metrics({f"validation_{name}": value for name, value in metrics.items()})
    mlflow.set_tags(
        {
            SEARCH_TAG: key,
            CANDIDATE_TAG: candidate.name,
            PARAMETERS_TAG: json.dumps(hyperparameters),
        }
    )
    return metrics[SELECTION_METRIC.name]


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
