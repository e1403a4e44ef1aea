"""RAW → CLEAN: fit the feature encoder on the train split, transform all three.

The maps, the statistics and the three tables are one build: one transaction replaces them
together, so no reader ever sees matrices of one build with the maps of another.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray
from psycopg import sql

from realtor_assets.listings import IN_DOMAIN, Listings, read_listings
from realtor_assets.loading import SPLITS
from realtor_assets.raw import OWNERS
from realtor_assets.resources import Database, ObjectStore, copy_arrow
from realtor_assets.schema import create_tables, describe
from realtor_model.features import FEATURE_VERSION, FeatureEncoder

MAPS = ("encoding_mappings", "preprocessing_statistics")
CLEAN_TABLES = {
    "encoding_mappings": (
        ["raw_train"],
        "The encoder's category maps, fitted on the train split: code, listings, and the shrunken "
        "log price (per square foot) of every state, zip, city and broker.",
    ),
    "preprocessing_statistics": (
        ["raw_train"],
        "The encoder's numbers: medians, modes, means, standard deviations, the reference date.",
    ),
    "clean_train": (
        ["raw_train", *MAPS],
        "Features of the train split; target statistics are out-of-fold, so no row sees its own "
        "price.",
    ),
    "clean_validation": (["raw_validation", *MAPS], "Features of the validation split."),
    "clean_test": (["raw_test", *MAPS], "Features of the test split."),
}
_KEYS = ("row_hash", "batch_number", "status", "price", "price_per_sqft")
_COMMENTS = {
    "row_hash": "of the RAW row",
    "price": "dollars; the target",
    "price_per_sqft": "the row's own: for analysis, never a feature",
}


@dataclass(frozen=True)
class CleanBuild:
    """The identity of one build of the clean tables, and what it was made from."""

    data_version: str
    feature_version: str
    batches: list[int]
    as_of: dt.date
    rows_train: int
    rows_validation: int
    rows_test: int
    outside_domain: int

    def snapshot_key(self, split: str) -> str:
        """Key of the split's Parquet snapshot in the object store."""
        return f"snapshots/{self.data_version}/{split}.parquet"


def current_build(connection: psycopg.Connection) -> CleanBuild | None:
    """The newest build, or None before the first."""
    row = connection.execute(
        "SELECT data_version, feature_version, batches, as_of, rows_train, rows_validation,"
        " rows_test, outside_domain FROM clean_builds ORDER BY built_at DESC LIMIT 1"
    ).fetchone()
    return CleanBuild(*row) if row else None


def required_build(database: Database) -> CleanBuild:
    """The newest build. Raises `dagster.Failure` before the first."""
    with database.transaction() as connection:
        create_tables(connection, "clean")
        build = current_build(connection)
    if build is None:
        raise dg.Failure("there is no clean build yet: run the clean job", allow_retries=False)
    return build


