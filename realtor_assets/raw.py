"""Source → RAW: land the next batch verbatim, then load whatever is landed and not yet loaded."""

from collections.abc import Iterator

import dagster as dg

from realtor_assets.loading import LoadReport, load_payload, pending_payloads
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import create_tables, describe
from realtor_assets.settings import settings
from realtor_assets.upstream import ListingsApi

OWNERS = ["team:data-platform"]

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


def _raw_table(name: str, description: str, deps: list[str]) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        group_name="raw",
        kinds={"postgres", "table"},
        owners=OWNERS,
        deps=deps,
        description=description,
    )


@dg.multi_asset(
    name="land_next_batch",
    pool="ingest",
    specs=[
        dg.AssetSpec(
            "landed_payloads",
            group_name="raw",
            kinds={"json", "file"},
            owners=OWNERS,
            deps=[listings_api],
            description="Batches exactly as received, zstd-compressed in the object store, before "
            "anything parses them: what the upstream sent is never lost.",
        ),
        _raw_table(
            "api_request_log",
            "Every call to the upstream, failed ones too: status, bytes, seconds, error.",
            ["listings_api"],
        ),
    ],
)
def land_next_batch(
    context: dg.AssetExecutionContext, store: ObjectStore, raw_database: Database
) -> Iterator[dg.MaterializeResult[None]]:
    config = settings()
    api = ListingsApi(
        config.api_url,
        config.api_group,
        config.api_day,
        config.api_timeout_seconds,
        config.api_attempts,
    )
    with raw_database.transaction() as connection:
        create_tables(connection, "raw")
    payload = api.land_next_batch(store, raw_database, context.log)
    if payload is None:
        context.log.info("the upstream has no more batches for group %s", config.api_group)
        yield dg.MaterializeResult(asset_key="landed_payloads", metadata={"end_of_data": True})
    else:
        yield dg.MaterializeResult(
            asset_key="landed_payloads",
            data_version=dg.DataVersion(payload.sha256),
            metadata={
                "end_of_data": False,
                "url": store.url_of(payload.key),
                "bytes_received": payload.bytes,
                "seconds": payload.seconds,
                "sha256": payload.sha256,
            },
        )
    with raw_database.transaction() as connection:
        yield dg.MaterializeResult(
            asset_key="api_request_log", metadata=describe(connection, "api_request_log")
        )


LOADED_TABLES = {
    "raw_train": "Listings to fit on: 70 % of the properties, typed, one row per distinct record.",
    "raw_validation": "Listings to choose between models and to calibrate their intervals: 15 %.",
    "raw_test": "Listings no model sees until it is judged: 15 % of the properties.",
    "raw_quarantine": "Rows that break the listing contract, kept with column, rule and value.",
    "ingestion_summary": "One row per landed payload: where each of its rows went.",
}


@dg.multi_asset(
    name="load_landed_payloads",
    pool="ingest",
    specs=[_raw_table(name, text, ["landed_payloads"]) for name, text in LOADED_TABLES.items()],
)
def load_landed_payloads(
    context: dg.AssetExecutionContext, store: ObjectStore, raw_database: Database
) -> Iterator[dg.MaterializeResult[None]]:
    reports: list[LoadReport] = []
    failed: dict[str, str] = {}
    with raw_database.transaction() as connection:
        pending = pending_payloads(store, connection)
    for key in pending:
        try:
            with raw_database.transaction() as connection:
                report = load_payload(store, connection, key)
        except Exception as problem:
            # One payload that cannot be loaded must not keep the others out; it stays pending.
            context.log.exception("%s could not be loaded", key)
            failed[key] = f"{type(problem).__name__}: {problem}"
            continue
        reports.append(report)
        if report.error is not None:
            failed[key] = f"refused: {report.error}"
        context.log.info(
            "%s: batch %s %s: %s received = %s inserted + %s duplicate + %s quarantined",
            key, report.batch_number, report.state, f"{report.received:,}",
            f"{report.inserted:,}", f"{report.duplicate:,}", f"{report.quarantined:,}",
        )  # fmt: skip
    with raw_database.transaction() as connection:
        for name in LOADED_TABLES:
            metadata = describe(connection, name)
            if name == "ingestion_summary":
                metadata["loaded_now"] = dg.MetadataValue.md(load_table(reports))
            yield dg.MaterializeResult(asset_key=name, metadata=metadata)
    if failed:
        raise dg.Failure(
            "Payloads could not be loaded. They stay in the object store, and every ingest tries "
            "them again: " + "; ".join(f"{key}: {reason}" for key, reason in failed.items()),
            allow_retries=False,
        )


def load_table(reports: list[LoadReport]) -> str:
    """`reports` as a Markdown table."""
    if not reports:
        return "Nothing was waiting to be loaded."
    lines = [
        "| batch | state | received | train | validation | test | duplicate | quarantined |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.batch_number} | {r.state} | {r.received:,} | {r.inserted_train:,} "
        f"| {r.inserted_validation:,} | {r.inserted_test:,} | {r.duplicate:,} "
        f"| {r.quarantined:,} |"
        for r in reports
    ]
    return "\n".join(lines)
