"""Commands for decisions by a person: promote, roll back, approve, admit, dismiss."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from getpass import getuser
from typing import TYPE_CHECKING, Annotated

import typer

from realtor_local.cli import context
from realtor_local.errors import AFTER_REFUSAL, RealtorError

if TYPE_CHECKING:
    from rich.console import Console

    from realtor_assets.raw.refused_payloads import RefusedPayload

_Approver = Annotated[
    str, typer.Option("--approver", help="Who makes this decision. (default: the user logged in)")
]


def promote(
    version: Annotated[str, typer.Argument(help="Version of the registered model.")],
    reason: Annotated[
        str, typer.Option(help="Reason, stored with the decision.")
    ] = "promoted on the command line",
    approver: _Approver = "",
) -> None:
    """Make a version the Production model by hand. Exit codes: 0 done, 1 no such version."""
    _release("promote", version, reason=reason, approver=approver)


def rollback(
    version: Annotated[
        str | None,
        typer.Argument(help="An earlier version. (default: the previous Production version)"),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Reason, stored with the decision.")
    ] = "rolled back on the command line",
    approver: _Approver = "",
) -> None:
    """Make an earlier version the Production model again.

    Exit codes: 0 done, 1 no such version.
    """
    _release("roll_back", version=version, reason=reason, approver=approver)


def approve(
    version: Annotated[str, typer.Argument(help="Version that waits for approval.")],
    reason: Annotated[str, typer.Option(help="Reason, stored with the decision.")],
    approver: _Approver = "",
) -> None:
    """Promote a version that won its duel and waits for approval (REALTOR_APPROVAL_REQUIRED).

    Exit codes: 0 promoted, 1 the version does not wait for approval, or another version became the
    Production model in the meantime.
    """
    _release("approve", version, rationale=reason, approver=approver)


def admit(
    partition: Annotated[
        str, typer.Argument(help="Partition of the batch, as `history` names it.")
    ],
    reason: Annotated[str, typer.Option(help="Reason, stored with the decision.")],
    approver: _Approver = "",
) -> None:
    """Admit a batch that was held back as suspect to training.

    The sensors then decide on it again and train. Exit codes: 0 done, 1 the batch is not held.
    """
    os.environ.update(context.running_platform())
    from realtor_assets.clean.load_decisions import NotHeld, admit_batch
    from realtor_assets.resources import Database

    database = Database(url=os.environ["REALTOR_CLEAN_DATABASE_URL"])
    try:
        admit_batch(database, partition, approver=approver or getuser(), rationale=reason)
    except NotHeld as error:
        raise RealtorError(str(error)) from error
    context.console().print(f"{partition} is admitted; a new retrain decision follows.")


def refused(
    dismiss: Annotated[
        str | None,
        typer.Option(metavar="PARTITION", help="Take this payload off the list."),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Reason for --dismiss, stored with the decision.")
    ] = "",
    approver: _Approver = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """List the payloads that were refused, with the reason and what to do; or dismiss one.

    Nothing of a refused payload is in RAW, and it holds up no other. `realtor ingest --again
    PARTITION` loads it again. Dismissing deletes nothing.

    Exit codes: 0 listed (also when there are none) or dismissed, 1 the payload is not refused.
    """
    if dismiss is not None and not reason:
        raise typer.BadParameter("--dismiss needs a --reason")
    environment, console = context.running_platform(), context.console()
    import psycopg

    from realtor_assets.raw import refused_payloads

    with psycopg.connect(environment["REALTOR_RAW_DATABASE_URL"], connect_timeout=10) as raw:
        if dismiss is not None:
            try:
                refused_payloads.dismiss(
                    raw, dismiss, approver=approver or getuser(), rationale=reason
                )
            except refused_payloads.NotRefused as error:
                raise RealtorError(str(error)) from error
            console.print(f"{dismiss} is dismissed; its payload stays in the object store.")
            return
        payloads = refused_payloads.refused_payloads(raw)
    if as_json:
        typer.echo(json.dumps([asdict(payload) for payload in payloads], indent=2, default=str))
    else:
        _show_refused(payloads, console)


def _show_refused(payloads: Sequence[RefusedPayload], console: Console) -> None:
    for payload in payloads:
        console.print(
            f"{payload.partition_key} ({payload.source}, {payload.bytes:,} bytes, refused"
            f" {payload.refused_at:%Y-%m-%d %H:%M}): {payload.error}"
        )
    if payloads:
        console.print(AFTER_REFUSAL.format(partition="PARTITION"))
    else:
        console.print("No payload is refused.")


def _release(action: str, *version: str, approver: str, **how: str | None) -> None:
    """Call a function of `realtor_assets.release.production_model`, then reload the service."""
    console, environment = context.console(), context.running_platform()
    os.environ.update(environment)
    from realtor_assets.release import production_model
    from realtor_assets.resources import Database
    from realtor_assets.resources.mlflow_tracking import Tracking

    database = Database(url=environment["REALTOR_CLEAN_DATABASE_URL"])
    tracking = Tracking(tracking_uri=environment["MLFLOW_TRACKING_URI"])
    act = getattr(production_model, action)
    try:
        record = act(database, tracking, *version, approver=approver or getuser(), **how)
    except production_model.UnknownVersion as error:
        raise RealtorError(str(error)) from error
    if record.decision == "rejected":
        raise RealtorError(record.reason)
    _reload(console, environment)


def _reload(console: Console, environment: Mapping[str, str]) -> None:
    from realtor_local.service_client import ServiceClient, ServiceError

    try:
        answer = ServiceClient(environment["REALTOR_SERVICE_URL"]).reload()
    except ServiceError as error:
        console.print(
            f"The version is in Production; the service does not serve it yet: {error}",
            style="yellow",
        )
    else:
        console.print(f"The service now serves version {answer['after']}.")
