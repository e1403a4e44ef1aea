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
from realtor_model.listing import US_LISTINGS

pytestmark = pytest.mark.integration

# PostgreSQL takes no NUL and no half of a surrogate pair; the contract refuses both.
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
AWKWARD = st.sampled_from(["", " ", "O'Fallon", 'The "Villages"', "a,b", "(c)", "d\\e", "Cañón"])


def numbers(name: str) -> st.SearchStrategy[float | int | None]:
    column = US_LISTINGS.by_key[name]
    limits = column.range
    assert limits is not None
    if column.is_whole:
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


# Hashes of version 1.0: rows that are loaded again must keep them.
KNOWN = {
    "b5765814ce25b4aa797afc8b3f619bc1": (
        6016, "for_sale", 239_800.0, 3, 2, 0.28, 1_693_508, "Graham", "North Carolina", "27253",
        1605, dt.date(2021, 10, 22),
    ),
    "2508842e2228098db72388b849116c70": (
        None, "sold", 99_999.99, None, None, 1e-05, None, 'O\'Fallon, "The Villages"',
        "Puerto Rico", "00601", None, None,
    ),
    "7c7df6a9af4e213e1602ec6f27d0de2c": (
        0, "ready_to_build", 1_999_999_999.0, 100, 1, 100_000.0, 2_147_483_647, "Cañon City",
        "Colorado", None, 50, dt.date(1900, 1, 1),
    ),
}  # fmt: skip
ADDED = {
    "grade": pa.int64(), "order": pa.string(), "ceiling": pa.float64(), "waterfront": pa.bool_(),
    "renovated_on": pa.date32(), "latitude": pa.float64(),
}  # fmt: skip
VALUES = st.fixed_dictionaries(
    {
        "grade": st.none() | st.integers(0, 99),
        "order": st.none() | AWKWARD | TEXT,
        "ceiling": st.none() | st.floats(0, 10),
        "waterfront": st.none() | st.booleans(),
        "renovated_on": st.none() | st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)),
        "latitude": st.none() | st.floats(-90, 90),
    }
)


def known_rows() -> pa.Table:
    records = [dict(zip(SCHEMA.names, values, strict=True)) for values in KNOWN.values()]
    return pa.Table.from_pylist(records, schema=SCHEMA)


def with_added(rows: pa.Table, added: dict[str, object]) -> pa.Table:
    for key, value in added.items():
        rows = rows.append_column(key, pa.array([value] * len(rows), ADDED[key]))
    return rows


def test_the_core_columns_hash_as_in_version_1() -> None:
    assert row_hashes(known_rows()).astype(str).tolist() == list(KNOWN)


def test_a_number_hashes_like_the_whole_number() -> None:
    rows = known_rows()
    for key in ("bed", "bath", "house_size"):
        index = rows.column_names.index(key)
        rows = rows.set_column(index, key, rows.column(key).cast(pa.float64()))

    assert row_hashes(rows).astype(str).tolist() == list(KNOWN)


@settings(deadline=None)
@given(added=VALUES, missing=st.sets(st.sampled_from(sorted(ADDED))))
def test_a_column_without_a_value_changes_no_hash(
    added: dict[str, object], missing: set[str]
) -> None:
    known = {key: value for key, value in added.items() if value is not None}
    gaps = {key: added[key] if key in known else None for key in {*known, *missing}}

    with_gaps = row_hashes(with_added(known_rows(), gaps))

    assert np.array_equal(with_gaps, row_hashes(with_added(known_rows(), known)))
    if not known:
        assert with_gaps.astype(str).tolist() == list(KNOWN)


@settings(deadline=None)
@given(one=VALUES, other=VALUES)
def test_rows_with_other_added_values_have_other_hashes(
    one: dict[str, object], other: dict[str, object]
) -> None:
    first, second = (row_hashes(with_added(known_rows(), added)) for added in (one, other))

    equal = all(repr(one[key]) == repr(other[key]) for key in ADDED)
    assert np.array_equal(first, second) is equal


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
