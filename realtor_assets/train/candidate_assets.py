"""The asset of each candidate, and its settings in the launchpad. All follow from `CANDIDATES`."""

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
from realtor_model.candidates import CANDIDATES, THIN_ROWS, Candidate
from realtor_model.features import FEATURE_VERSION
from realtor_model.retraining import drift
from realtor_model.training import (
    TRAINING_VERSION,
    Rows,
    TrainedCandidate,
    TrainingSettings,
    attach_reference_data,
    model_metadata,
    train_and_score,
    training_key,
)


class CandidateConfig(dg.Config):
    """Settings of one training, editable in the launchpad."""

    seed: int = Field(0, description="Seed of everything random in the training.")
    searched: bool = Field(
        False,
        description="Take the best hyperparameters of this candidate's newest search. Values set "
        "here override them.",
    )

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The hyperparameters that are set here."""
        values = self.model_dump(exclude=set(CandidateConfig.model_fields))
        return {name: value for name, value in values.items() if value is not None}


def config_of(candidate: Candidate) -> type[CandidateConfig]:
    """The config of `candidate`: a field for each of its hyperparameters, unset by default."""
    fields: dict[str, Any] = {}
    for name, value in candidate.hyperparameters.items():
        default = f"Default: {value:g}"
        if name in candidate.thin:
            default += f", and {candidate.thin[name]:g} below {THIN_ROWS:,} train rows"
        fields[name] = (type(value) | None, Field(None, description=f"{default}."))
    return create_model(f"{candidate.name}_config", __base__=CandidateConfig, **fields)


def _candidate_asset(candidate: Candidate) -> dg.AssetsDefinition:
    config_type = config_of(candidate)

    @dg.asset(
        name=candidate.name,
        group_name="train",
        kinds={"mlflow", *candidate.kinds},
        owners=OWNERS,
        deps=["clean_train", "clean_validation", "clean_test"],
        pool="pipeline",
        description=candidate.description,
        code_version=f"{FEATURE_VERSION}.{TRAINING_VERSION}.{candidate.code_version}",
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
        searched = best_hyperparameters(tracking, candidate.name) if chosen.searched else {}
        settings = TrainingSettings(candidate.name, searched | chosen.hyperparameters, chosen.seed)
        key = training_key(settings, build.data_version, build.rows_train)
        earlier = unchanged(context, candidate.name, key)
        if earlier is not None and tracking.has_run(run_id := str(earlier["mlflow_run_id"].value)):
            context.log.info("nothing has changed since run %s: its model stays", run_id)
            return dg.MaterializeResult(data_version=dg.DataVersion(run_id), metadata=earlier)
        parent = tracking.parent_run_id(context, clean_database)
        with tracking.child_run(parent, candidate.name, context) as run:
            trained = train_on(settings, build, store, raw_database)
            metrics = trained.model.metadata["metrics"]
            context.log.info("%s trained; validation %s", candidate.name, metrics["validation"])
            report = Report.of(trained.model, trained.scored, "validation", trained.curve)
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
    settings: TrainingSettings, build: CleanBuild, store: ObjectStore, raw_database: Database
) -> TrainedCandidate:
    """Train and score a candidate on `build`: on the cluster if there is one and it can."""
    if configuration.settings().dask_scheduler and settings.declaration.cluster_trainer:
        from realtor_assets.distributed import cluster, partitions
        from realtor_assets.train import cluster_training

        partitions.export(raw_database, store, build.loads)
        with cluster.cluster() as client:
            exported = partitions.partitions(store, build.loads)
            return cluster_training.train_on_cluster(client, settings, build, store, exported)
    encoder = read_encoder(store, build)
    train_rows, validation_rows = (
        Rows(*read_snapshot(store, build, split, encoder.feature_names))
        for split in ("train", "validation")
    )
    train, validation, test = (
        read_listings(raw_database, split, loads=build.loads) for split in SPLITS
    )
    profile = drift.profile(train.columns, train.price, contract=encoder.contract)
    trained = train_and_score(
        settings,
        encoder,
        train_rows,
        validation_rows,
        validation,
        test,
        profile,
        model_metadata(build),
    )
    return replace(trained, model=attach_reference_data(trained.model, train))


candidates = [_candidate_asset(candidate) for candidate in CANDIDATES.values()]
