"""Rolls back a Production version that cannot be served."""

import dagster as dg

from realtor_assets.release.production_model import UnknownVersion, production, roll_back
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking


def withdraw(database: Database, tracking: Tracking, version: str, reason: str) -> dg.Failure:
    """Roll Production back from `version`, because of `reason`.

    Returns:
        The failure to raise: it says which version is in Production now.
    """
    with production(database, tracking) as alias:
        # Another process may have moved the alias already.
        current = alias.version
    if current != version:
        return dg.Failure(f"{reason} Version {current} is in Production now.", allow_retries=False)
    try:
        back = roll_back(
            database, tracking, reason=reason, approver="served_model", rule="cannot be served"
        )
    except UnknownVersion as problem:
        return dg.Failure(f"{reason} There is no earlier version: {problem}.", allow_retries=False)
    return dg.Failure(
        f"{reason} Version {back.model_version} is in Production again.", allow_retries=False
    )
