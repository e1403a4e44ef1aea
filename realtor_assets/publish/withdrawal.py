"""Rolls back a Production version that cannot be served."""

import dagster as dg

from realtor_assets.release.production_model import UnknownVersion, production, roll_back
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking


def withdraw(database: Database, tracking: Tracking, version: str, reason: str) -> dg.Failure:
    """Roll Production back from `version`, because of `reason`.

    Not to a version that this release can't read: right after an upgrade of the pipeline, a service
    of the release before refuses the new version, and serves its own until it is upgraded.

    Returns:
        The failure to raise: it says which version is in Production now.
    """
    with production(database, tracking) as alias:
        current, line = alias.version, alias.line
    if current != version:
        # Another process has moved the alias already.
        return dg.Failure(f"{reason} Version {current} is in Production now.", allow_retries=False)
    before = line[-2] if len(line) > 1 else None
    if before is not None and (unreadable := tracking.unreadable(before)) is not None:
        return dg.Failure(
            f"{reason} Version {version} stays in Production, since version {before} is of another "
            f"release: {unreadable.params['problem']}. If the service is of that release, upgrade "
            "it: it takes the version by itself.",
            allow_retries=False,
        )
    try:
        back = roll_back(
            database, tracking, reason=reason, approver="served_model", rule="cannot be served"
        )
    except UnknownVersion as problem:
        return dg.Failure(f"{reason} There is no earlier version: {problem}.", allow_retries=False)
    return dg.Failure(
        f"{reason} Version {back.model_version} is in Production again.", allow_retries=False
    )
