"""The app in a real browser: the five main paths in both languages, and no request to elsewhere."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from realtor_ui.texts import LANGUAGES, Texts, catalogue
from tests.serving.running import HOUSE, ROOT, Server, free_port, run_server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which(
    "google-chrome"
)  # fmt: skip
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
           "--disable-background-networking", "--disable-component-update")  # fmt: skip
QUERY = "&".join(f"{name}={value}" for name, value in HOUSE.items())
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

# A page is waited for, never timed: a busy machine draws it late.
expect.set_options(timeout=60_000)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine (apt install chromium)"
    ),
]


@pytest.fixture(scope="module")
def app(service: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
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
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture(params=list(LANGUAGES))
def t(request: pytest.FixtureRequest) -> Texts:
    return catalogue(request.param)


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Browser, app: Server) -> Iterator[Page]:
    """A page whose every request goes to the app, and which reports no error of its own.

    How it looks at the end goes into the folder $SCREENSHOTS, where that is set.
    """
    context = browser.new_context(viewport=WIDE, locale="en-US", accept_downloads=True)
    page = context.new_page()
    elsewhere: list[str] = []
    broken: list[str] = []
    ours = (app.url, app.url.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda sent: elsewhere.append(sent.url) if not sent.url.startswith(ours)
            else None)  # fmt: skip
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.set_default_timeout(60_000)
    yield page
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{request.node.name}.png", full_page=True)
    context.close()
    assert not elsewhere, "the app asks the network for nothing"
    assert not broken


def opened(page: Page, app: Server, t: Texts, path: str, query: str = "") -> None:
    page.goto(f"{app.url}/{path}?lang={t.language}&{query}")
    title = t(f"{path or 'value'}.title")
    expect(page.get_by_role("heading", name=title, exact=True, level=1)).to_be_visible(
        timeout=60_000
    )


def settled(page: Page) -> None:
    """Nothing runs any more, and nothing has gone wrong."""
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=60_000)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def no_wider_than_the_screen(page: Page) -> None:
    page.set_viewport_size(NARROW)
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


def test_value_a_home(page: Page, app: Server, t: Texts, service: Server) -> None:
    opened(page, app, t, "", QUERY)

    price = service.post("/predict", HOUSE).json()["price"]
    expect(page.get_by_test_id("stMetricValue").first).to_have_text(f"${price:,.0f}")
    expect(page.get_by_test_id("stTable")).to_contain_text(t("comps.number", n=5))
    settled(page)
    # The charts are drawn: range, waterfall, map; what is further down is drawn when it is seen.
    charts = page.locator("[data-testid=stVegaLiteChart] canvas, .stVegaLiteChart svg")
    expect(charts.nth(2)).to_be_attached()
    page.get_by_role("button", name=t("comps.replace", n=1)).click()
    expect(page.get_by_role("button", name=t("comps.bring_back", n=1))).to_be_visible()
    with page.expect_download() as started:
        page.get_by_role("button", name=t("report.download")).click()
    text = Path(started.value.path()).read_text()
    assert f"${price:,.0f}" in text
    # By keyboard alone: the button takes the focus and is pressed.
    page.get_by_role("button", name=t("form.value")).focus()
    page.keyboard.press("Enter")
    settled(page)
    no_wider_than_the_screen(page)


def test_value_many(page: Page, app: Server, t: Texts, tmp_path: Path) -> None:
    opened(page, app, t, "many")
    file = tmp_path / "homes.csv"
    pd.DataFrame([HOUSE, HOUSE | {"bed": 0}] * 20).to_csv(file, index=False)
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name=t("many.start", rows="40")).click()

    expect(page.get_by_test_id("stMetricValue").nth(0)).to_have_text("20")
    expect(page.get_by_test_id("stMetricValue").nth(1)).to_have_text("20")
    settled(page)
    with page.expect_download() as started:
        page.get_by_test_id("stDownloadButton").get_by_text(t("many.download_csv")).click()
    told = pd.read_csv(started.value.path())
    assert len(told) == 40
    assert told["estimated_price"].notna().sum() == 20
    no_wider_than_the_screen(page)


def test_why_and_the_language_is_switched(page: Page, app: Server, t: Texts) -> None:
    opened(page, app, t, "", QUERY)
    expect(page.get_by_test_id("stMetricValue").first).to_be_visible()
    settled(page)
    page.get_by_test_id("stSidebarNav").get_by_text(t("why.title")).click()
    expect(page.get_by_role("heading", name=t("why.force"))).to_be_visible()
    settled(page)

    other = catalogue(next(each for each in LANGUAGES if each != t.language))
    page.get_by_test_id("stSidebar").get_by_text(LANGUAGES[other.language]).click()
    expect(page.get_by_role("heading", name=other("why.force"))).to_be_visible()
    settled(page)
    no_wider_than_the_screen(page)


def test_the_market(page: Page, app: Server, t: Texts) -> None:
    opened(page, app, t, "market")
    settled(page)
    page.get_by_role("combobox", name=re.compile(t("market.state"))).click()
    page.get_by_role("option", name="Texas").click()

    expect(page.get_by_role("combobox", name=re.compile(t("market.city")))).to_be_visible()
    settled(page)
    no_wider_than_the_screen(page)


def test_models_and_monitoring(page: Page, app: Server, t: Texts) -> None:
    opened(page, app, t, "models")
    expect(page.get_by_text("Clearly more accurate.").first).to_be_visible()
    settled(page)
    no_wider_than_the_screen(page)
    page.set_viewport_size(WIDE)
    opened(page, app, t, "monitoring")
    expect(page.get_by_role("heading", name=t("monitoring.drift"))).to_be_visible()
    settled(page)
    no_wider_than_the_screen(page)
