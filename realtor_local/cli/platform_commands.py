"""Commands for the platform as a whole: start, stop, inspect, back up, restore."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from realtor_local.cli import context


def up(
    detach: Annotated[
        bool | None,
        typer.Option(
            "--detach/--foreground",
            help="Return once the platform is up, or stay and stop it with Ctrl-C."
            " (default: foreground on a terminal, else detached)",
        ),
    ] = None,
    lineage: Annotated[
        bool,
        typer.Option(
            "--lineage/--no-lineage", help="Train a first model if there is no Production model."
        ),
    ] = True,
) -> None:
    """Start the platform and train its first model.

    It can be repeated: running programs keep running, and an interrupted start is completed.

    Exit codes: 0 up (in the foreground: stopped with Ctrl-C), 1 a program does not start or the
    first training failed, 130 interrupted while starting.
    """
    from realtor_local.up import up as bring_up

    if detach is None:
        detach = not (sys.stdin.isatty() and sys.stdout.isatty())
    code = bring_up(context.settings(), context.console(), lineage=lineage, foreground=not detach)
    raise typer.Exit(code)


def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Also remove all data. This cannot be undone.")
    ] = False,
) -> None:
    """Stop the platform and any process it left behind. Exit code: 0, also when nothing ran."""
    console, stack = context.console(), context.stack()
    stopped = stack.stop()
    console.print("The platform is stopped." if stopped else "The platform was not running.")
    if purge:
        stack.purge()
        console.print(f"{stack.home.root} and all the platform's data are removed.")


def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Save into a new subfolder of FOLDER, named after the time, and remove all but the"
            " newest N of these.",
        ),
    ] = None,
) -> None:
    """Save the four databases and the stores into FOLDER while the platform runs.

    Exit codes: 0 saved, 1 FOLDER exists or a database does not answer. A failed backup leaves
    nothing behind, unless only its entry in RAW failed: then the message says that it is complete.
    """
    from realtor_local.backup import save, save_and_keep

    if keep is None:
        save(context.stack().contents(), folder, context.console())
    else:
        save_and_keep(context.stack().contents(), folder, keep, context.console())


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of a backup.")],
) -> None:
    """Restore a backup into a platform that is down and empty.

    Repeat an interrupted restore with the same FOLDER. Exit codes: 0 restored, 1 FOLDER is not
    complete, or the platform holds data that would be lost.
    """
    console = context.console()
    context.stack().restore(folder)
    console.print(f"{folder} is restored. `realtor up` starts the platform.")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show each program's state, pid, uptime, port, URL and health.

    Exit codes: 0 all healthy, 1 a program is unhealthy, 3 the platform is down.
    """
    from dataclasses import asdict

    from realtor_local.console_output import print_table, status_table

    console = context.console()
    rows = context.stack().status()
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
    elif rows:
        print_table(console, status_table(rows))
    else:
        console.print("The platform is down; `realtor up` starts it.")
    if not rows:
        raise typer.Exit(context.DOWN)
    if any(row.problem for row in rows):
        raise typer.Exit(context.FAILED)


def market(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A market file (TOML).")],
) -> None:
    """Check a market file and show its columns.

    Exit codes: 0 it can be used, 1 it is broken (one line says where and what to write instead).
    """
    from realtor_local.console_output import market_table, print_table
    from realtor_local.errors import RealtorError
    from realtor_model.listing import InvalidMarketFile, read_market

    console = context.console()
    try:
        contract = read_market(file)
    except InvalidMarketFile as problem:
        raise RealtorError(str(problem)) from problem
    low, high = contract.price_range
    title = contract.title.get("en", contract.name)
    console.print(
        f"{title}: {len(contract.columns)} columns; models learn from prices from {low:,.0f} to"
        f" {high:,.0f} {contract.currency}. Version {contract.version}."
    )
    print_table(console, market_table(contract))


def doctor() -> None:
    """Check this machine and the platform, and print a fix for each problem.

    Exit codes: 0 no check failed (there may be warnings), 1 a check failed.
    """
    from realtor_local.doctor import diagnose, report

    console = context.console()
    if not report(diagnose(context.settings(), console), console):
        raise typer.Exit(context.FAILED)
