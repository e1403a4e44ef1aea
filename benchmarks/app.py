"""The app in a real browser: first page, a file of 100,000 homes, and repeated requests.

    python -m benchmarks.app --rows 100000

Baselines of the same run: for the first page, a Streamlit page of one line; for the file, the same
rows sent to `/predict-batch` without the app; for the requests after a change of the language, the
requests of a newly opened page. Needs a Chromium. Exits with status 1 when a figure misses its
target.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks._market import splits_of
from benchmarks._servers import ROOT, free_port, running, service
from benchmarks.serving import homes, train
from realtor_model.valuation.bundle import load_bundle, save_bundle
from realtor_model.valuation.comparables import SoldHomes
from realtor_model.valuation.market_statistics import MarketStatistics
from realtor_ui import service_metrics
from realtor_ui.client import ServiceClient
from realtor_ui.service_cache import market_contract
from realtor_ui.texts import LANGUAGES, catalogue
from realtor_ui.uploads.upload import Upload
from realtor_ui.uploads.valuing import CHUNK_ROWS, value_homes
from tests.ui.paths import CHROMIUM, NO_CHROMIUM, OPTIONS, settled

MARKET_ROWS = 60_000
T = catalogue("en")
ONE_LINE = 'import streamlit as st\n\nst.title("Nothing else")\n'


@dataclass(frozen=True)
class Figure:
    """One measured value with its target and, if there is one, its baseline."""

    name: str
    value: float
    target: float
    baseline: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True)
class Run:
    """The addresses of the programs, a home, and the browser."""

    app: str
    one_line: str
    service: str
    home: Mapping[str, Any]
    browser: Browser

    @property
    def of_home(self) -> str:
        """URL of the page that values the home."""
        return f"{self.app}/?lang=en&" + "&".join(f"{k}={v}" for k, v in self.home.items())

    def request_count(self) -> float:
        """Number of requests that clients have sent to the service so far."""
        text = httpx.get(f"{self.service}/metrics").text
        return service_metrics.parse_metrics(text, datetime.now(UTC)).total_requests

    @contextmanager
    def page(self) -> Iterator[Page]:
        """A page in a new browser context with an empty cache."""
        context = self.browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US")
        yield context.new_page()
        context.close()


def first_page(run: Run, visits: int) -> list[Figure]:
    """Seconds until the page is usable, with a warm app and an empty browser cache."""

    def seconds(url: str, ready: Callable[[Page], None]) -> float:
        durations = []
        for _ in range(visits + 1):
            with run.page() as page:
                started = time.perf_counter()
                page.goto(url, wait_until="commit")
                ready(page)
                durations.append(time.perf_counter() - started)
        # The first visit warms the app up and does not count.
        return statistics.median(durations[1:])

    floor = seconds(
        run.one_line, lambda page: expect(page.get_by_role("heading", level=1)).to_be_visible()
    )
    button = seconds(
        f"{run.app}/?lang=en",
        lambda page: expect(page.get_by_role("button", name=T("form.value"))).to_be_enabled(),
    )
    price = seconds(
        run.of_home,
        lambda page: expect(page.get_by_test_id("stMetricValue").first).to_contain_text("$"),
    )
    return [
        Figure("form usable, s", button, 3.0, floor),
        Figure("price of a linked home shown, s", price, 3.0, floor),
    ]


def repeated_requests(run: Run) -> list[Figure]:
    """Requests to the service when only the language or the page changes."""
    with run.page() as page:
        before = run.request_count()
        # Another home than on the first page, so that nothing of it is cached.
        page.goto(run.of_home.replace("bed=", "bath=1&bed="))
        expect(page.get_by_test_id("stTable")).to_be_visible()
        settled(page)
        opened = run.request_count() - before
        sidebar, other = page.get_by_test_id("stSidebar"), catalogue("es")
        before = run.request_count()
        sidebar.get_by_text(LANGUAGES["es"]).click()
        expect(page.get_by_role("heading", name=other("comps.heading"))).to_be_visible()
        settled(page)
        language = run.request_count() - before
        before = run.request_count()
        for name in ("why", "value"):
            page.get_by_test_id("stSidebarNav").get_by_text(other(f"{name}.title")).click()
            title = page.get_by_role("heading", name=other(f"{name}.title"), exact=True, level=1)
            expect(title).to_be_visible()
            expect(page.get_by_test_id("stMetricValue").first).to_be_visible()
            settled(page)
        pages = run.request_count() - before
    return [
        Figure("requests after a change of language", language, 0, opened),
        Figure("requests for the page Why and back", pages, 0, opened),
    ]


def upload_file(run: Run, table: pd.DataFrame, folder: Path) -> list[Figure]:
    """Seconds from the click on the button to the results, and the progress steps shown."""
    file = folder / "homes.csv"
    table.to_csv(file, index=False)
    with ServiceClient(run.service) as client:
        info = client.model_info()
        contract = market_contract(info)
        upload = Upload(file.name, file.read_bytes())
        upload.opened(contract, len(table))
        homes_of_file = upload.understood(info, contract)
        next(value_homes(homes_of_file, client.predict_table))
        started = time.perf_counter()
        for _ in value_homes(homes_of_file, client.predict_table):
            pass
        bare = time.perf_counter() - started
    with run.page() as page:
        page.goto(f"{run.app}/many?lang=en")
        started = time.perf_counter()
        page.locator("input[type=file]").set_input_files(file)
        button = page.get_by_role("button", name=T("many.start", rows=f"{len(table):,}"))
        expect(button).to_be_enabled(timeout=120_000)
        read = time.perf_counter() - started
        page.evaluate(
            """() => {
                window.steps = new Set();
                const look = () => document.querySelectorAll('[data-testid=stProgress]')
                    .forEach(bar => bar.innerText && window.steps.add(bar.innerText));
                new MutationObserver(look).observe(
                    document.body, {childList: true, subtree: true, characterData: true});
            }"""
        )
        started = time.perf_counter()
        button.click()
        expect(page.get_by_test_id("stMetricValue").nth(3)).to_be_visible(timeout=300_000)
        valued = time.perf_counter() - started
        steps = page.evaluate("window.steps.size")
        settled(page)
    per = 100_000 / len(table)
    return [
        Figure("100,000 rows read and matched, s", read * per, 15.0),
        Figure("100,000 rows valued and shown, s", valued * per, 30.0, bare * per),
        Figure("the same / /predict-batch alone", valued / bare, 3.0),
        Figure("progress steps shown", steps, min(10, len(table) // CHUNK_ROWS - 1),
               at_least=True),
    ]  # fmt: skip


def make_bundle(folder: Path) -> list[dict[str, Any]]:
    """Saves a model of the synthetic market with sold homes and statistics; returns test homes."""
    split = splits_of(MARKET_ROWS, 0)
    train(split, folder / "plain")
    learned = split["train"]
    model = replace(
        load_bundle(folder / "plain"),
        sold_homes=SoldHomes.of(learned.columns, learned.price),
        market=MarketStatistics.of(learned.columns, learned.price),
    )
    save_bundle(model, folder / "bundle")
    return homes(split["test"], 5_000)


@contextmanager
def stack(folder: Path, home: Mapping[str, Any]) -> Iterator[Run]:
    """Runs the service, the app as `realtor up` starts it, a page of one line, and a browser."""
    one_line = folder / "one_line.py"
    one_line.write_text(ONE_LINE)
    ports = [free_port() for _ in range(3)]
    service_url, app_url, line_url = (f"http://127.0.0.1:{port}" for port in ports)
    of_service = {
        "REALTOR_HOME": str(folder / "home"),
        "REALTOR_CHAMPION_BUNDLE": str(folder / "bundle"),
    }
    health = "/_stcore/health"

    def streamlit(script: Path, port: int) -> list[str]:
        return [
            "-m", "streamlit", "run", str(script), "--server.headless", "true",
            "--server.address", "127.0.0.1", "--server.port", str(port),
            "--browser.gatherUsageStats", "false",
        ]  # fmt: skip

    with (
        running(service(ports[0]), ports[0], "/readyz", folder / "service", of_service),
        running(
            streamlit(ROOT / "realtor_ui" / "app.py", ports[1]), ports[1], health, folder / "app",
            {"REALTOR_SERVICE_URL": service_url},
        ),
        running(streamlit(one_line, ports[2]), ports[2], health, folder / "line"),
        sync_playwright() as playwright,
    ):  # fmt: skip
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield Run(app_url, line_url, service_url, home, browser)
        browser.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--rows", type=int, default=100_000, help="rows of the file; default %(default)s"
    )
    parser.add_argument("--visits", type=int, default=5, help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    if CHROMIUM is None:
        print(f"Not measured: {NO_CHROMIUM}.")
        return 0
    with tempfile.TemporaryDirectory(prefix="realtor-app-") as name:
        folder = Path(name)
        described = make_bundle(folder)
        home = next(home for home in described if {"state", "bed", "house_size"} <= home.keys())
        home = {name: home[name] for name in ("state", "city", "zip_code", "house_size", "bed")
                if name in home}  # fmt: skip
        table = pd.DataFrame([described[i % len(described)] for i in range(options.rows)])
        with stack(folder, home) as run:
            figures = [
                *first_page(run, options.visits),
                *repeated_requests(run),
                *upload_file(run, table, folder),
            ]
    if options.json:
        print(json.dumps([asdict(figure) | {"met": figure.met} for figure in figures]))
    else:
        print(f"{'':42}{'measured':>10}{'baseline':>10}{'target':>10}")
        for figure in figures:
            baseline = "" if figure.baseline is None else f"{figure.baseline:,.2f}"
            target = f"{'≥' if figure.at_least else '≤'} {figure.target:g}"
            verdict = "" if figure.met else "   MISSED"
            print(f"{figure.name:42}{figure.value:>10,.2f}{baseline:>10}{target:>10}{verdict}")
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
