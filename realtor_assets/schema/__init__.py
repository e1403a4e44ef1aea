"""The tables of the RAW and CLEAN databases, and their migrations.

`python -m realtor_assets.schema` migrates both. The columns of listings in RAW also follow the
market of REALTOR_MARKET.
"""

from pathlib import Path

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from realtor_assets.schema.market_columns import follow_market, missing_columns
from realtor_model.listing import US_LISTINGS, ListingContract

FOLDER = Path(__file__).parent
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('realtor schema'))"


class SchemaOutdated(Exception):
    """A database is not at the revision that this code was written for."""


def migrate(url: str, database: str, contract: ListingContract = US_LISTINGS) -> str:
    """Bring `database` ("raw" or "clean") at `url` to this code's revision, which is returned.

    The RAW tables also get the columns of the market that they lack. Several callers at once wait
    for one another; revisions and columns are a transaction each.

    Args:
        contract: of the market.

    Raises:
        MarketContradictsTables: RAW stores a column with a type that cannot hold its values.
    """
    config = _config(database)
    target = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(target, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(_ONE_AT_A_TIME)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    if database == "raw":
        with psycopg.connect(url) as raw, raw.transaction():
            raw.execute(_ONE_AT_A_TIME)
            follow_market(raw, contract)
    return _head(database)


def require_current(connection: psycopg.Connection, database: str) -> None:
    """Raises `SchemaOutdated`, naming the fix, unless `database` is at this code's revision."""
    made = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
    revision = None
    if made is not None and made[0] is not None:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        revision = row[0] if row else None
    if revision != _head(database):
        raise SchemaOutdated(
            f"the {database.upper()} database is at revision {revision or 'none'}, this code needs "
            f"{_head(database)}: run `python -m realtor_assets.schema`"
        )


def require_market(connection: psycopg.Connection, contract: ListingContract) -> None:
    """Raises `SchemaOutdated`, naming the fix, unless RAW can hold listings of the market."""
    if missing := missing_columns(connection, contract):
        raise SchemaOutdated(
            f"the RAW tables are not those of the market {contract.name} ({', '.join(missing)}): "
            "run `python -m realtor_assets.schema` with the same REALTOR_MARKET"
        )


def _config(database: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(FOLDER / database))
    return config


def _head(database: str) -> str:
    head = ScriptDirectory.from_config(_config(database)).get_current_head()
    assert head is not None
    return head
