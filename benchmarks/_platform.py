"""One seeded market through the whole platform of a checkout, and a dump of what came of it.

The checkout is driven from outside (its `realtor` command, its databases, its service, its MLflow
models), so that two checkouts with different modules give dumps that can be compared.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psycopg
from dotenv import dotenv_values
from psycopg import sql

from benchmarks._checkouts import Checkout

PROGRAMS = "postgres,mlflow,upstream,dagster-webserver,dagster-daemon,service"
INPUTS = (
    "brokered_by", "status", "bed", "bath", "acre_lot", "street", "city", "state", "zip_code",
    "house_size", "prev_sold_date",
)  # fmt: skip
# The first model on one batch; then two batches more, and a challenger.
COMMANDS = ("ingest", "train", "ingest", "ingest", "train")
EXPLAINED = 20
PAGES = {
    "model-info": "/model-info",
    "market": "/market?by=state",
    "places": "/places?q=S",
    "published-history": "/history",
    "docs": "/docs.json",
}

_SENSORS = """{ repositoriesOrError { ... on RepositoryConnection { nodes { sensors {
    name id sensorState { status } } } } } }"""
_STOP = "mutation ($id: String!) { stopSensor(id: $id) { __typename } }"
_TABLES: LiteralString = (
    "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1"
)
_KEY: LiteralString = (
    "SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)"
    " WHERE indrelid = %s::regclass AND indisprimary"
)
# Each logged model brings its own code: it needs no module of the checkout.
_VALUE = """
import json, sys
import mlflow.pyfunc, pandas as pd
homes = pd.DataFrame(json.load(open(sys.argv[1])))
numbers = [c for c in homes if c not in ("status", "city", "state", "zip_code", "prev_sold_date")]
homes[numbers] = homes[numbers].astype(float)
for model, target in zip(sys.argv[2::2], sys.argv[3::2], strict=True):
    values = mlflow.pyfunc.load_model(model).predict(homes)
    json.dump(values.to_dict("list"), open(target, "w"))
"""


def variables(home: Path, rows: int, seed: int) -> dict[str, str]:
    """Of a platform of its own in `home`, on free ports, with a market of `rows` listings."""
    ports = ("MLFLOW", "UPSTREAM", "DAGSTER", "SERVICE", "APP")
    return {
        "REALTOR_HOME": str(home),
        "REALTOR_PROGRAMS": PROGRAMS,
        "REALTOR_MARKET_ROWS": str(rows),
        "REALTOR_MARKET_SEED": str(seed),
        "REALTOR_COMMIT": "0" * 40,
        # The service takes a model when it is told to, and not by itself meanwhile.
        "REALTOR_CHAMPION_POLL_SECONDS": "3600",
        "REALTOR_START_TIMEOUT_SECONDS": "900",
        **{f"REALTOR_{name}_PORT": "0" for name in ports},
    }


class Platform:
    """The platform of one checkout, driven by its command."""

    def __init__(self, checkout: Checkout, home: Path, rows: int, seed: int) -> None:
        self.home = home
        self.checkout = replace(checkout, environment=variables(home, rows, seed))

    def realtor(self, *arguments: str) -> str:
        """The output of a `realtor` command. Raises RuntimeError when it fails."""
        return self.python("-m", "realtor_local", *arguments)

    def python(self, *arguments: str) -> str:
        """The output of `python arguments`. Raises RuntimeError when it fails."""
        return self.checkout.python(*arguments, folder=self.home.parent)

    @property
    def settings(self) -> dict[str, str]:
        """What platform.env holds."""
        values = dotenv_values(self.home / "platform.env")
        return {name: value for name, value in values.items() if value is not None}

    def stop_sensors(self) -> None:
        """Stop every sensor: what runs, and when, must be the same for each checkout."""
        url = f"http://127.0.0.1:{self.settings['REALTOR_DAGSTER_PORT']}/graphql"

        def ask(query: str, **variables: str) -> Any:
            body = {"query": query, "variables": variables}
            answer = httpx.post(url, json=body, timeout=120)
            if answer.is_server_error:
                # The daemon may write the state at the same moment; stopping is idempotent.
                answer = httpx.post(url, json=body, timeout=120)
            return answer.raise_for_status().json()["data"]

        for repository in ask(_SENSORS)["repositoriesOrError"]["nodes"]:
            for sensor in repository["sensors"]:
                if sensor["sensorState"]["status"] == "RUNNING":
                    answer = ask(_STOP, id=sensor["id"])["stopSensor"]["__typename"]
                    assert answer == "StopSensorMutationResult", (sensor["name"], answer)

    def get(self, path: str) -> Any:
        url = self.settings["REALTOR_SERVICE_URL"] + path
        return httpx.get(url, timeout=120).raise_for_status().json()

    def post(self, path: str, body: Any) -> Any:
        url = self.settings["REALTOR_SERVICE_URL"] + path
        return httpx.post(url, json=body, timeout=300).raise_for_status().json()


@contextmanager
def platform(checkout: Checkout, home: Path, rows: int, seed: int) -> Iterator[Platform]:
    """The platform, up and with its sensors stopped; purged at the end."""
    running = Platform(checkout, home, rows, seed)
    try:
        running.realtor("up", "--detach", "--no-lineage")
        running.stop_sensors()
        yield running
    finally:
        running.realtor("down", "--purge")


def dump(
    checkout: Checkout, folder: Path, work: Path, rows: int, seed: int, homes: int, homes_file: Path
) -> None:
    """Run `COMMANDS` on a fresh platform in `work`, and write what came of it into `folder`.

    homes_file: the homes that are valued; made from this market where it does not exist yet.
    """
    started = time.monotonic()
    with platform(checkout, work / "home", rows, seed) as running:
        for command in COMMANDS:
            say(f"{checkout.root.name}: {command}")
            running.realtor(command)
        say(f"{checkout.root.name}: reading what came of it")
        _dump_tables(running, folder / "tables")
        (folder / "history.json").write_text(running.realtor("history", "--json"))
        if not homes_file.exists():
            homes_file.write_text(json.dumps(choose_homes(folder / "tables" / "raw", homes)))
        asked = json.loads(homes_file.read_text())
        _dump_models(running, folder / "models", json.loads(_builds(folder)), asked)
        _dump_answers(running, folder / "answers", asked)
        _dump_scores(running, folder, asked)
    facts = {"commit": checkout.commit, "rows": rows, "seed": seed, "homes": homes,
             "seconds": time.monotonic() - started}  # fmt: skip
    (folder / "facts.json").write_text(json.dumps(facts))


def choose_homes(raw: Path, count: int) -> list[dict[str, Any]]:
    """Homes of the market, in the order of their hash; every eighth changed so that it lacks a
    value, lies in an unknown place, is larger than any learned from, or breaks the contract.
    """
    listings: list[dict[str, Any]] = []
    for split in ("train", "validation", "test"):
        table = json.loads((raw / f"raw_{split}.json").read_text())
        listings += [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    listings.sort(key=lambda row: str(row["row_hash"]))
    homes = [{name: row[name] for name in INPUTS if row[name] is not None} for row in listings]
    homes = homes[:count]
    changes: Sequence[dict[str, Any]] = (
        *({name: None} for name in ("zip_code", "house_size", "bed", "acre_lot")),
        {"house_size": None, "bed": None, "bath": None},
        {"zip_code": None, "city": None},
        {"city": "Nowhere"},
        {"zip_code": "00001"},
        {"house_size": 90_000},
        {"bed": -1},
        {"state": "Atlantis"},
        {"zip_code": "not a zip"},
    )
    for number, home in enumerate(homes[::8]):
        for name, value in changes[number % len(changes)].items():
            home[name] = value
    return [{name: value for name, value in home.items() if value is not None} for home in homes]


def plain_homes(homes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The homes that `choose_homes` left as they were."""
    return [dict(home) for number, home in enumerate(homes) if number % 8]


