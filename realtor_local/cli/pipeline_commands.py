"""Commands for the pipeline: ingest, train, history, prune."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from realtor_local.cli import context
from realtor_local.errors import RealtorError


def restart_upstream() -> None:
    """Rewind the upstream to its first batch. Rows that are in RAW are not stored twice.

    Exit codes: 0 rewound, 1 the upstream does not answer.
    """
    from realtor_local.pipeline_jobs import rewind_upstream

    environment = context.platform()
    rewind_upstream(
        environment["REALTOR_API_URL"],
        group=environment.get("REALTOR_API_GROUP", "1"),
        day=environment.get("REALTOR_API_DAY"),
    )
    context.console().print(
        "The upstream starts again at its first batch. The next `realtor ingest` skips the batches"
        " that are landed already."
    )


def ingest(
    batch: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Batch number N. If it is landed, load it again (nothing is stored twice); else"
            " request batches until N arrives.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All batches, until the upstream has no more.")
    ] = False,
    csv: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A text file of listings: price, place, size, and what else the market has.",
        ),
    ] = None,
    again: Annotated[
        str | None,
        typer.Option(
            metavar="PARTITION",
            help="A landed payload again, by its partition as `realtor refused` names it.",
        ),
    ] = None,
) -> None:
    """Load listings into RAW; without an option, the upstream's next batch.

    Runs the Dagster jobs `ingest` (or `ingest_csv`) and `load`. A payload that is refused stops no
    other.

    Exit codes: 0 done (also when the upstream has no more data), 1 a payload was refused, a run
    failed or there is no such batch.
    """
    if (batch is not None) + every + (csv is not None) + (again is not None) > 1:
        raise typer.BadParameter("give only one of --batch, --all, --csv and --again")
    from realtor_local.dagster_client import DagsterClient
    from realtor_local.pipeline_jobs import Ingestion

    environment, console = context.running_platform(), context.console()
    with DagsterClient(_dagster_url(environment)) as dagster:
        ingestion = Ingestion(dagster, environment["REALTOR_RAW_DATABASE_URL"], console)
        if csv is not None:
            ingestion.file(csv.resolve())
        elif batch is not None:
            ingestion.batch(batch, int(environment.get("REALTOR_API_GROUP", "1")))
        elif again is not None:
            ingestion.again(again)
        else:
            while ingestion.next() and every:
                pass
        ingestion.raise_refused()


def train() -> None:
    """Build the features, train the candidates, and compare the best one with the champion.

    Runs the Dagster jobs `clean` and `train` and prints the decisions.

    Exit codes: 0 both jobs succeeded, whatever the decision; 1 a job failed.
    """
    from realtor_local.decision_history import print_new_decisions, read_history
    from realtor_local.pipeline_jobs import run_jobs

    environment, console = context.running_platform(), context.console()
    databases = (environment["REALTOR_RAW_DATABASE_URL"], environment["REALTOR_CLEAN_DATABASE_URL"])
    before = read_history(*databases)
    run_jobs(_dagster_url(environment), ["clean", "train"], console)
    print_new_decisions(before, read_history(*databases), console)


def history(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show the decision about every batch and challenger, and every release, with reasons.

    Exit codes: 0 shown (also before the first batch), 1 a database does not answer.
    """
    from realtor_local.decision_history import read_history, show

    environment = context.running_platform()
    tables = read_history(
        environment["REALTOR_RAW_DATABASE_URL"], environment["REALTOR_CLEAN_DATABASE_URL"]
    )
    if as_json:
        typer.echo(json.dumps(tables, indent=2, default=str))
    else:
        show(tables, context.console())


def prune(
    keep: Annotated[int, typer.Option(min=1, help="How many clean builds to keep.")] = 5,
    apply: Annotated[
        bool, typer.Option("--apply", help="Remove the snapshots. Without it they are only listed.")
    ] = False,
) -> None:
    """Remove Parquet snapshots of earlier clean builds, which can be rebuilt from RAW.

    Keeps payloads, tables, decisions, MLflow's runs and versions, and the snapshots of versions
    that a rollback returns to. Exit code: 0, also when there is nothing to remove.
    """
    environment, console = context.running_platform(), context.console()
    os.environ.update(environment)
    from realtor_assets.automation.snapshot_retention import removable_snapshots, remove
    from realtor_assets.resources import Database, ObjectStore
    from realtor_assets.resources.mlflow_tracking import Tracking

    store = ObjectStore(url=environment["REALTOR_STORAGE_URL"])
    snapshots = removable_snapshots(
        store,
        Database(url=environment["REALTOR_CLEAN_DATABASE_URL"]),
        Tracking(tracking_uri=environment["MLFLOW_TRACKING_URI"]),
        keep=keep,
    )
    for snapshot in snapshots:
        if apply:
            remove(store, snapshot)
        action = "removed" if apply else "would be removed"
        console.print(
            f"{action}: clean build {snapshot.data_version}, {snapshot.bytes / 1e6:,.1f} MB"
        )
    if not snapshots:
        console.print("There is nothing to remove.")
    elif not apply:
        console.print("Nothing is removed yet: run it again with --apply.")


def _dagster_url(environment: Mapping[str, str]) -> str:
    from realtor_local.up import platform_urls

    urls = platform_urls(environment)
    if "Dagster" not in urls:
        raise RealtorError("This platform runs without Dagster (REALTOR_PROGRAMS).")
    return urls["Dagster"]
