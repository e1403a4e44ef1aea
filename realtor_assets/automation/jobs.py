"""The jobs that sensors and people launch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from realtor_assets.clean import load_decisions
from realtor_assets.raw import refused_payloads
from realtor_assets.release import production_model
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.schema import require_current
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
    description="Request the next batch from the upstream and land it. The sensors do the rest.",
)
load = dg.define_asset_job(
    "load",
    LOAD,
    description="Load one landed batch into RAW. Repeating it stores nothing twice and does not "
    "call the upstream.",
)
clean = dg.define_asset_job(
    "clean",
    CLEAN,
    description="Decide for each loaded batch whether to train, and rebuild the clean tables.",
)
train = dg.define_asset_job(
    "train",
    TRAIN,
    description="Train the candidates, compare the best one with the champion in a duel, release "
    "the winner and serve it.",
)
serve = dg.define_asset_job(
    "serve",
    SERVE,
    description="Package the Production model and make the service load it.",
)
search = dg.define_asset_job(
    "search",
    SEARCH,
    description="Search better hyperparameters for one candidate. No other job depends on it.",
)


@dg.job(description="Land a CSV file in the Kaggle format as a batch. The sensors do the rest.")
def ingest_csv() -> None:
    land_csv()


class OperatorNote(dg.Config):
    """Who decides, and why. Both are stored with the decision."""

    approver: str = Field(description="Who makes this decision.", min_length=1)
    rationale: str = Field(description="The reason for it.", min_length=1)


class StagedVersion(OperatorNote):
    """A version of realtor-price that waits for approval."""

    version: str = Field(description="The version's number.")


class EarlierVersion(OperatorNote):
    """A version of realtor-price to go back to."""

    version: str | None = Field(
        None, description="The version's number. Unset: the previous Production version."
    )


class HeldBatch(OperatorNote):
    """A batch that was held back as suspect."""

    partition: str = Field(description="The batch's partition.")


class RefusedBatch(OperatorNote):
    """A payload that was refused."""

    partition: str = Field(description="The payload's partition.")


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
    context: dg.OpExecutionContext,
    config: StagedVersion,
    clean_database: Database,
    tracking: Tracking,
) -> None:
    """Promote a version that won its duel and waits for approval."""
    try:
        record = production_model.approve(
            clean_database, tracking, config.version, rationale=config.rationale,
            approver=config.approver,
        )  # fmt: skip
    except production_model.UnknownVersion as problem:
        raise dg.Failure(str(problem), allow_retries=False) from problem
    context.log.info("version %s: %s", record.model_version, record.reason)


@dg.op(out=dg.Out(dg.Nothing))
def admit_held_batch(config: HeldBatch, clean_database: Database) -> None:
    """Admit a batch that was held back as suspect to training."""
    try:
        load_decisions.admit_batch(
            clean_database, config.partition, approver=config.approver, rationale=config.rationale
        )
    except load_decisions.NotHeld as problem:
        raise dg.Failure(str(problem), allow_retries=False) from problem


@dg.op(out=dg.Out(dg.Nothing))
def dismiss_refused_batch(config: RefusedBatch, raw_database: Database) -> None:
    """Dismiss a refused payload: it stays landed, and is no longer shown as a problem."""
    try:
        with raw_database.transaction() as connection:
            require_current(connection, "raw")
            refused_payloads.dismiss(
                connection, config.partition, approver=config.approver, rationale=config.rationale
            )
    except refused_payloads.NotRefused as problem:
        raise dg.Failure(str(problem), allow_retries=False) from problem


@dg.job(description="Make an earlier version the Production model again; the job serve follows.")
def roll_back() -> None:
    give_production_back()


@dg.job(description="Promote a version that waits for approval; the job serve follows.")
def approve() -> None:
    approve_version()


@dg.job(description="Admit a held batch to training; a new retrain decision follows.")
def admit_batch() -> None:
    admit_held_batch()


@dg.job(description="Dismiss a refused payload, with a reason. Nothing is deleted.")
def dismiss_refused() -> None:
    dismiss_refused_batch()


jobs: "Sequence[dg.JobDefinition | UnresolvedAssetJobDefinition]" = [
    ingest, ingest_csv, load, clean, train, serve, search, roll_back, approve, admit_batch,
    dismiss_refused,
]  # fmt: skip
