"""Landed payload → RAW, on a real PostgreSQL."""

import psycopg
import pytest

from realtor_assets.raw import loading
from realtor_assets.raw.assets import unused_in_words
from realtor_assets.raw.loading import load_payload
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.source.landing import LandedPayload, pending
from realtor_local.postgres import EmbeddedPostgres
from realtor_model.listing import US_LISTINGS, ListingContract
from tests.assets.conftest import Listing, land, land_bytes, listing

pytestmark = pytest.mark.integration


def houses(n: int) -> list[Listing]:
    return [listing(street=float(street), price=200_000.0 + street) for street in range(n)]


def load(
    store: ObjectStore,
    database: Database,
    payload: LandedPayload,
    share: float = 1.0,
    contract: ListingContract = US_LISTINGS,
) -> loading.LoadReport:
    with database.transaction() as connection:
        return load_payload(
            store,
            connection,
            payload,
            contract=contract,
            max_broken_share=share,
            progress=lambda text: None,
        )


def waiting(database: Database) -> list[str]:
    with database.transaction() as connection:
        return [payload.partition_key for payload in pending(connection)]


def count(database: Database, table: str) -> int:
    with database.transaction() as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_every_row_is_inserted_duplicate_or_quarantined(
    store: ObjectStore, raw_database: Database
) -> None:
    rows = [*houses(200), houses(1)[0], listing(price=0.0), listing(bed=473.0)]

    report = load(store, raw_database, land(store, raw_database, rows, batch=3))

    assert (report.state, report.batch_number, report.received) == ("loaded", 3, 203)
    assert (report.inserted, report.duplicate, report.quarantined) == (200, 1, 2)
    assert report.inserted_train > report.inserted_test > 0
    assert sum(count(raw_database, f"raw_{split}") for split in SPLITS) == 200
    with raw_database.transaction() as connection:
        quarantined = connection.execute(
            "SELECT position, column_name, code, record->>'city' FROM raw_quarantine ORDER BY 1"
        ).fetchall()
    assert quarantined == [
        (201, "price", "out_of_range", "Graham"),
        (202, "bed", "out_of_range", "Graham"),
    ]


def test_values_are_normalised_once(store: ObjectStore, raw_database: Database) -> None:
    load(store, raw_database, land(store, raw_database, [listing(zip_code=6016.0, bath=None)]))

    with raw_database.transaction() as connection:
        union = " UNION ALL ".join(
            f"SELECT zip_code, bed, bath, prev_sold_date::text FROM raw_{split}" for split in SPLITS
        )
        assert connection.execute(union).fetchall() == [("06016", 3, None, "2021-10-22")]


