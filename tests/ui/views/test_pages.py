"""Every page as Streamlit runs it: with a service, with one that lacks parts, without one."""

import re
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from realtor_local.ports import free_port
from realtor_model.valuation.bundle import save_bundle
from realtor_model.valuation.market_statistics import LATER, MarketStatistics
from realtor_ui import formatting, service_cache
from realtor_ui.app_settings import app_settings
from realtor_ui.texts import LANGUAGES, catalogue
from tests.serving.running import ASKING_ALL, KEY, Server, make_model, run_service
from tests.ui.markets import market_texts

pytestmark = [pytest.mark.integration]

APP = Path(__file__).parents[3] / "realtor_ui" / "app.py"
PAGES = ("value", "many", "why", "market", "models", "monitoring")
HOME = {
    "state": "Connecticut", "city": "Hartford", "zip_code": "06114", "house_size": 1650, "bed": 3,
    "bath": 2,
}  # fmt: skip
T = catalogue("en")


def open_app(
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    page: str = "value",
    *,
    query: dict[str, str] | None = None,
    **state: Any,
) -> AppTest:
    monkeypatch.setenv("REALTOR_SERVICE_URL", url)
    app_settings.cache_clear()
    app = AppTest.from_file(str(APP), default_timeout=60)
    if page != "value":
        # Only after a run does the test know the addresses that the app gave its pages.
        app.run()
        app.switch_page(f"views/{page}_page.py")
    for name, value in (query or {}).items():
        app.query_params[name] = value
    for name, value in state.items():
        app.session_state[name] = value
    app.run()
    assert not app.exception, app.exception
    return app


def words(app: AppTest) -> str:
    """All the text that is shown."""
    kinds = (app.title, app.markdown, app.caption, app.info, app.warning, app.error, app.subheader)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def press(app: AppTest, label: str) -> AppTest:
    (button,) = [each for each in app.button if each.label == label]
    button.click().run()
    assert not app.exception, app.exception
    return app


def enter(app: AppTest, **values: object) -> AppTest:
    """Fill in inputs by name and press the button."""
    for name, value in values.items():
        kind = "selectbox" if name in ("state", "city", "zip_code", "status") else "number_input"
        # Only what the options hold can be chosen in a test: a person may write anything.
        getattr(app, kind)(key=f"in_{name}").set_value(value)
        app.run()
    return press(app, T("form.value"))


# ---- every page, in every state -----------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_in_every_language(
    service: Server, monkeypatch: pytest.MonkeyPatch, page: str, language: str
) -> None:
    app = open_app(monkeypatch, service.url, page, lang=language, home=HOME)

    assert app.title[0].value == catalogue(language)(f"{page}.title")
    assert not app.error
    assert catalogue(language)("sidebar.up") in words(app)


