"""A row's identity, against what PostgreSQL itself makes of the row."""

import datetime as dt

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtor_assets.raw.row_identity import row_hashes, splits
from realtor_assets.resources import Database, copy_arrow
from realtor_model.listing import RANGES, WHOLE_NUMBERS

pytestmark = pytest.mark.integration

# PostgreSQL takes no NUL and no half of a surrogate pair; the contract refuses both.
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
AWKWARD = st.sampled_from(["", " ", "O'Fallon", 'The "Villages"', "a,b", "(c)", "d\\e", "Cañón"])


def numbers(name: str) -> st.SearchStrategy[float | int | None]:
    limits = RANGES[name]
    if name in WHOLE_NUMBERS:
        return st.none() | st.integers(int(limits.low), int(limits.high))
    return st.floats(limits.low, limits.high)


ROW = st.fixed_dictionaries(
    {
        "brokered_by": numbers("brokered_by"),
        "status": AWKWARD | TEXT,
        "price": numbers("price"),
        "bed": numbers("bed"),
        "bath": numbers("bath"),
        "acre_lot": st.none() | numbers("acre_lot") | st.sampled_from([1e-5, 0.0001, -0.0, 0.1]),
        "street": numbers("street"),
        "city": st.none() | AWKWARD | TEXT,
        "state": AWKWARD | TEXT,
        "zip_code": st.none() | st.from_regex(r"[0-9]{5}", fullmatch=True),
        "house_size": numbers("house_size"),
        "prev_sold_date": st.none() | st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)),
    }
)
SCHEMA = pa.schema(
    {
        "brokered_by": pa.int64(), "status": pa.string(), "price": pa.float64(), "bed": pa.int64(),
        "bath": pa.int64(), "acre_lot": pa.float64(), "street": pa.int64(), "city": pa.string(),
        "state": pa.string(), "zip_code": pa.string(), "house_size": pa.int64(),
        "prev_sold_date": pa.date32(),
    }
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(ROW, min_size=1, max_size=20))
def test_a_row_hash_equals_postgresqls_md5_of_the_record(
    raw_database: Database, records: list[dict[str, object]]
) -> None:
    rows = pa.Table.from_pylist(records, schema=SCHEMA)

    with raw_database.transaction() as connection:
        expected = by_postgresql(connection, rows)

    assert row_hashes(rows).astype(str).tolist() == expected


def by_postgresql(connection: psycopg.Connection, rows: pa.Table) -> list[str]:
    connection.execute(
        "CREATE TEMP TABLE typed (brokered_by bigint, status text, price double precision,"
        " bed integer, bath integer, acre_lot double precision, street bigint, city text,"
        " state text, zip_code text, house_size integer, prev_sold_date date) ON COMMIT DROP"
    )
    copy_arrow(connection, "typed", rows)
    found = connection.execute("SELECT md5(typed::text) FROM typed ORDER BY ctid").fetchall()
    return [text for (text,) in found]


def test_properties_are_split_70_15_15() -> None:
    street = list(range(20_000))
    towns = {
        city: splits(
            pa.table(
                {
                    "street": pa.array(street, pa.int64()),
                    "city": pa.array([city] * len(street), pa.string()),
                    "zip_code": pa.array(["06016"] * len(street), pa.string()),
                }
            )
        )
        for city in ("CAÑON CITY", "Cañon City", None)
    }
    shares = np.bincount(towns["Cañon City"]) / len(street)

    assert shares == pytest.approx([0.7, 0.15, 0.15], abs=0.01)
    assert np.array_equal(towns["CAÑON CITY"], towns["Cañon City"])
    assert not np.array_equal(towns[None], towns["Cañon City"])
