"""Landed payloads, and the RAW tables: each batch is a partition, loaded in one transaction."""

from collections.abc import Iterator

import dagster as dg
import zstandard

from realtor_assets.metadata import OWNERS
from realtor_assets.metadata.table_schema import describe
from realtor_assets.pipeline_settings import listing_contract, settings
from realtor_assets.raw.loading import LoadReport, load_payload
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import require_current, require_market
from realtor_assets.source.assets import BATCHES, tagged_progress
from realtor_assets.source.landing import LandedPayload, describe_payload, find, measure, pending

_UNUSED_SHOWN = 20


@dg.asset(
    group_name="raw",
    kinds={"json", "file"},
    owners=OWNERS,
    deps=["api_request_log"],
    partitions_def=BATCHES,
    description="Batches exactly as received, zstd-compressed in the object store before anything "
    "parses them. The step that lands a batch reports its partition here; materializing the "
    "partition checks that its bytes are still the ones received.",
)
def landed_payloads(
    context: dg.AssetExecutionContext, store: ObjectStore, raw_database: Database
) -> dg.MaterializeResult[None]:
    payload = _required_payload(context, raw_database)
    try:
        size, sha256 = measure(store, payload.payload_key)
    except (FileNotFoundError, zstandard.ZstdError) as problem:
        raise _damaged(payload, f"{type(problem).__name__}: {problem}") from problem
    if (size, sha256) != (payload.bytes, payload.sha256):
        raise _damaged(payload, f"it holds {size:,} bytes with sha256 {sha256}")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(sha256), metadata=describe_payload(payload, store)
    )


def _damaged(payload: LandedPayload, problem: str) -> dg.Failure:
    return dg.Failure(
        f"{payload.payload_key} is not what was received ({payload.bytes:,} bytes with sha256 "
        f"{payload.sha256}): {problem}. Restore it from a backup of the object store.",
        allow_retries=False,
    )


def _required_payload(context: dg.AssetExecutionContext, database: Database) -> LandedPayload:
    with database.transaction() as connection:
        require_current(connection, "raw")
        require_market(connection, listing_contract())
        payload = find(connection, context.partition_key)
    if payload is None:
        raise dg.Failure(
            f"no payload is landed as {context.partition_key}: run the ingest job",
            allow_retries=False,
        )
    return payload


LOADED_TABLES = {
    "raw_train": "Listings to train on: 70 % of the properties, typed, without duplicates.",
    "raw_validation": "Listings to compare models on and calibrate intervals with: 15 %.",
    "raw_test": "Listings to judge the final model on: 15 % of the properties.",
    "raw_quarantine": "Rows that break the listing contract, with column, rule and value.",
    "ingestion_summary": "One row per load of a batch: where its rows went.",
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
    payload = _required_payload(context, raw_database)
    with raw_database.transaction() as connection:
        report = load_payload(
            store,
            connection,
            payload,
            contract=listing_contract(),
            max_broken_share=settings().max_broken_share,
            progress=tagged_progress(context),
        )
    context.log.info(
        "%s %s: %s received = %s inserted + %s duplicate + %s quarantined",
        payload.partition_key, report.state, f"{report.received:,}", f"{report.inserted:,}",
        f"{report.duplicate:,}", f"{report.quarantined:,}",
    )  # fmt: skip
    if report.unused_columns:
        context.log.warning(
            "%s has columns that the market does not declare: %s. Declare them in a market file "
            "(REALTOR_MARKET) to use them.",
            payload.partition_key, unused_in_words(report),
        )  # fmt: skip
    if report.error is not None:
        raise dg.Failure(
            f"{payload.partition_key} is refused: {report.error}. Its payload stays in the object "
            "store. After a change of the market file or an upgrade, materialize the partition "
            "again; to take it off the list of problems, run the job dismiss_refused.",
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
                metadata["loaded_now"] = dg.MetadataValue.md(load_report_markdown(report))
                metadata["unused_columns"] = dg.MetadataValue.text(unused_in_words(report) or "-")
            yield dg.MaterializeResult(
                asset_key=name, metadata=metadata, data_version=dg.DataVersion(payload.sha256)
            )


def load_report_markdown(report: LoadReport) -> str:
    """`report` as a Markdown table."""
    return (
        "| batch | received | train | validation | test | duplicate | quarantined | seconds |\n"
        "|---|---|---|---|---|---|---|---|\n"
        f"| {report.batch_number} | {report.received:,} | {report.inserted_train:,} "
        f"| {report.inserted_validation:,} | {report.inserted_test:,} | {report.duplicate:,} "
        f"| {report.quarantined:,} | {report.seconds:.1f} |"
    )


def unused_in_words(report: LoadReport) -> str:
    """The columns that the market does not declare, those with the most values first."""
    most = sorted(report.unused_columns.items(), key=lambda item: (-item[1], item[0]))
    names = [f"{name} ({rows:,} rows)" for name, rows in most[:_UNUSED_SHOWN]]
    more = [f"{len(most) - _UNUSED_SHOWN} more"] if len(most) > _UNUSED_SHOWN else []
    return ", ".join(names + more)


def pending_partitions(database: Database) -> list[str]:
    """Partitions that are landed, and were never loaded and never refused."""
    with database.transaction() as connection:
        require_current(connection, "raw")
        return [payload.partition_key for payload in pending(connection)]
