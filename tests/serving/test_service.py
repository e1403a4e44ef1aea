"""The HTTP contract, against the running service."""

import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from realtor_model.features import as_sold, columns_from_properties
from realtor_model.listing import US_LISTINGS, Property
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.http.service_metrics import FAILURES
from tests.serving.running import HOUSE, Server

pytestmark = [pytest.mark.integration]


def test_a_home_is_valued_as_sold_by_the_model_itself(
    service: Server, model: ValuationModel
) -> None:
    listed = HOUSE | {"status": "for_sale", "prev_sold_date": "2019-05-04"}

    answer = service.post("/predict", listed)

    expected = model.value(as_sold(columns_from_properties([Property.model_validate(listed)])))
    told = answer.json()
    assert answer.status_code == 200
    assert told["price"] == pytest.approx(expected.price[0], abs=0.01)
    assert (told["low"], told["high"]) == pytest.approx(
        (expected.low[0], expected.high[0]), abs=0.01
    )
    assert told["confidence"] == expected.confidence[0]
    assert (told["coverage"], told["currency"], told["as_of"]) == (0.8, "USD", "2026-01-31")
    assert told["warnings"] == []
    assert told["model"] == {
        "name": "realtor-price",
        "version": "packaged",
        "stage": "Packaged",
        "candidate": "xgboost",
    }


def test_unknown_values_get_a_warning(service: Server) -> None:
    def unknown() -> float:
        text = service.get("/metrics").text
        series = 'predictions_unknown_category_total{input="zip_code"}'
        return float(dict(line.rsplit(" ", 1) for line in text.splitlines())[series])

    before = unknown()
    told = service.post("/predict", {"zip_code": "99501", "bed": 3}).json()

    assert unknown() == before + 1
    assert told["low"] < told["price"] < told["high"]
    assert any("99501" in warning for warning in told["warnings"])


@pytest.mark.parametrize("told", ["city", "state"])
def test_place_contribution_is_of_the_field_in_the_request(service: Server, told: str) -> None:
    untold = ("zip_code",) if told == "city" else ("zip_code", "city")
    home = {name: value for name, value in HOUSE.items() if name not in untold}
    answer = service.post("/explain", home).json()
    dollars = {each["input"]: each["dollars"] for each in answer["contributions"]}

    assert dollars["zip_code"] == 0.0
    assert abs(dollars[told]) > 1_000
    total = answer["base_price"] + sum(dollars.values())
    assert total == pytest.approx(answer["valuation"]["price"], rel=1e-4)


def test_a_zip_code_alone_is_explained_as_the_whole_place(service: Server) -> None:
    home = {name: value for name, value in HOUSE.items() if name not in ("state", "city")}
    answer, whole = service.post("/explain", home).json(), service.post("/explain", HOUSE).json()
    dollars = {each["input"]: each["dollars"] for each in answer["contributions"]}

    assert answer["valuation"] == whole["valuation"]
    assert dollars["state"] == dollars["city"] == 0.0
    of_places = [each["dollars"] for each in whole["contributions"]
                 if each["input"] in ("state", "city", "zip_code")]  # fmt: skip
    assert dollars["zip_code"] == pytest.approx(sum(of_places), rel=1e-6)


@pytest.mark.parametrize("state", ["CT", "Conn.", "US-CT", "connecticut", "Connecticut\u00a0"])
def test_every_spelling_of_a_state_has_its_value(service: Server, state: str) -> None:
    for home in (HOUSE, {name: value for name, value in HOUSE.items() if name != "zip_code"}):
        told = service.post("/predict", home | {"state": state, "city": "HARTFORD"}).json()
        assert told == service.post("/predict", home).json()


def test_a_zip_code_that_contradicts_the_state_decides(service: Server) -> None:
    wrong = HOUSE | {"state": "TX", "city": "Houston"}
    told, plain = service.post("/predict", wrong).json(), service.post("/predict", HOUSE).json()

    assert told["price"] == plain["price"]
    (detail,) = told["warning_details"]
    assert detail["code"] == "place_contradiction"
    assert detail["params"] == {
        "state": "Texas", "zip_code": "06114", "zip_city": "Hartford", "zip_state": "Connecticut",
    }  # fmt: skip
    assert told["warnings"] == [detail["message"]]
    (row,) = service.post("/predict-batch", {"properties": [wrong]}).json()["results"]
    assert row["valuation"] == told
    sales = service.post("/comparables", {"property": wrong}).json()
    same = service.post("/comparables", {"property": HOUSE}).json()
    assert [each["id"] for each in sales["comparables"]] == [
        each["id"] for each in same["comparables"]
    ]


