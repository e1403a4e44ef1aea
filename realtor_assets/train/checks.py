"""Asset check of the best model: it is stopped when it is too good to be true."""

import dagster as dg

from realtor_assets.metadata.materializations import latest_metadata
from realtor_model.duel import DuelPolicy
from realtor_model.evaluation import leak_canary


@dg.asset_check(
    asset="best_model",
    blocking=True,
    description="Leak canary: a model that is too good to be honest is stopped before promotion.",
)
def not_too_good_to_be_true(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    values = latest_metadata(context.instance, "best_model")
    metrics = {name: float(values[f"test_{name}"]) for name in ("r2_log", "mdape")}
    policy = DuelPolicy()
    reasons = leak_canary.too_good(
        metrics, max_r2_log=policy.max_r2_log, min_mdape=policy.min_mdape
    )
    return dg.AssetCheckResult(
        passed=not reasons, metadata=metrics | {"reasons": "; ".join(reasons) or "-"}
    )


checks = [not_too_good_to_be_true]
