"""A version that cannot be served gives Production back to the one before."""

import dagster as dg

from realtor_assets.release.production_model import UnknownVersion, production, roll_back
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking


def withdrawn(database: Database, tracking: Tracking, version: str, reason: str) -> dg.Failure:
    """Give Production back to the version before `version`, which cannot be served."""
    with production(database, tracking) as alias:
        # Somebody may have been quicker.
        current = alias.version
    if current != version:
        return dg.Failure(f"{reason} Version {current} is in Production now.", allow_retries=False)
    try:
        back = roll_back(
            database, tracking, reason=reason, approver="served_model", rule="cannot be served"
        )
    except UnknownVersion as problem:
        return dg.Failure(f"{reason} There is no way back: {problem}.", allow_retries=False)
    return dg.Failure(
        f"{reason} Version {back.model_version} is in Production again.", allow_retries=False
    )
