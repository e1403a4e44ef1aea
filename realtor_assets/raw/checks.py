"""Asset checks of RAW: listing contract, complete row counts, no property in two splits."""

import dagster as dg
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from realtor_assets.pipeline_settings import listing_contract
from realtor_assets.raw.raw_listings import quoted
from realtor_assets.raw.refused_payloads import refused_payloads
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database
from realtor_model.listing import ListingContract
from realtor_model.listing.parsing import shown
from realtor_model.reading.received_batch import raw_schema

BROKEN_SHOWN = 10


def contract_check(frame: pd.DataFrame, schema: pa.DataFrameSchema) -> dg.AssetCheckResult:
    """Check `frame` (n rows) against `schema`; metadata show the first values that break it."""
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as problems:
        cases = problems.failure_cases
        shown = cases[["column", "check", "failure_case"]].head(BROKEN_SHOWN)
        return dg.AssetCheckResult(
            passed=False,
            metadata={
                "broken_values": len(cases),
                "first": dg.MetadataValue.md(shown.to_markdown(index=False)),
            },
        )
    return dg.AssetCheckResult(passed=True, metadata={"rows_checked": len(frame)})


def _raw_contract(split: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=f"raw_{split}",
        name="listing_contract",
        blocking=True,
        description="Every row of the newest batch meets the listing contract (Pandera).",
    )
    def newest_batch_meets_contract(raw_database: Database) -> dg.AssetCheckResult:
        contract = listing_contract()
        newest = raw_database.read(
            f"SELECT {quoted(contract.table_keys)} FROM raw_{split} WHERE load_id ="
            " (SELECT max(load_id) FROM ingestion_summary WHERE state = 'loaded')"
        )
        frame = newest.to_pandas(date_as_object=False)
        return contract_check(coerced(frame, contract), raw_schema(contract))

    return newest_batch_meets_contract


def coerced(frame: pd.DataFrame, contract: ListingContract) -> pd.DataFrame:
    """`frame`, as read from PostgreSQL, in the dtypes of the listing contract."""
    columns = raw_schema(contract).columns
    return frame.astype({name: column.dtype.type for name, column in columns.items()})


@dg.asset_check(
    asset="ingestion_summary",
    blocking=True,
    description="received = inserted + duplicate + quarantined, and the tables hold as many rows.",
)
def every_row_is_somewhere(raw_database: Database) -> dg.AssetCheckResult:
    with raw_database.transaction() as connection:
        row = connection.execute(
            "SELECT coalesce(sum(inserted_train), 0), coalesce(sum(inserted_validation), 0),"
            " coalesce(sum(inserted_test), 0), coalesce(sum(quarantined), 0),"
            " coalesce(sum(received), 0), coalesce(sum(duplicate), 0),"
            " (SELECT count(*) FROM raw_train), (SELECT count(*) FROM raw_validation),"
            " (SELECT count(*) FROM raw_test), (SELECT count(*) FROM raw_quarantine)"
            " FROM ingestion_summary"
        ).fetchone()
    assert row is not None
    *inserted, received, duplicate = map(int, row[:6])
    stored = list(map(int, row[6:]))
    names = ("raw_train", "raw_validation", "raw_test", "raw_quarantine")
    return dg.AssetCheckResult(
        passed=stored == inserted and received == sum(inserted) + duplicate,
        metadata={"received": received, "duplicate": duplicate}
        | {f"{name}_claimed": n for name, n in zip(names, inserted, strict=True)}
        | {f"{name}_held": n for name, n in zip(names, stored, strict=True)},
    )


@dg.asset_check(
    asset="ingestion_summary",
    name="no_batch_is_missing",
    description="No batch number of the upstream is missing. The next ingest fetches a lost batch "
    "again; a batch that stays missing is one that the upstream does not give.",
)
def no_batch_is_missing(raw_database: Database) -> dg.AssetCheckResult:
    with raw_database.transaction() as connection:
        rows = connection.execute(
            "SELECT group_number, day, number FROM (SELECT group_number, day, max(batch_number) AS"
            " newest FROM landed_payloads WHERE source = 'upstream' GROUP BY group_number, day) g,"
            " generate_series(0, newest) AS number WHERE NOT EXISTS (SELECT FROM landed_payloads p"
            " JOIN ingestion_summary s USING (partition_key) WHERE s.state = 'loaded'"
            " AND p.group_number = g.group_number AND p.day IS NOT DISTINCT FROM g.day"
            " AND p.batch_number = number) ORDER BY 1, 2, 3"
        ).fetchall()
    missing = [
        f"group {group}{f', {day}' if day else ''}: batch {batch}" for group, day, batch in rows
    ]
    return dg.AssetCheckResult(passed=not missing, metadata={"missing": ", ".join(missing) or "-"})


@dg.asset_check(
    asset="ingestion_summary",
    name="no_payload_is_refused",
    description="Every landed payload is loaded, or a person has dismissed its refusal "
    "(`realtor refused`, job dismiss_refused). A refused payload holds up no other.",
)
def no_payload_is_refused(raw_database: Database) -> dg.AssetCheckResult:
    with raw_database.transaction() as connection:
        refused = refused_payloads(connection)
    reasons = [f"| {each.partition_key} | {shown(each.error)} |" for each in refused]
    return dg.AssetCheckResult(
        passed=not refused,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "refused": len(refused),
            "reasons": dg.MetadataValue.md(
                "\n".join(["| payload | reason |", "|---|---|", *reasons])
            ),
        },
    )


@dg.asset_check(
    asset="raw_test",
    additional_deps=["raw_train", "raw_validation"],
    blocking=True,
    description="No property has rows in two splits: test homes are new to every model.",
)
def no_property_straddles_splits(raw_database: Database) -> dg.AssetCheckResult:
    properties = " UNION ALL ".join(
        f"SELECT DISTINCT street, lower(city) AS city, zip_code FROM raw_{split}"
        for split in SPLITS
    )
    with raw_database.transaction() as connection:
        row = connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM ({properties}) p"
            " GROUP BY street, city, zip_code HAVING count(*) > 1) straddling"
        ).fetchone()
    assert row is not None
    return dg.AssetCheckResult(passed=row[0] == 0, metadata={"properties_in_two_splits": row[0]})


checks = [
    *(_raw_contract(split) for split in SPLITS),
    every_row_is_somewhere,
    no_batch_is_missing,
    no_payload_is_refused,
    no_property_straddles_splits,
]
