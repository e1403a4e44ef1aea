"""Candidates → a registered model: the best one, trained once more and scored on the test split."""

import json
from dataclasses import replace
from typing import Any

import dagster as dg

from realtor_assets.clean.clean_build import CleanBuild, read_snapshot, required_build
from realtor_assets.metadata import OWNERS
from realtor_assets.metadata.materializations import unchanged
from realtor_assets.pipeline_settings import settings
from realtor_assets.raw.raw_listings import read_listings
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.train.mlflow_model import log_to_mlflow
from realtor_assets.train.model_report import Report
from realtor_model.candidates import CANDIDATES, candidate_named
from realtor_model.evaluation.metrics import SELECTION_METRIC, ratio_study
from realtor_model.evaluation.scored_listings import ScoredListings, summary
from realtor_model.training import TRAINING_VERSION, Rows, refit
from realtor_model.valuation.valuation_model import ValuationModel

SELECTED_BY = f"validation_{SELECTION_METRIC.name}"


@dg.asset(
    group_name="train",
    kinds={"mlflow"},
    owners=OWNERS,
    deps=[*CANDIDATES, "raw_test"],
    pool="pipeline",
    description=f"The candidate with the lowest {SELECTION_METRIC.label} on the validation split, "
    "trained once more on train and validation rows, scored on the test split, and registered as a "
    "version of realtor-price.",
)
def best_model(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    raw_database: Database,
    clean_database: Database,
    tracking: Tracking,
) -> dg.MaterializeResult[None]:
    build = required_build(clean_database)
    trained = _trained_candidates(context.instance, build.data_version)
    name = min(trained, key=lambda candidate: trained[candidate][SELECTED_BY])
    chosen = trained[name]
    key = f"{chosen['mlflow_run_id']} {TRAINING_VERSION}"
    earlier = unchanged(context, "best_model", key)
    if (
        earlier is not None
        and (number := str(earlier["model_version"].value)) in tracking.versions()
    ):
        context.log.info("%s is still the best, as version %s", name, number)
        return dg.MaterializeResult(data_version=dg.DataVersion(number), metadata=earlier)
    model = tracking.load_logged_bundle(str(chosen["model_uri"]))
    model = _refitted(model, build, store, raw_database)
    test = read_listings(raw_database, "test", loads=build.loads)
    scored = ScoredListings.by(model, test.columns, test.price)
    metrics = summary(scored, build.as_of)
    study = ratio_study(scored.price, scored.predicted)
    model = replace(
        model,
        metadata=model.metadata
        | {
            "metrics": model.metadata["metrics"] | {"test": metrics},
            "ratio_study": study,
            "candidate_run_id": chosen["mlflow_run_id"],
        },
    )
    parent = tracking.parent_run_id(context, clean_database)
    with tracking.child_run(parent, f"best_model: {name}", context) as run:
        report = Report.of(model, scored, "test")
        uri = log_to_mlflow(model, report)
    version = tracking.register(
        run.info.run_id,
        uri,
        {
            "stage": "None",
            "candidate": name,
            "data_version": build.data_version,
            "batches": json.dumps(build.batches),
            "dagster_run_id": context.run.run_id,
        },
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(version.version)),
        metadata={
            "inputs_key": key,
            "candidate": name,
            "model_version": str(version.version),
            "model": dg.MetadataValue.url(tracking.version_url(str(version.version))),
            "clean_data_version": build.data_version,
            "batches": str(build.batches),
            "train_rows": model.metadata["train_rows"],
            "candidates": dg.MetadataValue.md(_comparison(trained, name)),
            **{f"test_{metric}": float(value) for metric, value in metrics.items()},
            **report.pictures(),
        },
    )


def _refitted(
    model: ValuationModel, build: CleanBuild, store: ObjectStore, raw_database: Database
) -> ValuationModel:
    """`model` trained once more on train and validation rows; on the cluster if it can."""
    if settings().dask_scheduler and candidate_named(model.candidate).cluster_trainer:
        from realtor_assets.distributed import cluster, partitions
        from realtor_assets.train import cluster_training

        partitions.export(raw_database, store, build.loads)
        with cluster.cluster() as client:
            exported = partitions.partitions(store, build.loads)
            return cluster_training.refit_on_cluster(client, model, build, store, exported)
    train, validation = (
        Rows(*read_snapshot(store, build, split, model.encoder.feature_names))
        for split in ("train", "validation")
    )
    return refit(model, train, validation)


def _comparison(trained: dict[str, dict[str, Any]], best: str) -> str:
    """The candidates' validation errors as a Markdown table, the best first."""
    lines = [
        f"| candidate | {SELECTION_METRIC.label} | median error | MAE | RMSE | |",
        "|---|---|---|---|---|---|",
    ]
    for candidate in sorted(trained, key=lambda name: trained[name][SELECTED_BY]):
        row = trained[candidate]
        lines.append(
            f"| {candidate} | {row[SELECTED_BY]:.4f} | {row['validation_mdape']:.1%} "
            f"| ${row['validation_mae']:,.0f} | ${row['validation_rmse']:,.0f} "
            f"| {'**best**' if candidate == best else ''} |"
        )
    return "\n".join(lines)


def _trained_candidates(
    instance: dg.DagsterInstance, data_version: str
) -> dict[str, dict[str, Any]]:
    """Metadata of the candidates trained on the current clean build."""
    trained = {}
    for candidate in CANDIDATES:
        event = instance.get_latest_materialization_event(dg.AssetKey(candidate))
        if event is None or event.asset_materialization is None:
            continue
        values = {key: item.value for key, item in event.asset_materialization.metadata.items()}
        if values["clean_data_version"] == data_version:
            trained[candidate] = values
    if not trained:
        raise dg.Failure(
            f"no candidate is trained on the current clean build {data_version}: "
            "materialize at least one candidate",
            allow_retries=False,
        )
    return trained
