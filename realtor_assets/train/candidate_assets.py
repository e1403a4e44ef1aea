"""The asset of each candidate, and its settings in the launchpad."""

from dataclasses import replace
from typing import Any

import dagster as dg
from pydantic import Field, create_model

from realtor_assets import pipeline_settings as configuration
from realtor_assets.clean.clean_build import CleanBuild, read_encoder, read_snapshot, required_build
from realtor_assets.metadata import OWNERS
from realtor_assets.metadata.materializations import unchanged
from realtor_assets.raw.raw_listings import read_listings
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.train.hyperparameter_search import best_hyperparameters
from realtor_assets.train.mlflow_model import log_to_mlflow
from realtor_assets.train.model_report import Report
from realtor_assets.train.training_run import (
    Settings,
    Trained,
    described,
    papers,
    train_and_judge,
    training_key,
)
from realtor_model import estimators
from realtor_model.features import FEATURE_VERSION
from realtor_model.retraining import drift
from realtor_model.training import TRAINING_VERSION, Rows

CANDIDATE_DESCRIPTIONS = {
    "linear_regression": "Ordinary least squares of log price on standardised features: the "
    "baseline that a better model must beat.",
    "random_forest": "200 trees on bounded bootstraps of the train split.",
    "gradient_boosting": "200 boosted histogram trees (scikit-learn), with early stopping on the "
    "validation split.",
    "xgboost": "Boosted histogram trees with early stopping on the validation split.",
}


class CandidateConfig(dg.Config):
    """Settings of one training, editable in the launchpad."""

    seed: int = Field(0, description="Seed of everything random in the training.")
    searched: bool = Field(
        False,
        description="Take the best hyperparameters of the newest search for this candidate; those "
        "that are set here come before them.",
    )

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Those that are set here."""
        values = self.model_dump(exclude=set(CandidateConfig.model_fields))
        return {name: value for name, value in values.items() if value is not None}


def config_of(candidate: str) -> type[CandidateConfig]:
    """The config of `candidate`: one field for each of its hyperparameters, unset by default."""
    kind = estimators.CANDIDATES[candidate]
    fields: dict[str, Any] = {}
    for name, value in kind.hyperparameters.items():
        usual = f"Unset: {value:g}"
        if name in kind.thin:
            usual += f", and {kind.thin[name]:g} below {estimators.THIN_ROWS:,} train rows"
        fields[name] = (type(value) | None, Field(None, description=f"{usual}."))
    return create_model(f"{candidate}_config", __base__=CandidateConfig, **fields)


def _candidate_asset(candidate: str) -> dg.AssetsDefinition:
    config_type = config_of(candidate)

    @dg.asset(
        name=candidate,
        group_name="train",
        kinds={"mlflow", "xgboost" if candidate == "xgboost" else "scikitlearn"},
        owners=OWNERS,
        deps=["clean_train", "clean_validation", "clean_test"],
        pool="pipeline",
        description=CANDIDATE_DESCRIPTIONS[candidate],
        code_version=f"{FEATURE_VERSION}.{TRAINING_VERSION}",
    )
    def train_candidate(
        context: dg.AssetExecutionContext,
        config: config_type,  # type: ignore[valid-type]
        store: ObjectStore,
        raw_database: Database,
        clean_database: Database,
        tracking: Tracking,
    ) -> dg.MaterializeResult[None]:
        build = required_build(clean_database)
        chosen: CandidateConfig = config
        searched = best_hyperparameters(tracking, candidate) if chosen.searched else {}
        settings = Settings(candidate, searched | chosen.hyperparameters, chosen.seed)
        key = training_key(settings, build.data_version)
        kept = unchanged(context, candidate, key)
        if kept is not None and tracking.has_run(run_id := str(kept["mlflow_run_id"].value)):
            context.log.info("nothing has changed since run %s: kept", run_id)
            return dg.MaterializeResult(data_version=dg.DataVersion(run_id), metadata=kept)
        parent = tracking.parent_run_id(context, clean_database)
        with tracking.child_run(parent, candidate, context) as run:
            trained = train_on(settings, build, store, raw_database)
            metrics = trained.model.metadata["metrics"]
            context.log.info("%s trained; validation %s", candidate, metrics["validation"])
            report = Report.of(trained.model, trained.judged, "validation", trained.curve)
            model_uri = log_to_mlflow(trained.model, report)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(run.info.run_id),
            metadata={
                "inputs_key": key,
                "mlflow_run_id": run.info.run_id,
                "mlflow_run": dg.MetadataValue.url(tracking.run_url(run.info.run_id)),
                "model_uri": model_uri,
                "clean_data_version": build.data_version,
                "train_rows": trained.model.metadata["train_rows"],
                "hyperparameters": dg.MetadataValue.json(trained.model.estimator.hyperparameters),
                **{
                    f"{split}_{name}": float(value)
                    for split in ("validation", "test")
                    for name, value in metrics[split].items()
                },
                **report.pictures(),
            },
        )

    return train_candidate


def train_on(
    settings: Settings, build: CleanBuild, store: ObjectStore, raw_database: Database
) -> Trained:
    """Train and judge a candidate on `build`; xgboost on the cluster, if there is one."""
    scheduler = configuration.settings().dask_scheduler
    if scheduler and settings.candidate == "xgboost":
        from realtor_assets.distributed import cluster, partitions
        from realtor_assets.train import cluster_training

        partitions.export(raw_database, store, build.loads)
        with cluster.cluster() as client:
            found = partitions.partitions(store, build.loads)
            return cluster_training.train_on_cluster(client, settings, build, store, found)
    encoder = read_encoder(store, build)
    fitted, held_out = (
        Rows(*read_snapshot(store, build, split, encoder.feature_names))
        for split in ("train", "validation")
    )
    train, validation, test = (
        read_listings(raw_database, split, loads=build.loads) for split in SPLITS
    )
    profile = drift.profile(train.columns, train.price)
    trained = train_and_judge(
        settings, encoder, fitted, held_out, validation, test, profile, papers(build)
    )
    return replace(trained, model=described(trained.model, train))


candidates = [_candidate_asset(name) for name in estimators.CANDIDATES]