@dg.multi_asset(
    name="build_clean_tables",
    pool="clean",
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
        create_tables(connection, "clean")
        last = current_build(connection)
    with raw_database.transaction() as connection:
        data_version, batches = source_version(connection)
        as_of = reference_date(connection)
        outside = rows_outside_domain(connection)
    if last is not None and last.data_version == data_version:
        context.log.info("nothing new in RAW since build %s: kept as it is", data_version)
    else:
        splits = {split: read_listings(raw_database, split) for split in SPLITS}
        if min(map(len, splits.values())) == 0:
            counts = {split: len(rows) for split, rows in splits.items()}
            raise dg.Failure(
                f"too few listings for a train, validation and test split: {counts}; "
                "ingest a batch first",
                allow_retries=False,
            )
        build = CleanBuild(
            data_version,
            FEATURE_VERSION,
            batches,
            as_of,
            rows_train=len(splits["train"]),
            rows_validation=len(splits["validation"]),
            rows_test=len(splits["test"]),
            outside_domain=outside,
        )
        write_build(build, splits, store, clean_database)
    with clean_database.transaction() as connection:
        for name in CLEAN_TABLES:
            yield dg.MaterializeResult(
                asset_key=name,
                data_version=dg.DataVersion(data_version),
                metadata=describe(connection, name)
                | {"batches": str(batches), "as_of": str(as_of), "outside_domain": outside},
            )


def source_version(connection: psycopg.Connection) -> tuple[str, list[int]]:
    """The version of what RAW holds and the encoder makes of it, and the batches in it.

    A payload that brought no new row changes nothing.
    """
    rows = connection.execute(
        "SELECT payload_key, batch_number FROM ingestion_summary"
        " WHERE received > duplicate + quarantined ORDER BY payload_key"
    ).fetchall()
    text = "\n".join([FEATURE_VERSION, *(key for key, _ in rows)])
    return hashlib.sha256(text.encode()).hexdigest()[:16], sorted({batch for _, batch in rows})


def reference_date(connection: psycopg.Connection) -> dt.date:
    """The date the data speaks for: the newest sale, but for the odd date in the future."""
    row = connection.execute(
        "SELECT percentile_disc(0.999) WITHIN GROUP (ORDER BY prev_sold_date)"
        " FROM raw_train WHERE prev_sold_date <= now()"
    ).fetchone()
    return row[0] if row and row[0] else dt.date.today()


def rows_outside_domain(connection: psycopg.Connection) -> int:
    """Rows kept in RAW whose price is outside the domain that models learn and are judged on."""
    row = connection.execute(
        "SELECT "
        + " + ".join(
            f"(SELECT count(*) FROM raw_{split} WHERE NOT ({IN_DOMAIN}))" for split in SPLITS
        )
    ).fetchone()
    assert row is not None
    return int(row[0])


def write_build(
    build: CleanBuild, splits: dict[str, Listings], store: ObjectStore, database: Database
) -> None:
    """Fit, transform and replace the clean tables; snapshots first, the tables in one commit."""
    encoder, train_matrix = FeatureEncoder.fit(
        splits["train"].columns, splits["train"].price, as_of=build.as_of
    )
    tables = {
        split: clean_table(
            rows,
            train_matrix if split == "train" else encoder.transform(rows.columns),
            encoder.feature_names,
        )
        for split, rows in splits.items()
    }
    for split, table in tables.items():
        with store.create(build.snapshot_key(split)) as file:
            pyarrow.parquet.write_table(table, file, compression="zstd")
    mappings, statistics = encoder.to_tables()
    with database.transaction() as connection:
        _replace(connection, "encoding_mappings", pa.Table.from_pandas(mappings))
        _replace(connection, "preprocessing_statistics", pa.Table.from_pandas(statistics))
        for split, table in tables.items():
            _replace(connection, f"clean_{split}", table)
        connection.execute(
            "INSERT INTO clean_builds (data_version, feature_version, batches, as_of, rows_train,"
            " rows_validation, rows_test, outside_domain) VALUES (%s,%s,%s,%s,%s,%s,%s,%s)"
            " ON CONFLICT (data_version) DO UPDATE SET built_at = clock_timestamp()",
            [
                build.data_version, build.feature_version, build.batches, build.as_of,
                build.rows_train, build.rows_validation, build.rows_test, build.outside_domain,
            ],
        )  # fmt: skip


def clean_table(
    rows: Listings, matrix: NDArray[np.float32], feature_names: tuple[str, ...]
) -> pa.Table:
    """The clean table of one split: keys and target, then the features (float32)."""
    size = rows.frame["house_size"].to_numpy(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        price_per_sqft = np.where(size > 0, rows.price / size, np.nan)
    keys = {
        "row_hash": pa.array(rows.frame["row_hash"], pa.string()),
        "batch_number": pa.array(rows.frame["batch_number"], pa.int32()),
        "status": pa.array(rows.frame["status"], pa.string()),
        "price": pa.array(rows.price),
        "price_per_sqft": pa.array(price_per_sqft, from_pandas=True),
    }
    features = {name: pa.array(matrix[:, index]) for index, name in enumerate(feature_names)}
    return pa.table(keys | features)


_TYPES = {
    pa.string(): "text",
    pa.large_string(): "text",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
}


def _replace(connection: psycopg.Connection, name: str, rows: pa.Table) -> None:
    table = sql.Identifier(name)
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(
            sql.Identifier(field.name),
            sql.SQL("uuid PRIMARY KEY" if field.name == "row_hash" else _TYPES[field.type]),
        )
        for field in rows.schema
    )
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, columns))
    for column, comment in _COMMENTS.items():
        if column in rows.column_names:
            connection.execute(
                sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(
                    table, sql.Identifier(column), sql.Literal(comment)
                )
            )
    copy_arrow(connection, name, rows)


def read_encoder(database: Database) -> FeatureEncoder:
    """The encoder of the current build, rebuilt from its two tables."""
    mappings, statistics = (database.read(f"SELECT * FROM {name}") for name in MAPS)
    return FeatureEncoder.from_tables(mappings.to_pandas(), statistics.to_pandas())


def read_snapshot(
    store: ObjectStore, build: CleanBuild, split: str, feature_names: tuple[str, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Features (n, n_features) float32 and prices (n,) of a split of `build`."""
    with store.open(build.snapshot_key(split)) as file:
        table = pyarrow.parquet.read_table(file, columns=["price", *feature_names])
    matrix = np.column_stack([table[name].to_numpy() for name in feature_names])
    return matrix.astype(np.float32, copy=False), table["price"].to_numpy()