@pytest.mark.parametrize("state", ["TX", "texas", "Tex."])
def test_places_and_the_market_are_found_by_any_spelling(service: Server, state: str) -> None:
    for path, query in (("/places", {"q": "aus"}), ("/market", {"by": "city"})):
        told = service.get(path, params=query | {"state": state}).json()
        assert told == service.get(path, params=query | {"state": "Texas"}).json()


def test_every_failure_is_counted_from_nought(service: Server) -> None:
    series = {line.rsplit(" ", 1)[0] for line in service.get("/metrics").text.splitlines()}

    for each in service.get("/").json()["endpoints"]:
        for status in FAILURES:
            labels = f'endpoint="{each["path"]}",method="{each["method"]}",status="{status}"'
            assert f"api_requests_total{{{labels}}}" in series


@pytest.mark.parametrize(
    ("body", "field", "value", "words", "code", "params"),
    [
        (
            HOUSE | {"bed": 300}, ["bed"], 300, "from 0 to 100", "out_of_range",
            {"low": 0, "high": 100, "unit": "bedrooms"},
        ),
        (HOUSE | {"bath": "two"}, ["bath"], "two", "must be a number", "not_a_number", {}),
        (HOUSE | {"bed": 1.5}, ["bed"], 1.5, "a whole number", "not_a_whole_number", {}),
        (HOUSE | {"city": 7}, ["city"], 7, "must be text", "not_text", {}),
        (HOUSE | {"city": "a\nb"}, ["city"], "a\nb", "printable", "not_printable", {}),
        (
            HOUSE | {"city": "x" * 101}, ["city"], "x" * 101, "at most 100 characters",
            "text_too_long", {"limit": 100},
        ),
        (HOUSE | {"zip_code": "E1"}, ["zip_code"], "E1", "5 digits", "not_a_zip_code", {}),
        ({"bed": 3}, [], {"bed": 3}, "state or zip_code is required", "place_required",
         {"places": "state or zip_code"}),
        ({"state": "Texas"}, [], None, "one of house_size", "size_required",
         {"sizes": "house_size, acre_lot and bed"}),
        ([HOUSE], [], None, "object", "not_an_object", {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_a_refusal_names_field_value_rule_and_code(
    service: Server,
    path: str,
    body: object,
    field: list[str],
    value: object,
    words: str,
    code: str,
    params: dict[str, object],
) -> None:
    answer = service.post(path, body)

    assert answer.status_code == 400
    told = answer.json()
    (detail,) = told["detail"]
    assert detail["loc"] == field
    assert value is None or detail["value"] == value
    assert words in detail["msg"]
    assert words in told["error"]
    assert told["code"] == "invalid_request"
    assert detail["code"] == code
    assert detail["params"] == params | ({"input": field[-1]} if field else {})


@pytest.mark.parametrize(
    ("change", "code", "params"),
    [
        ({"status": "leased"}, "left_out", {"input": "status", "value": "leased"}),
        ({"prev_sold_date": "soon"}, "left_out", {"input": "prev_sold_date", "value": "soon"}),
        ({"pool": True, "roof": "slate"}, "unused_fields", {"fields": ["pool", "roof"]}),
        ({"bath": 0}, "zero_is_unknown", {"input": "bath"}),
        ({"house_size": "0", "bed": 3}, "zero_is_unknown", {"input": "house_size"}),
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/explain", "/comparables"])
def test_value_without_effect_never_costs_a_home(
    service: Server, path: str, change: dict[str, object], code: str, params: dict[str, object]
) -> None:
    body = HOUSE | change
    answer = service.post(path, {"property": body} if path == "/comparables" else body).json()

    valuation = answer if path == "/predict" else answer["valuation"]
    first = valuation["warning_details"][0]
    assert (first["code"], first["params"]) == (code, params)
    plain = {name: value for name, value in body.items() if name not in change or name == "bed"}
    assert valuation["price"] == service.post("/predict", plain).json()["price"]


def test_home_is_read_as_people_write_it(service: Server) -> None:
    written = {
        "Beds": "3 bd", "full_baths": 2, "half baths": "0", "Sq. Ft.": "1,800 sq ft",
        "Lot (m2)": "485.6", "TOWN": "Houston", "State": " Texas ", "ZIP": 77008,
    }  # fmt: skip
    plain = {"bed": 3, "bath": 2, "house_size": 1800, "acre_lot": 0.12, "city": "Houston",
             "state": "Texas", "zip_code": "77008"}  # fmt: skip

    read, expected = (service.post("/predict", home).json() for home in (written, plain))
    assert read == expected


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 8_000, b'{"bed": NaN}'])
def test_invalid_json_is_refused(service: Server, content: bytes) -> None:
    answer = httpx.post(f"{service.url}/predict", content=content, timeout=60)

    assert answer.status_code == 400
    assert answer.json()["detail"][0]["msg"]
    if b"NaN" not in content:
        assert answer.json()["detail"][0]["code"] == "invalid_json"


def test_json_body_is_read_under_any_content_type(service: Server) -> None:
    for claimed in ("text/plain", "application/vnd.bentoml+arrow", "application/x-msgpack"):
        answer = httpx.post(
            f"{service.url}/predict",
            content=b'{"state": "Texas", "bed": 3}',
            headers={"Content-Type": claimed},
            timeout=60,
        )
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(("path", "limit"), [("/predict", 8 * 1024), ("/predict-batch", 2**24)])
def test_a_large_body_is_refused_declared_or_not(service: Server, path: str, limit: int) -> None:
    large = b" " * (limit + 1)

    declared = httpx.post(f"{service.url}{path}", content=large, timeout=60)
    chunked = httpx.post(
        f"{service.url}{path}", content=(large[: limit // 4] for _ in range(5)), timeout=60
    )

    assert declared.status_code == chunked.status_code == 413
    assert "larger than" in declared.json()["error"]
    assert declared.json()["code"] == chunked.json()["code"] == "body_too_large"
    assert declared.json()["params"] == {"limit": limit}


def test_a_foreign_host_name_is_refused(service: Server) -> None:
    answer = service.get("/health", headers={"Host": "rebound.example:80"})

    assert answer.status_code == 400
    assert "REALTOR_SERVICE_ALLOWED_HOSTS" in answer.json()["error"]
    assert answer.json()["code"] == "unknown_host"
    assert answer.json()["params"] == {"host": "rebound.example"}


def test_warnings_come_with_codes_in_the_same_order(service: Server) -> None:
    told = service.post("/predict", {"state": "Utopia", "house_size": 900_000}).json()

    details = told["warning_details"]
    assert [each["message"] for each in details] == told["warnings"]
    assert [each["code"] for each in details] == [
        "unknown_place", "input_missing", "outside_learned_range",
    ]  # fmt: skip
    assert details[0]["params"] == {"input": "state", "value": "Utopia"}
    assert service.post("/predict", HOUSE).json()["warning_details"] == []


def test_a_bad_row_of_a_batch_spoils_no_other(service: Server) -> None:
    rows = [HOUSE, HOUSE | {"bed": -1}, {}, HOUSE | {"house_size": 3_000}]

    told = service.post("/predict-batch", {"properties": rows}).json()

    assert (told["valued"], told["failed"]) == (2, 2)
    assert [row["index"] for row in told["results"]] == [0, 1, 2, 3]
    assert [row["valuation"] is None for row in told["results"]] == [False, True, True, False]
    assert told["results"][1]["error"]["detail"][0]["loc"] == ["bed"]
    assert told["results"][0]["error"] is None
    single = service.post("/predict", rows[3]).json()
    assert told["results"][3]["valuation"] == single


@pytest.mark.parametrize("row", [None, 3, "a home", [HOUSE]])
def test_row_that_is_not_an_object_fails_alone(service: Server, row: object) -> None:
    answer = service.post("/predict-batch", {"properties": [HOUSE, row]})

    assert answer.status_code == 200
    valued, refused = answer.json()["results"]
    assert valued["valuation"] == service.post("/predict", HOUSE).json()
    assert refused["error"]["detail"] == [
        {
            "loc": [],
            "msg": "Input should be an object",
            "code": "not_an_object",
            "params": {},
            "value": row,
        }
    ]


def test_a_batch_has_its_limits(service: Server) -> None:
    most = service.post("/predict-batch", {"properties": [HOUSE] * 10_000})
    none = service.post("/predict-batch", {"properties": []})
    more = service.post("/predict-batch", {"properties": [{}] * 10_001})

    assert most.json()["valued"] == 10_000
    assert none.status_code == more.status_code == 400
    assert "10000" in more.json()["error"]


def test_the_reasons_add_up_to_the_price(service: Server) -> None:
    told = service.post("/explain", HOUSE | {"zip_code": "06830", "city": "Greenwich"}).json()

    valuation, contributions = told["valuation"], told["contributions"]
    total = told["base_price"] + sum(each["dollars"] for each in contributions)
    # XGBoost adds its trees up in float32: 1e-4 of log price is what an explanation promises.
    assert total == pytest.approx(valuation["price"], rel=1e-4)
    assert told["additivity_error"] < 1e-4
    assert {each["input"] for each in contributions} <= set(US_LISTINGS.by_name)
    sizes = [abs(each["dollars"]) for each in contributions]
    assert sizes == sorted(sizes, reverse=True)
    assert contributions[0]["input"] == "zip_code"
    assert sum(each["log"] for each in told["features"]) == pytest.approx(
        sum(each["log"] for each in contributions), abs=1e-6
    )
    entered = {each["input"]: each["value"] for each in contributions}
    assert entered["house_size"] == HOUSE["house_size"]
    assert entered["status"] == "sold"


def test_the_service_says_what_it_is(service: Server, model: ValuationModel) -> None:
    index, health = service.get("/").json(), service.get("/health").json()
    info = service.get("/model-info").json()

    offered = {(each["method"], each["path"]) for each in index["endpoints"]}
    assert offered == {
        ("GET", "/"), ("GET", "/health"), ("GET", "/model-info"), ("GET", "/metrics"),
        ("GET", "/livez"), ("GET", "/readyz"), ("GET", "/docs.json"),
        ("POST", "/predict"), ("POST", "/predict-batch"), ("POST", "/explain"),
        ("POST", "/reload-model"), ("POST", "/comparables"), ("GET", "/market"), ("GET", "/places"),
        ("GET", "/coordinates"), ("GET", "/history"),
    }  # fmt: skip
    assert all(each["summary"] for each in index["endpoints"])
    assert service.get(index["docs"]).json()["paths"].keys() >= {"/predict", "/explain"}
    assert health["status"] == "ok"
    assert health["model"]["trained_at"] == info["trained_at"] == model.metadata["trained_at"]
    assert info["metrics"]["test"]["mdape"] == model.metadata["metrics"]["test"]["mdape"]
    assert info["feature_names"] == list(model.encoder.feature_names)
    assert info["market"]["name"] == "us_listings"
    assert set(info["inputs"]) == set(US_LISTINGS.by_name)
    assert info["inputs"]["bed"]["high"] == 100
    assert info["inputs"]["bed"]["description"] == "Bedrooms"
    assert info["confidence_limits"] == {"high": 0.15, "medium": 0.3}
    assert re.fullmatch(r"[0-9a-f]{64}", info["bundle_sha256"])


def test_reloading_without_a_registry_changes_nothing(service: Server) -> None:
    for body in (None, {}):
        told = service.post("/reload-model", body).json()
        assert told == {"before": "packaged", "after": "packaged", "changed": False}


def test_every_worker_counts(service: Server) -> None:
    counted = (
        'predictions_total{endpoint="/predict",version="packaged"}',
        'api_requests_total{endpoint="/predict",method="POST",status="200"}',
        'api_request_duration_seconds_count{endpoint="/predict"}',
        "prediction_price_dollars_count",
        "prediction_interval_width_ratio_count",
    )

    def count() -> tuple[float, ...]:
        text = service.get("/metrics").text
        found = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        return tuple(float(found.get(series, 0)) for series in counted)

    before = count()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.post("/predict", HOUSE), range(80)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    after = count()
    assert [new - old for new, old in zip(after, before, strict=True)] == [80] * len(counted)
    info = 'model_version{candidate="xgboost",name="realtor-price"'
    assert f'{info},stage="Packaged",version="packaged"}} 1.0' in service.get("/metrics").text
