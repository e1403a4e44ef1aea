"""Asset checks of CLEAN: feature contract, exact encoder, no leak of the price."""

import dagster as dg
import numpy as np
import pandera.pandas as pa

from realtor_assets.clean.clean_build import (
    fit_encoder,
    map_tables,
    required_build,
    stored_encoder,
)
from realtor_assets.pipeline_settings import listing_contract
from realtor_assets.raw.checks import contract_check
from realtor_assets.raw.raw_listings import read_listings
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database
from realtor_model.evaluation import leak_canary
from realtor_model.listing import STATUSES, TARGET
from realtor_model.training import Rows


def _clean_contract(split: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=f"clean_{split}",
        name="feature_contract",
        blocking=True,
        description="Keys, prices in the valuation range, and all features, float32 and finite "
        "(Pandera); as many rows as the build counted.",
    )
    def feature_contract(clean_database: Database) -> dg.AssetCheckResult:
        build = required_build(clean_database)
        table = clean_database.read(f"SELECT * FROM clean_{split}")
        names = stored_encoder(clean_database).feature_names
        schema = clean_schema(names, listing_contract().price_range)
        result = contract_check(table.to_pandas(), schema)
        expected = getattr(build, f"rows_{split}")
        if table.num_rows != expected:
            return dg.AssetCheckResult(
                passed=False, metadata={"rows": table.num_rows, "rows_expected": expected}
            )
        return result

    return feature_contract


def clean_schema(
    feature_names: tuple[str, ...], price_range: tuple[float, float]
) -> pa.DataFrameSchema:
    """The Pandera schema of a clean table with these features and prices in this range."""
    finite = pa.Check(lambda values: np.isfinite(values), name="finite")
    return pa.DataFrameSchema(
        {
            "batch_number": pa.Column("int32", pa.Check.ge(0)),
            "status": pa.Column(checks=pa.Check.isin(STATUSES)),
            TARGET: pa.Column("float64", pa.Check.in_range(*price_range)),
            "price_per_sqft": pa.Column("float64", pa.Check.gt(0), nullable=True),
            **{name: pa.Column("float32", finite) for name in feature_names},
        },
        strict=False,
    )


@dg.asset_check(
    asset="encoding_mappings",
    additional_deps=["preprocessing_statistics", "zip_context", "clean_validation"],
    blocking=True,
    description="An encoder rebuilt from its tables reproduces clean_validation bit by bit.",
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
    rebuilt = encoder.transform(rows.columns)
    matrix = np.column_stack([stored[name].to_numpy() for name in encoder.feature_names])
    differing = int((matrix.view(np.uint32) != rebuilt.view(np.uint32)).sum())
    return dg.AssetCheckResult(
        passed=differing == 0,
        metadata={
            "values": int(matrix.size),
            "differing": differing,
            "maps": ", ".join(map_tables()),
        },
    )


@dg.asset_check(
    asset="clean_train",
    blocking=True,
    description="Leak canary: no single feature ranks homes as their prices do (R2 of ranks with "
    "log price above .9), every feature can be computed from a request, and features made from "
    "shuffled prices predict nothing.",
)
def no_feature_is_the_price(
    raw_database: Database, clean_database: Database
) -> dg.AssetCheckResult:
    build = required_build(clean_database)
    names = stored_encoder(clean_database).feature_names
    table = clean_database.read(f"SELECT price, {', '.join(names)} FROM clean_train")
    matrix = np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32)
    sample = read_listings(raw_database, "train", loads=build.loads, most=leak_canary.PERMUTED_ROWS)
    return leak_check(
        Rows(matrix, table["price"].to_numpy()),
        names,
        leak_canary.permuted_r2(
            lambda columns, price: fit_encoder(columns, price, build)[1],
            sample.columns,
            sample.price,
        ),
    )


def leak_check(
    train: Rows, names: tuple[str, ...], r2_of_shuffled_prices: float
) -> dg.AssetCheckResult:
    """The leak check's result.

    Args:
        train: features and prices of the train split.
        names: of the features.
        r2_of_shuffled_prices: R2 of a model whose features were made from shuffled prices.
    """
    strongest, r2 = leak_canary.strongest_feature(train.x, train.price, names)
    not_computable = leak_canary.not_computable(names, listing_contract())
    return dg.AssetCheckResult(
        passed=r2 <= leak_canary.MAX_FEATURE_R2
        and not not_computable
        and r2_of_shuffled_prices <= leak_canary.MAX_PERMUTED_R2,
        metadata={
            "strongest_feature": strongest,
            "r2_of_log_price": r2,
            "not_computable_from_a_request": ", ".join(not_computable) or "-",
            "r2_of_shuffled_prices": r2_of_shuffled_prices,
        },
    )


checks = [
    *(_clean_contract(split) for split in SPLITS),
    encoder_rebuilds_exactly,
    no_feature_is_the_price,
]
