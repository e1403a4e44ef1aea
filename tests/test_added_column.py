"""One table and two labels add a column to the built-in market: every surface then has it."""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest
from rich.console import Console

from realtor_assets.clean.column_lineage import column_lineage
from realtor_assets.schema import migrate
from realtor_assets.schema.market_columns import missing_columns
from realtor_assets.train.mlflow_model import described_inputs
from realtor_local.console_output import inputs_table, market_table
from realtor_local.postgres import temporary_postgres
from realtor_local.synthetic_market import add_columns, generate
from realtor_model.features import columns_from_frame, features_of
from realtor_model.listing import (
    US_LISTINGS,
    ListingContract,
    home_model,
    match_headers,
    matched_columns,
    read_market,
)
from realtor_model.reading.received_batch import check, raw_schema
from realtor_model.valuation.bundle import load_bundle, save_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.offline.score_table import score_file
from realtor_ui.responses import ModelInfo
from realtor_ui.sections import home_form
from realtor_ui.service_cache import market_contract
from tests.serving.running import Server, listings, run_service, train_on

pytestmark = [pytest.mark.integration]

# The whole declaration.
MARKET = """
[columns.year_built]
type = "integer"
range = [1700, 2100]
unit = "(year)"
headers = ["built_in"]
label = { en = "Year built", es = "Año de construcción" }
example = 1985
"""
NAME, HEADER = "year_built", "Built in"
HOME = {"zip_code": "77002", "house_size": 1800, "bed": 3}


def built(rows: int, seed: int) -> pd.DataFrame:
    """Listings of the built-in market, with a year that moves the price by 1 % a year."""
    frame = listings(rows, seed)
    year = np.random.default_rng(seed).integers(1900, 2021, rows)
    price = np.round(frame["price"] * np.exp(0.01 * (year - 1960)))
    return frame.assign(price=price, **{HEADER: year})


@dataclass(frozen=True)
class Market:
    """The market, its file, a trained model, and the service with it."""

    contract: ListingContract
    model: ValuationModel
    bundle: Path
    service: Server


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("added")
    (folder / "market.toml").write_text(MARKET)
    contract = read_market(folder / "market.toml")
    learned, held_out = (check(built(rows, rows), contract)[0] for rows in (1_500, 400))
    save_bundle(train_on(learned, held_out, contract), folder / "bundle")
    variables = {
        "REALTOR_CHAMPION_BUNDLE": str(folder / "bundle"),
        "REALTOR_SERVICE_WORKERS": "1",
    }
    with run_service(folder, **variables) as service:
        yield Market(contract, load_bundle(folder / "bundle"), folder / "bundle", service)


def raw_columns(market: Market) -> set[str]:
    with temporary_postgres() as server:
        url = server.urls["REALTOR_RAW_OWNER_DATABASE_URL"]
        migrate(url, "raw")
        with psycopg.connect(url) as connection:
            assert missing_columns(connection, market.contract)
        migrate(url, "raw", market.contract)
        with psycopg.connect(url) as connection:
            assert not missing_columns(connection, market.contract)
            rows = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'raw_test'"
            )
            return {str(name) for (name,) in rows}