def say(text: str) -> None:
    """Progress, for a person who waits."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _dump_tables(running: Platform, folder: Path) -> None:
    for database, variable in (("raw", "RAW"), ("clean", "CLEAN")):
        target = folder / database
        target.mkdir(parents=True)
        with psycopg.connect(running.settings[f"REALTOR_{variable}_DATABASE_URL"]) as connection:
            for (name,) in connection.execute(_TABLES).fetchall():
                table = sql.Identifier(name)
                cursor = connection.execute(sql.SQL("SELECT * FROM {}").format(table))
                columns = [column.name for column in cursor.description or ()]
                rows = [[_plain(value) for value in row] for row in cursor.fetchall()]
                key = [part for (part,) in connection.execute(_KEY, [f'"{name}"']).fetchall()]
                text = json.dumps({"columns": columns, "key": key, "rows": rows})
                (target / f"{name}.json").write_text(text)


def _builds(folder: Path) -> str:
    """data_version → its number, in the order of the clean builds."""
    table = json.loads((folder / "tables" / "clean" / "clean_builds.json").read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    versions = [row["data_version"] for row in sorted(rows, key=lambda row: str(row["built_at"]))]
    return json.dumps({version: number for number, version in enumerate(versions, 1)})


def _dump_models(
    running: Platform, folder: Path, builds: Mapping[str, int], homes: Sequence[dict[str, Any]]
) -> None:
    """Every model that was logged: its bundle, and what it says of the plain homes."""
    models: list[str] = []
    for manifest in sorted((running.home / "mlflow-artifacts").rglob("bundle/manifest.json")):
        facts = json.loads(manifest.read_text())
        build, rows = builds[facts["metadata"]["data_version"]], facts["metadata"]["train_rows"]
        # The winner is trained once more, on more rows.
        target = folder / f"build {build}, {facts['candidate']} of {rows:,} rows"
        target.mkdir(parents=True)
        shutil.copytree(manifest.parent, target / "bundle")
        logged = next(each for each in manifest.parents if (each / "MLmodel").is_file())
        models += [str(logged), str(target / "valuations.json")]
    asked = running.home.parent / "plain-homes.json"
    asked.write_text(json.dumps(plain_homes(homes)))
    running.python("-c", _VALUE, str(asked), *models)


def _dump_answers(running: Platform, folder: Path, homes: Sequence[dict[str, Any]]) -> None:
    folder.mkdir()
    few = plain_homes(homes)[:EXPLAINED]
    answers = {name: running.get(path) for name, path in PAGES.items()}
    answers["predict-batch"] = running.post("/predict-batch", {"properties": homes})
    answers["predict"] = [running.post("/predict", home) for home in few]
    answers["explain"] = [running.post("/explain", home) for home in few]
    answers["comparables"] = [running.post("/comparables", {"property": home}) for home in few]
    for name, answer in answers.items():
        (folder / f"{name}.json").write_text(json.dumps(answer))


def _dump_scores(running: Platform, folder: Path, homes: Sequence[dict[str, Any]]) -> None:
    """What `realtor score` writes, and what the pipeline valued by itself."""
    import pandas as pd

    source = running.home.parent / "homes.csv"
    pd.DataFrame(homes, columns=list(INPUTS)).to_csv(source, index=False)
    running.realtor("score", str(source), str(folder / "score.parquet"))
    shutil.copytree(running.home / "store" / "valuations", folder / "valuations")


def _plain(value: Any) -> Any:
    """A value of PostgreSQL's, as JSON has it."""
    if value is None or isinstance(value, bool | int | float | str | dict):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value)
