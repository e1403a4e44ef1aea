"""The `realtor` command.

Everything heavy is imported by the command that needs it: `realtor --help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from realtor_local.cli import (
    context,
    decision_commands,
    pipeline_commands,
    platform_commands,
    valuation_commands,
)
from realtor_local.errors import RealtorError
from realtor_model import __version__

app = typer.Typer(
    name="realtor",
    help="The Realtor platform on this machine.\n\n"
    "Exit codes: 0 success, 1 failure (one line says why), 2 wrong usage, 3 the platform is down"
    " (status), 130 interrupted.",
    no_args_is_help=True,
    # Lines are filled: docstrings end theirs where the code does.
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# In the order of `realtor --help`.
for command in (
    platform_commands.up,
    platform_commands.down,
    platform_commands.backup,
    platform_commands.restore,
    platform_commands.status,
    platform_commands.doctor,
    platform_commands.market,
    pipeline_commands.restart_upstream,
    pipeline_commands.ingest,
    pipeline_commands.train,
    decision_commands.promote,
    decision_commands.rollback,
    decision_commands.approve,
    decision_commands.admit,
    decision_commands.refused,
    pipeline_commands.history,
    pipeline_commands.prune,
    valuation_commands.predict,
    valuation_commands.score,
):
    own_class = valuation_commands.PredictCommand if command is valuation_commands.predict else None
    app.command(cls=own_class)(command)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        version = ".".join(map(str, sys.version_info[:3]))
        typer.echo(f"realtor {__version__}, Python {version}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options without a command."""


def main() -> None:
    """The entry point: an error that a user can fix prints one line and exits with code 1."""
    try:
        app()
    except (RealtorError, OSError) as error:
        context.console(error=True).print(f"realtor: {error}", style="red")
        sys.exit(context.FAILED)
