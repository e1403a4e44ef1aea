"""The service with a model of a market of a user's own: every answer speaks of its columns."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from realtor_model.features import as_sold, columns_from_properties
from realtor_model.listing import ListingContract, home_model
from realtor_model.reading.received_batch import check
from realtor_model.valuation.bundle import save_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.http.table_bodies import CSV, write_table
from tests.markets import porto, porto_listings
from tests.serving.load_test.test_locustfile import run
from tests.serving.running import Server, run_service, train_on

pytestmark = [pytest.mark.integration]

HOME = {
    "lat": 41.15, "lon": -8.6, "floor_area": 90, "rooms": 3, "bath": 1.5, "year_built": 1980,
    "energy": "B", "lift": True, "renovated": "2010-06-01", "cadastre": "U-9", "parish": "Ribeira",
    "status": "on offer",
}  # fmt: skip


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> ListingContract:
    return porto(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def model(market: ListingContract) -> ValuationModel:
    fitted, held_out = (check(porto_listings(rows, rows), market)[0] for rows in (1_500, 400))
    return train_on(fitted, held_out, market)


@pytest.fixture(scope="module")
def service(model: ValuationModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("porto")
    save_bundle(model, folder / "bundle")
    variables = {"REALTOR_CHAMPION_BUNDLE": str(folder / "bundle"), "REALTOR_SERVICE_WORKERS": "1"}
    with run_service(folder, **variables) as server:
        yield server


def test_a_home_is_valued_in_the_market_s_currency(
    service: Server, model: ValuationModel, market: ListingContract
) -> None:
    told = service.post("/predict", HOME).json()

    columns = columns_from_properties([home_model(market).model_validate(HOME)])
    assert told["price"] == pytest.approx(model.value(as_sold(columns)).price[0], abs=0.01)
    assert told["currency"] == "EUR"
    assert told["warnings"] == []


def test_added_inputs_move_the_estimate(service: Server) -> None:
    old, new = (
        service.post("/predict", HOME | {"year_built": year}).json()["price"]
        for year in (1905, 2020)
    )
    assert new > 1.1 * old


@pytest.mark.parametrize(
    ("change", "loc", "code"),
    [
        ({"year_built": 1200}, ["year_built"], "out_of_range"),
        ({"energy": "G"}, ["energy"], "not_a_choice"),
        ({"lift": "perhaps"}, ["lift"], "not_a_boolean"),
        ({"lift": 10**400}, ["lift"], "not_a_boolean"),
        ({"architect": 10**400}, ["architect"], "not_text"),
        ({"renovated": "soon"}, ["renovated"], "not_a_date"),
        ({"lat": None}, [], "place_required"),
        ({"floor_area": None, "rooms": None}, [], "size_required"),
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/explain", "/comparables", "/predict-batch"])
def test_a_refusal_names_the_input_as_the_market_does(
    service: Server, path: str, change: dict[str, object], loc: list[str], code: str
) -> None:
    home = HOME | change
    bodies = {"/comparables": {"property": home}, "/predict-batch": {"properties": [home]}}
    answer = service.post(path, bodies.get(path, home))

    details = answer.json()
    if path == "/predict-batch":
        details = details["results"][0]["error"]
    else:
        assert answer.status_code == 400
    (problem,) = details["detail"]
    prefix = ["property"] if path == "/comparables" else []
    assert (problem["loc"], problem["code"]) == ([*prefix, *loc], code)


def test_explanation_and_comparables_speak_of_the_market_s_inputs(
    service: Server, market: ListingContract
) -> None:
    explained = service.post("/explain", HOME).json()
    parts = {part["input"]: part for part in explained["contributions"]}
    assert {"year_built", "lift", "energy", "floor_area", "lat"} <= parts.keys()
    assert parts.keys() <= market.by_name.keys()
    assert parts["lift"]["value"] is True
    assert abs(parts["year_built"]["dollars"]) > 1_000
    total = explained["base_price"] + sum(part["dollars"] for part in parts.values())
    assert total == pytest.approx(explained["valuation"]["price"], rel=1e-4)

    sales = service.post("/comparables", {"property": HOME, "count": 3}).json()["comparables"]
    assert len(sales) == 3
    for sale in sales:
        assert sale["home"].keys() == market.by_name.keys()
        assert sale["home"]["status"] == "deed signed"
        assert type(sale["home"]["lift"]) is bool
        assert sale["home"]["cadastre"] is None
        assert {line["input"] for line in sale["adjustments"]} <= market.by_name.keys()
        added = sum(line["dollars"] for line in sale["adjustments"])
        assert sale["price"] + added == pytest.approx(sale["adjusted_price"])


def test_warnings_name_inputs_as_the_market_does(service: Server) -> None:
    home = {name: value for name, value in HOME.items() if name not in ("rooms", "bath")}
    told = service.post("/predict", home | {"floor_area": 2_000, "parish": "Atlantis"}).json()

    about = {each["code"]: each["params"]["input"] for each in told["warning_details"]}
    assert about["input_missing"] == "rooms"
    assert about["outside_learned_range"] == "floor_area"
    assert about["unknown_place"] == "parish"


def test_a_table_is_read_by_the_market_s_headers(service: Server) -> None:
    table = pa.table({
        "Ano": ["1980", "x"], "floor_area_sqft": ["968.75"] * 2, "lat": ["41.15"] * 2,
        "long": ["-8.6"] * 2, "lon": ["-8.6"] * 2, "rooms": ["3"] * 2,
    })  # fmt: skip
    answer = httpx.post(
        f"{service.url}/predict-batch",
        content=write_table(table, CSV),
        headers={"Content-Type": CSV, "Accept": "application/json"},
        timeout=60,
    )
    read, broken = answer.json()["results"]
    home = {"year_built": 1980, "floor_area": 90, "lat": 41.15, "lon": -8.6, "rooms": 3}
    assert read["valuation"] == service.post("/predict", home).json()
    assert broken["error"]["detail"][0]["loc"] == ["year_built"]


def test_the_market_and_its_inputs_are_described(service: Server, market: ListingContract) -> None:
    info = service.get("/model-info").json()
    assert info["market"] == {
        "declaration": market.declaration,
        "name": "porto",
        "title": {"en": "Porto", "es": "Oporto"},
        "currency": "EUR",
        "version": market.version,
        "has_coordinates": True,
        "price": info["market"]["price"] | {"name": "preco"},
        "places": [["lat", "lon"]],
        "sizes": ["floor_area", "plot", "rooms"],
    }
    inputs = info["inputs"]
    assert [*inputs] == [
        "parish", "lat", "lon", "floor_area", "plot", "rooms", "bath", "year_built", "energy",
        "architect", "lift", "renovated", "status", "deed_date", "cadastre",
    ]  # fmt: skip
    assert inputs["year_built"] == {
        "type": "integer",
        "role": "input",
        "key": "year_built",
        "description": "Year of the license",
        "label": {"en": "Year built", "es": "Año de construcción"},
        "help": {"en": "Year of the license", "es": "Año de la licencia"},
        "headers": {"ano": 1.0, "Año de construcción": 1.0},
        "monotone": 1,
        "moves_estimate": True,
        "low": 1500,
        "high": 2100,
        "unit": "(year)",
        "example": 1975,
    }
    assert inputs["floor_area"]["usual"] == [30, 300]
    assert inputs["floor_area"]["headers"]["floor_area_sqft"] == pytest.approx(0.0929, abs=1e-4)
    assert inputs["energy"]["choices"] == ["A", "B", "C", "D"]
    assert [name for name in inputs if not inputs[name]["moves_estimate"]] == [
        "status", "deed_date", "cadastre",
    ]  # fmt: skip

    document = service.get("/docs.json").json()
    assert "Porto" in service.get("/").json()["description"]
    assert "Porto" in document["info"]["description"]
    assert document["components"]["schemas"]["Property"]["properties"].keys() == inputs.keys()


def test_the_load_test_sends_homes_of_the_market(service: Server, tmp_path: Path) -> None:
    load = run(service.url, tmp_path, "--max-p95", "30000")

    assert load.returncode == 0, load.stdout + load.stderr


def test_market_statistics_and_coordinates_answer(service: Server) -> None:
    for path in ("/market", "/places", "/coordinates"):
        assert service.get(path).status_code == 200
