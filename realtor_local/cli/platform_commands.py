"""The platform as a whole: start, stop, look at, save and bring back."""

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
            help="Return once the platform is up, or stay and stop it on Ctrl-C."
            " (default: foreground on a terminal, else detached)",
        ),
    ] = None,
    lineage: Annotated[
        bool,
        typer.Option(
            "--lineage/--no-lineage", help="Train a first model where there is none in Production."
        ),
    ] = True,
) -> None:
    """Start the platform, and train its first model.

    Again and again is fine: what runs is left alone, and what stopped half-way is finished.
    Exit codes: 0 up (or, in the foreground, stopped by Ctrl-C), 1 something does not start or the
    lineage failed, 130 interrupted while starting.
    """
    from realtor_local.up import up as bring_up

    if detach is None:
        detach = not (sys.stdin.isatty() and sys.stdout.isatty())
    code = bring_up(context.settings(), context.console(), lineage=lineage, foreground=not detach)
    raise typer.Exit(code)


def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove all its data as well: there is no way back.")
    ] = False,
) -> None:
    """Stop the platform, and whatever it has left behind. Exit code 0 also when nothing ran."""
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
            help="Save into a new folder in FOLDER, named after the time, and remove all but the"
            " newest N of those.",
        ),
    ] = None,
) -> None:
    """Save the four databases and the stores into FOLDER, while the platform runs.

    Exit codes: 0 saved, 1 FOLDER exists or a database does not answer; then nothing is left of it,
    unless it says that the backup is whole and that only RAW could not note it down.
    """
    from realtor_local.backup import save, save_and_keep

    if keep is None:
        save(context.stack().contents(), folder, context.console())
    else:
        save_and_keep(context.stack().contents(), folder, keep, context.console())


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `realtor backup` made.")],
) -> None:
    """Bring back what `realtor backup` saved, into a platform that is down and empty.

    Run it again when it was cut off. Exit code 1 when FOLDER is not whole, or there is something
    that would be lost.
    """
    console = context.console()
    context.stack().restore(folder)
    console.print(f"{folder} is restored. `realtor up` starts it.")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show each program's state, pid, uptime, port, URL and health.

    Exit codes: 0 all healthy, 1 something is not, 3 the platform is down.
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


def doctor() -> None:
    """Check this machine and the platform, and name the fix for what is wrong.

    Exit codes: 0 nothing fails (warnings may remain), 1 something does.
    """
    from realtor_local.doctor import diagnose, report

    console = context.console()
    if not report(diagnose(context.settings(), console), console):
        raise typer.Exit(context.FAILED)
