"""The app in a real browser on a small model: the five main paths in both languages."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from realtor_local.ports import free_port
from realtor_ui.texts import LANGUAGES, Texts, catalogue
from tests.serving.running import HOUSE, ROOT, Server, run_server
from tests.ui import paths
from tests.ui.paths import Site

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(paths.CHROMIUM is None, reason=paths.NO_CHROMIUM),
]


@pytest.fixture(scope="module")
def site(service: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The app as `realtor up` starts it, on the running service."""
    port = str(free_port())
    command = [
        sys.executable, "-m", "streamlit", "run", str(ROOT / "realtor_ui" / "app.py"),
        "--server.headless", "true", "--server.address", "127.0.0.1", "--server.port", port,
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("app")
    environment = {"REALTOR_SERVICE_URL": service.url}
    health = "/_stcore/health"
    with run_server(command, f"http://127.0.0.1:{port}", health, folder, environment) as server:
        yield Site(server.url, service.url, HOUSE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with paths.chromium() as browser:
        yield browser


@pytest.fixture(params=list(LANGUAGES))
def t(request: pytest.FixtureRequest) -> Texts:
    return catalogue(request.param)


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    with paths.watched_page(browser, site) as page:
        yield page


def test_value_a_home(page: Page, site: Site, t: Texts) -> None:
    paths.value_a_home(page, site, t)


def test_value_many(page: Page, site: Site, t: Texts, tmp_path: Path) -> None:
    paths.value_many(page, site, t, tmp_path)


def test_why_and_the_language_is_switched(page: Page, site: Site, t: Texts) -> None:
    paths.why(page, site, t)


def test_the_market(page: Page, site: Site, t: Texts) -> None:
    paths.the_market(page, site, t)


def test_models_and_monitoring(page: Page, site: Site, t: Texts) -> None:
    paths.models_and_monitoring(page, site, t)
