"""The app, run as Streamlit runs it, against the running service and without one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from realtor_ui import parts, wording
from realtor_ui.settings import settings
from tests.serving.running import Server, free_port, run_service

pytestmark = [pytest.mark.integration]

APP = Path(__file__).parents[2] / "realtor_ui" / "app.py"


@pytest.fixture(autouse=True)
def _fresh_caches() -> Iterator[None]:
    for cached in (settings.cache_clear, parts.client.clear, parts.model_info.clear):
        cached()
    yield
    settings.cache_clear()


def open_app(monkeypatch: pytest.MonkeyPatch, url: str) -> AppTest:
    monkeypatch.setenv("REALTOR_SERVICE_URL", url)
    app = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not app.exception
    return app


@pytest.fixture
def app(service: Server, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    return open_app(monkeypatch, service.url)


def words(app: AppTest) -> str:
    """All the text that is shown."""
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error, app.subheader)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def field(app: AppTest, kind: str, label: str) -> object:
    (found,) = [each for each in getattr(app, kind) if each.label.startswith(label)]
    return found


def enter(app: AppTest, **values: object) -> AppTest:
    """Fill in inputs by name and press the button."""
    kinds = {"state": "selectbox", "status": "selectbox", "city": "text_input"}
    for name, value in values.items():
        kind = kinds.get(name, "text_input" if name == "zip_code" else "number_input")
        field(app, kind, wording.LABELS[name]).set_value(value)  # type: ignore[attr-defined]
    app.button[0].click().run()
    assert not app.exception
    return app


def test_before_anything_is_entered_the_page_says_what_is_needed(app: AppTest) -> None:
    assert app.title[0].value == "Value a home"
    assert "state or a zip code" in app.info[0].value
    assert not app.metric
    sidebar = "\n".join(str(each.value) for each in [*app.sidebar.markdown, *app.sidebar.caption])
    assert "Service up" in sidebar
    assert "Model version packaged" in sidebar
    assert "1,500 listings" in sidebar


def test_a_home_is_valued_with_its_reasons(app: AppTest, service: Server) -> None:
    entered = {"state": "Connecticut", "city": "Hartford", "zip_code": "06114"}
    enter(app, **entered, house_size=1650, bed=3, bath=2)

    home = entered | {"house_size": 1650, "bed": 3, "bath": 2}
    expected = service.post("/predict", home).json()
    assert app.metric[0].value == f"${expected['price']:,.0f}"
    assert "as sold" in app.metric[0].label
    assert expected["as_of"] in app.metric[0].label
    shown = words(app)
    assert f"\\${expected['price'] / 1650:,.0f}** per sq ft" in shown
    assert f"\\${expected['low']:,.0f} to \\${expected['high']:,.0f}" in shown
    assert "Why this price" in shown
    table = app.dataframe[0].value
    assert {"Zip code", "Living area"} <= set(table["Input"])
    assert "1,650 sq ft" in set(table["Entered"])
    assert "not an appraisal" in shown


def test_a_place_alone_is_enough_with_one_size(app: AppTest) -> None:
    enter(app, zip_code="99501", acre_lot=0.25)

    assert app.metric[0].value.startswith("$")
    assert "per sq ft" not in words(app)
    assert any("99501" in each.value for each in app.warning)


def test_what_cannot_be_valued_is_said_in_plain_words(app: AppTest) -> None:
    enter(app, state="Texas")

    assert not app.metric
    (warning,) = app.warning
    assert "living area" in warning.value
    assert "house_size" not in warning.value

    enter(app, bed=3)
    assert app.metric[0].value.startswith("$")
    assert not app.warning


def test_a_wrong_zip_names_the_field(app: AppTest) -> None:
    enter(app, zip_code="ABCDE", bed=3)

    assert app.warning[0].value.startswith("**Zip code**")
    assert not app.metric


def test_a_service_that_is_down_is_told_and_found_again(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app(monkeypatch, f"http://127.0.0.1:{free_port()}")
    assert "does not answer" in app.error[0].value
    assert "realtor status" in app.error[0].value
    assert not app.button

    _point_at(monkeypatch, service.url)
    app.run()
    assert not app.error
    assert app.button


def test_the_service_going_down_meanwhile_loses_nothing(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.model_info()
    monkeypatch.setenv("REALTOR_SERVICE_URL", f"http://127.0.0.1:{free_port()}")
    settings.cache_clear()
    parts.client.clear()

    enter(app, state="Texas", bed=3)

    assert "does not answer" in app.error[0].value
    assert not app.metric
    assert field(app, "number_input", "Bedrooms").value == 3  # type: ignore[attr-defined]


def test_a_service_without_a_model_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_service(tmp_path, REALTOR_SERVICE_WORKERS="1") as empty:
        app = open_app(monkeypatch, empty.url)

    assert "There is no model yet" in app.info[0].value
    assert not app.error
    assert "no model yet" in "\n".join(str(each.value) for each in app.sidebar.markdown)


def _point_at(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REALTOR_SERVICE_URL", url)
    for cached in (settings.cache_clear, parts.client.clear, parts.model_info.clear):
        cached()
