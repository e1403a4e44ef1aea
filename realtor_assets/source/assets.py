"""Ask the upstream for the next batch, or take a file, and land it verbatim."""

import time
from pathlib import Path

import dagster as dg

from realtor_assets.metadata import OWNERS
from realtor_assets.metadata.run_tags import DATA_VERSION_TAG, PROGRESS_TAG
from realtor_assets.metadata.table_schema import describe
from realtor_assets.pipeline_settings import settings
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import require_current
from realtor_assets.source.landing import LandedPayload, Progress, describe_payload, land_file
from realtor_assets.source.upstream_client import ListingsApi

BATCHES = dg.DynamicPartitionsDefinition(name="batches")


_PROGRESS_SECONDS = 2.0


listings_api = dg.AssetSpec(
    "listings_api",
    group_name="source",
    kinds={"api"},
    owners=OWNERS,
    description="The upstream API, which hands out property listings in large batches and moves "
    "its cursor on every call.",
)


@dg.asset(
    group_name="source",
    kinds={"postgres", "table"},
    owners=OWNERS,
    deps=[listings_api],
    pool="upstream",
    description="Every call to the upstream, failed ones too: status, bytes, seconds, error. "
    "Materializing it asks for the next batch and lands it, as a new partition.",
)
def api_request_log(
    context: dg.AssetExecutionContext, store: ObjectStore, raw_database: Database
) -> dg.MaterializeResult[None]:
    config = settings()
    api = ListingsApi(
        config.api_url,
        config.api_group,
        config.api_day,
        config.api_timeout_seconds,
        config.api_attempts,
        config.max_payload_bytes,
    )
    with raw_database.transaction() as connection:
        require_current(connection, "raw")
    landed = api.land_next_batch(store, raw_database, tagged_progress(context))
    if landed is None:
        context.log.info("the upstream has no more batches for group %s", config.api_group)
    else:
        announce(context, landed, store)
    with raw_database.transaction() as connection:
        return dg.MaterializeResult(
            metadata=describe(connection, "api_request_log")
            | {
                "end_of_data": dg.MetadataValue.bool(landed is None),
                "landed": dg.MetadataValue.text(landed.partition_key if landed else "-"),
            }
        )


def announce(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    landed: LandedPayload,
    store: ObjectStore,
) -> None:
    """Show a payload that is landed as a partition, before anything loads it."""
    context.instance.add_dynamic_partitions(str(BATCHES.name), [landed.partition_key])
    context.log_event(
        dg.AssetMaterialization(
            "landed_payloads",
            partition=landed.partition_key,
            metadata=describe_payload(landed, store),
            tags={DATA_VERSION_TAG: landed.sha256},
        )
    )


class FileToLand(dg.Config):
    """A CSV in the Kaggle format, by its path on the machine that runs this."""

    path: str


@dg.op(pool="upstream", tags={"kind": "csv"}, out=dg.Out(dg.Nothing))
def land_csv(
    context: dg.OpExecutionContext,
    config: FileToLand,
    store: ObjectStore,
    raw_database: Database,
) -> None:
    """Land a CSV file as a batch of its own; the same bytes again are the same batch."""
    with raw_database.transaction() as connection:
        require_current(connection, "raw")
    announce(
        context,
        land_file(Path(config.path), store, raw_database, tagged_progress(context)),
        store,
    )


def tagged_progress(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Progress:
    """Keeps the run's progress tag up to date, at most every two seconds."""
    told = 0.0

    def tell(text: str) -> None:
        nonlocal told
        if time.monotonic() - told >= _PROGRESS_SECONDS:
            told = time.monotonic()
            context.instance.add_run_tags(context.run.run_id, {PROGRESS_TAG: text})

    return tell
