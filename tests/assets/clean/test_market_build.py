"""A market of its own from a landed payload to the clean tables."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from realtor_assets.clean.checks import clean_schema
from realtor_assets.clean.clean_build import (
    current_build,
    outdated,
    read_encoder,
    required_build,
    source_of,
    stored_encoder,
    write_build,
)
from realtor_assets.distributed import partitions
from realtor_assets.distributed.exchange import encoder_at, put_encoder
from realtor_assets.monitor.valuation_files import _listed
from realtor_assets.pipeline_settings import listing_contract, market_version, settings
from realtor_assets.raw.checks import contract_check
from realtor_assets.raw.loading import load_payload
from realtor_assets.raw.raw_listings import Listings, read_listings, requested_homes
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import migrate
from realtor_assets.train.mlflow_model import described_inputs, example
from realtor_model.features import FEATURE_VERSION, features_of
from realtor_model.listing import US_LISTINGS, columns_from_properties, home_model, read_market
from tests.assets.conftest import land
from tests.assets.markets import harbor, sales

pytestmark = pytest.mark.integration


@pytest.fixture
def environment(
    raw_database: Database,
    clean_database: Database,
    store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[pytest.MonkeyPatch]:
    for name, value in {
        "REALTOR_RAW_DATABASE_URL": raw_database.url,
        "REALTOR_CLEAN_DATABASE_URL": clean_database.url,
        "REALTOR_STORAGE_URL": store.url,
        "REALTOR_MARKET": str(harbor(tmp_path)),
    }.items():
        monkeypatch.setenv(name, value)
    forget_settings()
    yield monkeypatch
    monkeypatch.undo()
    forget_settings()


def forget_settings() -> None:
    settings.cache_clear()
    listing_contract.cache_clear()


@pytest.fixture
def splits(
    environment: pytest.MonkeyPatch, raw_database: Database, store: ObjectStore
) -> dict[str, Listings]:
    migrate(raw_database.url, "raw", listing_contract())
    # Some prices are outside the market's range.
    rows = [row | ({"sale_price": 20_000.0} if n < 5 else {}) for n, row in enumerate(sales(600))]
    with raw_database.transaction() as connection:
        report = load_payload(
            store,
            connection,
            land(store, raw_database, rows),
            contract=listing_contract(),
            max_broken_share=0.0,
            progress=lambda text: None,
        )
    assert report.inserted == 600
    return {split: read_listings(raw_database, split) for split in SPLITS}


def test_the_clean_tables_have_the_markets_features(
    splits: dict[str, Listings],
    raw_database: Database,
    clean_database: Database,
    store: ObjectStore,
    tmp_path: Path,
    environment: pytest.MonkeyPatch,
) -> None:
    contract = listing_contract()
    with raw_database.transaction() as connection:
        build = source_of(connection, [1])
    assert build.outside_domain == 600 - sum(map(len, splits.values())) == 5
    assert build.market_version == market_version() == contract.version

    write_build(build, splits, store, clean_database)

    encoder = stored_encoder(clean_database)
    assert encoder.contract is contract
    assert encoder.feature_names == features_of(contract).names
    assert {"year_built", "ceiling", "waterfront", "order_code", "renovated_on_age"} <= set(
        encoder.feature_names
    )
    for split, rows in splits.items():
        table = clean_database.read(f"SELECT * FROM clean_{split} ORDER BY row_hash")
        schema = clean_schema(encoder.feature_names, contract.price_range)
        assert contract_check(table.to_pandas(), schema).passed
        if split != "train":
            matrix = np.column_stack([table[name].to_numpy() for name in encoder.feature_names])
            assert np.array_equal(matrix, encoder.transform(rows.columns))
    columns = splits["test"].columns
    expected = encoder.transform(columns)
    assert np.array_equal(read_encoder(store, build).transform(columns), expected)
    # A cluster's workers know the market by the encoder alone.
    put_encoder(store, "exchange/x", encoder)
    environment.delenv("REALTOR_MARKET")
    forget_settings()
    assert np.array_equal(encoder_at(store.url, "exchange/x").transform(columns), expected)


def test_a_build_of_another_market_is_refused(
    splits: dict[str, Listings],
    raw_database: Database,
    clean_database: Database,
    store: ObjectStore,
    tmp_path: Path,
    environment: pytest.MonkeyPatch,
) -> None:
    with raw_database.transaction() as connection:
        build = source_of(connection, [1])
    write_build(build, splits, store, clean_database)
    assert required_build(clean_database).data_version == build.data_version

    harbor(tmp_path, '[columns.garage]\ntype = "boolean"\n')
    read_market.cache_clear()
    forget_settings()

    with pytest.raises(Exception, match=r"market version .* harbor has .*: run the clean job"):
        required_build(clean_database)
    environment.delenv("REALTOR_MARKET")
    forget_settings()
    with clean_database.transaction() as connection:
        stored = current_build(connection)
    assert stored is not None
    assert "has built-in" in str(outdated(stored))


def test_listings_become_homes_that_a_service_accepts(splits: dict[str, Listings]) -> None:
    contract = listing_contract()

    homes = requested_homes(splits["test"], contract, 20)

    assert len(homes) == 20
    sent = json.loads(json.dumps([home.model_dump(mode="json") for home in homes]))
    read = [home_model(contract).model_validate(record) for record in sent]
    columns = columns_from_properties(read)
    for key, values in splits["test"].columns.items():
        assert np.array_equal(columns[key].astype(str), values[:20].astype(str)), key


def test_a_model_of_another_market_gets_the_homes_that_it_accepts(
    splits: dict[str, Listings],
) -> None:
    homes = requested_homes(splits["test"], US_LISTINGS, 5)

    assert 0 < len(homes) <= 5
    zips = set(splits["test"].columns["zip_code"])
    assert all(home.model_dump()["zip_code"] in zips for home in homes)


def test_valuation_files_have_the_markets_names(
    splits: dict[str, Listings], tmp_path: Path
) -> None:
    listed = _listed(splits["test"].frame, listing_contract())

    pyarrow.parquet.write_table(listed, tmp_path / "listed.parquet")
    names = [column.name for column in listing_contract().columns]
    assert pyarrow.parquet.read_schema(tmp_path / "listed.parquet").names == ["row_hash", *names]


def test_partitions_belong_to_a_version_of_the_market(
    splits: dict[str, Listings],
    raw_database: Database,
    store: ObjectStore,
    tmp_path: Path,
    environment: pytest.MonkeyPatch,
) -> None:
    contract = listing_contract()
    partitions.export(raw_database, store, [1])
    environment.delenv("REALTOR_MARKET")
    forget_settings()
    partitions.export(raw_database, store, [1])
    (built_in,) = partitions.partitions(store, [1], ["test"])
    environment.setenv("REALTOR_MARKET", str(tmp_path / "harbor.toml"))
    forget_settings()

    (ours,) = partitions.partitions(store, [1], ["test"])

    assert f"/market={contract.version}/" in ours.key
    assert "market=" not in built_in.key
    columns = ours.listings(store, contract).columns
    for key, values in splits["test"].columns.items():
        assert np.array_equal(columns[key].astype(str), values.astype(str)), key
    # Rows that the built-in market exported lack the columns that harbor adds.
    assert np.isnan(built_in.listings(store, contract).columns["year_built"]).all()


def test_mlflow_gets_the_markets_inputs(environment: pytest.MonkeyPatch) -> None:
    declared = described_inputs(listing_contract())

    assert set(declared) == set(listing_contract().by_name)
    assert declared["year_built"].startswith("integer, year_built: ")
    assert declared["waterfront"].startswith("boolean: ")
    assert set(example(listing_contract()).columns) == set(listing_contract().example_home)


def test_data_versions_of_the_built_in_market_are_those_of_before(
    splits: dict[str, Listings], raw_database: Database, environment: pytest.MonkeyPatch
) -> None:
    with raw_database.transaction() as connection:
        (key,) = connection.execute("SELECT partition_key FROM ingestion_summary").fetchone() or ""
        of_harbor = source_of(connection, [1])
        environment.delenv("REALTOR_MARKET")
        forget_settings()
        built_in = source_of(connection, [1])

    def version(*lines: str) -> str:
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    assert built_in.data_version == version(FEATURE_VERSION, key)
    assert built_in.market_version == ""
    market = f"market {of_harbor.market_version}"
    assert of_harbor.data_version == version(FEATURE_VERSION, key, market)