def test_row_counts_are_equal_when_a_batch_is_read_in_pieces(
    store: ObjectStore, raw_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtor_assets.source.json_document.PIECE_BYTES", 4_000)
    monkeypatch.setattr("realtor_assets.source.json_document._HEAD_BYTES", 100)
    rows = [*houses(300), listing(price=-1.0), *houses(200), listing(price=None)]

    report = load(store, raw_database, land(store, raw_database, rows))

    assert (report.received, report.inserted, report.duplicate) == (502, 300, 200)
    assert report.quarantined == 2
    with raw_database.transaction() as connection:
        kept = connection.execute("SELECT position FROM raw_quarantine ORDER BY 1").fetchall()
    assert kept == [(300,), (501,)]


def test_a_repeated_load_counts_all_rows_as_duplicates(
    store: ObjectStore, raw_database: Database
) -> None:
    payload = land(store, raw_database, [*houses(50), listing(bed=473.0)])
    load(store, raw_database, payload)

    again = load(store, raw_database, payload)

    assert (again.received, again.inserted, again.quarantined, again.duplicate) == (51, 0, 0, 51)
    assert count(raw_database, "ingestion_summary") == 2
    assert count(raw_database, "raw_quarantine") == 1


def test_all_listings_of_a_house_are_in_one_split(
    store: ObjectStore, raw_database: Database
) -> None:
    asked = houses(100)
    sold = [row | {"status": "sold", "price": row["price"] - 5_000} for row in asked]

    load(store, raw_database, land(store, raw_database, asked, batch=0))
    load(store, raw_database, land(store, raw_database, sold, batch=1))

    for split in SPLITS:
        with raw_database.transaction() as connection:
            row = connection.execute(
                f"SELECT count(*), count(DISTINCT street) FROM raw_{split}"
            ).fetchone()
        assert row is not None
        assert row[0] == 2 * row[1]


def test_a_truncated_payload_is_refused_and_stays_in_the_store(
    store: ObjectStore, raw_database: Database
) -> None:
    payload = land(store, raw_database, houses(50), cut=40)

    report = load(store, raw_database, payload)

    assert report.state == "refused"
    assert report.error is not None
    assert "not whole JSON" in report.error
    assert count(raw_database, "raw_train") == 0
    assert store.exists(payload.payload_key)
    assert waiting(raw_database) == []


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"group_number": 1, "batch_number": 2, "rows": []}', "has no array `data`"),
        (b'{"batch_number": 0, "data": [1, 2]}', "is not an object"),
        (b'{"batch_number": 0, "data": [{"city": "\xff"}]}', "not whole JSON"),
        (b'{"batch_number": 0, "data": [{"price": NaN}]}', "not whole JSON"),
        (b"<html>busy</html>", "not whole JSON"),
        (b"", "not whole JSON"),
    ],
)
def test_a_document_in_another_format_is_refused_with_the_reason(
    store: ObjectStore, raw_database: Database, body: bytes, error: str
) -> None:
    report = load(store, raw_database, land_bytes(store, raw_database, body))

    assert report.state == "refused"
    assert report.error is not None
    assert error in report.error


def test_an_empty_batch_is_loaded(store: ObjectStore, raw_database: Database) -> None:
    report = load(store, raw_database, land(store, raw_database, []))

    assert (report.state, report.received) == ("loaded", 0)


@pytest.mark.parametrize("columns", [["status"], ["price"], ["state", "zip_code"]])
def test_a_row_without_a_required_value_is_quarantined(
    store: ObjectStore, raw_database: Database, columns: list[str]
) -> None:
    rows = [*houses(3), listing(**dict.fromkeys(columns))]

    report = load(store, raw_database, land(store, raw_database, rows))

    assert (report.inserted, report.quarantined) == (3, 1)


def test_a_renamed_column_refuses_the_batch(store: ObjectStore, raw_database: Database) -> None:
    renamed = [
        {("showers" if column == "bath" else column): value for column, value in row.items()}
        for row in houses(5)
    ]

    report = load(store, raw_database, land(store, raw_database, renamed))

    assert report.state == "refused"
    assert report.error is not None
    assert report.error.startswith("columns are missing: bath; not in the contract: showers. If")


def test_a_column_is_read_under_its_other_headers(
    store: ObjectStore, raw_database: Database
) -> None:
    rows = houses(5)
    load(store, raw_database, land(store, raw_database, rows, batch=0))
    renamed = [{("beds" if key == "bed" else key): row[key] for key in row} for row in rows]

    report = load(store, raw_database, land(store, raw_database, renamed, batch=1))

    assert (report.received, report.duplicate, report.unused_columns) == (5, 5, {})


