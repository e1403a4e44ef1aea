"""The `realtor` command.

Everything heavy is imported by the command that needs it: `realtor --help` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from realtor_local.errors import RealtorError

if TYPE_CHECKING:
    from rich.console import Console

    from realtor_local.settings import Settings
    from realtor_local.stack import Stack

FAILED, DOWN = 1, 3

app = typer.Typer(
    name="realtor",
    help="The Realtor platform on this machine.\n\n"
    "Exit codes: 0 done, 1 failed (one line says why), 2 wrong usage, 3 the platform is down"
    " (status), 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The entry point: an error that a person can put right is one line and exit code 1."""
    try:
        app()
    except (RealtorError, OSError) as error:
        _console(error=True).print(f"realtor: {error}", style="red")
        sys.exit(FAILED)


# ------------------------------------------------------------------------------------- the platform


@app.command()
def up(
    detach: Annotated[
        bool | None,
        typer.Option(
            "--detach/--foreground",
            help="Return once the platform is up, or stay and stop it on Ctrl-C."
            "  [default: foreground on a terminal, else detached]",
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
    code = bring_up(_settings(), _console(), lineage=lineage, foreground=not detach)
    raise typer.Exit(code)


@app.command()
def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove all its data as well: there is no way back.")
    ] = False,
) -> None:
    """Stop the platform, and whatever it has left behind. Exit code 0 also when nothing ran."""
    from realtor_local.stack import Stack

    console = _console()
    stack = Stack(_settings(), console)
    stopped = stack.stop()
    console.print("The platform is stopped." if stopped else "The platform was not running.")
    if purge:
        stack.purge()
        console.print(f"{stack.home.root} and all the platform's data are removed.")


@app.command()
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
        save(_stack().contents(), folder, _console())
    else:
        save_and_keep(_stack().contents(), folder, keep, _console())


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `realtor backup` made.")],
) -> None:
    """Bring back what `realtor backup` saved, into a platform that is down and empty.

    Run it again when it was cut off. Exit code 1 when FOLDER is not whole, or there is something
    that would be lost.
    """
    console = _console()
    _stack().restore(folder)
    console.print(f"{folder} is restored. `realtor up` starts it.")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show each program's state, pid, uptime, port, URL and health.

    Exit codes: 0 all healthy, 1 something is not, 3 the platform is down.
    """
    from dataclasses import asdict

    from realtor_local.report import print_table, status_table
    from realtor_local.stack import Stack

    console = _console()
    rows = Stack(_settings(), console).status()
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
    elif rows:
        print_table(console, status_table(rows))
    else:
        console.print("The platform is down; `realtor up` starts it.")
    if not rows:
        raise typer.Exit(DOWN)
    if any(row.problem for row in rows):
        raise typer.Exit(FAILED)


@app.command()
def doctor() -> None:
    """Check this machine and the platform, and name the fix for what is wrong.

    Exit codes: 0 nothing fails (warnings may remain), 1 something does.
    """
    from realtor_local.doctor import diagnose, report

    console = _console()
    if not report(diagnose(_settings(), console), console):
        raise typer.Exit(FAILED)


@app.command()
def restart_upstream() -> None:
    """Rewind the upstream to its first batch; what is in RAW already is not stored twice.

    Exit codes: 0 rewound, 1 the upstream does not answer.
    """
    from realtor_local.lineage import rewind_upstream

    environment = _platform()
    rewind_upstream(
        environment["REALTOR_API_URL"],
        group=environment.get("REALTOR_API_GROUP", "1"),
        day=environment.get("REALTOR_API_DAY"),
    )
    _console().print(
        "The upstream begins again at its first batch. The next `realtor ingest` goes through what"
        " is here already, to the first batch that is not."
    )


# -------------------------------------------------------------------------------------- the lineage


@app.command()
def ingest(
    batch: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Batch number N: once more if it is landed (nothing is stored twice, the upstream"
            " is not asked), else ask for batches up to it.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every batch, until the upstream has no more.")
    ] = False,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="A CSV in the Kaggle format."
        ),
    ] = None,
) -> None:
    """Take listings into RAW; without an option, the upstream's next batch.

    Runs the Dagster jobs `ingest` (or `ingest_csv`) and `load`. Exit codes: 0 done (also when the
    upstream has no more data), 1 a run failed or there is no such batch.
    """
    if (batch is not None) + every + (csv is not None) > 1:
        raise typer.BadParameter("only one of --batch, --all and --csv can be given")
    from realtor_local.lineage import Ingestion
    from realtor_local.orchestrator import Dagster

    environment, console = _platform(), _console()
    with Dagster(_dagster_url(environment)) as dagster:
        ingestion = Ingestion(dagster, environment["REALTOR_RAW_DATABASE_URL"], console)
        if csv is not None:
            ingestion.file(csv.resolve())
        elif batch is not None:
            ingestion.batch(batch, int(environment.get("REALTOR_API_GROUP", "1")))
        else:
            while ingestion.next() and every:
                pass


@app.command()
def train() -> None:
    """Build the features, train the candidates and let the best one challenge Production.

    Runs the Dagster jobs `clean` and `train`, and tells what was decided.

    Exit codes: 0 both succeeded, whatever was decided; 1 one failed.
    """
    from realtor_local.history import read_history, tell_news
    from realtor_local.lineage import run_jobs

    environment, console = _platform(), _console()
    databases = (environment["REALTOR_RAW_DATABASE_URL"], environment["REALTOR_CLEAN_DATABASE_URL"])
    before = read_history(*databases)
    run_jobs(_dagster_url(environment), ["clean", "train"], console)
    tell_news(before, read_history(*databases), console)


_Approver = Annotated[
    str, typer.Option("--approver", help="Who decides this.  [default: the user logged in]")
]


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="Version of the registered model.")],
    reason: Annotated[
        str, typer.Option(help="Why; kept with the decision.")
    ] = "promoted on the command line",
    approver: _Approver = "",
) -> None:
    """Make a version the Production model by hand. Exit codes: 0 done, 1 no such version."""
    _release("promote", version, reason=reason, approver=approver)


@app.command()
def rollback(
    version: Annotated[
        str | None, typer.Argument(help="An earlier version.  [default: the one before]")
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Why; kept with the decision.")
    ] = "rolled back on the command line",
    approver: _Approver = "",
) -> None:
    """Give Production back to an earlier version. Exit codes: 0 done, 1 there is none."""
    _release("roll_back", version=version, reason=reason, approver=approver)


@app.command()
def approve(
    version: Annotated[str, typer.Argument(help="Version that waits for approval.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the decision.")],
    approver: _Approver = "",
) -> None:
    """Promote a version that won its duel and waits for a person (REALTOR_APPROVAL_REQUIRED).

    Exit codes: 0 promoted, 1 it does not wait, or another model came into Production meanwhile.
    """
    _release("approve", version, rationale=reason, approver=approver)


@app.command()
def admit(
    partition: Annotated[
        str, typer.Argument(help="Partition of the batch, as `history` names it.")
    ],
    reason: Annotated[str, typer.Option(help="Why; kept with the batch.")],
    approver: _Approver = "",
) -> None:
    """Let a batch that was held back as suspect into training.

    Its new decision, and the training, follow by themselves. Exit codes: 0 done, 1 it is not held.
    """
    os.environ.update(_platform())
    from realtor_assets.batches import NotHeld, admit_batch
    from realtor_assets.resources import Database

    database = Database(url=os.environ["REALTOR_CLEAN_DATABASE_URL"])
    try:
        admit_batch(database, partition, approver=approver or getuser(), rationale=reason)
    except NotHeld as error:
        raise RealtorError(str(error)) from error
    _console().print(f"{partition} is admitted; its new decision follows.")


@app.command()
def history(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show what was decided of every batch and challenger, and every release, with reasons.

    Exit code 0 also before the first batch; 1 when a database does not answer.
    """
    from realtor_local.history import read_history, show

    environment = _platform()
    told = read_history(
        environment["REALTOR_RAW_DATABASE_URL"], environment["REALTOR_CLEAN_DATABASE_URL"]
    )
    if as_json:
        typer.echo(json.dumps(told, indent=2, default=str))
    else:
        show(told, _console())


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=1, help="Newest clean builds to keep.")] = 5,
    apply: Annotated[
        bool, typer.Option("--apply", help="Remove them; without it they are only listed.")
    ] = False,
) -> None:
    """Remove Parquet snapshots of earlier clean builds, which can be made again from RAW.

    Payloads, tables, decisions, MLflow's runs and versions stay, and so do the snapshots of the
    versions that a rollback goes back to. Exit code 0 also when there is nothing to remove.
    """
    environment, console = _platform(), _console()
    os.environ.update(environment)
    from realtor_assets.resources import Database, ObjectStore
    from realtor_assets.retention import removable_snapshots, remove
    from realtor_assets.tracking import Tracking

    store = ObjectStore(url=environment["REALTOR_STORAGE_URL"])
    found = removable_snapshots(
        store,
        Database(url=environment["REALTOR_CLEAN_DATABASE_URL"]),
        Tracking(tracking_uri=environment["MLFLOW_TRACKING_URI"]),
        keep=keep,
    )
    for snapshot in found:
        if apply:
            remove(store, snapshot)
        done = "removed" if apply else "would go"
        console.print(
            f"{done}: clean build {snapshot.data_version}, {snapshot.bytes / 1e6:,.1f} MB"
        )
    if not found:
        console.print("There is nothing to remove.")
    elif not apply:
        console.print("Nothing is removed yet: --apply does it.")


