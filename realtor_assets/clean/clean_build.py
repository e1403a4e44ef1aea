"""A clean build: the encoder is fitted on the train split, and transforms all three splits.

One transaction replaces the encoder's tables and the three feature tables together, so no reader
sees the features of one build with the encoder of another.
"""

import datetime as dt
import hashlib
from collections.abc import Collection
from dataclasses import asdict, dataclass

import dagster as dg
import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray
from psycopg import sql

from realtor_assets.pipeline_settings import listing_contract, market_version, settings
from realtor_assets.raw.raw_listings import Listings, in_domain
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database, ObjectStore, copy_arrow
from realtor_assets.schema import require_current
from realtor_model.features import FEATURE_VERSION, Columns, EncoderTables, FeatureEncoder

# Every snapshot that a build may have.
SNAPSHOTS = (*EncoderTables._fields, *SPLITS)

_COMMENTS = {
    "row_hash": "of the RAW row",
    "price": "dollars; the target",
    "price_per_sqft": "the row's own: for analysis, never a feature",
}


@dataclass(frozen=True)
class CleanBuild:
    """One build of the clean tables.

    RAW only grows, and a row keeps the load that inserted it, so `loads` identifies the rows of
    this build for ever.

    Attributes:
        data_version: hash of what the build was made from; see `source_of`.
        as_of: reference date of the data.
        rows_train, rows_validation, rows_test: row counts of the splits.
        outside_domain: rows left out because their price is not in the market's `price_range`.
        market_version: of the market's columns; empty: the built-in market.
    """

    data_version: str
    feature_version: str
    loads: list[int]
    batches: list[int]
    as_of: dt.date
    rows_train: int
    rows_validation: int
    rows_test: int
    outside_domain: int
    market_version: str = ""

    def snapshot_key(self, table: str) -> str:
        """Key of the Parquet snapshot of a split or a map table in the object store."""
        return self.key_of(self.data_version, table)

    @staticmethod
    def key_of(data_version: str, table: str) -> str:
        """The key for any build."""
        return f"snapshots/{data_version}/{table}.parquet"


def map_tables() -> tuple[str, ...]:
    """The encoder's tables in this market: one without coordinates has no `point_prices`."""
    optional = () if listing_contract().has_coordinates else EncoderTables._field_defaults
    return tuple(name for name in EncoderTables._fields if name not in optional)


def current_build(connection: psycopg.Connection) -> CleanBuild | None:
    """The newest build, or None before the first."""
    row = connection.execute(
        "SELECT data_version, feature_version, loads, batches, as_of, rows_train, rows_validation,"
        " rows_test, outside_domain, market_version FROM clean_builds"
        " ORDER BY built_at DESC LIMIT 1"
    ).fetchone()
    return CleanBuild(*row) if row else None


def outdated(build: CleanBuild) -> str | None:
    """Why the clean tables of `build` must be built again, in words; None if they need not."""
    if build.feature_version != FEATURE_VERSION:
        return (
            f"the clean tables have feature version {build.feature_version}, this release has "
            f"{FEATURE_VERSION}"
        )
    if build.market_version != market_version():
        return (
            f"the clean tables have market version {build.market_version or 'built-in'}, the "
            f"market {listing_contract().name} has {market_version() or 'built-in'}"
        )
    return None


def required_build(database: Database) -> CleanBuild:
    """The newest build.

    Raises:
        dagster.Failure: there is none yet, or it has another feature version than this code, or
            another market version than the market of REALTOR_MARKET.
    """
    with database.transaction() as connection:
        require_current(connection, "clean")
        build = current_build(connection)
    if build is None:
        raise dg.Failure("there is no clean build yet: run the clean job", allow_retries=False)
    if problem := outdated(build):
        raise dg.Failure(f"{problem}: run the clean job", allow_retries=False)
    return build


def source_of(connection: psycopg.Connection, decided: Collection[int]) -> CleanBuild:
    """The build that the loads `decided` make, with row counts of 0.

    The data version is a hash of the loads that inserted rows, the feature version, the feature
    groups that are left out, and the market, if it is not the built-in one. The reference date is
    the 99th percentile of the sale dates.

    Raises:
        dagster.Failure: none of the loads inserted rows.
    """
    rows = connection.execute(
        "SELECT load_id, batch_number, partition_key FROM ingestion_summary"
        " WHERE state = 'loaded' AND received > duplicate + quarantined"
        " AND load_id = ANY(%s) ORDER BY load_id",
        [list(decided)],
    ).fetchall()
    if not rows:
        raise dg.Failure(
            "there is no batch to train on: ingest one, decide on it (the clean job), or admit a "
            "held one; `realtor refused` lists those that could not be loaded",
            allow_retries=False,
        )
    loads = [load_id for load_id, _, _ in rows]
    left_out = (f"without {name}" for name in sorted(settings().features_left_out))
    market = market_version()
    lines = [FEATURE_VERSION, *left_out, *sorted(key for _, _, key in rows)]
    text = "\n".join([*lines, f"market {market}"] if market else lines)
    outside = " + ".join(
        f"(SELECT count(*) FROM raw_{split} WHERE load_id = ANY(%(loads)s) AND NOT ({in_domain()}))"
        for split in SPLITS
    )
    row = connection.execute(
        "SELECT (SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY prev_sold_date)"
        " FROM raw_train WHERE prev_sold_date <= now() AND load_id = ANY(%(loads)s)),"
        f" {outside}",
        {"loads": loads},
    ).fetchone()
    assert row is not None
    return CleanBuild(
        data_version=hashlib.sha256(text.encode()).hexdigest()[:16],
        feature_version=FEATURE_VERSION,
        loads=loads,
        batches=sorted({batch for _, batch, _ in rows}),
        as_of=row[0] or dt.date.today(),
        rows_train=0,
        rows_validation=0,
        rows_test=0,
        outside_domain=int(row[1]),
        market_version=market,
    )