def test_unused_columns_are_counted_once_per_load(
    store: ObjectStore, raw_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtor_assets.source.json_document.PIECE_BYTES", 4_000)
    monkeypatch.setattr("realtor_assets.source.json_document._HEAD_BYTES", 100)
    rows = [
        row | {"roof": "slate", "pool": None if number % 3 else [1], "nul\x00": 1}
        for number, row in enumerate(houses(90))
    ]

    report = load(store, raw_database, land(store, raw_database, rows))

    assert report.inserted == 90
    assert report.unused_columns == {"roof": 90, "pool": 30, "nul\ufffd": 90}
    with raw_database.transaction() as connection:
        stored = connection.execute("SELECT unused_columns FROM ingestion_summary").fetchone()
    assert stored == (report.unused_columns,)
    assert unused_in_words(report) == "nul\ufffd (90 rows), roof (90 rows), pool (30 rows)"


def test_numbers_that_became_text_refuse_the_batch(
    store: ObjectStore, raw_database: Database
) -> None:
    rows = [row | {"price": f"about ${row['price']:,.0f}"} for row in houses(40)]

    report = load(store, raw_database, land(store, raw_database, [*rows, *houses(20)]), share=0.5)

    assert report.state == "refused"
    assert report.error is not None
    assert "40 of 60 rows break the contract" in report.error
    assert "price must be a number: 67% of the rows, such as 'about $200,000'" in report.error
    for table in ("raw_train", "raw_quarantine"):
        assert count(raw_database, table) == 0


def test_a_crashed_load_leaves_no_rows_and_the_next_loads_all(
    store: ObjectStore, raw_database: Database
) -> None:
    payload = land(store, raw_database, houses(50))
    with pytest.raises(KeyboardInterrupt), raw_database.transaction() as connection:
        load_payload(
            store,
            connection,
            payload,
            contract=US_LISTINGS,
            max_broken_share=1.0,
            progress=lambda text: None,
        )
        raise KeyboardInterrupt

    assert count(raw_database, "raw_train") == 0
    assert waiting(raw_database) == [payload.partition_key]
    assert load(store, raw_database, payload).inserted == 50


def test_an_error_in_one_piece_rolls_back_the_batch(
    store: ObjectStore, raw_database: Database
) -> None:
    payload = land(store, raw_database, houses(50))
    with raw_database.transaction() as connection:
        connection.execute("ALTER TABLE raw_train ADD CHECK (price < 1)")

    with pytest.raises(psycopg.errors.CheckViolation):
        load(store, raw_database, payload)

    assert waiting(raw_database) == [payload.partition_key]


def test_the_database_refuses_row_counts_with_a_wrong_sum(
    store: ObjectStore, raw_database: Database
) -> None:
    payload = land(store, raw_database, [])
    with (
        pytest.raises(psycopg.errors.CheckViolation, match="every_row_is_somewhere"),
        raw_database.transaction() as connection,
    ):
        connection.execute(
            "INSERT INTO ingestion_summary (partition_key, state, group_number, received,"
            " inserted_train, inserted_validation, inserted_test, duplicate, quarantined, seconds)"
            " VALUES (%s, 'loaded', 1, 10, 5, 1, 1, 1, 1, 0)",
            [payload.partition_key],
        )


def test_the_pipeline_adds_to_raw_and_changes_nothing(
    store: ObjectStore, raw_database: Database, postgres: EmbeddedPostgres
) -> None:
    def as_role(role: str) -> Database:
        return Database(
            url=postgres.url(role).rpartition("/")[0] + "/" + raw_database.url.rpartition("/")[2]
        )

    pipeline, service = as_role("realtor_raw"), as_role("realtor_service")
    payload = land(store, pipeline, [*houses(20), listing(bed=473.0)])
    assert load(store, pipeline, payload).inserted == 20

    tables = (
        "raw_train", "raw_test", "raw_quarantine", "landed_payloads", "api_request_log",
        "ingestion_summary", "inference_log",
    )  # fmt: skip
    for table in tables:
        for statement in (
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
            f"DROP TABLE {table}",
            f"ALTER TABLE {table} ADD COLUMN x int",
        ):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                pipeline.transaction() as connection,
            ):
                connection.execute(statement)
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        pipeline.transaction() as connection,
    ):
        connection.execute("UPDATE raw_train SET price = 1")
    for statement in ("SELECT * FROM raw_train", "SELECT * FROM inference_log"):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            service.transaction() as connection,
        ):
            connection.execute(statement)
    with service.transaction() as connection:
        connection.execute(
            "INSERT INTO inference_log VALUES (gen_random_uuid(), now(), 'predict', '1', '{}',"
            " 2, 1, 3)"
        )
