"""Column lineage names only columns that exist, and the inputs that features are computed from."""

from pathlib import Path

import pytest

from realtor_assets.clean.column_lineage import column_lineage
from realtor_model.features import features_of
from realtor_model.features.encoder_state import EncoderTables
from realtor_model.features.place_context import CONTEXT
from realtor_model.listing import US_LISTINGS, ListingContract
from tests.assets.markets import harbor_contract

KEYS = ("row_hash", "load_id", "batch_number", "status", "price", "price_per_sqft")
MAPS = {
    "encoding_mappings": {
        "column_name", "category", "parent", "code", "listings", "log_price", "log_price_per_sqft",
    },
    "preprocessing_statistics": {"feature", "statistic", "value"},
    "point_prices": {"latitude", "longitude", "level", "listings"},
    "zip_context": {
        "place", *CONTEXT, "near_log_price_per_sqft", "around_log_price_per_sqft",
    },
}  # fmt: skip


def sources(
    table: str, column: str, contract: ListingContract = US_LISTINGS
) -> set[tuple[str, str]]:
    lineage = column_lineage(table, [column], contract).deps_by_column
    return {(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage.get(column, [])}


def test_the_maps_are_the_encoders_tables() -> None:
    assert set(MAPS) == set(EncoderTables._fields)


@pytest.fixture(params=["built-in", "harbor"])
def contract(request: pytest.FixtureRequest, tmp_path: Path) -> ListingContract:
    return US_LISTINGS if request.param == "built-in" else harbor_contract(tmp_path)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_source_of_a_clean_table_exists(split: str, contract: ListingContract) -> None:
    raw = {*contract.table_keys, "row_hash", "load_id", "batch_number"}
    for column in (*KEYS, *features_of(contract).names):
        for table, source in sources(f"clean_{split}", column, contract):
            assert source in (raw if table == f"raw_{split}" else MAPS[table]), (column, source)


def test_a_feature_comes_from_its_inputs(contract: ListingContract) -> None:
    for feature, expected in features_of(contract).inputs_of.items():
        found = sources("clean_test", feature, contract)
        assert {source for table, source in found if table == "raw_test"} == set(expected)


def test_added_columns_use_what_was_fitted(tmp_path: Path) -> None:
    market = harbor_contract(tmp_path)

    assert ("encoding_mappings", "code") in sources("clean_test", "order_code", market)
    effect = "order_log_price_per_sqft_effect"
    assert ("encoding_mappings", "log_price_per_sqft") in sources("clean_test", effect, market)
    assert ("preprocessing_statistics", "value") in sources("clean_test", "year_built", market)
    assert ("raw_train", "order") in sources("encoding_mappings", "category", market)


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
