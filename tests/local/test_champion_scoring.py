"""`realtor score`: tables of a real PostgreSQL, whatever their types, and what cannot be scored."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from realtor_assets.resources import Database
from realtor_local.champion_scoring import score_with_champion, table_source
from realtor_local.cli import app
from realtor_local.errors import RealtorError
from realtor_model.valuation.bundle import save_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.champion.model_registry import RegisteredVersion
from realtor_serving.champion.served_champion import ChampionCache, Pointer
from realtor_serving.offline.score_table import UnusableFile, score
from tests.serving.running import make_model

TABLE = """
CREATE SCHEMA "my homes";
CREATE TABLE "my homes"."To Value" (
    id uuid PRIMARY KEY, state text NOT NULL, zip_code char(5), house_size integer,
    bed numeric, acre_lot real, prev_sold_date date, note jsonb
);
INSERT INTO "my homes"."To Value"
SELECT md5(i::text)::uuid, CASE WHEN i % 2 = 0 THEN 'Texas' ELSE 'Ohio' END, '77002',
       800 + i, CASE WHEN i = 7 THEN 101 ELSE 3 END, 0.25, DATE '2020-02-03', '{"a": 1}'
FROM generate_series(1, 500) AS i;
"""


@pytest.fixture(scope="module")
def champion() -> ValuationModel:
    return make_model()


@pytest.fixture
def database(databases: Callable[[], Database]) -> Database:
    made = databases()
    with psycopg.connect(made.url) as connection:
        connection.execute(TABLE)
    return made


@pytest.fixture
def cache(champion: ValuationModel, tmp_path: Path) -> Path:
    cache = ChampionCache(tmp_path / "champion")
    save_bundle(champion, cache.folder / "7-run")
    cache.point_at(
        Pointer(RegisteredVersion("7", "run"), cache.folder / "7-run", datetime.now(UTC))
    )
    return cache.folder


@pytest.mark.integration
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_every_row_of_a_table_comes_out(
    database: Database, cache: Path, tmp_path: Path, suffix: str
) -> None:
    console = Console(record=True, width=200)
    target = tmp_path / f"out.{suffix}"

    score_with_champion(cache, database.url, "my homes.To Value", target, console)

    out = pd.read_csv(target) if suffix == "csv" else pd.read_parquet(target)
    assert len(out) == 500
    assert list(out["id"]) == sorted(out["id"])
    failed = out[out["error"].notna()]
    assert list(failed["house_size"]) == [807]
    assert "bed is " in failed["error"].iloc[0]
    assert out["estimated_price"].notna().sum() == 499
    assert "500 rows" in console.export_text()


@pytest.mark.integration
def test_a_table_goes_on_from_where_it_was_unless_it_grew(
    database: Database, champion: ValuationModel, tmp_path: Path
) -> None:
    class Stopped(Exception): ...

    def stop(rows: int) -> None:
        if rows >= 400:
            raise Stopped

    target = tmp_path / "out.parquet"

    def run(progress: Callable[[int], None] | None = None) -> int:
        source = table_source(database.url, "my homes.To Value")
        return score(source, target, champion, progress=progress, chunk_rows=40).resumed

    with pytest.raises(Stopped):
        run(stop)
    assert run() == 320
    assert pd.read_parquet(target)["id"].is_unique
    with pytest.raises(Stopped):
        run(stop)
    with psycopg.connect(database.url) as connection:
        connection.execute(
            """INSERT INTO "my homes"."To Value" VALUES (md5('x')::uuid, 'Texas', '77002', 900)"""
        )
    assert run() == 0
    assert len(pd.read_parquet(target)) == 501


@pytest.mark.integration
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_dates_come_out_as_in_the_table(
    database: Database, champion: ValuationModel, tmp_path: Path, suffix: str
) -> None:
    with psycopg.connect(database.url) as connection:
        connection.execute(
            """CREATE TABLE dated (id int PRIMARY KEY, state text, house_size int,
                listed date, "Sold on" date, seen timestamp, at timestamptz);
            INSERT INTO dated VALUES
                (1, 'Texas', 1500, 'infinity', '2020-02-03', 'infinity', '-infinity'),
                (2, 'Texas', 1500, '-infinity', NULL, '2020-02-03 04:05', NULL),
                (3, 'Texas', 1500, '2020-02-03', '2021-02-03', NULL, NULL),
                (4, 'Texas', 1500, NULL, '2021-02-03', NULL, NULL)"""
        )
    target = tmp_path / f"out.{suffix}"

    score(table_source(database.url, "dated"), target, champion)

    out = pd.read_csv(target, dtype={"at": str}) if suffix == "csv" else pd.read_parquet(target)
    assert list(out["listed"].fillna("")) == ["infinity", "-infinity", "2020-02-03", ""]
    assert out["seen"][0] == "infinity"
    assert out["at"][0] == "-infinity"
    # Without an infinite date the column keeps its type.
    assert [str(day) for day in out["Sold on"].dropna()] == ["2020-02-03", *["2021-02-03"] * 2]
    assert out["estimated_price"].notna().all()


@pytest.mark.integration
def test_a_missing_table_is_named(database: Database) -> None:
    for name in ("nowhere", "a.b.c.d", 'x"; DROP TABLE y; --'):
        with pytest.raises(UnusableFile):
            table_source(database.url, name)
    with pytest.raises(UnusableFile, match="nobody"):
        table_source("postgresql://nobody@127.0.0.1:1/x?connect_timeout=2", "nobody")


def test_without_a_champion_or_a_file_one_line_says_so(cache: Path, tmp_path: Path) -> None:
    console = Console()
    with pytest.raises(RealtorError, match="no champion"):
        score_with_champion(tmp_path / "none", "in.csv", None, tmp_path / "out.csv", console)
    with pytest.raises(RealtorError, match=r"in\.csv"):
        score_with_champion(cache, "in.csv", None, tmp_path / "out.csv", console)


@pytest.mark.parametrize(
    "arguments", [["postgresql://x/y", "o.csv"], ["i.csv", "o.csv", "--table", "t"]]
)
def test_a_url_needs_a_table_and_a_file_none(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["score", *arguments])

    assert result.exit_code == 2
    assert "--table" in result.output
