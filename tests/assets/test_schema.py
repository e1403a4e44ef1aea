"""RAW tables follow a market: they gain columns, and lose nothing."""

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from realtor_assets.resources import Database
from realtor_assets.schema import market_columns, migrate
from realtor_assets.schema.market_columns import TABLES, MarketContradictsTables
from realtor_local.postgres import EmbeddedPostgres
from realtor_model.listing import US_LISTINGS, read_market
from tests.assets.markets import harbor, harbor_contract

pytestmark = pytest.mark.integration
COLUMNS = """
SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull,
       col_description(attrelid, attnum), attrelid::regclass::oid, pg_relation_filenode(attrelid)
FROM pg_attribute WHERE attrelid = ANY(%s::regclass[]) AND attnum > 0 ORDER BY 1, attnum
"""


def columns(database: Database) -> list[tuple[object, ...]]:
    with database.transaction() as connection:
        return connection.execute(COLUMNS, [list(TABLES)]).fetchall()


def column(database: Database, key: str) -> tuple[str, bool, str | None]:
    """Type, whether it is required, and comment, which are the same in all tables."""
    (found,) = {row[2:5] for row in columns(database) if row[1] == key}
    return found  # type: ignore[return-value]


def test_the_built_in_market_changes_nothing(raw_database: Database) -> None:
    before = columns(raw_database)

    migrate(raw_database.url, "raw", US_LISTINGS)

    assert columns(raw_database) == before
    assert column(raw_database, "bed")[0] == "integer"
    assert column(raw_database, "bath")[0] == "double precision"
    assert not column(raw_database, "state")[1]


def test_tables_gain_columns_and_widen(raw_database: Database, tmp_path: Path) -> None:
    migrate(raw_database.url, "raw", harbor_contract(tmp_path))

    built = "Year in which the house was built"
    assert column(raw_database, "year_built") == ("bigint", False, built)
    assert column(raw_database, "ceiling")[0] == "double precision"
    assert column(raw_database, "waterfront")[0] == "boolean"
    assert column(raw_database, "order")[0] == "text"
    assert column(raw_database, "renovated_on")[0] == "date"
    assert column(raw_database, "latitude")[0] == "double precision"
    assert column(raw_database, "bath")[0] == "double precision"
    assert column(raw_database, "bed")[0] == "integer"
    # A number stays one, though the market declares an integer.
    assert column(raw_database, "acre_lot")[::2] == (
        "double precision",
        "Size of the lot, square feet",
    )
    assert not column(raw_database, "state")[1]
    assert not column(raw_database, "status")[1]
    assert column(raw_database, "price")[1]


def test_a_repeated_migration_changes_nothing(raw_database: Database, tmp_path: Path) -> None:
    migrate(raw_database.url, "raw", harbor_contract(tmp_path))
    before = columns(raw_database)

    migrate(raw_database.url, "raw", harbor_contract(tmp_path))
    migrate(raw_database.url, "raw", US_LISTINGS)

    assert columns(raw_database) == before


@pytest.mark.parametrize(
    ("declared", "stored"), [("boolean", "bigint"), ("category", "bigint"), ("date", "bigint")]
)
def test_a_contradiction_is_refused_and_changes_nothing(
    raw_database: Database, tmp_path: Path, declared: str, stored: str
) -> None:
    migrate(raw_database.url, "raw", harbor_contract(tmp_path))
    before = columns(raw_database)
    path = tmp_path / "other.toml"
    path.write_text(
        f'[columns.year_built]\ntype = "{declared}"\n[columns.garage]\ntype = "boolean"\n'
    )

    with pytest.raises(MarketContradictsTables) as refused:
        migrate(raw_database.url, "raw", read_market(path))

    text = str(refused.value)
    assert text.startswith(f"raw_train.year_built is {stored}, but the market other declares")
    assert 'write type = "integer"' in text
    assert "\n" not in text
    assert columns(raw_database) == before


def test_an_integer_becomes_a_number_where_the_market_says_so(
    raw_database: Database, tmp_path: Path
) -> None:
    migrate(raw_database.url, "raw", harbor_contract(tmp_path))
    path = tmp_path / "other.toml"
    path.write_text(
        '[columns.year_built]\ntype = "number"\nrange = [0, 9_999]\n'
        "[columns.bed]\nrange = [0, 9_999_999_999]\n"
    )

    migrate(raw_database.url, "raw", read_market(path))

    assert column(raw_database, "year_built")[0] == "double precision"
    assert column(raw_database, "bed")[0] == "bigint"


def test_a_migration_waits_for_readers_and_cancels_none(
    raw_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(market_columns, "_PAUSE", 0.05)
    contract = harbor_contract(tmp_path)
    with raw_database.transaction() as reader:
        reader.execute("SELECT count(*) FROM raw_test")
        migration = threading.Thread(target=migrate, args=(raw_database.url, "raw", contract))
        migration.start()
        migration.join(0.5)
        # The migration wants all three tables, and must not be the one to keep them from us.
        for table in TABLES:
            reader.execute(f"SELECT count(*) FROM {table}")
        assert migration.is_alive()
    migration.join(30)

    assert not migration.is_alive()
    assert column(raw_database, "waterfront")[0] == "boolean"


def test_the_pipelines_role_keeps_its_rights(
    raw_database: Database, tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    migrate(raw_database.url, "raw", harbor_contract(tmp_path))
    at = postgres.url("realtor_raw").rpartition("/")[0]
    pipeline = Database(url=f"{at}/{raw_database.url.rpartition('/')[2]}")

    with pipeline.transaction() as connection:
        connection.execute(
            "INSERT INTO raw_train (row_hash, load_id, batch_number, price, waterfront)"
            " VALUES (gen_random_uuid(), 1, 0, 1, true)"
        )
        assert connection.execute("SELECT waterfront FROM raw_train").fetchall() == [(True,)]
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        pipeline.transaction() as connection,
    ):
        connection.execute("ALTER TABLE raw_train DROP COLUMN waterfront")


def test_the_command_follows_the_market_of_the_environment(
    databases: Callable[[], Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from realtor_assets.pipeline_settings import listing_contract, settings
    from realtor_assets.schema.__main__ import main

    raw, clean = databases(), databases()
    for name, value in {
        "REALTOR_RAW_DATABASE_URL": "postgresql://127.0.0.1:9/not-used",
        "REALTOR_RAW_OWNER_DATABASE_URL": raw.url,
        "REALTOR_CLEAN_DATABASE_URL": clean.url,
        "REALTOR_STORAGE_URL": tmp_path.as_uri(),
        "REALTOR_MARKET": str(harbor(tmp_path)),
    }.items():
        monkeypatch.setenv(name, value)
    for cached in (settings, listing_contract):
        cached.cache_clear()
    try:
        main()
        assert column(raw, "waterfront")[0] == "boolean"
    finally:
        for cached in (settings, listing_contract):
            cached.cache_clear()
