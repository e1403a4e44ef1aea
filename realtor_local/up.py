"""`realtor up`: starts the platform, trains the first champion, prints a summary."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from realtor_local.console_output import platform_table, print_table
from realtor_local.dagster_client import DagsterClient
from realtor_local.pipeline_jobs import Ingestion, has_champion, run_jobs, served_listings
from realtor_local.platform_settings import PlatformSettings
from realtor_local.service_client import ServiceClient, example_home
from realtor_local.signals import ends_interrupt
from realtor_local.stack import Stack

INTERRUPTED = 130

# Heading → the variable in platform.env that holds the URL.
_URLS: Mapping[str, str] = {
    "MLflow": "MLFLOW_TRACKING_URI",
    "Upstream": "REALTOR_API_URL",
    "Service": "REALTOR_SERVICE_URL",
}


def up(settings: PlatformSettings, console: Console, *, lineage: bool, foreground: bool) -> int:
    """Starts the platform, makes a champion where there is none, and prints the table.

    In the foreground it then watches until interrupted, and stops everything. Returns the exit
    code. Raises RealtorError; a platform whose lineage failed goes on running, to be looked at.
    """
    stack = Stack(settings, console)
    with ends_interrupt():
        try:
            fresh = stack.start()
        except KeyboardInterrupt:
            console.print("Interrupted; everything is stopped.")
            return INTERRUPTED
        if not fresh:
            console.print("The platform already runs.")
        try:
            if fresh:
                _cancel_lost_runs(stack, console)
            _show(stack, console, lineage=lineage)
        except KeyboardInterrupt:
            if fresh:
                stack.stop()
                console.print("Interrupted; everything is stopped.")
            return INTERRUPTED
        if foreground and fresh:
            console.print("Press Ctrl-C to stop everything.")
            try:
                stack.watch()
            except KeyboardInterrupt:
                stack.stop()
            console.print("Everything is stopped.")
    return 0


def _show(stack: Stack, console: Console, *, lineage: bool) -> None:
    environment = stack.home.environment()
    running = environment["REALTOR_PROGRAMS"].split(",")
    urls = platform_urls(environment)
    mlflow = environment.get("MLFLOW_TRACKING_URI")
    if "REALTOR_CSV" in environment and "upstream" in running:
        describe_file(environment["REALTOR_CSV"], environment["REALTOR_API_URL"], console)
    champion = mlflow is not None and "dagster-webserver" in running and has_champion(mlflow)
    if lineage and not champion and {"Dagster", "MLflow", "Service"} <= set(urls):
        # A second `up` meanwhile waits here, and finds the champion of the first.
        with stack.home.lock("lineage"):
            if mlflow is not None and not has_champion(mlflow):
                console.print("There is no Production model yet: training the first one.")
                with DagsterClient(urls["Dagster"]) as dagster:
                    raw = environment["REALTOR_RAW_DATABASE_URL"]
                    Ingestion(dagster, raw, console).first()
                run_jobs(urls["Dagster"], ("clean", "train"), console)
        champion = True
    model = valuation = None
    home: dict[str, object] = {}
    if champion and "service" in running:
        service = ServiceClient(environment["REALTOR_SERVICE_URL"])
        service.reload()
        model = service.model_info()
        home = example_home(model)
        valuation = service.predict(home)
    print_table(console, platform_table(urls, model, home, valuation))


def describe_file(csv: str, upstream_url: str, console: Console) -> None:
    """Print how many listings of the user's file are served, and what of it is not.

    Raises:
        UpstreamError: the file cannot be read.
    """
    served = served_listings(upstream_url)
    sizes = served["batches"]
    batches = f"{len(sizes)} batches" if len(sizes) > 1 else "1 batch"
    console.print(f"{csv}: {sum(sizes):,} listings in {batches}.")
    for note in served["notes"]:
        console.print(f"  {note}")
    for reason, rows in served["left_out"].items():
        console.print(f"  left out: {rows:,} {reason}", style="yellow")
    if served["unused"]:
        console.print(f"  columns without a use: {', '.join(served['unused'])}")


def _cancel_lost_runs(stack: Stack, console: Console) -> None:
    environment = stack.home.environment()
    urls = platform_urls(environment)
    if "Dagster" in urls and "dagster-daemon" in environment["REALTOR_PROGRAMS"].split(","):
        with DagsterClient(urls["Dagster"]) as dagster:
            lost = dagster.cancel_live_runs()
        if lost:
            console.print(
                f"Canceled runs that the last stop interrupted: {', '.join(lost)}.", style="yellow"
            )


def platform_urls(environment: Mapping[str, str]) -> dict[str, str]:
    """Heading → URL of what platform.env describes."""
    urls = {}
    running = environment["REALTOR_PROGRAMS"].split(",")
    if "dagster-webserver" in running:
        urls["Dagster"] = f"http://127.0.0.1:{environment['REALTOR_DAGSTER_PORT']}"
    urls |= {
        heading: environment[variable]
        for heading, variable in _URLS.items()
        if variable in environment
    }
    if "app" in running:
        urls["App"] = f"http://127.0.0.1:{environment['REALTOR_APP_PORT']}"
    return urls
