"""Homes are valued by their place, however it is written; the zip code decides a contradiction."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtor_model.features import FeatureEncoder, as_sold, columns_from_frame, take
from realtor_model.listing import Columns, Property, columns_from_properties
from realtor_model.messages import message
from realtor_model.reading.received_batch import check
from realtor_model.retraining import drift
from realtor_model.training import Rows, train_model
from realtor_model.valuation.comparables import SoldHomes
from realtor_model.valuation.market_statistics import BY, MarketStatistics
from realtor_model.valuation.valuation_model import ValuationModel
from tests.model.conftest import AS_OF, SMALL, received

PLACES = [
    ("Texas", "Houston", "77008"),
    ("Texas", "Fort Worth", "76102"),
    ("District of Columbia", "Washington", "20002"),
    ("Puerto Rico", "San Juan", "00907"),
    ("New Jersey", "Newark", "07104"),
    ("Missouri", "Saint Louis", "63110"),
    ("Ohio", "Columbus", "43215"),
    ("North Carolina", "Mount Airy", "27030"),
    ("California", "La Canada Flintridge", "91011"),
    ("Illinois", "O'Fallon", "62269"),
]
STATES = {
    "Texas": ["TX", "Tex.", "US-TX", "texas", "TX 77008", "Texas\u00a0"],
    "District of Columbia": ["DC", "D.C.", "Washington DC"],
    "Puerto Rico": ["PR", "P.R.", "puerto  rico"],
    "New Jersey": ["NJ", "N.J.", "New\u00a0Jersey", "Nueva Jersey"],
    "Missouri": ["MO", "Mo."],
    "Ohio": ["OH", "OHIO"],
    "North Carolina": ["NC", "N.C.", "N. Carolina", "Carolina del Norte"],
    "California": ["CA", "Calif."],
    "Illinois": ["IL", "Ill."],
}
CITIES = {
    "Houston": ["houston", "HOUSTON"],
    "Fort Worth": ["Ft. Worth", "FT WORTH"],
    "Washington": ["washington "],
    "San Juan": ["San\u00a0Juan", "SAN  JUAN"],
    "Newark": ["NEWARK"],
    "Saint Louis": ["St. Louis", "ST LOUIS", "St.Louis"],
    "Columbus": ["columbus"],
    "Mount Airy": ["Mt. Airy", "MT AIRY"],
    "La Canada Flintridge": ["La Cañada Flintridge", "La Cañada-Flintridge"],
    "O'Fallon": ["O\u2019Fallon", "O FALLON"],
}


@cache
def trained(*, mixed: bool = False) -> ValuationModel:
    """A small model of homes at `PLACES`, spelled plainly or in a mixture of spellings."""
    rows = 3_000
    frame, rng = received(rows, seed=4), np.random.default_rng(5)
    at = rng.integers(0, len(PLACES), rows)
    state, city, zip_code = (np.array(names, object)[at] for names in zip(*PLACES, strict=True))
    if mixed:
        spell = np.random.default_rng(6)
        state = np.array([spell.choice([name, *STATES[name]]) for name in state], object)
        city = np.array([spell.choice([name, *CITIES[name]]) for name in city], object)
    frame = frame.assign(state=state, city=city, zip_code=zip_code)
    size = frame["house_size"].astype(float).fillna(800.0)
    frame["price"] = np.round(
        np.exp(6.5 + at / 5.0 + 0.8 * np.log(size) + rng.normal(0, 0.05, rows))
    )
    columns, price = columns_from_frame(check(frame)[0]), frame["price"].to_numpy(np.float64)
    first, rest = np.arange(rows * 3 // 4), np.arange(rows * 3 // 4, rows)
    learned, of_learned = take(columns, first), price[first]
    encoder, matrix = FeatureEncoder.fit(learned, of_learned, as_of=AS_OF)
    model = train_model(
        "xgboost",
        encoder,
        Rows(matrix, of_learned),
        Rows(encoder.transform(take(columns, rest)), price[rest]),
        hyperparameters=SMALL["xgboost"],
        profile=drift.profile(learned, of_learned),
        metadata={"batches": [0]},
    )
    return replace(
        model,
        sold_homes=SoldHomes.of(learned, of_learned),
        market=MarketStatistics.of(learned, of_learned),
    )


def homes_at(*places: dict[str, Any]) -> Columns:
    homes = [Property.model_validate({"bed": 3, "bath": 2, "house_size": 1800} | place)
             for place in places]  # fmt: skip
    return as_sold(columns_from_properties(homes))


def cents(columns: Columns) -> Any:
    values = trained().value(columns)
    return np.round([values.price, values.low, values.high], 2).T.tolist()


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(PLACES), with_zip=st.booleans(), data=st.data())
def test_every_spelling_of_a_place_has_the_value_of_the_place(
    place: tuple[str, str, str], with_zip: bool, data: st.DataObject
) -> None:
    state, city, zip_code = place
    plain = {"state": state, "city": city, "zip_code": zip_code if with_zip else None}
    other = plain | {
        "state": data.draw(st.sampled_from([state, *STATES[state]])),
        "city": data.draw(st.sampled_from([city, *CITIES[city]])),
    }
    columns = homes_at(plain, other)

    of_plain, of_other = cents(columns)
    assert of_other == of_plain
    warnings = trained().value(columns).warnings
    assert warnings.get(0, []) == warnings.get(1, [])
    assert "unknown_place" not in {each.code for each in warnings.get(1, [])}


@pytest.mark.parametrize("place", PLACES, ids=[city for _, city, _ in PLACES])
def test_a_zip_code_alone_implies_its_state_and_city(place: tuple[str, str, str]) -> None:
    state, city, zip_code = place
    whole = {"state": state, "city": city, "zip_code": zip_code}
    columns = homes_at(whole, {"zip_code": zip_code}, {"zip_code": zip_code, "state": state})

    of_whole, of_zip, of_zip_and_state = cents(columns)
    assert of_whole == of_zip == of_zip_and_state
    assert trained().value(columns).warnings == {}


def test_a_model_of_mixed_spellings_is_the_model_of_the_plain_ones() -> None:
    columns = homes_at(*({"state": s, "city": c, "zip_code": z} for s, c, z in PLACES))
    plain, mixed = trained(), trained(mixed=True)

    assert np.array_equal(plain.value(columns).price, mixed.value(columns).price)
    assert plain.market is not None
    assert mixed.market is not None
    for by in BY:
        figures = [
            [
                (row["zip_code"], row["listings"], row["median_price"])
                for row in each.market.rows(by)
            ]
            for each in (plain, mixed)
        ]
        assert figures[0] == figures[1]


def test_a_contradiction_is_valued_by_the_zip_and_the_warning_names_both() -> None:
    whole = {"state": "Ohio", "city": "Columbus", "zip_code": "43215"}
    wrong = {"state": "TX", "city": "Houston", "zip_code": "43215"}
    columns = homes_at(whole, wrong, wrong | {"city": None})
    values = trained().value(columns)

    assert values.price[1] == values.price[2] == values.price[0]
    warning = message("place_contradiction", state="Texas", zip_code="43215", zip_city="Columbus",
                      zip_state="Ohio")  # fmt: skip
    assert values.warnings == {1: [warning], 2: [warning]}
    assert warning.text == (
        "Texas (as given) and zip 43215, which is in Columbus, Ohio: the home is valued by its zip "
        "code."
    )
    assert not any(mask.any() for mask in values.unknown.values())
    grades = ["low", "medium", "high"]
    whole_grade, wrong_grade, _ = (grades.index(grade) for grade in values.confidence)
    assert wrong_grade == max(whole_grade - 1, 0)
    assert whole_grade > 0, "else the test cannot see a lower grade"


def test_contributions_of_what_is_missing_or_contradicted_are_the_zip_codes() -> None:
    whole = {"state": "Ohio", "city": "Columbus", "zip_code": "43215"}
    columns = homes_at(
        whole, {"zip_code": "43215"}, whole | {"state": "TX"}, {"state": "Ohio", "city": "Columbus"}
    )
    explanation = trained().explain(columns)

    at = {key: explanation.inputs.index(key) for key in ("zip_code", "city", "state")}
    log, dollars = explanation.by_input_log, explanation.by_input_dollars
    assert np.all(log[0, list(at.values())] != 0.0)
    for row in (1, 2):
        assert log[row, at["state"]] == log[row, at["city"]] == dollars[row, at["city"]] == 0.0
        assert log[row, at["zip_code"]] == pytest.approx(log[0, list(at.values())].sum())
    assert log[3, at["zip_code"]] == 0.0
    total = explanation.base_price + dollars.sum(axis=1)
    assert total == pytest.approx(np.exp(explanation.predicted_log))


def test_sales_are_compared_by_the_places_that_both_homes_have() -> None:
    whole = homes_at({"state": "Ohio", "city": "Columbus", "zip_code": "43215"})
    by_zip = homes_at({"zip_code": "43215"})
    expected, comparison = trained().compare(whole), trained().compare(by_zip)

    at = {key: comparison.inputs.index(key) for key in ("zip_code", "city", "state")}
    of_place = list(at.values())
    assert len(comparison.price) == 5
    assert comparison.found.rows.tolist() == expected.found.rows.tolist()
    assert np.all(comparison.adjustments[:, [at["city"], at["state"]]] == 0.0)
    assert comparison.adjustments[:, at["zip_code"]] == pytest.approx(
        expected.adjustments[:, of_place].sum(axis=1), abs=0.01
    )
    assert comparison.adjusted_price == pytest.approx(expected.adjusted_price)
