"""Tables and lines that `realtor` prints, on a terminal and in a log."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from realtor_local.stack import ProgramStatus

METRICS = ("rmse", "mae", "mape", "mdape", "r2")
IN_DOLLARS = {"rmse", "mae"}


def make_console(*, error: bool = False) -> Console:
    """A console without markup, because log lines may look like it."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else 120
    return Console(stderr=error, markup=False, highlight=False, soft_wrap=True, width=width)


def print_table(console: Console, table: Table) -> None:
    console.print(table, soft_wrap=False)


def platform_table(
    urls: Mapping[str, str],
    model: Mapping[str, Any] | None,
    listing: Mapping[str, object],
    valuation: Mapping[str, Any] | None,
) -> Table:
    """URLs, the champion's figures, one valuation, and the next steps."""
    table = Table(show_header=False, title="Realtor", title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, url in urls.items():
        table.add_row(name, url)
    if model is not None:
        table.add_section()
        for name, text in _champion_rows(model):
            table.add_row(name, text)
    if valuation is not None:
        table.add_section()
        table.add_row("Example", ", ".join(f"{key} {value}" for key, value in listing.items()))
        table.add_row("Valued at", valuation_text(valuation))
    table.add_section()
    for name, text in _next_rows(urls, champion=model is not None):
        table.add_row(name, text)
    return table


def valuation_text(valuation: Mapping[str, Any]) -> str:
    """ "$412,000 ($350,000 to $480,000 with 80 % probability, medium confidence)"."""
    return (
        f"{_dollars(valuation['price'])} ({_dollars(valuation['low'])} to"
        f" {_dollars(valuation['high'])} with {valuation['coverage']:.0%} probability,"
        f" {valuation['confidence']} confidence)"
    )


def status_table(rows: Sequence[ProgramStatus]) -> Table:
    table = Table()
    for heading in ("Program", "State", "Pid", "Up", "Port", "URL", "Health"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            row.name,
            row.state,
            str(row.pid or ""),
            _duration(row.uptime_seconds),
            str(row.port or ""),
            row.url or "",
            row.problem or "ok",
            style=None if row.problem is None else "red",
        )
    return table


def _champion_rows(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    metrics = model.get("metrics", {}).get("test", {})
    batches = model.get("batches")
    count = len(batches) if isinstance(batches, list) else batches
    on = f"{count} batch{'es' * (count != 1)}, {model['train_rows']:,} rows"
    return [
        ("Champion", f"{model['name']} version {model['version']} ({model['candidate']})"),
        ("Trained", f"{model['trained_at']} on {on}"),
        (
            "Test metrics",
            "  ".join(
                f"{name} " + (_dollars if name in IN_DOLLARS else _fraction)(metrics[name])
                for name in METRICS
                if name in metrics
            ),
        ),
    ]


def _next_rows(urls: Mapping[str, str], *, champion: bool) -> list[tuple[str, str]]:
    dagster = urls.get("Dagster")
    rows = [("Stop", "realtor down")]
    if dagster and champion:
        rows.insert(
            0,
            (
                "Next batch",
                f"realtor ingest, or the job ingest at {dagster}/jobs: the sensors load it,"
                " decide and train",
            ),
        )
    elif dagster:
        rows.insert(0, ("First model", "realtor up trains it; or: realtor ingest && realtor train"))
    return rows


def _dollars(amount: float) -> str:
    return f"${amount:,.0f}"


def _fraction(value: float) -> str:
    return f"{value:.3f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
