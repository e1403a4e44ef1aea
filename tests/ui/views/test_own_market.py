"""The app with a market that has a column of every kind, in both languages."""

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from realtor_model.valuation.bundle import save_bundle
from realtor_ui.texts import LANGUAGES
from tests.serving.running import Server, run_service
from tests.ui.markets import EVERY_KIND, HOME, every_kind_model, market_texts
from tests.ui.views.test_pages import PAGES, open_app, words

pytestmark = [pytest.mark.integration]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service with a model of `EVERY_KIND`."""
    folder = tmp_path_factory.mktemp("every_kind")
    save_bundle(every_kind_model(), folder / "bundle")
    variables = {"REALTOR_CHAMPION_BUNDLE": str(folder / "bundle"), "REALTOR_SERVICE_WORKERS": "1"}
    with run_service(folder, **variables) as server:
        yield server


def widget_labels(app: AppTest) -> set[str]:
    kinds = (app.selectbox, app.number_input, app.text_input, app.date_input)
    return {
        element.label for kind in kinds for element in kind if str(element.key).startswith("in_")
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_form_shows_every_input_by_its_label(
    town: Server, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    app = open_app(monkeypatch, town.url, lang=language)
    t = market_texts(language, EVERY_KIND)

    expected = {
        t.heading(name) if column.is_number else t.label(name)
        for name, column in t.info.inputs.items()
    }
    assert widget_labels(app) == expected
    assert {"en": "Year built", "es": "Año de construcción"}[language] in expected
    waterfront = app.selectbox(key="in_waterfront")
    assert waterfront.value is None
    assert waterfront.options == [t("unit.yes"), t("unit.no")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_valued_home_names_its_inputs_everywhere(
    town: Server, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    query = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in HOME.items()
    }
    app = open_app(monkeypatch, town.url, query=query | {"lang": language})
    t = market_texts(language, EVERY_KIND)

    price = town.post("/predict", HOME).json()["price"]
    assert app.metric[0].value == f"EUR\N{NO-BREAK SPACE}{price:,.0f}"
    assert app.selectbox(key="in_waterfront").value is True
    assert f"{price / 150:,.0f}** {'per' if language == 'en' else 'por'} m²" in words(app)
    carried = {name: value for name, value in app.query_params.items() if name != "lang"}
    assert {name: value if isinstance(value, str) else value[0] for name, value in carried.items()
            } == query  # fmt: skip
    lines = [str(line) for line in app.table[0].value.index]
    for name in ("year_built", "waterfront", "material", "builder", "renovated", "roof_age"):
        assert any(line.startswith(f"{t.label(name)} ★") for line in lines), name
    own = dict(zip(lines, app.table[0].value[t("comps.home")], strict=True))
    (waterfront,) = [each for line, each in own.items() if line.startswith(t.label("waterfront"))]
    assert waterfront == t("unit.yes")


@pytest.mark.parametrize(
    "name",
    [name for name, column in market_texts("en", EVERY_KIND).info.inputs.items()
     if column.moves_estimate],
)  # fmt: skip
def test_every_input_that_moves_the_estimate_has_its_what_if(
    town: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    app = open_app(monkeypatch, town.url, home=HOME)
    chooser = app.selectbox(key="what_if")
    t = market_texts("en", EVERY_KIND)
    assert t.label("status") not in chooser.options
    chooser.set_value(name).run()

    assert not app.exception
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens(town: Server, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    app = open_app(monkeypatch, town.url, page, home=HOME, other_home=HOME, compare=True)

    assert not app.error


def test_home_of_a_market_that_was_served_before_keeps_what_it_can(
    town: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {"state": "Texas", "house_size": 1_650, "bed": 3, "brokered_by": 12}
    app = open_app(monkeypatch, town.url, home=before)

    price = town.post("/predict", {"state": "Texas", "bed": 3}).json()["price"]
    assert app.metric[0].value.endswith(f"{price:,.0f}")
