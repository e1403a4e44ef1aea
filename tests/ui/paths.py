"""The app's five main paths in a real browser, on whatever stack the app runs: checked, pictured.

No page may ask anything of another address than the app's, report an error of its own, or be wider
than a telephone.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as ClosedAgain

from realtor_ui import decision_texts
from realtor_ui.client import ServiceClient
from realtor_ui.market_texts import MarketTexts
from realtor_ui.service_cache import COMPARABLE_COUNT
from realtor_ui.texts import LANGUAGES, Texts, catalogue

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which(
    "google-chrome"
)  # fmt: skip
NO_CHROMIUM = "no Chromium on this machine (apt install chromium)"
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
           "--disable-background-networking", "--disable-component-update")  # fmt: skip
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
TRIES = 10
# Of one picture: a page may be longer.
MOST_PIXELS = 6_000
# No chart goes beyond the page's right edge, where nobody can scroll to. One in a closed section is
# drawn anew when it is opened.
_NO_CHART_IS_CUT_OFF = """
[...document.querySelectorAll("[data-testid=stVegaLiteChart] :is(canvas, svg)")]
    .every(each => !each.checkVisibility() || each.getBoundingClientRect().right <= innerWidth)"""
_CONTENT_HEIGHT = "Math.ceil(document.querySelector('[data-testid=stMain]').scrollHeight)"

# A page is waited for, never timed: a busy machine draws it late.
expect.set_options(timeout=60_000)


@dataclass(frozen=True)
class Site:
    """A running app, the service that it asks, a home that can be valued, where pictures go."""

    app: str
    service: str
    home: Mapping[str, Any]
    pictures: Path | None = None

    @property
    def query(self) -> str:
        """The home as an address tells it."""
        return "&".join(f"{name}={value}" for name, value in self.home.items())


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@contextmanager
def watched_page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page whose every request goes to the app, and which reports no error of its own."""
    context = browser.new_context(viewport=WIDE, locale="en-US", accept_downloads=True)
    page = context.new_page()
    elsewhere: list[str] = []
    broken: list[str] = []
    ours = (site.app, site.app.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda sent: elsewhere.append(sent.url) if not sent.url.startswith(ours)
            else None)  # fmt: skip
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.set_default_timeout(60_000)
    yield page
    context.close()
    assert not elsewhere, "the app asks the network for nothing"
    assert not broken


def value_a_home(page: Page, site: Site, t: Texts) -> None:
    """An address tells a home: its value, a comparable replaced, the report, the keyboard."""
    opened(page, site, t, "", site.query)
    with ServiceClient(site.service) as client:
        price = client.predict(site.home).price
        sales = client.comparables(site.home, count=COMPARABLE_COUNT).comparables
    expect(page.get_by_test_id("stMetricValue").first).to_have_text(f"${price:,.0f}")
    settled(page)
    # The charts are drawn: range, waterfall, map; what is further down is drawn when it is seen.
    charts = page.locator("[data-testid=stVegaLiteChart] canvas, .stVegaLiteChart svg")
    expect(charts.nth(2)).to_be_attached()
    if sales:
        expect(page.get_by_test_id("stTable")).to_contain_text(t("comps.number", n=len(sales)))
        page.get_by_role("button", name=t("comps.replace", n=1)).click()
        expect(page.get_by_role("button", name=t("comps.bring_back", n=1))).to_be_visible()
    else:
        # The upstream's first batches hold no sale at all.
        expect(page.get_by_text(t("comps.none"))).to_be_visible()
    with page.expect_download() as started:
        page.get_by_role("button", name=t("report.download")).click()
    assert f"${price:,.0f}" in Path(started.value.path()).read_text()
    # By keyboard alone: the button takes the focus and is pressed.
    page.get_by_role("button", name=t("form.value")).focus()
    page.keyboard.press("Enter")
    seen(page, site, t, "value")


def value_many(page: Page, site: Site, t: Texts, folder: Path) -> None:
    """A file of 40 homes, of which every other one cannot be valued: a header is corrected, another
    page is looked at, and nothing is lost."""
    opened(page, site, t, "many")
    with ServiceClient(site.service) as client:
        words = MarketTexts(t, client.model_info())
    file = folder / "homes.csv"
    homes = [{**site.home, "price": 300_000}, {**site.home, "bed": -1, "price": 1}] * 20
    pd.DataFrame(homes).rename(columns={"bed": "Rooms to sleep in"}).to_csv(file, index=False)
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text(t("many.all_readable"))).to_be_visible()
    settled(page)
    page.get_by_text(t("many.unmatched", n="")).click()
    settled(page)
    chosen(page, words.label("bed"), "Rooms to sleep in")
    expect(page.get_by_text(t("many.failing", n=20, rows=40))).to_be_visible()
    seen(page, site, t, "many-matching")
    page.set_viewport_size(WIDE)
    page.get_by_role("button", name=t("many.start", rows="20")).click()
    expect(page.get_by_test_id("stMetricValue").nth(0)).to_have_text("20")
    expect(page.get_by_test_id("stMetricValue").nth(1)).to_have_text("20")
    settled(page)
    with page.expect_download() as started:
        page.get_by_test_id("stDownloadButton").get_by_text(t("many.download_csv")).click()
    valued = pd.read_csv(started.value.path())
    assert len(valued) == 40
    assert valued["estimated_price"].notna().sum() == 20
    assert valued["price_gap_percent"].notna().sum() == 20
    page.get_by_test_id("stSidebarNav").get_by_text(t("market.title")).click()
    expect(page.get_by_role("heading", name=t("market.title"), level=1)).to_be_visible()
    page.get_by_test_id("stSidebarNav").get_by_text(t("many.title")).click()
    expect(page.get_by_test_id("stMetricValue").nth(0)).to_have_text("20")
    page.set_viewport_size(WIDE)
    seen(page, site, t, "many")