# --------------------------------------------------------------------------------------- valuations


@app.command()
def predict(
    brokered_by: Annotated[int | None, typer.Option(help="Code of the broker.")] = None,
    status: Annotated[str | None, typer.Option(help="for_sale, sold or ready_to_build.")] = None,
    bed: Annotated[int | None, typer.Option(help="Bedrooms.")] = None,
    bath: Annotated[int | None, typer.Option(help="Bathrooms.")] = None,
    acre_lot: Annotated[float | None, typer.Option(help="Size of the lot, in acres.")] = None,
    street: Annotated[int | None, typer.Option(help="Code of the street.")] = None,
    city: Annotated[str | None, typer.Option(help="City.")] = None,
    state: Annotated[str | None, typer.Option(help="State, by its full name.")] = None,
    zip_code: Annotated[str | None, typer.Option(help="Zip code.")] = None,
    house_size: Annotated[int | None, typer.Option(help="Living area, in square feet.")] = None,
    prev_sold_date: Annotated[
        str | None, typer.Option(help="When it was last sold, as YYYY-MM-DD.")
    ] = None,
    listing: Annotated[
        str | None,
        typer.Option("--json", help="The whole property as a JSON object, instead of options."),
    ] = None,
) -> None:
    """Value one property with the running service.

    Exit codes: 0 valued, 1 refused (the reason names the field) or the service does not answer.
    """
    from realtor_local.report import valuation_text
    from realtor_local.valuation import ValuationService

    given: dict[str, Any] = {
        "brokered_by": brokered_by,
        "status": status,
        "bed": bed,
        "bath": bath,
        "acre_lot": acre_lot,
        "street": street,
        "city": city,
        "state": state,
        "zip_code": zip_code,
        "house_size": house_size,
        "prev_sold_date": prev_sold_date,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if listing is not None:
        if given:
            raise typer.BadParameter("give --json or options, not both")
        given = _json_object(listing)
    valuation = ValuationService(_service_url()).predict(given)
    console = _console()
    console.print(valuation_text(valuation))
    model = valuation["model"]
    console.print(f"by {model['name']} version {model['version']} ({model['candidate']})")
    for warning in valuation["warnings"]:
        console.print(f"note: {warning}", style="yellow")


@app.command()
def score(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="Properties: a CSV or Parquet file, or postgresql://… with --table."
        ),
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File to write, CSV or Parquet.")],
    table: Annotated[
        str | None,
        typer.Option(help="Table of the database IN: its name, or schema.name."),
    ] = None,
) -> None:
    """Value a file or a table of properties with the champion, without the service.

    Every row comes out, with an estimate or the reason why there is none. A run that was killed
    goes on where it was when it is started again. Exit codes: 0 written, 1 there is no champion or
    IN cannot be read, 2 a URL without --table or a file with it.
    """
    from realtor_local.scoring import URL_SCHEMES, score_with_champion

    if source.startswith(URL_SCHEMES) != (table is not None):
        raise typer.BadParameter(
            "a postgresql:// URL needs a table, a file none", param_hint="--table"
        )
    cache = Path(_platform()["REALTOR_CHAMPION_CACHE"])
    score_with_champion(cache, source, table, target, _console())


