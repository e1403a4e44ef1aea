"""The catalogues agree with each other and with the code, and pages hold no text of their own."""

import ast
import re
import string
import tomllib
from pathlib import Path

import pytest

from realtor_model.candidates import CANDIDATES
from realtor_model.duel.gates import GATES
from realtor_model.features import FeatureEncoder
from realtor_model.listing import STATUSES
from realtor_model.messages import MESSAGES
from realtor_ui.texts import LANGUAGES, catalogue
from tests.serving.running import make_model

UI = Path(__file__).parents[2] / "realtor_ui"
T = catalogue("en")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_all_languages_have_the_same_keys_and_fields() -> None:
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
    return whole, begun | {"by.", "measure.", "per.", "added_feature."}


def test_every_key_is_used_and_every_used_key_exists() -> None:
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


def test_pages_and_sections_hold_no_text_of_their_own() -> None:
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
def test_every_name_of_the_model_and_the_pipeline_has_a_text(language: str) -> None:
    entries = catalogue(language).entries
    encoder: FeatureEncoder = make_model().encoder
    for kind, names in (
        ("feature", encoder.feature_names), ("status", STATUSES),
        ("criterion", [gate.name for gate in GATES]), ("candidate", CANDIDATES),
    ):  # fmt: skip
        assert {f"{kind}.{name}" for name in names} <= set(entries)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_of_the_service_and_the_pipeline_has_a_text(language: str) -> None:
    entries = catalogue(language).entries
    for code, template in MESSAGES.items():
        text = entries.get(f"message.{code}")
        assert text is not None, code
        # The app knows the field and what was sent from the problem itself, and its market.
        assert fields(text) <= fields(template) | {
            "input",
            "value",
            "others",
            "money",
            "places",
            "sizes",
        }, code


def test_glossary_defines_each_term_in_every_language() -> None:
    terms = tomllib.loads((UI / "texts" / "glossary.toml").read_text())
    for name, term in terms.items():
        assert set(term) == set(LANGUAGES), name
        for language in LANGUAGES:
            assert set(term[language]) == {"title", "definition"}, name
            assert catalogue(language).define(name) == term[language]["definition"]