def write_build(
    build: CleanBuild, splits: dict[str, Listings], store: ObjectStore, database: Database
) -> None:
    """Fit the encoder, transform the splits, write snapshots, and replace the clean tables."""
    train = splits["train"]
    encoder, train_matrix = fit_encoder(train.columns, train.price, build)
    maps = {
        name: pa.Table.from_pandas(frame, preserve_index=False)
        for name, frame in encoder.to_tables().named().items()
    }
    splits_clean = {
        split: clean_table(
            rows, train_matrix if split == "train" else encoder.transform(rows.columns), encoder
        )
        for split, rows in splits.items()
    }
    for name, table in (maps | splits_clean).items():
        with store.create(build.snapshot_key(name)) as file:
            pyarrow.parquet.write_table(table, file, compression="zstd")
    with database.transaction() as connection:
        for name, table in maps.items():
            _replace(connection, name, table)
        for split, table in splits_clean.items():
            _replace(connection, f"clean_{split}", table)
        values = asdict(build)
        connection.execute(
            sql.SQL(
                "INSERT INTO clean_builds ({columns}) VALUES ({values})"
                " ON CONFLICT (data_version) DO UPDATE"
                " SET ({columns}, built_at) = ({values}, clock_timestamp())"
            ).format(
                columns=sql.SQL(", ").join(map(sql.Identifier, values)),
                values=sql.SQL(", ").join(map(sql.Placeholder, values)),
            ),
            values,
        )


def fit_encoder(
    columns: Columns, price: NDArray[np.float64], build: CleanBuild
) -> tuple[FeatureEncoder, NDArray[np.float32]]:
    """Fit the market's encoder on train rows, without the groups in REALTOR_FEATURES_LEFT_OUT.

    Returns:
        The encoder, and the out-of-fold features of the rows, float32 (n, n_features).
    """
    return FeatureEncoder.fit(
        columns,
        price,
        as_of=build.as_of,
        contract=listing_contract(),
        without=settings().features_left_out,
    )


def clean_table(rows: Listings, matrix: NDArray[np.float32], encoder: FeatureEncoder) -> pa.Table:
    """The clean table of one split: keys, target, columns for analysis, and float32 features."""
    size = rows.frame["house_size"].to_numpy(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        price_per_sqft = np.where(size > 0, rows.price / size, np.nan)
    keys = {
        "row_hash": pa.array(rows.frame["row_hash"], pa.string()),
        "load_id": pa.array(rows.frame["load_id"], pa.int32()),
        "batch_number": pa.array(rows.frame["batch_number"], pa.int32()),
        "status": pa.array(rows.frame["status"], pa.string()),
        "price": pa.array(rows.price),
        "price_per_sqft": pa.array(price_per_sqft, from_pandas=True),
    }
    described = {
        name: pa.array(values.astype(np.float32), from_pandas=True)
        for name, values in encoder.described(rows.columns).items()
    }
    features = {
        name: pa.array(matrix[:, index]) for index, name in enumerate(encoder.feature_names)
    }
    return pa.table(keys | described | features)


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


def stored_encoder(database: Database) -> FeatureEncoder:
    """The encoder of the current build, rebuilt from its tables."""
    tables = {name: database.read(f"SELECT * FROM {name}").to_pandas() for name in map_tables()}
    return FeatureEncoder.from_tables(**tables, contract=listing_contract())


def read_encoder(store: ObjectStore, build: CleanBuild) -> FeatureEncoder:
    """The encoder of `build`, from its snapshot."""
    tables: dict[str, pd.DataFrame] = {}
    for name in map_tables():
        with store.open(build.snapshot_key(name)) as file:
            tables[name] = pyarrow.parquet.read_table(file).to_pandas()
    return FeatureEncoder.from_tables(**tables, contract=listing_contract())


def read_snapshot(
    store: ObjectStore, build: CleanBuild, split: str, feature_names: tuple[str, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Features, float32 (n, n_features), and prices, float64 (n,), of a split of `build`."""
    with store.open(build.snapshot_key(split)) as file:
        table = pyarrow.parquet.read_table(file, columns=["price", *feature_names])
    matrix = np.column_stack([table[name].to_numpy() for name in feature_names])
    return matrix.astype(np.float32, copy=False), table["price"].to_numpy()