# ---------------------------------------------------------------------------------------- internals


def _console(*, error: bool = False) -> Console:
    from realtor_local.report import make_console

    return make_console(error=error)


def _settings() -> Settings:
    from realtor_local.settings import load_settings

    return load_settings()


def _stack() -> Stack:
    from realtor_local.stack import Stack

    return Stack(_settings(), _console())


def _platform() -> dict[str, str]:
    """What platform.env tells of the platform that was started last. Raises RealtorError."""
    from realtor_local.home import Home

    home = Home(_settings().home)
    environment = home.environment()
    if not environment:
        raise RealtorError(f"There is no platform in {home.root} yet: `realtor up` makes it.")
    return environment


def _service_url() -> str:
    return os.environ.get("REALTOR_SERVICE_URL") or _platform()["REALTOR_SERVICE_URL"]


def _release(action: str, *version: str, approver: str, **how: str | None) -> None:
    """Call a function of `realtor_assets.release.production`, and have the service follow."""
    console, environment = _console(), _platform()
    os.environ.update(environment)
    from realtor_assets.release import production
    from realtor_assets.resources import Database
    from realtor_assets.tracking import Tracking

    database = Database(url=environment["REALTOR_CLEAN_DATABASE_URL"])
    tracking = Tracking(tracking_uri=environment["MLFLOW_TRACKING_URI"])
    act = getattr(production, action)
    try:
        record = act(database, tracking, *version, approver=approver or getuser(), **how)
    except production.UnknownVersion as error:
        raise RealtorError(str(error)) from error
    if record.decision == "rejected":
        raise RealtorError(record.reason)
    _reload(console, environment)


def _dagster_url(environment: Mapping[str, str]) -> str:
    from realtor_local.up import platform_urls

    urls = platform_urls(environment)
    if "Dagster" not in urls:
        raise RealtorError("This platform runs without Dagster (REALTOR_PROGRAMS).")
    return urls["Dagster"]


def _reload(console: Console, environment: Mapping[str, str]) -> None:
    from realtor_local.valuation import ServiceError, ValuationService

    try:
        told = ValuationService(environment["REALTOR_SERVICE_URL"]).reload()
    except ServiceError as error:
        console.print(f"Done. The service will follow when it is up: {error}", style="yellow")
    else:
        console.print(f"The service now values with version {told['after']}.")


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint="--json") from error
    if not isinstance(value, dict):
        raise typer.BadParameter("must be a JSON object", param_hint="--json")
    return value
