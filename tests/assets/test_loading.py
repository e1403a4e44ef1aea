"""Landed payload → RAW, on a real PostgreSQL."""

import psycopg
import pytest
import zstandard

from realtor_assets import loading
from realtor_assets.loading import load_payload, pending_payloads
from realtor_assets.resources import Database, ObjectStore
from tests.assets.conftest import Listing, land, listing

pytestmark = pytest.mark.integration


def houses(n: int) -> list[Listing]:
    return [listing(street=float(street), price=200_000.0 + street) for street in range(n)]


def load(store: ObjectStore, database: Database, key: str) -> loading.LoadReport:
    with database.transaction() as connection:
        return load_payload(store, connection, key)


def count(database: Database, table: str) -> int:
    with database.transaction() as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_every_row_of_a_batch_is_somewhere(store: ObjectStore, raw_database: Database) -> None:
    rows = [*houses(200), houses(1)[0], listing(price=0.0), listing(bed=473.0)]

    report = load(store, raw_database, land(store, rows, batch=3))

    assert (report.state, report.batch_number, report.received) == ("loaded", 3, 203)
    assert (report.inserted, report.duplicate, report.quarantined) == (200, 1, 2)
    assert report.inserted_train > report.inserted_test > 0
    assert sum(count(raw_database, f"raw_{split}") for split in loading.SPLITS) == 200
    with raw_database.transaction() as connection:
        kept = connection.execute(
            "SELECT position, column_name, value, record->>'city' FROM raw_quarantine ORDER BY 1"
        ).fetchall()
    assert [(position, column, city) for position, column, _, city in kept] == [
        (201, "price", "Graham"),
        (202, "bed", "Graham"),
    ]


def test_values_are_normalised_once(store: ObjectStore, raw_database: Database) -> None:
    load(store, raw_database, land(store, [listing(zip_code=6016.0, bath=None)]))

    with raw_database.transaction() as connection:
        union = " UNION ALL ".join(
            f"SELECT zip_code, bed, bath, prev_sold_date::text FROM raw_{split}"
            for split in loading.SPLITS
        )
        assert connection.execute(union).fetchall() == [("06016", 3, None, "2021-10-22")]


def test_loading_the_same_rows_again_adds_nothing(
    store: ObjectStore, raw_database: Database
) -> None:
    load(store, raw_database, land(store, houses(50)))

    again = load(store, raw_database, land(store, houses(50)))

    assert (again.inserted, again.duplicate) == (0, 50)


def test_listings_of_one_house_fall_on_one_side(store: ObjectStore, raw_database: Database) -> None:
    asked = houses(100)
    sold = [row | {"status": "sold", "price": row["price"] - 5_000} for row in asked]

    load(store, raw_database, land(store, asked, batch=0))
    load(store, raw_database, land(store, sold, batch=1))

    for split in loading.SPLITS:
        with raw_database.transaction() as connection:
            row = connection.execute(
                f"SELECT count(*), count(DISTINCT street) FROM raw_{split}"
            ).fetchone()
        assert row is not None
        assert row[0] == 2 * row[1]


def test_a_cut_off_payload_is_refused_whole_and_kept(
    store: ObjectStore, raw_database: Database
) -> None:
    key = land(store, houses(50), cut=40)

    report = load(store, raw_database, key)

    assert report.state == "refused"
    assert report.error is not None
    assert "not whole JSON" in report.error
    assert count(raw_database, "raw_train") == 0
    assert store.exists(key)
    with raw_database.transaction() as connection:
        assert pending_payloads(store, connection) == [key], "a later version may read it"
    assert load(store, raw_database, key).state == "refused"
    assert count(raw_database, "ingestion_summary") == 1


def test_a_document_without_rows_is_refused(store: ObjectStore, raw_database: Database) -> None:
    with store.create("payloads/x.json.zst") as file:
        file.write(zstandard.compress(b'{"group_number": 1, "batch_number": 2, "rows": []}'))

    report = load(store, raw_database, "payloads/x.json.zst")

    assert (report.state, report.error) == ("refused", "payloads/x.json.zst has no array `data`")


def test_an_empty_batch_is_loaded(store: ObjectStore, raw_database: Database) -> None:
    report = load(store, raw_database, land(store, []))

    assert (report.state, report.received) == ("loaded", 0)


@pytest.mark.parametrize("column", ["status", "price", "state"])
def test_a_row_without_a_required_value_is_quarantined(
    store: ObjectStore, raw_database: Database, column: str
) -> None:
    report = load(store, raw_database, land(store, [*houses(3), listing(**{column: None})]))

    assert (report.inserted, report.quarantined) == (3, 1)


def test_a_renamed_column_refuses_the_batch(store: ObjectStore, raw_database: Database) -> None:
    renamed = [
        {("baths" if column == "bath" else column): value for column, value in row.items()}
        for row in houses(5)
    ]

    report = load(store, raw_database, land(store, renamed))

    assert report.state == "refused"
    assert report.error is not None
    assert "bath" in report.error


def test_a_crash_while_loading_leaves_nothing_and_the_next_try_loads_all(
    store: ObjectStore, raw_database: Database
) -> None:
    key = land(store, houses(50))
    with pytest.raises(KeyboardInterrupt), raw_database.transaction() as connection:
        load_payload(store, connection, key)
        raise KeyboardInterrupt

    assert count(raw_database, "raw_train") == 0
    with raw_database.transaction() as connection:
        assert pending_payloads(store, connection) == [key]
    assert load(store, raw_database, key).inserted == 50


def test_the_database_refuses_counts_that_do_not_add_up(raw_database: Database) -> None:
    with (
        pytest.raises(psycopg.errors.CheckViolation, match="every_row_is_somewhere"),
        raw_database.transaction() as connection,
    ):
        connection.execute(
            "INSERT INTO ingestion_summary (payload_key, state, received, inserted_train,"
            " inserted_validation, inserted_test, duplicate, quarantined, seconds)"
            " VALUES ('x', 'loaded', 10, 5, 1, 1, 1, 1, 0)"
        )
