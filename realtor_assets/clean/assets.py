"""The clean tables: the encoder's three and a feature table per split, built together."""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import psycopg

from realtor_assets.clean.clean_build import (
    current_build,
    map_tables,
    source_of,
    write_build,
)
from realtor_assets.clean.column_lineage import column_lineage
from realtor_assets.clean.load_decisions import decided_loads
from realtor_assets.metadata import OWNERS
from realtor_assets.metadata.table_schema import describe
from realtor_assets.pipeline_settings import listing_contract
from realtor_assets.raw.raw_listings import read_listings
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import require_current, require_market
from realtor_model.features import FEATURE_VERSION

_MAPS = {
    "encoding_mappings": (
        "The encoder's categories, fitted on the train split: code, number of listings, and "
        "shrunken mean log price (per square foot) of each state, zip, city and broker, and of the "
        "categories that the market adds."
    ),
    "preprocessing_statistics": (
        "The encoder's statistics: imputed values, ranges, means, standard deviations, reference "
        "date."
    ),
    "zip_context": (
        "Coordinates, census figures (American Community Survey 2018-2022) and neighbours' log "
        "price per square foot of each zip, zip3, city and state."
    ),
    "point_prices": (
        "The price level of train listings in cells of 250 m, where homes have coordinates."
    ),
}
CLEAN_TABLES = {
    **{name: (["raw_train", "retrain_decision"], _MAPS[name]) for name in map_tables()},
    "clean_train": (
        ["raw_train", *map_tables()],
        "Features of the train split. Target statistics are out-of-fold: no row contains its own "
        "price.",
    ),
    "clean_validation": (["raw_validation", *map_tables()], "Features of the validation split."),
    "clean_test": (["raw_test", *map_tables()], "Features of the test split."),
}


@dg.multi_asset(
    name="build_clean_tables",
    pool="pipeline",
    specs=[
        dg.AssetSpec(
            name,
            group_name="clean",
            kinds={"postgres", "table"},
            owners=OWNERS,
            deps=deps,
            description=description,
            code_version=FEATURE_VERSION,
        )
        for name, (deps, description) in CLEAN_TABLES.items()
    ],
)
def build_clean_tables(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    raw_database: Database,
    clean_database: Database,
) -> Iterator[dg.MaterializeResult[None]]:
    with clean_database.transaction() as connection:
        require_current(connection, "clean")
        last = current_build(connection)
        decided = decided_loads(connection)
    with raw_database.transaction() as connection:
        require_market(connection, listing_contract())
        source = source_of(connection, decided)
    is_current = last is not None and (last.data_version, last.loads) == (
        source.data_version,
        source.loads,
    )
    snapshots = (*map_tables(), *SPLITS)
    if is_current and all(store.exists(source.snapshot_key(table)) for table in snapshots):
        context.log.info("nothing new in RAW since build %s: keeping it", source.data_version)
    else:
        splits = {split: read_listings(raw_database, split, loads=source.loads) for split in SPLITS}
        counts = {split: len(rows) for split, rows in splits.items()}
        if min(counts.values()) == 0:
            raise dg.Failure(
                f"too few listings for a train, validation and test split: {counts}; "
                "ingest a batch first",
                allow_retries=False,
            )
        build = replace(
            source,
            rows_train=counts["train"],
            rows_validation=counts["validation"],
            rows_test=counts["test"],
        )
        write_build(build, splits, store, clean_database)
    with clean_database.transaction() as connection:
        for name in CLEAN_TABLES:
            yield dg.MaterializeResult(
                asset_key=name,
                data_version=dg.DataVersion(source.data_version),
                metadata=_table_metadata(connection, name)
                | {
                    "batches": str(source.batches),
                    "as_of": str(source.as_of),
                    "outside_domain": source.outside_domain,
                },
            )


def _table_metadata(connection: psycopg.Connection, table: str) -> dict[str, dg.MetadataValue]:
    metadata = describe(connection, table)
    schema = metadata["dagster/column_schema"].value
    assert isinstance(schema, dg.TableSchema)
    names = [column.name for column in schema.columns]
    lineage = column_lineage(table, names, listing_contract())
    return metadata | {"dagster/column_lineage": dg.MetadataValue.column_lineage(lineage)}
