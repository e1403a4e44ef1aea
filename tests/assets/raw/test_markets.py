"""Listings of other markets in RAW, and columns that come and go."""

from pathlib import Path
from typing import Any

import pytest
import zstandard

from realtor_assets.raw.checks import coerced, contract_check
from realtor_assets.raw.loading import LoadReport, load_payload
from realtor_assets.raw.raw_listings import quoted
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import SchemaOutdated, migrate, require_market
from realtor_assets.source.landing import LandedPayload
from realtor_model.listing import US_LISTINGS, ListingContract, read_market
from realtor_model.reading.received_batch import raw_schema
from tests.assets.conftest import land, listing
from tests.assets.markets import harbor_contract, sales

pytestmark = pytest.mark.integration


def load(
    store: ObjectStore, database: Database, payload: LandedPayload, contract: ListingContract
) -> LoadReport:
    with database.transaction() as connection:
        return load_payload(
            store,
            connection,
            payload,
            contract=contract,
            max_broken_share=0.2,
            progress=lambda text: None,
        )


def stored(database: Database, columns: str) -> list[tuple[Any, ...]]:
    union = " UNION ALL ".join(f"SELECT {columns} FROM raw_{split}" for split in SPLITS)
    with database.transaction() as connection:
        return connection.execute(f"{union} ORDER BY 1, 2").fetchall()


def test_a_column_may_appear_disappear_and_return(
    store: ObjectStore, raw_database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "with_year.toml"
    path.write_text('[columns.year_built]\ntype = "integer"\nrange = [1700, 2100]\n')
    contract = read_market(path)

    def batch(number: int) -> list[dict[str, Any]]:
        rows = [listing(street=100.0 * number + home) for home in range(40)]
        if number in (0, 3):
            return rows
        return [row | {"year_built": 1950.0 + home} for home, row in enumerate(rows)]

    # The first batch is loaded before the market declares the column.
    payloads = [land(store, raw_database, batch(number), batch=number) for number in range(6)]
    reports = [load(store, raw_database, payloads[0], US_LISTINGS)]
    before = stored(raw_database, "street, row_hash, load_id")
    with (
        raw_database.transaction() as connection,
        pytest.raises(SchemaOutdated, match=r"\(year_built\): run .*realtor_assets.schema"),
    ):
        require_market(connection, contract)
    migrate(raw_database.url, "raw", contract)
    with raw_database.transaction() as connection:
        require_market(connection, contract)
    reports += [load(store, raw_database, payload, contract) for payload in payloads[1:]]

    assert [(report.state, report.inserted) for report in reports] == [("loaded", 40)] * 6
    assert set(before) < set(stored(raw_database, "street, row_hash, load_id"))
    years = stored(raw_database, "street, year_built")
    assert [year for _, year in years] == [
        None if street // 100 in (0, 3) else 1950 + street % 100 for street, _ in years
    ]
    again = [load(store, raw_database, payload, contract) for payload in payloads]
    assert [(report.inserted, report.duplicate) for report in again] == [(0, 40)] * 6
    assert stored(raw_database, "street, year_built") == years
    # A market without the column still loads it all: the column is unused, the rows are new.
    plain = load(store, raw_database, payloads[1], US_LISTINGS)
    assert (plain.state, plain.unused_columns) == ("loaded", {"year_built": 40})


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_a_market_of_its_own_is_loaded(
    store: ObjectStore, raw_database: Database, tmp_path: Path, suffix: str
) -> None:
    contract = harbor_contract(tmp_path)
    migrate(raw_database.url, "raw", contract)
    rows = sales(300)
    broken = [rows[0] | {"latitude": 12.0, "parcel": 1e6}, rows[0] | {"order": "third"}]
    if suffix == "json":
        payload = land(store, raw_database, [*rows, *broken])
    else:
        payload = land_csv(store, raw_database, [*rows, *broken])

    report = load(store, raw_database, payload, contract)

    assert (report.error, report.inserted, report.quarantined) == (None, 300, 2)
    keys = 'street, bath, acre_lot, status, state, year_built, waterfront, "order"'
    first = next(row for row in stored(raw_database, keys) if row[0] == 0)
    home = rows[0]
    assert first == (
        0, home["bathrooms"], home["lot_sqft"], "sold", None, home["year_built"],
        home["waterfront"], home["order"],
    )  # fmt: skip
    for split in SPLITS:
        table = raw_database.read(f"SELECT {quoted(contract.table_keys)} FROM raw_{split}")
        typed = coerced(table.to_pandas(date_as_object=False), contract)
        assert contract_check(typed, raw_schema(contract)).passed
    assert load(store, raw_database, payload, contract).duplicate == 302


def land_csv(store: ObjectStore, database: Database, rows: list[dict[str, Any]]) -> LandedPayload:
    """The rows as a CSV with other headers, another order, and a column that nobody declared."""
    payload = land(store, database, [])
    header = ["note", *reversed(rows[0])]
    names = [name.upper().replace("_", " ") for name in header]
    lines = [",".join(f'"{name}"' for name in names)]
    for number, row in enumerate(rows):
        values = [str(number) if number % 2 else "", *(row[name] for name in header[1:])]
        lines.append(",".join("" if value is None else str(value) for value in values))
    key = payload.payload_key.replace(".json.zst", ".csv.zst")
    with store.create(key) as file:
        file.write(zstandard.compress("\n".join(lines).encode()))
    return LandedPayload(
        payload.partition_key, key, "file", 0, None, 0, payload.bytes, payload.sha256
    )
