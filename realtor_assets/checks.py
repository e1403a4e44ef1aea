"""Asset checks: what must hold of each table and model, or downstream stops."""

import dagster as dg
import httpx
import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from realtor_assets.clean import MAPS, fit_encoder, required_build, stored_encoder
from realtor_assets.identity import SPLITS
from realtor_assets.listings import plain, read_listings
from realtor_assets.release.serving import (
    FRESH_FOR,
    ServiceDown,
    is_fresh,
    last_seen,
    observe,
    seen_in_words,
)
from realtor_assets.resources import Database
from realtor_assets.settings import settings
from realtor_assets.tracking import Tracking
from realtor_model import canary
from realtor_model.features import as_sold, columns_from_properties
from realtor_model.listing import (
    COLUMNS,
    INPUTS,
    RAW_SCHEMA,
    STATUSES,
    VALUATION_PRICE_RANGE,
    Property,
)
from realtor_model.training import Rows

BROKEN_SHOWN = 10
PARITY_ROWS = 50
PARITY_DOLLARS = 0.01


def contract_check(frame: pd.DataFrame, schema: pa.DataFrameSchema) -> dg.AssetCheckResult:
    """Validate `frame` lazily; the result shows the first broken values with their rule."""
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
        description="Every row of the newest batch keeps the listing contract (Pandera).",
    )
    def listing_contract(raw_database: Database) -> dg.AssetCheckResult:
        newest = raw_database.read(
            f"SELECT {', '.join(COLUMNS)} FROM raw_{split} WHERE load_id ="
            " (SELECT max(load_id) FROM ingestion_summary WHERE state = 'loaded')"
        )
        frame = newest.to_pandas(date_as_object=False)
        return contract_check(coerced(frame), RAW_SCHEMA)

    return listing_contract


