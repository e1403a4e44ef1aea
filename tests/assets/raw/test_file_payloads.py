"""Files as people have them: each is loaded, or refused with the reason, and none blocks."""

import gzip
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from realtor_assets.raw.loading import LoadReport
from realtor_assets.raw.refused_payloads import refused_payloads
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.source import file_rows
from realtor_assets.source.landing import LandedPayload, land_file
from tests.assets.raw.test_loading import count, load, waiting

pytestmark = pytest.mark.integration

HEADER = "price,bed,bath,city,state,zip_code,house_size"
ROWS = [f"{200_000 + 1_000 * n},3,2,Austin,Texas,78701,{1_500 + n}" for n in range(4)]


def text(header: str = HEADER, rows: list[str] = ROWS) -> str:
    return "\n".join([header, *rows, ""])


def parquet() -> bytes:
    frame = pd.read_csv(io.StringIO(text())).assign(
        prev_sold_date=pd.Timestamp("2021-10-22").date()
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def land_bytes(store: ObjectStore, database: Database, folder: Path, body: bytes) -> LandedPayload:
    path = folder / "homes.csv"
    path.write_bytes(body)
    return land_file(path, store, database, lambda progress: None)


def ingest(store: ObjectStore, database: Database, folder: Path, body: bytes) -> LoadReport:
    return load(store, database, land_bytes(store, database, folder, body))


def quarantined(database: Database) -> list[tuple[int, str, str]]:
    with database.transaction() as connection:
        return connection.execute(
            "SELECT position, code, record->>'price' FROM raw_quarantine ORDER BY position"
        ).fetchall()


@pytest.mark.parametrize(
    "body",
    [
        text().encode(),
        text().encode("utf-16"),
        text(HEADER.replace("city", "Población")).encode("cp1252"),
        text(HEADER.replace(",", ";"), [row.replace(",", ";") for row in ROWS]).encode(),
        text(HEADER.replace(",", "\t"), [row.replace(",", "\t") for row in ROWS]).encode(),
        b"Homes of our office\n\n" + text().encode(),
        text(HEADER + ",", [row + "," for row in ROWS]).encode(),
        text("Price,Beds,Baths,Town,State,ZIP,Sqft").encode(),
        text(HEADER + ",note,note", [row + ",a,b" for row in ROWS]).encode(),
        text().replace("\n", "\r\n").encode("utf-8-sig"),
        parquet(),
    ],
    ids=["plain", "utf16", "cp1252", "semicolons", "tabs", "title", "trailing commas",
         "other headers", "unused header twice", "windows", "parquet"],
)  # fmt: skip
def test_a_file_is_loaded_whatever_its_layout(
    store: ObjectStore, raw_database: Database, tmp_path: Path, body: bytes
) -> None:
    report = ingest(store, raw_database, tmp_path, body)

    assert report.error is None
    assert (report.received, report.inserted, report.quarantined) == (4, 4, 0)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the file is empty"),
        (HEADER.encode(), "there are no rows"),
        (HEADER.encode() + b"\n", "there are no rows"),
        (text("price,bed,bed,city,state,zip_code,house_size").encode(), "the header bed"),
        (gzip.compress(text().encode(), mtime=0), "compressed by gzip"),
        (text().replace("Austin", "Aus\0tin").encode(), "NUL"),
        (b"<html><body>log in</body></html>", "web page"),
        (json.dumps([{"price": 1}]).encode(), "JSON"),
        (b"PAR1 and then nothing", "Parquet"),
        (text("cost,bed,bath,city,state,zip_code,house_size").encode(), "no column for price"),
        (text("price,b1,b2,city,state,zip_code,rooms").encode(), "house_size or acre_lot or bed"),
        (text("price,bed,bath,c,s,z,house_size").encode(), "state or zip_code"),
        (b"\x81\x8d\x8f" * 99, "neither UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_the_next_is_loaded(
    store: ObjectStore, raw_database: Database, tmp_path: Path, body: bytes, reason: str
) -> None:
    bad = ingest(store, raw_database, tmp_path, body)
    good = ingest(store, raw_database, tmp_path, text().encode())

    assert (bad.state, bad.received) == ("refused", 0)
    assert bad.error is not None
    assert reason in bad.error
    assert good.inserted == 4
    assert waiting(raw_database) == []
    with raw_database.transaction() as connection:
        (listed,) = refused_payloads(connection)
    assert listed.error == bad.error


@pytest.mark.parametrize("piece_rows", [2, 50_000])
def test_a_row_of_another_width_is_quarantined_in_its_place(
    store: ObjectStore,
    raw_database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    piece_rows: int,
) -> None:
    monkeypatch.setattr(file_rows, "PIECE_ROWS", piece_rows)
    rows = [ROWS[0], ROWS[1] + ",9,9", ROWS[2], "free" + ROWS[3], "5,3,2", ROWS[3]]

    report = ingest(store, raw_database, tmp_path, text(rows=rows).encode())

    assert (report.received, report.inserted, report.quarantined) == (6, 3, 3)
    assert quarantined(raw_database) == [
        (1, "row_does_not_fit", "201000"),
        (3, "not_a_number", "free203000"),
        (4, "row_does_not_fit", "5"),
    ]
    with raw_database.transaction() as connection:
        rules = connection.execute("SELECT rule FROM raw_quarantine ORDER BY position").fetchall()
    assert rules[0] == ("the row has 9 cells, but the header has 7",)


def test_a_file_of_misfits_alone_is_quarantined(
    store: ObjectStore, raw_database: Database, tmp_path: Path
) -> None:
    report = ingest(store, raw_database, tmp_path, text(rows=["1,2", "3,4"]).encode())

    assert (report.state, report.received, report.quarantined) == ("loaded", 2, 2)


def test_an_unused_column_may_change_its_type_anywhere(
    store: ObjectStore, raw_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtor_model.reading.text_files.BLOCK_BYTES", 4_096)
    rows = [f"{200_000 + n},3,2,Austin,Texas,78701,1500,{n}" for n in range(2_000)]
    rows.append("300000,3,2,Austin,Texas,78701,1500,corner lot")

    report = ingest(store, raw_database, tmp_path, text(HEADER + ",note", rows).encode())

    assert (report.received, report.inserted) == (2_001, 2_001)
    assert report.unused_columns == {"note": 2_001}


def test_second_header_of_a_column_fills_the_gaps_of_the_first(
    store: ObjectStore, raw_database: Database, tmp_path: Path
) -> None:
    header = "price,Beds,bedrooms,city,state,zip_code,house_size"

    rows = [
        f"{300_000 + n},{'' if n % 2 else 3},4,Austin,Texas,78701,{1_500 + n}" for n in range(4)
    ]

    report = ingest(store, raw_database, tmp_path, text(header, rows).encode())

    assert (report.inserted, report.unused_columns) == (4, {})
    with raw_database.transaction() as connection:
        beds = (
            "SELECT DISTINCT bed FROM raw_train UNION SELECT bed FROM raw_validation"
            " UNION SELECT bed FROM raw_test ORDER BY 1"
        )
        assert connection.execute(beds).fetchall() == [(3,), (4,)]


def test_a_file_of_the_older_schema_is_loaded(
    store: ObjectStore, raw_database: Database, tmp_path: Path
) -> None:
    """No broker, no street: each home has an id of its own, by its place and sizes."""
    header = "status,bed,bath,acre_lot,city,state,zip_code,house_size,prev_sold_date,price"
    rows = [f"for_sale,3,2,0.{n % 89:02},Austin,Texas,78701,{1_000 + n},,{n + 90_000}"
            for n in range(300)]  # fmt: skip

    report = ingest(store, raw_database, tmp_path, text(header, rows).encode())

    assert (report.state, report.inserted) == ("loaded", 300)
    assert report.inserted_validation > 20
    assert report.inserted_test > 20
    with raw_database.transaction() as connection:
        held = connection.execute(
            "SELECT count(DISTINCT street), count(brokered_by) FROM raw_train"
        ).fetchone()
    assert held == (count(raw_database, "raw_train"), 0)


def test_a_file_without_a_status_has_the_default_one(
    store: ObjectStore, raw_database: Database, tmp_path: Path
) -> None:
    assert ingest(store, raw_database, tmp_path, text().encode()).inserted == 4
    with raw_database.transaction() as connection:
        assert connection.execute("SELECT DISTINCT status FROM raw_train").fetchall() == [
            ("for_sale",)
        ]
