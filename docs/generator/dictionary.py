"""The data dictionary: every column and feature, from where it is declared.

The listing contract comes from `realtor_model.listing`, the tables from a PostgreSQL that the
migrations and one small clean build have filled, the features from `realtor_model.features`.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import psycopg

from realtor_assets.clean.assets import CLEAN_TABLES
from realtor_assets.clean.clean_build import CleanBuild, write_build
from realtor_assets.pipeline_settings import settings
from realtor_assets.raw.raw_listings import Listings
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import migrate
from realtor_local.postgres import temporary_postgres
from realtor_local.synthetic_market import generate
from realtor_model.features import FEATURE_GROUPS, FEATURE_VERSION, features_of
from realtor_model.listing import FIRST_DATE, LAST_DATE, US_LISTINGS, Column, Kind
from realtor_model.reading.received_batch import check, raw_schema

# Enough listings for an encoder to be fitted; the tables' columns do not depend on them.
_LISTINGS = 600
_COLUMNS_QUERY = """
SELECT c.relname, obj_description(c.oid), a.attname, format_type(a.atttypid, a.atttypmod),
       a.attnotnull, col_description(c.oid, a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0
      AND NOT a.attisdropped AND c.relname <> 'alembic_version'
ORDER BY c.relname, a.attnum
"""

Row = Sequence[object]


def page() -> str:
    """The page as Markdown. Starts a PostgreSQL of its own for some seconds."""
    with temporary_postgres() as server:
        raw = server.urls["REALTOR_RAW_OWNER_DATABASE_URL"]
        clean = server.urls["REALTOR_CLEAN_DATABASE_URL"]
        migrate(raw, "raw")
        migrate(clean, "clean")
        _build_clean_tables(server.urls)
        tables = [("RAW", _tables(raw)), ("CLEAN", _tables(clean))]
    return "\n\n".join(
        [
            "# Data dictionary",
            "Made from the code's own declarations whenever this site is built. The fields of the "
            "HTTP API are in the service's OpenAPI document, `GET /docs.json`.",
            _contract(),
            _features(),
            *(part for title, found in tables for part in _database(title, found)),
        ]
    )


def _contract() -> str:
    schema = raw_schema(US_LISTINGS).columns
    rows = [
        (
            f"`{column.name}`",
            column.help["en"],
            f"`{str(schema[column.key].dtype).removesuffix('[pyarrow]')}`",
            _values(column),
            "" if schema[column.key].nullable else "yes",
        )
        for column in US_LISTINGS.columns
    ]
    header = ("column", "meaning", "type", "values", "required")
    return "## Listing\n\nA listing has these columns, as the upstream sends them.\n\n" + _table(
        header, rows
    )


def _values(column: Column) -> str:
    if column.range is not None:
        return str(column.range)
    if column.choices:
        return ", ".join(f"`{choice}`" for choice in column.choices)
    if column.kind is Kind.DATE:
        return f"from {FIRST_DATE} to {LAST_DATE}"
    rules = [str(rule.error) for rule in raw_schema(US_LISTINGS).columns[column.key].checks]
    return "; ".join(rules) or "text"


_SIGNS = {1: "rising", -1: "falling"}


def _features() -> str:
    features = features_of(US_LISTINGS)
    parts = [
        "## Features",
        f"What the models see, by group; feature version {FEATURE_VERSION}. A group can be left "
        "out as a whole. [The model](MODEL.md) says what each group contributes. *Monotone*: "
        "the direction in which the estimate may move when the feature grows.",
    ]
    for group, names in FEATURE_GROUPS.items():
        rows = [
            (
                f"`{name}`",
                ", ".join(f"`{column}`" for column in features.inputs_of[name]),
                {1: "rising", -1: "falling"}.get(
                    features_of(US_LISTINGS).monotone.get(name, 0), ""
                ),
            )
            for name in names
        ]
        parts.append(f"### Group `{group}`")
        parts.append(_table(("feature", "computed from", "monotone"), rows))
    return "\n\n".join(parts)


def _database(title: str, tables: pd.DataFrame) -> Iterator[str]:
    """The tables of one database; those with the same columns are one entry."""
    yield f"## {title} database"
    alike: dict[str, list[str]] = {}
    for name, columns in tables.groupby("table", sort=False):
        described = [
            (
                f"`{row.column}`",
                f"`{row.type}`",
                "" if row.required else "yes",
                row.comment or _column_meaning(str(name), str(row.column)),
            )
            for row in columns.itertuples()
        ]
        text = _table(("column", "type", "may be null", "meaning"), described)
        alike.setdefault(text, []).append(str(name))
    comments = tables.set_index("table")["table_comment"].to_dict()
    for columns_table, names in alike.items():
        yield "### " + ", ".join(f"`{name}`" for name in names)
        for name in names:
            description = comments[name] or CLEAN_TABLES.get(name, ([], ""))[1]
            if description:
                yield description if len(names) == 1 else f"`{name}`: {description}"
        yield columns_table


def _column_meaning(table: str, column: str) -> str:
    if table.startswith("raw_") and column in US_LISTINGS.table_keys:
        return US_LISTINGS.by_key[column].help["en"]
    group = next((group for group, names in FEATURE_GROUPS.items() if column in names), None)
    return f"feature of the group [{group}](#group-{group})" if group else ""


def _tables(url: str) -> pd.DataFrame:
    names = ["table", "table_comment", "column", "type", "required", "comment"]
    with psycopg.connect(url) as connection:
        rows = connection.execute(_COLUMNS_QUERY).fetchall()
    # As objects, a missing comment stays None.
    return pd.DataFrame(rows, columns=names, dtype=object)


def _build_clean_tables(urls: Mapping[str, str]) -> None:
    """One clean build of a few synthetic listings, which makes the tables of that build."""
    listings, _ = check(generate(_LISTINGS, seed=1).listings)
    rows = listings.assign(
        row_hash=[f"{row:032x}" for row in range(len(listings))], load_id=1, batch_number=0
    )
    as_of = rows["prev_sold_date"].max().date()
    build = CleanBuild("docs", FEATURE_VERSION, [1], [0], as_of, 0, 0, 0, 0)
    splits = dict.fromkeys(SPLITS, Listings(rows))
    with tempfile.TemporaryDirectory() as folder:
        storage = Path(folder).as_uri()
        with _environment({**urls, "REALTOR_STORAGE_URL": storage}):
            database = Database(url=urls["REALTOR_CLEAN_DATABASE_URL"])
            write_build(build, splits, ObjectStore(url=storage), database)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The pipeline's settings are read from `variables` within the block."""
    settings.cache_clear()
    try:
        with mock.patch.dict(os.environ, variables):
            yield
    finally:
        settings.cache_clear()


def _table(header: Row, rows: Iterable[Row]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
