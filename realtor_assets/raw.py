"""Source → RAW: land the next batch verbatim, then load it, as a partition of its own."""

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import zstandard

from realtor_assets.landing import (
    LandedPayload,
    Progress,
    describe_payload,
    find,
    land_file,
    measure,
    pending,
)
from realtor_assets.loading import LoadReport, load_payload
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import require_current
from realtor_assets.settings import settings
from realtor_assets.tables import describe
from realtor_assets.upstream import ListingsApi

OWNERS = ["team:data-platform"]
BATCHES = dg.DynamicPartitionsDefinition(name="batches")
# The tag of a run that tells how far its work is.
PROGRESS_TAG = "realtor/progress"
_PROGRESS_SECONDS = 2.0

listings_api = dg.AssetSpec(
    "listings_api",
    group_name="source",
    kinds={"api"},
    owners=OWNERS,
    description="The upstream API, which hands out property listings in large batches and moves "
    "its cursor on every call.",
)

inference_log = dg.AssetSpec(
    "inference_log",
    group_name="serving",
    kinds={"postgres"},
    owners=OWNERS,
    deps=["served_model"],
    description="Valuations given over HTTP, written to RAW by the service itself.",
)


@dg.asset(
    group_name="raw",
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
            tags={"dagster/data_version": landed.sha256},
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


@dg.asset(
    group_name="raw",
    kinds={"json", "file"},
    owners=OWNERS,
    deps=[api_request_log],
    partitions_def=BATCHES,
    description="Batches exactly as received, zstd-compressed in the object store before anything "
    "parses them: what the upstream sent is never lost. Materializing a partition again checks "
    "that its bytes are still the ones received.",
)
def landed_payloads(
    context: dg.AssetExecutionContext, store: ObjectStore, raw_database: Database
) -> dg.MaterializeResult[None]:
    payload = _payload_of(context, raw_database)
    try:
        size, sha256 = measure(store, payload.payload_key)
    except (FileNotFoundError, zstandard.ZstdError) as problem:
        raise _damaged(payload, f"{type(problem).__name__}: {problem}") from problem
    if (size, sha256) != (payload.bytes, payload.sha256):
        raise _damaged(payload, f"it holds {size:,} bytes with sha256 {sha256}")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256), metadata=describe_payload(payload, store)
    )


def _damaged(payload: LandedPayload, found: str) -> dg.Failure:
    return dg.Failure(
        f"{payload.payload_key} is not what was received ({payload.bytes:,} bytes with sha256 "
        f"{payload.sha256}): {found}. Restore it from a backup of the object store.",
        allow_retries=False,
    )


def _payload_of(context: dg.AssetExecutionContext, database: Database) -> LandedPayload:
    with database.transaction() as connection:
        require_current(connection, "raw")
        payload = find(connection, context.partition_key)
    if payload is None:
        raise dg.Failure(
            f"no payload is landed as {context.partition_key}: run the ingest job",
            allow_retries=False,
        )
    return payload


LOADED_TABLES = {
    "raw_train": "Listings to fit on: 70 % of the properties, typed, one row per distinct record.",
    "raw_validation": "Listings to choose between models and to calibrate their intervals: 15 %.",
    "raw_test": "Listings no model sees until it is judged: 15 % of the properties.",
    "raw_quarantine": "Rows that break the listing contract, kept with column, rule and value.",
    "ingestion_summary": "One row per load of a batch: where each of its rows went.",
}


@dg.multi_asset(
    name="load_batch",
    pool="load",
    partitions_def=BATCHES,
    specs=[
        dg.AssetSpec(
            name,
            group_name="raw",
            kinds={"postgres", "table"},
            owners=OWNERS,
            deps=[landed_payloads],
            description=text,
        )
        for name, text in LOADED_TABLES.items()
    ],
)
def load_batch(
    context: dg.AssetExecutionContext, store: ObjectStore, raw_database: Database
) -> Iterator[dg.MaterializeResult[None]]:
    payload = _payload_of(context, raw_database)
    with raw_database.transaction() as connection:
        report = load_payload(
            store,
            connection,
            payload,
            max_broken_share=settings().max_broken_share,
            progress=tagged_progress(context),
        )
    context.log.info(
        "%s %s: %s received = %s inserted + %s duplicate + %s quarantined",
        payload.partition_key, report.state, f"{report.received:,}", f"{report.inserted:,}",
        f"{report.duplicate:,}", f"{report.quarantined:,}",
    )  # fmt: skip
    if report.error is not None:
        raise dg.Failure(
            f"{payload.partition_key} is refused: {report.error}. Its payload stays in the object "
            "store; materialize the partition again to try it again.",
            metadata={"payload": store.url_of(payload.payload_key)},
            allow_retries=False,
        )
    added = {
        "raw_train": report.inserted_train,
        "raw_validation": report.inserted_validation,
        "raw_test": report.inserted_test,
        "raw_quarantine": report.quarantined,
        "ingestion_summary": 1,
    }
    with raw_database.transaction() as connection:
        for name in LOADED_TABLES:
            metadata = describe(connection, name)
            metadata["dagster/partition_row_count"] = dg.MetadataValue.int(added[name])
            if name == "ingestion_summary":
                metadata["loaded_now"] = dg.MetadataValue.md(load_table(report))
            yield dg.MaterializeResult(
                asset_key=name, metadata=metadata, data_version=dg.DataVersion(payload.sha256)
            )


def load_table(report: LoadReport) -> str:
    """`report` as a Markdown table."""
    return (
        "| batch | received | train | validation | test | duplicate | quarantined | seconds |\n"
        "|---|---|---|---|---|---|---|---|\n"
        f"| {report.batch_number} | {report.received:,} | {report.inserted_train:,} "
        f"| {report.inserted_validation:,} | {report.inserted_test:,} | {report.duplicate:,} "
        f"| {report.quarantined:,} | {report.seconds:.1f} |"
    )


def pending_partitions(database: Database) -> list[str]:
    """Partitions whose payload is landed and was never loaded nor refused."""
    with database.transaction() as connection:
        require_current(connection, "raw")
        return [payload.partition_key for payload in pending(connection)]
