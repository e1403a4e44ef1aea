"""The catalogues agree, pages hold no words of their own, and figures are written for people."""

import ast
import re
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtor_assets.release.promotion_decision import CRITERIA
from realtor_model.estimators import CANDIDATES
from realtor_model.features import FeatureEncoder
from realtor_model.listing import INPUTS, STATUSES
from realtor_ui import formatting
from realtor_ui.texts import LANGUAGES, catalogue
from tests.serving.running import make_model

UI = Path(__file__).parents[2] / "realtor_ui"
T = catalogue("en")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_all_languages_have_the_same_keys_with_the_same_figures_in_them() -> None:
    texts = {language: catalogue(language).entries for language in LANGUAGES}
    for language, entries in texts.items():
        assert set(entries) == set(T.entries), language
        for key, text in entries.items():
            assert fields(text) == fields(T.entries[key]), f"{language} {key}"
            assert text.strip(), f"{language} {key}"


def used() -> tuple[set[str], set[str]]:
    """The keys that the code names in full, and the beginnings of those it puts together."""
    whole: set[str] = set()
    begun: set[str] = set()
    for path in UI.rglob("*.py"):
        source = path.read_text()
        whole |= set(re.findall(r'["\']([a-z_]+\.[a-z0-9_]+)["\']', source))
        begun |= set(re.findall(r'f["\']([a-z_]+\.[a-z_]*)\{', source))
        kinds = re.findall(r'named\(\s*["\']([a-z_]+)["\']', source)
        begun |= {f"{kind}." for kind in kinds}
    return whole, begun | {"by."}


def test_every_key_is_used_and_every_key_that_is_used_is_there() -> None:
    whole, begun = used()
    families = {key.partition(".")[0] for key in T.entries}
    named = {key for key in whole if key.partition(".")[0] in families and key[-3:] != ".py"}
    pages = {f"{path.stem.removesuffix('_page')}.title" for path in (UI / "views").glob("[!_]*.py")}

    assert named <= set(T.entries)
    unused = {
        key for key in T.entries
        if key not in named | pages and not any(key.startswith(prefix) for prefix in begun)
    }  # fmt: skip
    assert not unused


def test_pages_and_sections_hold_no_words_of_their_own() -> None:
    calls = {"title", "subheader", "markdown", "caption", "info", "warning", "error", "success",
             "button", "metric", "expander", "selectbox", "header", "toggle"}  # fmt: skip
    for path in [*(UI / "views").glob("*.py"), *(UI / "sections").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in calls
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                raise AssertionError(f"{path.name}:{node.lineno} says {node.args[0].value!r}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_the_model_and_the_pipeline_name_has_its_words(language: str) -> None:
    entries = catalogue(language).entries
    encoder: FeatureEncoder = make_model().encoder
    for kind, names in (
        ("feature", encoder.feature_names), ("input", INPUTS), ("status", STATUSES),
        ("criterion", CRITERIA), ("candidate", CANDIDATES),
    ):  # fmt: skip
        assert {f"{kind}.{name}" for name in names} <= set(entries)


@pytest.mark.parametrize(
    ("name", "amount", "expected"),
    [
        ("house_size", 1650, "1,650 sq ft"),
        ("acre_lot", 0.25, "0.25 acres"),
        ("bed", 3.0, "3"),
        ("status", "ready_to_build", "Ready to build"),
        ("city", "Hartford", "Hartford"),
        ("zip_code", None, "not given"),
    ],
)
def test_values_are_written_for_people(name: str, amount: Any, expected: str) -> None:
    assert formatting.input_value(T, name, amount) == expected


@pytest.mark.parametrize(
    ("days", "expected"),
    [(0, "hoy"), (1, "ayer"), (12, "hace 12 días"), (100, "hace 3 meses")],
)
def test_age(days: int, expected: str) -> None:
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert (
        formatting.age_text(catalogue("es"), now - timedelta(days=days, hours=1), now) == expected
    )


def test_signs_stand_before_the_dollar() -> None:
    assert formatting.signed_dollars(-1234.5) == "-$1,234"
    assert formatting.signed_dollars(99.6) == "+$100"
    told = [formatting.short_dollars(amount) for amount in (185, 215_300, 1_230_000)]
    assert told == ["$185", "$215k", "$1.2M"]


def test_stars_go_by_the_share_of_all_reasons() -> None:
    told = formatting.stars({"a": -50.0, "b": 30.0, "c": 15.0, "d": 4.0, "e": 1.0})
    assert told == {"a": 4, "b": 4, "c": 3, "d": 2, "e": 1}
    assert formatting.stars({"a": 0.0}) == {"a": 1}


@given(st.dictionaries(st.text(), st.floats(-1e6, 1e6), min_size=1, max_size=11))
def test_a_weightier_reason_never_has_fewer_stars(amounts: dict[str, float]) -> None:
    told = formatting.stars(amounts)
    ordered = sorted(amounts, key=lambda name: abs(amounts[name]))
    assert [told[name] for name in ordered] == sorted(told.values())
    assert set(told.values()) <= {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("bed is 0; it must be from 1 to 100 bedrooms", "Dormitorios es 0; debe estar entre 1"),
        ("zip code 99501 is not among the listings learned from: the home is valued by what "
         "surrounds it", "Código postal 99501 no está entre"),
        ("no sale is among the listings learned from: the price is nearer to an "
         "asking price", "Entre los anuncios aprendidos no hay ninguna venta"),
        ("no zip code is told: the home is valued by what is usual in its state",
         "No se indica el código postal: la vivienda se valora por lo habitual en su estado"),
        ("no zip code is told: the home is valued by what is usual in its city",
         "No se indica el código postal: la vivienda se valora por lo habitual en su ciudad"),
        ("bed is not told: the home is valued like the listings that leave it out",
         "Dormitorios: no se indica"),
        ("neither house_size nor bed nor bath is told: it is valued as land", "No se indican ni"),
        ("state or zip_code is required: without a place there is no value", "Hace falta un"),
        ("something new", "Something new"),
    ],
)  # fmt: skip
def test_what_the_service_says_is_said_in_the_persons_language(message: str, expected: str) -> None:
    assert formatting.said(catalogue("es"), message).startswith(expected)
