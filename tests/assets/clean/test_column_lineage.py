"""Column lineage names only columns that exist, and the inputs that features are computed from."""

import pytest

from realtor_assets.clean.column_lineage import column_lineage
from realtor_model.features import FEATURE_NAMES, features_of
from realtor_model.listing import US_LISTINGS
from realtor_model.features.encoder_state import EncoderTables
from realtor_model.features.place_context import CONTEXT
from realtor_model.listing import COLUMNS

KEYS = ("row_hash", "load_id", "batch_number", "status", "price", "price_per_sqft")
MAPS = {
    "encoding_mappings": {
        "column_name", "category", "parent", "code", "listings", "log_price", "log_price_per_sqft",
    },
    "preprocessing_statistics": {"feature", "statistic", "value"},
    "zip_context": {
        "place", *CONTEXT, "near_log_price_per_sqft", "around_log_price_per_sqft",
    },
}  # fmt: skip


def sources(table: str, column: str) -> set[tuple[str, str]]:
    lineage = column_lineage(table, [column]).deps_by_column
    return {(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage.get(column, [])}


def test_the_maps_are_the_encoders_tables() -> None:
    assert set(MAPS) == set(EncoderTables._fields)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_source_of_a_clean_table_exists(split: str) -> None:
    raw = {*COLUMNS, "row_hash", "load_id", "batch_number"}
    for column in (*KEYS, *FEATURE_NAMES):
        for table, source in sources(f"clean_{split}", column):
            assert source in (raw if table == f"raw_{split}" else MAPS[table]), (column, source)


@pytest.mark.parametrize("feature", FEATURE_NAMES)
def test_a_feature_comes_from_its_inputs(feature: str) -> None:
    inputs = {source for table, source in sources("clean_test", feature) if table == "raw_test"}
    assert inputs == set(features_of(US_LISTINGS).inputs_of[feature])


def test_fitted_values_come_from_the_train_split() -> None:
    assert {table for table, _ in sources("encoding_mappings", "log_price")} == {"raw_train"}
    assert ("raw_train", "price") in sources("encoding_mappings", "log_price")
    assert ("raw_train", "price") not in sources("encoding_mappings", "code")
    assert {table for table, _ in sources("zip_context", "near_log_price_per_sqft")} == {
        "raw_train"
    }


def test_columns_that_come_from_no_table_have_no_sources() -> None:
    assert sources("zip_context", "latitude") == set()
    assert sources("preprocessing_statistics", "feature") == set()
