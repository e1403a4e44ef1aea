"""The upstream's next batch, or a CSV file, landed verbatim in the object store."""

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
    description="The upstream API, which returns property listings in large batches and moves its "
    "cursor on every call.",
)


@dg.asset(
    group_name="source",
    kinds={"postgres", "table"},
    owners=OWNERS,
    deps=[listings_api],
    pool="upstream",
    description="Every call to the upstream, failed ones too: status, bytes, seconds, error. "
    "Materializing it requests the next batch and lands it as a new partition.",
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
        report_landed_payload(context, landed, store)
    with raw_database.transaction() as connection:
        return dg.MaterializeResult(
            metadata=describe(connection, "api_request_log")
            | {
                "end_of_data": dg.MetadataValue.bool(landed is None),
                "landed": dg.MetadataValue.text(landed.partition_key if landed else "-"),
            }
        )


def report_landed_payload(
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    landed: LandedPayload,
    store: ObjectStore,
) -> None:
    """Report a payload that is safe in the store as a materialized partition of landed_payloads.

    The call is a step of `api_request_log`; what it lands belongs to the asset `landed_payloads`.
    Dagster shows the partition from this event on, before anything loads it. Materializing
    landed_payloads later does not land anything: it checks the bytes.
    """
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
    """A CSV in the Kaggle format: its path on the machine that executes the run."""

    path: str


@dg.op(pool="upstream", tags={"kind": "csv"}, out=dg.Out(dg.Nothing))
def land_csv(
    context: dg.OpExecutionContext,
    config: FileToLand,
    store: ObjectStore,
    raw_database: Database,
) -> None:
    """Land a CSV file as a batch of its own. Landing the same bytes again changes nothing."""
    with raw_database.transaction() as connection:
        require_current(connection, "raw")
    landed = land_file(Path(config.path), store, raw_database, tagged_progress(context))
    report_landed_payload(context, landed, store)


def tagged_progress(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Progress:
    """A function that writes progress texts into the run's tag, at most every two seconds."""
    written_at = 0.0

    def write_tag(text: str) -> None:
        nonlocal written_at
        if time.monotonic() - written_at >= _PROGRESS_SECONDS:
            written_at = time.monotonic()
            context.instance.add_run_tags(context.run.run_id, {PROGRESS_TAG: text})

    return write_tag
