"""Tables and lines that `realtor` prints, on a terminal and in a log."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from realtor_local.stack import ProgramStatus

if TYPE_CHECKING:
    from realtor_model.listing import ListingContract

METRICS = ("rmse", "mae", "mape", "mdape", "r2")
IN_MONEY = {"rmse", "mae"}


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
    price, low, high = (
        _money(valuation[name], valuation["currency"]) for name in ("price", "low", "high")
    )
    return (
        f"{price} ({low} to {high} with {valuation['coverage']:.0%} probability,"
        f" {valuation['confidence']} confidence)"
    )


def market_table(contract: ListingContract) -> Table:
    """The columns of a market: name, role, key in the tables, type, range, unit, headers."""
    table = Table()
    for heading in ("Column", "Role", "Key", "Type", "Values", "Unit", "Headers"):
        table.add_column(heading, overflow="fold")
    for column in contract.columns:
        low_high, unit = "", ""
        if column.range is not None:
            low, high, unit = column.range
            low_high = f"{low:,.12g} to {high:,.12g}"
        table.add_row(
            column.name,
            column.role.value,
            "" if column.key == column.name else column.key,
            column.kind.value,
            low_high or ", ".join(column.choices),
            unit,
            ", ".join(
                header if of is None else f"{header} ({of})"
                for header, of in column.headers.items()
            ),
        )
    return table


def inputs_table(inputs: Mapping[str, Mapping[str, Any]]) -> Table:
    """The inputs of a market, as /model-info describes them."""
    table = Table(title="Inputs of the model that is served", title_justify="left")
    for heading in ("Input", "Type", "Values", "Meaning"):
        table.add_column(heading, overflow="fold")
    for name, about in inputs.items():
        values = ", ".join(about.get("choices", ()))
        if "low" in about:
            values = f"{about['low']:,.12g} to {about['high']:,.12g} {about['unit']}"
        table.add_row(name, about["type"], values, about["description"])
    return table


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
    currency = model["market"]["currency"]
    batches = model.get("batches")
    count = len(batches) if isinstance(batches, list) else batches
    on = f"{count} batch{'es' * (count != 1)}, {model['train_rows']:,} rows"
    return [
        ("Champion", f"{model['name']} version {model['version']} ({model['candidate']})"),
        ("Trained", f"{model['trained_at']} on {on}"),
        (
            "Test metrics",
            "  ".join(
                f"{name} "
                + (_money(metrics[name], currency) if name in IN_MONEY else f"{metrics[name]:.3f}")
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


def _money(amount: float, currency: str) -> str:
    return f"${amount:,.0f}" if currency == "USD" else f"{amount:,.0f} {currency}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
