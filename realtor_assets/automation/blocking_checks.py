"""The blocking checks, for the sensors: Dagster lets them stop only steps of the same run."""

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


def latest_outcomes(
    instance: dg.DagsterInstance, tables: Collection[str]
) -> dict[str, bool | None]:
    """Blocking checks of `tables`, by "check of table": whether the latest evaluation passed.

    None: it was never evaluated, or the run that should evaluate it ended before.
    """
    outcomes: dict[str, bool | None] = {}
    for key in BLOCKING:
        if (table := key.asset_key.to_user_string()) not in tables:
            continue
        record = instance.get_latest_asset_check_evaluation_record(key)
        evaluation = record.evaluation if record else None
        # A planned evaluation has no outcome yet.
        outcomes[f"{key.name} of {table}"] = (
            evaluation.passed if isinstance(evaluation, dg.AssetCheckEvaluation) else None
        )
    return outcomes
