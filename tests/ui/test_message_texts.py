"""Coded messages are written in the language of the reader."""

from typing import Any

import pytest

from realtor_ui.message_texts import message_text
from realtor_ui.responses import CodedMessage, Problem
from realtor_ui.texts import LANGUAGES, catalogue
from tests.ui.markets import EVERY_KIND, KING_COUNTY, market_texts


@pytest.mark.parametrize(
    ("code", "params", "expected"),
    [
        ("unknown_place", {"input": "zip_code", "value": "99501"},
         "Código postal 99501: no está en los datos de entrenamiento."),
        ("place_contradiction",
         {"state": "Texas", "zip_code": "43215", "zip_city": "Columbus", "zip_state": "Ohio"},
         "Texas (el estado indicado) y el código postal 43215, que es de Columbus, Ohio: la "
         "vivienda se valora por su código postal."),
        ("no_zip_code", {"placed_by": "state"},
         "Sin código postal, la vivienda se valora según lo habitual en su estado."),
        ("input_missing", {"input": "bed"}, "Habitaciones: sin dato."),
        ("valued_as_land", {}, "Sin área construida, habitaciones ni baños"),
        ("outside_learned_range",
         {"input": "house_size", "value": 12500.0, "low": 400, "high": 9000.5,
          "unit": "square feet"},
         "Área construida: 12,500 está fuera del rango de los datos de entrenamiento, de 400 a "
         "9,000.5 pies²."),
        ("not_a_choice", {"input": "status", "value": "gone", "choices": ["for_sale", "sold"]},
         "Estado del anuncio: gone no es una de las opciones: En venta, Vendida."),
        ("relation_lost", {"column": "bed", "others": ["bath", "house_size"]},
         "Habitaciones ya no guarda relación con Baños, Área construida."),
        ("drift", {"feature": "price", "measure": "PSI", "value": 0.4123, "limit": 0.25},
         "Precio: hay deriva, PSI 0.41 (límite 0.25)."),
    ],
)  # fmt: skip
def test_message_is_translated_with_its_parameters(
    code: str, params: dict[str, Any], expected: str
) -> None:
    message = CodedMessage(code=code, params=params, message="In English.")
    assert message_text(market_texts("es"), message).startswith(expected)


@pytest.mark.parametrize(
    ("language", "code", "params", "expected"),
    [
        ("en", "input_missing", {"input": "year_built"}, "Year built: not given."),
        ("es", "input_missing", {"input": "year_built"}, "Año de construcción: sin dato."),
        ("en", "out_of_range", {"input": "roof_age", "value": 300, "low": 0, "high": 200,
                                "unit": "years"},
         "Roof age: 300 is outside the allowed range, 0 to 200 years."),
        ("es", "not_a_choice", {"input": "material", "value": "mud", "choices": ["brick", "wood"]},
         "Material de construcción: mud no es una de las opciones: brick, wood."),
        ("en", "not_a_boolean", {"input": "waterfront", "value": "maybe"},
         "Waterfront: maybe is not yes or no."),
        ("en", "drift", {"feature": "house_size", "measure": "PSI", "value": 0.4, "limit": 0.25},
         "Living area has drifted: PSI 0.40"),
        ("en", "place_required", {"places": "state or zip_code"},
         "Required: state, zip code or latitude and longitude."),
    ],
)  # fmt: skip
def test_message_names_the_inputs_of_the_market(
    language: str, code: str, params: dict[str, Any], expected: str
) -> None:
    message = CodedMessage(code=code, params=params, message="In English.")
    assert message_text(market_texts(language, EVERY_KIND), message).startswith(expected)


def test_what_a_home_needs_follows_from_the_market() -> None:
    message = CodedMessage(code="place_required", params={"places": "x"}, message="?")
    county = message_text(market_texts("en", KING_COUNTY), message)
    assert county.startswith("Required: zip code or latitude and longitude.")
    assert message_text(catalogue("en"), message).startswith("Required: x.")


@pytest.mark.parametrize(
    "message",
    [
        CodedMessage(message="something new"),
        CodedMessage(code="code_of_a_newer_service", message="something new"),
        CodedMessage(code="no_zip_code", message="something new"),
        CodedMessage(code="volume", params={"new_rows": "x"}, message="something new"),
    ],
)
def test_message_without_a_text_or_a_parameter_keeps_its_own_words(message: CodedMessage) -> None:
    for language in LANGUAGES:
        assert message_text(catalogue(language), message) == "Something new"


def test_problem_names_its_field_and_the_value_that_was_sent() -> None:
    problem = Problem(
        loc=["properties", 3, "bed"], msg="must be from 1 to 100", value=0, code="out_of_range",
        params={"low": 1, "high": 100, "unit": "bedrooms"},
    )  # fmt: skip
    text = message_text(market_texts(), problem.coded_message)
    assert text == "Bedrooms: 0 is outside the allowed range, 1 to 100 bedrooms."


def test_long_values_are_cut() -> None:
    message = CodedMessage(code="not_a_number", params={"input": "bed", "value": "9" * 5_000})
    assert len(message_text(catalogue("en"), message)) < 150
