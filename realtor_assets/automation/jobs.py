"""The jobs: what a person launches in the UI, and what the sensors launch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from realtor_assets.clean import load_decisions
from realtor_assets.release import production_model
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.source.assets import land_csv

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

INGEST = dg.AssetSelection.assets("api_request_log")
LOAD = dg.AssetSelection.groups("raw")
CLEAN = dg.AssetSelection.groups("clean") | dg.AssetSelection.assets("published_history")
SEARCH = dg.AssetSelection.assets("hyperparameter_search")
SERVE = dg.AssetSelection.groups("monitor", "publish").materializable() | dg.AssetSelection.assets(
    "production_model", "champion_change"
)
TRAIN = SERVE | dg.AssetSelection.groups("train", "release") - SEARCH

ingest = dg.define_asset_job(
    "ingest",
    INGEST,
    description="Ask the upstream for the next batch that is not here, and land it. The rest "
    "follows by itself.",
)
load = dg.define_asset_job(
    "load",
    LOAD,
    description="Load one landed batch into RAW. Again is fine: nothing is stored twice, and the "
    "upstream is not asked.",
)
clean = dg.define_asset_job(
    "clean",
    CLEAN,
    description="Decide on every loaded batch whether to train, and rebuild the clean tables.",
)
train = dg.define_asset_job(
    "train",
    TRAIN,
    description="Train the candidates, let the best one duel with the champion, release, serve.",
)
serve = dg.define_asset_job(
    "serve",
    SERVE,
    description="Package the Production model, and see to it that the service serves it.",
)
search = dg.define_asset_job(
    "search",
    SEARCH,
    description="Look for better hyperparameters of one candidate. Nothing else waits for it.",
)


@dg.job(description="Land a CSV in the Kaggle format as a batch. The rest follows by itself.")
def ingest_csv() -> None:
    land_csv()


class Said(dg.Config):
    """Who wants it, and why; kept with the decision."""

    approver: str = Field(description="Who decides this.", min_length=1)
    rationale: str = Field(description="Why.", min_length=1)


class Version(Said):
    """A version of realtor-price."""

    version: str = Field(description="Number of the version.")


class EarlierVersion(Said):
    """A version of realtor-price to go back to."""

    version: str | None = Field(None, description="Unset: the one before.")


class Batch(Said):
    """A batch that is held."""

    partition: str = Field(description="Its partition.")


@dg.op(out=dg.Out(dg.Nothing))
def give_production_back(
    context: dg.OpExecutionContext,
    config: EarlierVersion,
    clean_database: Database,
    tracking: Tracking,
) -> None:
    """Make an earlier version the Production model again."""
    try:
        record = production_model.roll_back(
            clean_database, tracking, version=config.version, reason=config.rationale,
            approver=config.approver,
        )  # fmt: skip
    except production_model.UnknownVersion as problem:
        raise dg.Failure(str(problem), allow_retries=False) from problem
    context.log.info("version %s is in Production again", record.model_version)


@dg.op(out=dg.Out(dg.Nothing))
def approve_version(
    context: dg.OpExecutionContext, config: Version, clean_database: Database, tracking: Tracking
) -> None:
    """Promote a version that won its duel and waits for a person."""
    try:
        record = production_model.approve(
            clean_database, tracking, config.version, rationale=config.rationale,
            approver=config.approver,
        )  # fmt: skip
    except production_model.UnknownVersion as problem:
        raise dg.Failure(str(problem), allow_retries=False) from problem
    context.log.info("version %s: %s", record.model_version, record.reason)


@dg.op(out=dg.Out(dg.Nothing))
def admit_held_batch(config: Batch, clean_database: Database) -> None:
    """Let a batch that was held back as suspect into training."""
    try:
        load_decisions.admit_batch(
            clean_database, config.partition, approver=config.approver, rationale=config.rationale
        )
    except load_decisions.NotHeld as problem:
        raise dg.Failure(str(problem), allow_retries=False) from problem


@dg.job(description="Make an earlier version the Production model again. Serving it follows.")
def roll_back() -> None:
    give_production_back()


@dg.job(description="Promote a version that waits for approval. Serving it follows.")
def approve() -> None:
    approve_version()


@dg.job(description="Let a held batch into training. Its new decision follows.")
def admit_batch() -> None:
    admit_held_batch()


jobs: "Sequence[dg.JobDefinition | UnresolvedAssetJobDefinition]" = [
    ingest, ingest_csv, load, clean, train, serve, search, roll_back, approve, admit_batch,
]  # fmt: skip