@pytest.mark.parametrize("page", PAGES)
def test_page_recovers_when_a_service_that_was_down_returns(
    service: Server, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    app = open_app(monkeypatch, nowhere, page)
    assert T("error.down") in app.error[0].value
    assert nowhere not in app.error[0].value, "addresses are for administrators"
    assert nowhere in words(app)
    assert "realtor status" in words(app)

    monkeypatch.setenv("REALTOR_SERVICE_URL", service.url)
    app_settings.cache_clear()
    service_cache.service_client.clear()
    app.run()
    assert not app.exception
    assert not app.error


def test_app_with_a_key_is_let_in_by_a_service_that_wants_one(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"REALTOR_CHAMPION_BUNDLE": str(bundle), "REALTOR_SERVICE_WORKERS": "1"}
    with run_service(tmp_path, **variables, **ASKING_ALL) as locked:
        for page in PAGES:
            app = open_app(monkeypatch, locked.url, page)
            assert T("message.api_key_required") in app.error[0].value
            assert "REALTOR_APP_API_KEY" in words(app)
            assert T("sidebar.not_allowed") in words(app)

        monkeypatch.setenv("REALTOR_APP_API_KEY", f"{KEY}\n")
        service_cache.service_client.clear()
        app = open_app(monkeypatch, locked.url, home=HOME)
        assert not app.error
        assert app.metric[0].value.startswith("$")
        assert KEY not in repr(app_settings())


def test_service_without_a_model_shows_info_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_service(tmp_path, REALTOR_SERVICE_WORKERS="1") as empty:
        for page in PAGES:
            app = open_app(monkeypatch, empty.url, page)
            assert "There is no model yet" in words(app)
            assert "realtor train" in words(app)
            assert not app.error
            st.cache_data.clear()


def test_pages_without_a_history_say_so_and_show_the_rest(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_service(
        tmp_path, REALTOR_CHAMPION_BUNDLE=str(bundle), REALTOR_SERVICE_WORKERS="1"
    ) as service:
        models = open_app(monkeypatch, service.url, "models")
        assert "REALTOR_HISTORY_URL" in words(models)
        assert T("models.importance_now") in words(models)
        assert models.metric
        for page in ("market", "monitoring"):
            app = open_app(monkeypatch, service.url, page)
            assert "REALTOR_HISTORY_URL" in words(app)
            assert app.metric


# ---- value a home -------------------------------------------------------------------------------


def test_empty_form_says_which_inputs_are_needed(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app(monkeypatch, service.url)

    assert "state or zip code, and living area, lot size or bedrooms" in app.info[0].value
    assert not app.metric
    assert "1,500 listings" in words(app)


def test_valued_home_shows_price_zip_and_comparables(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = enter(open_app(monkeypatch, service.url), **HOME)

    expected = service.post("/predict", HOME).json()
    assert app.metric[0].value == f"${expected['price']:,.0f}"
    as_of = date.fromisoformat(expected["as_of"])
    assert formatting.date_text(T, as_of) in app.metric[0].label
    shown = words(app)
    assert f"\\${expected['price'] / 1650:,.0f}** per sq ft" in shown
    assert re.search(r"(above|below|equal to)\*\* the median of zip 06114", shown)
    assert "not an appraisal" in shown
    (table,) = [each.value for each in app.table]
    assert list(table.columns) == ["This home", *(f"Sale {n}" for n in range(1, 6))]
    assert any(str(line).startswith("Zip code ★") for line in table.index)
    assert dict(app.query_params.items())["zip_code"] in ("06114", ["06114"])


def test_a_comparable_can_be_replaced_and_brought_back(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app(monkeypatch, service.url, home=HOME)
    before = app.table[0].value

    press(app, "Replace sale 1")
    after = app.table[0].value
    assert list(after["Sale 1"]) == list(before["Sale 2"])

    press(app, T("comps.bring_back", n=1))
    assert app.table[0].value.equals(before)


def test_home_is_read_from_the_address(service: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    query = {name: str(value) for name, value in HOME.items()}
    app = open_app(monkeypatch, service.url, query=query | {"bath": "many", "lang": "es"})

    home = {name: value for name, value in HOME.items() if name != "bath"}
    expected = service.post("/predict", home).json()
    assert app.metric[0].value == f"${expected['price']:,.0f}"
    assert app.title[0].value == "Valorar una vivienda"


def test_home_without_a_size_gets_a_warning_and_no_price(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = enter(open_app(monkeypatch, service.url), state="Texas")

    assert not app.metric
    assert app.warning[0].value == market_texts()("message.size_required")
    enter(app, bed=3)
    assert app.metric[0].value.startswith("$")


def test_unknown_zip_is_valued_with_a_warning(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app(monkeypatch, service.url, home={"zip_code": "99501", "acre_lot": 0.25})

    assert app.metric[0].value.startswith("$")
    assert any("99501" in each.value for each in app.warning)


def test_studio_with_half_a_bathroom_more_is_an_ordinary_home(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = HOME | {"bed": 0, "bath": 1.5, "house_size": 480}
    app = enter(open_app(monkeypatch, service.url), **studio)

    expected = service.post("/predict", studio).json()
    assert app.metric[0].value == f"${expected['price']:,.0f}"
    assert not app.error
    (table,) = [each.value for each in app.table]
    own = dict(zip(map(str, table.index), table["This home"], strict=True))
    assert {"0 (studio)", "1.5"} <= set(own.values())
    for name in ("bed", "bath"):
        app.selectbox(key="what_if").set_value(name).run()
        assert not app.exception


@pytest.mark.parametrize("name", ["house_size", "bed", "state", "city", "zip_code", "brokered_by"])
def test_every_input_has_its_what_if(
    service: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    app = open_app(monkeypatch, service.url, home=HOME)
    app.selectbox(key="what_if").set_value(name).run()

    assert not app.exception
    assert not app.error


def test_entries_are_kept_when_the_service_goes_down(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app(monkeypatch, service.url)
    app.selectbox(key="in_state").set_value("Texas").run()
    service_cache.model_info()
    monkeypatch.setenv("REALTOR_SERVICE_URL", f"http://127.0.0.1:{free_port()}")
    app_settings.cache_clear()
    service_cache.service_client.clear()
    app.number_input(key="in_bed").set_value(3)
    press(app, T("form.value"))

    assert T("error.down") in app.error[0].value
    assert not app.metric
    assert app.number_input(key="in_bed").value == 3


# ---- the other pages ----------------------------------------------------------------------------


def test_two_homes_are_compared(service: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    other = HOME | {"house_size": 3_000}
    app = open_app(monkeypatch, service.url, "why", home=HOME, other_home=other, compare=True)

    prices = [service.post("/predict", home).json()["price"] for home in (HOME, other)]
    assert [each.value for each in app.metric] == [f"${price:,.0f}" for price in prices]
    assert f"+\\${prices[1] - prices[0]:,.0f}" in words(app)


def test_market_narrows_from_states_to_zips(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app(monkeypatch, service.url, "market")
    assert app.metric[0].value == "2", "two states"

    app.selectbox(key="m_state").set_value("Texas").run()
    assert set(app.selectbox(key="m_city").options) == {"Austin", "Houston"}
    app.selectbox(key="m_city").set_value("Houston").run()
    assert not app.exception
    assert app.metric[0].value == "1", "one zip"


def test_market_shows_sizes_of_the_service(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app(monkeypatch, service.url, "market", measure="median_house_size")
    assert T("market.where_median_house_size") in words(app)
    told = {each["state"]: each for each in service.get("/market").json()["places"]}
    table = app.dataframe[0].value
    assert table[market_texts()("market.median_house_size")].tolist() == [
        round(told[name]["median_house_size"]) for name in table[" "]
    ]


def test_market_of_a_model_without_sizes_shows_prices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    assert model.market is not None
    table = model.market.table.assign(**dict.fromkeys(LATER, np.nan))
    save_bundle(replace(model, market=MarketStatistics.from_frame(table)), tmp_path / "bundle")
    with run_service(
        tmp_path, REALTOR_CHAMPION_BUNDLE=str(tmp_path / "bundle"), REALTOR_SERVICE_WORKERS="1"
    ) as older:
        app = open_app(monkeypatch, older.url, "market")
        assert app.metric[0].value == "2"
        app.session_state["measure"] = "median_acre_lot"
        app.run()
        assert not app.exception
        assert T("market.no_sizes") in words(app)


def test_models_page_shows_why_a_version_was_rejected(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app(monkeypatch, service.url, "models")
    table = app.dataframe[0].value
    assert list(table["Version"]) == ["3", "2", "1"]
    assert list(table["Champion"]) == ["", "★", ""]
    assert app.selectbox(key="look_at").value == "2"
    assert "Clearly more accurate." in words(app)
    assert T("models.outside_standard") in words(app), "PRB 0.2"
    assert T("models.ratio_sales", n="300") in words(app)
    assert "14.0" in [metric.value for metric in app.metric], "COD of the sales"

    app.selectbox(key="look_at").set_value("3").run()
    shown = words(app)
    assert "Not more accurate." in shown
    assert T("models.first_failed") in shown

    app.selectbox(key="look_at").set_value("1").run()
    assert T("models.ratio_asked") in words(app), "a first batch has no sales"
    assert "18.0" in [metric.value for metric in app.metric]


def test_monitoring_shows_counters_and_batch_decisions(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.post("/predict", HOME).raise_for_status()
    app = open_app(monkeypatch, service.url, "monitoring")

    assert int(app.metric[1].value.replace(",", "")) >= 1
    (reason,) = app.dataframe[-1].value[T("models.reason")]
    assert reason == "900 new rows on top of 1,500 (limit 20%)."
    spanish = open_app(monkeypatch, service.url, "monitoring", lang="es")
    (reason,) = spanish.dataframe[-1].value[catalogue("es")("models.reason")]
    assert reason.startswith("900 filas nuevas")
    assert list(app.dataframe[0].value[T("models.decision")]) == ["train"]
