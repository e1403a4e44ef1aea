"""The `realtor` command.

Everything heavy is imported by the command that needs it: `realtor --help` answers at once.
"""

from __future__ import annotations

import sys

import typer

from realtor_local.cli import context, decisions, pipeline, platform, valuations
from realtor_local.errors import RealtorError

app = typer.Typer(
    name="realtor",
    help="The Realtor platform on this machine.\n\n"
    "Exit codes: 0 done, 1 failed (one line says why), 2 wrong usage, 3 the platform is down"
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
    platform.up,
    platform.down,
    platform.backup,
    platform.restore,
    platform.status,
    platform.doctor,
    pipeline.restart_upstream,
    pipeline.ingest,
    pipeline.train,
    decisions.promote,
    decisions.rollback,
    decisions.approve,
    decisions.admit,
    pipeline.history,
    pipeline.prune,
    valuations.predict,
    valuations.score,
):
    app.command()(command)


def main() -> None:
    """The entry point: an error that a person can put right is one line and exit code 1."""
    try:
        app()
    except (RealtorError, OSError) as error:
        context.console(error=True).print(f"realtor: {error}", style="red")
        sys.exit(context.FAILED)
