"""Comparables, the market and places, over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realtor_model.valuation.bundle import save_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from tests.serving.running import HOUSE, PLACES, Server, run_service

pytestmark = [pytest.mark.integration]


@pytest.fixture(scope="module")
def older_service(
    model: ValuationModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A service with a model from before there were sold homes in bundles."""
    folder = tmp_path_factory.mktemp("older")
    save_bundle(replace(model, sold_homes=None, market=None), folder / "bundle")
    with run_service(folder, REALTOR_CHAMPION_BUNDLE=str(folder / "bundle")) as server:
        yield server


def test_comparables_are_near_sales_adjusted_to_the_home(service: Server) -> None:
    told = service.post("/comparables", {"property": HOUSE, "count": 4}).json()

    assert told["valuation"] == service.post("/predict", HOUSE).json()
    assert len(told["comparables"]) == 4
    assert told["sales_within"] >= 4
    for each in told["comparables"]:
        assert each["home"]["status"] == "sold"
        assert each["home"]["zip_code"] == HOUSE["zip_code"]
        assert each["miles"] <= told["radius_miles"]
        assert each["sold_on"] == each["home"]["prev_sold_date"] == "2022-03-01"
        moved = sum(line["dollars"] for line in each["adjustments"])
        assert each["price"] + moved == pytest.approx(each["adjusted_price"])
        assert each["net_adjustment"] == pytest.approx(moved / each["price"])
        gross = sum(abs(line["dollars"]) for line in each["adjustments"])
        assert each["gross_adjustment"] == pytest.approx(gross / each["price"])
        lines = {line["input"]: line for line in each["adjustments"]}
        assert lines["house_size"]["home"] == HOUSE["house_size"]
        assert lines["house_size"]["comparable"] == each["home"]["house_size"]
        larger = each["home"]["house_size"] > HOUSE["house_size"]
        assert (lines["house_size"]["dollars"] < 0) == larger
    similar = [each["similarity"] for each in told["comparables"]]
    assert similar == sorted(similar, reverse=True)
    adjusted = [each["adjusted_price"] for each in told["comparables"]]
    assert told["indicated_price"] == pytest.approx(np.median(adjusted))
    assert told["indicated_price"] == pytest.approx(told["valuation"]["price"], rel=0.3)


def test_comparables_exclude_the_home_itself(service: Server) -> None:
    first = service.post("/comparables", {"property": HOUSE}).json()["comparables"][0]
    itself = {name: told for name, told in first["home"].items() if told is not None}
    told = service.post("/comparables", {"property": itself, "count": 20}).json()["comparables"]

    assert first["id"] not in [each["id"] for each in told]
    assert len(told) == 20


def test_a_comparable_can_be_excluded(service: Server) -> None:
    first = service.post("/comparables", {"property": HOUSE}).json()["comparables"]
    unwanted = first[0]["id"]
    rest = service.post("/comparables", {"property": HOUSE, "exclude": [unwanted]}).json()

    ids = [each["id"] for each in rest["comparables"]]
    assert unwanted not in ids
    assert ids[:4] == [each["id"] for each in first[1:]]


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"property": HOUSE | {"bed": 300}}, ["property", "bed"], "from 0 to 100"),
        ({"property": HOUSE, "count": 21}, ["count"], "less than or equal to 20"),
        ({"property": HOUSE, "exclude": ["x"] * 201}, ["exclude"], "at most 200"),
        (HOUSE, ["property"], "required"),
    ],
)
def test_refusal_names_the_wrong_field(
    service: Server, body: object, field: list[str], words: str
) -> None:
    answer = service.post("/comparables", body)

    assert answer.status_code == 400
    problems = {tuple(each["loc"]): each["msg"] for each in answer.json()["detail"]}
    assert words in problems[tuple(field)]


def test_the_market_by_state_city_and_zip(service: Server, model: ValuationModel) -> None:
    states = service.get("/market").json()
    assert {each["state"] for each in states["places"]} == {"Connecticut", "Texas"}
    assert states["model"]["candidate"] == "xgboost"
    assert sum(each["listings"] for each in states["places"]) == 1_500

    cities = service.get("/market", params={"by": "city", "state": "texas"}).json()["places"]
    assert {each["city"] for each in cities} == {"Houston", "Austin"}
    for each in cities:
        rate = next(place[3] for place in PLACES if place[1] == each["city"])
        assert each["median_price_per_sqft"] == pytest.approx(rate, rel=0.03)
        assert each["price_p25"] < each["median_price"] < each["price_p75"]
    (only,) = service.get("/market", params={"by": "zip", "limit": 1}).json()["places"]
    assert only["zip_code"]


def test_a_blank_query_is_none(service: Server) -> None:
    asked = service.get("/market", params={"by": "", "state": " ", "city": "", "limit": ""})

    assert asked.json() == service.get("/market").json()
    assert service.get("/market", params={"county": ""}).status_code == 400


def test_places_are_suggested_as_they_are_typed(service: Server) -> None:
    assert [each["state"] for each in service.get("/places", params={"q": "con"}).json()["states"]]
    cities = service.get("/places", params={"state": "Texas", "q": "h"}).json()
    assert [(each["city"], each["state"]) for each in cities["cities"]] == [("Houston", "Texas")]
    assert cities["states"] == []
    zips = service.get("/places", params={"city": "greenwich"}).json()["zip_codes"]
    assert [each["zip_code"] for each in zips] == ["06830"]
    assert service.get("/places", params={"q": "zz"}).json() == {
        "states": [], "cities": [], "zip_codes": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "params", "words"),
    [
        ("/market", {"by": "street"}, "'state', 'city' or 'zip'"),
        ("/market", {"limit": "1001"}, "less than or equal to 1000"),
        ("/market", {"county": "x"}, "no such field"),
        ("/places", {"limit": "0"}, "greater than or equal to 1"),
    ],
)
def test_a_query_that_breaks_its_schema_is_refused(
    service: Server, path: str, params: dict[str, str], words: str
) -> None:
    answer = service.get(path, params=params)

    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert answer.json()["detail"][0]["loc"] == list(params)


def test_model_without_sold_homes_refuses_comparables_and_market(older_service: Server) -> None:
    answers = [
        older_service.post("/comparables", {"property": HOUSE}),
        older_service.get("/market"),
        older_service.get("/places"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert all("train again" in answer.json()["error"] for answer in answers)
    assert older_service.post("/predict", HOUSE).status_code == 200
    assert older_service.get("/model-info").json()["sold_homes"] == 0


def test_model_info_has_feature_importance(service: Server, model: ValuationModel) -> None:
    info = service.get("/model-info").json()

    assert info["importance"] == pytest.approx(model.estimator.importance())
    assert model.sold_homes is not None
    assert info["sold_homes"] == len(model.sold_homes) > 500
    assert info["history_url"] is None


def test_the_description_carries_an_example(service: Server, tmp_path: Path) -> None:
    document = service.get("/docs.json").text

    assert "77008" in document
    assert service.post("/predict", {"state": "Texas", "house_size": 1800}).status_code == 200
