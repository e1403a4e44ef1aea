"""Blocking checks across jobs: Dagster itself lets them stop only what is in the same run."""

from collections.abc import Collection

import dagster as dg

from realtor_assets.clean import checks as clean
from realtor_assets.raw import checks as raw
from realtor_assets.train import checks as train

BLOCKING = [
    spec.key
    for check in (*raw.checks, *clean.checks, *train.checks)
    for spec in check.check_specs
    if spec.blocking
]


def verdicts(instance: dg.DagsterInstance, tables: Collection[str]) -> dict[str, bool | None]:
    """Of each blocking check of `tables`, whether its last evaluation passed.

    None: it never came to one, or the run that was to make it ended before.
    """
    found: dict[str, bool | None] = {}
    for key in BLOCKING:
        if (table := key.asset_key.to_user_string()) not in tables:
            continue
        record = instance.get_latest_asset_check_evaluation_record(key)
        evaluation = record.evaluation if record else None
        # One that is only planned has no outcome yet.
        found[f"{key.name} of {table}"] = (
            evaluation.passed if isinstance(evaluation, dg.AssetCheckEvaluation) else None
        )
    return found