def why(page: Page, site: Site, t: Texts) -> None:
    """From a value to its reasons; the language is switched there and nothing is lost."""
    opened(page, site, t, "", site.query)
    expect(page.get_by_test_id("stMetricValue").first).to_be_visible()
    settled(page)
    page.get_by_test_id("stSidebarNav").get_by_text(t("why.title")).click()
    expect(page.get_by_role("heading", name=t("why.force"))).to_be_visible()
    settled(page)
    other = catalogue(next(each for each in LANGUAGES if each != t.language))
    for spoken in (other, t):
        page.get_by_test_id("stSidebar").get_by_text(LANGUAGES[spoken.language]).click()
        expect(page.get_by_role("heading", name=spoken("why.force"))).to_be_visible()
        expect(page.get_by_test_id("stMetricValue").first).to_be_visible()
        settled(page)
    seen(page, site, t, "why")


def the_market(page: Page, site: Site, t: Texts) -> None:
    """From the country to the cities of the home's state, and from prices to sizes."""
    with ServiceClient(site.service) as client:
        words = MarketTexts(t, client.model_info())
    opened(page, site, t, "market")
    settled(page)
    chosen(page, words.label("state"), str(site.home["state"]))
    expect(page.get_by_role("combobox", name=re.compile(words.label("city")))).to_be_visible()
    page.get_by_role("radio", name=words("market.median_house_size")).click()
    expect(
        page.get_by_role("heading", name=words("market.where_median_house_size"))
    ).to_be_visible()
    seen(page, site, t, "market")


def models_and_monitoring(page: Page, site: Site, t: Texts) -> None:
    """Why the champion is the champion, and what drifted."""
    with ServiceClient(site.service) as client:
        told = client.history()
    assert told.champion is not None
    decision = told.decision_on(told.champion)
    assert decision is not None
    opened(page, site, t, "models")
    words = decision_texts.promotion_text(t, decision)
    expect(page.get_by_text(words.partition(":")[0][:60]).first).to_be_visible()
    seen(page, site, t, "models")
    page.set_viewport_size(WIDE)
    opened(page, site, t, "monitoring")
    expect(page.get_by_role("heading", name=t("monitoring.drift"))).to_be_visible()
    seen(page, site, t, "monitoring")


def opened(page: Page, site: Site, t: Texts, path: str, query: str = "") -> None:
    """The page at `path` is there, in the language that was asked for."""
    page.goto(f"{site.app}/{path}?lang={t.language}&{query}")
    title = t(f"{path or 'value'}.title")
    expect(page.get_by_role("heading", name=title, exact=True, level=1)).to_be_visible()


def chosen(page: Page, label: str, option: str) -> None:
    """`option` is chosen from the list `label`, which closes when the page around it is redrawn."""
    combobox = page.get_by_role("combobox", name=re.compile(label))
    item = page.get_by_role("option", name=option, exact=True)
    for _ in range(TRIES):
        combobox.click()
        # A list of fifty states is drawn as far as it is seen.
        page.keyboard.type(option)
        try:
            return item.click(timeout=5_000)
        except ClosedAgain:
            settled(page)
    raise AssertionError(f"the list {label} does not offer {option}")


def settled(page: Page) -> None:
    """Nothing runs any more, and nothing has gone wrong."""
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_test_id("stException")).to_have_count(0)


def seen(page: Page, site: Site, t: Texts, name: str) -> None:
    """The page has settled; it is pictured wide and narrow, and fits a telephone."""
    settled(page)
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        # A chart is drawn anew some time after its page has changed.
        page.wait_for_function(_NO_CHART_IS_CUT_OFF)
        if site.pictures is not None:
            high = min(int(page.evaluate(_CONTENT_HEIGHT)), MOST_PIXELS)
            page.set_viewport_size({"width": size["width"], "height": max(high, size["height"])})
            settled(page)
            page.wait_for_timeout(500)
            site.pictures.mkdir(parents=True, exist_ok=True)
            file = site.pictures / f"{name}-{t.language}-{size['width']}.png"
            page.screenshot(path=file)
            page.set_viewport_size(size)  # type: ignore[arg-type]