def printed(table: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def model_info(market: Market) -> ModelInfo:
    return ModelInfo.model_validate(market.service.get("/model-info").json())


def explained(market: Market) -> list[str]:
    answer = market.service.post("/explain", HOME | {NAME: 1950}).json()
    return [part["input"] for part in answer["contributions"] if abs(part["dollars"]) > 1_000]


def compared(market: Market) -> list[str]:
    answer = market.service.post("/comparables", {"property": HOME | {NAME: 1950}}).json()
    return [line["input"] for line in answer["comparables"][0]["adjustments"]]


def documented(market: Market) -> Iterable[str]:
    document = market.service.get("/docs.json").json()
    return document["components"]["schemas"]["Property"]["properties"]


# Surface -> where the columns are that it shows.
SURFACES: dict[str, Callable[[Market], Iterable[str]]] = {
    "a request's fields": lambda market: home_model(market.contract).model_fields,
    "the Pandera contract": lambda market: raw_schema(market.contract).columns,
    "the headers of a file": lambda market: [
        column.name for column in matched_columns([HEADER], market.contract).values()
    ],
    "the RAW tables": raw_columns,
    "the features": lambda market: market.model.encoder.feature_names,
    "the encoder's statistics": lambda market: (
        market.model.encoder.to_tables().preprocessing_statistics["feature"]
    ),
    "the learned ranges": lambda market: market.model.encoder.ranges,
    "column lineage": lambda market: [
        source.column_name
        for source in column_lineage("clean_train", [NAME], market.contract).deps_by_column[NAME]
    ],
    "the drift profile": lambda market: market.model.profile["features"],
    "an explanation": explained,
    "comparables": compared,
    "the synthetic market": lambda market: (
        add_columns(generate(2_000, 0).listings, market.contract, 0).columns
    ),
    "market statistics": lambda market: market.service.get("/market").json()["places"][0][
        "medians"
    ],
    "MLflow's list of the inputs": lambda market: described_inputs(market.contract),
    "GET /model-info": lambda market: market.service.get("/model-info").json()["inputs"],
    "the OpenAPI document": documented,
    "`realtor market`": lambda market: printed(market_table(market.contract)).split(),
    "`realtor predict --help`": lambda market: printed(
        inputs_table(market.service.get("/model-info").json()["inputs"])
    ).split(),
    "the app's address": lambda market: home_form.to_url({NAME: 1950}, model_info(market)),
    "the app's form": lambda market: [
        name for row, _ in home_form._layout(model_info(market))[0] for name in row
    ],
    "the app's matching of files": lambda market: (
        match_headers([HEADER], market_contract(model_info(market))).sources
    ),
}


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_has_the_column(market: Market, surface: str) -> None:
    assert NAME in set(SURFACES[surface](market))


def test_the_column_moves_the_estimate_at_every_door(market: Market, tmp_path: Path) -> None:
    old, new = HOME | {NAME: 1920}, HOME | {NAME: 2015}
    prices = [market.service.post("/predict", home).json()["price"] for home in (old, new)]
    assert prices[1] > 1.1 * prices[0]

    answer = market.service.post("/predict-batch", {"properties": [old, new]}).json()
    assert [row["valuation"]["price"] for row in answer["results"]] == prices

    file = pd.DataFrame([old, new]).rename(columns={NAME: HEADER})
    file.to_csv(tmp_path / "homes.csv", index=False)
    score_file(tmp_path / "homes.csv", tmp_path / "valued.csv", market.model)
    assert pd.read_csv(tmp_path / "valued.csv")["estimated_price"].tolist() == prices


def test_labels_are_those_of_the_declaration(market: Market) -> None:
    column = market.service.get("/model-info").json()["inputs"][NAME]
    assert column["label"] == {"en": "Year built", "es": "Año de construcción"}


def test_a_refused_value_names_the_column(market: Market) -> None:
    refused = market.service.post("/predict", HOME | {NAME: 1066})
    assert refused.status_code == 400
    assert refused.json()["detail"][0]["loc"] == [NAME]


def test_the_built_in_columns_are_valued_without_it(market: Market) -> None:
    """A champion of the built-in market and one with the column judge the same homes."""
    frame = check(built(50, 7), market.contract)[0]
    ours = columns_from_frame(frame, market.contract)
    plain = columns_from_frame(frame, US_LISTINGS)
    assert set(ours) - set(plain) == {NAME}
    unknown = market.model.value(ours | {NAME: np.full(50, np.nan)}).price
    assert np.array_equal(market.model.value(plain).price, unknown)


def test_nothing_of_the_column_is_in_the_built_in_market() -> None:
    assert NAME not in features_of(US_LISTINGS).names
    assert NAME not in home_model(US_LISTINGS).model_fields
