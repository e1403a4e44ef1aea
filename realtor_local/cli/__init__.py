"""The `realtor` command.

Everything heavy is imported by the command that needs it: `realtor --help` answers at once.
"""

from __future__ import annotations

import sys

import typer

from realtor_local.cli import (
    context,
    decision_commands,
    pipeline_commands,
    platform_commands,
    valuation_commands,
)
from realtor_local.errors import RealtorError

app = typer.Typer(
    name="realtor",
    help="The Realtor platform on this machine.\n\n"
    "Exit codes: 0 success, 1 failure (one line says why), 2 wrong usage, 3 the platform is down"
    " (status), 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
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
    pipeline_commands.restart_upstream,
    pipeline_commands.ingest,
    pipeline_commands.train,
    decision_commands.promote,
    decision_commands.rollback,
    decision_commands.approve,
    decision_commands.admit,
    pipeline_commands.history,
    pipeline_commands.prune,
    valuation_commands.predict,
    valuation_commands.score,
):
    app.command()(command)


def main() -> None:
    """The entry point: an error that a user can fix prints one line and exits with code 1."""
    try:
        app()
    except (RealtorError, OSError) as error:
        context.console(error=True).print(f"realtor: {error}", style="red")
        sys.exit(context.FAILED)