def coerced(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` as read from PostgreSQL, in the dtypes of the raw contract."""
    return frame.astype({name: column.dtype.type for name, column in RAW_SCHEMA.columns.items()})


def _clean_contract(split: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=f"clean_{split}",
        name="feature_contract",
        blocking=True,
        description="Keys, target in the valuation domain, and every feature present, float32 and "
        "finite (Pandera); as many rows as the build counted.",
    )
    def feature_contract(clean_database: Database) -> dg.AssetCheckResult:
        build = required_build(clean_database)
        table = clean_database.read(f"SELECT * FROM clean_{split}")
        result = contract_check(
            table.to_pandas(), clean_schema(stored_encoder(clean_database).feature_names)
        )
        expected = getattr(build, f"rows_{split}")
        if table.num_rows != expected:
            return dg.AssetCheckResult(
                passed=False, metadata={"rows": table.num_rows, "rows_expected": expected}
            )
        return result

    return feature_contract


def clean_schema(feature_names: tuple[str, ...]) -> pa.DataFrameSchema:
    """The contract of a clean table with these features."""
    finite = pa.Check(lambda values: np.isfinite(values), name="finite")
    return pa.DataFrameSchema(
        {
            "batch_number": pa.Column("int32", pa.Check.ge(0)),
            "status": pa.Column(checks=pa.Check.isin(STATUSES)),
            "price": pa.Column("float64", pa.Check.in_range(*VALUATION_PRICE_RANGE)),
            "price_per_sqft": pa.Column("float64", pa.Check.gt(0), nullable=True),
            **{name: pa.Column("float32", finite) for name in feature_names},
        },
        strict=False,
    )


@dg.asset_check(
    asset="ingestion_summary",
    blocking=True,
    description="received = inserted + duplicate + quarantined, and the tables hold that many.",
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
    claimed, held = row[:6], row[6:]
    names = ("raw_train", "raw_validation", "raw_test", "raw_quarantine")
    *kept, received, duplicate = map(int, claimed)
    return dg.AssetCheckResult(
        passed=list(map(int, held)) == kept and received == sum(kept) + duplicate,
        metadata={"received": received, "duplicate": duplicate}
        | {f"{name}_claimed": n for name, n in zip(names, kept, strict=True)}
        | {f"{name}_held": n for name, n in zip(names, held, strict=True)},
    )


@dg.asset_check(
    asset="ingestion_summary",
    name="no_batch_is_missing",
    description="No batch number of the upstream is skipped. What is lost on its way (the "
    "upstream's cursor moves at the call) is fetched again by the next ingest; what stays missing "
    "the upstream does not give.",
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
    asset="raw_test",
    additional_deps=["raw_train", "raw_validation"],
    blocking=True,
    description="No property has rows in two splits: the test split measures homes never seen.",
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


@dg.asset_check(
    asset="encoding_mappings",
    additional_deps=["preprocessing_statistics", "zip_context", "clean_validation"],
    blocking=True,
    description="The encoder rebuilt from its tables makes clean_validation again, bit by bit.",
)
def encoder_rebuilds_exactly(
    raw_database: Database, clean_database: Database
) -> dg.AssetCheckResult:
    encoder = stored_encoder(clean_database)
    loads = required_build(clean_database).loads
    rows = read_listings(raw_database, "validation", loads=loads)
    stored = clean_database.read(
        f"SELECT {', '.join(encoder.feature_names)} FROM clean_validation ORDER BY row_hash"
    )
    again = encoder.transform(rows.columns)
    matrix = np.column_stack([stored[name].to_numpy() for name in encoder.feature_names])
    differing = int((matrix.view(np.uint32) != again.view(np.uint32)).sum())
    return dg.AssetCheckResult(
        passed=differing == 0,
        metadata={"values": int(matrix.size), "differing": differing, "maps": ", ".join(MAPS)},
    )


@dg.asset_check(
    asset="clean_train",
    blocking=True,
    description="Leak canary: no single feature ranks homes as their prices do (R2 of ranks with "
    "log price above .9), none is beyond what a request can make, and features made of shuffled "
    "prices predict nothing.",
)
def no_feature_is_the_price(
    raw_database: Database, clean_database: Database
) -> dg.AssetCheckResult:
    build = required_build(clean_database)
    names = stored_encoder(clean_database).feature_names
    table = clean_database.read(f"SELECT price, {', '.join(names)} FROM clean_train")
    matrix = np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32)
    some = read_listings(raw_database, "train", loads=build.loads, most=canary.PERMUTED_ROWS)
    return leak_check(
        Rows(matrix, table["price"].to_numpy()),
        names,
        canary.permuted_r2(
            lambda columns, price: fit_encoder(columns, price, build)[1], some.columns, some.price
        ),
    )


def leak_check(
    train: Rows, names: tuple[str, ...], r2_of_shuffled_prices: float
) -> dg.AssetCheckResult:
    """What the features of the train split tell of a leak."""
    strongest, r2 = canary.strongest_feature(train.x, train.price, names)
    beyond = canary.not_computable(names)
    return dg.AssetCheckResult(
        passed=r2 <= canary.MAX_FEATURE_R2
        and not beyond
        and r2_of_shuffled_prices <= canary.MAX_PERMUTED_R2,
        metadata={
            "strongest_feature": strongest,
            "r2_of_log_price": r2,
            "not_computable_from_a_request": ", ".join(beyond) or "-",
            "r2_of_shuffled_prices": r2_of_shuffled_prices,
        },
    )


@dg.asset_check(
    asset="best_model",
    blocking=True,
    description="Leak canary: a model that is too good to be honest is stopped before promotion.",
)
def not_too_good_to_be_true(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    event = context.instance.get_latest_materialization_event(dg.AssetKey("best_model"))
    assert event is not None
    assert event.asset_materialization is not None
    told = event.asset_materialization.metadata
    metrics = {name: float(told[f"test_{name}"].value) for name in ("r2_log", "mdape")}
    reasons = canary.too_good(metrics)
    return dg.AssetCheckResult(
        passed=not reasons, metadata=metrics | {"reasons": "; ".join(reasons) or "-"}
    )


@dg.asset_check(
    asset="served_model",
    description="The service values test listings over HTTP as the Production model does offline.",
)
def offline_equals_online(raw_database: Database, tracking: Tracking) -> dg.AssetCheckResult:
    model = tracking.load_bundle(tracking.production())
    frame = read_listings(raw_database, "test").frame
    # The service asks for a size; RAW also holds listings without one.
    sized = frame[["house_size", "acre_lot", "bed"]].notna().any(axis=1)
    rows = frame[sized].head(PARITY_ROWS)
    records = [
        {name: plain(value) for name, value in record.items() if name in INPUTS}
        for record in rows.to_dict("records")
    ]
    answer = httpx.post(
        f"{settings().service_url.rstrip('/')}/predict-batch",
        json={"properties": records},
        timeout=60,
    ).raise_for_status()
    results = answer.json()["results"]
    served = np.array(
        [item["valuation"]["price"] if item["valuation"] else np.nan for item in results]
    )
    columns = columns_from_properties([Property.model_validate(record) for record in records])
    offline = model.value(as_sold(columns)).price
    worst = float(np.max(np.abs(served - offline)))
    return dg.AssetCheckResult(
        passed=bool(worst <= PARITY_DOLLARS),
        metadata={"rows": len(records), "largest_difference_dollars": worst},
    )


@dg.asset_check(
    asset="served_model",
    description="The service, asked now, serves the Production model.",
)
def serves_production(tracking: Tracking) -> dg.AssetCheckResult:
    champion = tracking.production_version()
    try:
        served = str(observe(settings().service_url.rstrip("/"))["version"])
    except ServiceDown as problem:
        return dg.AssetCheckResult(passed=False, description=f"It does not answer: {problem}")
    return dg.AssetCheckResult(
        passed=served == champion,
        metadata={"served": served, "production": champion or "none"},
    )


@dg.asset_check(
    asset="served_model",
    description="The service was seen to answer within the last "
    f"{FRESH_FOR.total_seconds() / 60:.0f} minutes. The sensor observe_service looks every minute, "
    "and evaluates this check when its outcome changes.",
)
def freshness(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    seen = last_seen(context.instance)
    return dg.AssetCheckResult(passed=is_fresh(seen), description=seen_in_words(seen))


checks = [
    *(_raw_contract(split) for split in SPLITS),
    every_row_is_somewhere,
    no_batch_is_missing,
    no_property_straddles_splits,
    *(_clean_contract(split) for split in SPLITS),
    encoder_rebuilds_exactly,
    no_feature_is_the_price,
    not_too_good_to_be_true,
    offline_equals_online,
    serves_production,
    freshness,
]
