"""Asset check of the best model: one that is too good to be true is stopped."""

import dagster as dg

from realtor_model.duel import DuelPolicy
from realtor_model.evaluation import leak_canary


@dg.asset_check(
    asset="best_model",
    blocking=True,
    description="Leak canary: a model that is too good to be honest is stopped before promotion.",
)
def not_too_good_to_be_true(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    event = context.instance.get_latest_materialization_event(dg.AssetKey("best_model"))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    metrics = {name: float(metadata[f"test_{name}"].value) for name in ("r2_log", "mdape")}
    policy = DuelPolicy()
    reasons = leak_canary.too_good(
        metrics, max_r2_log=policy.max_r2_log, min_mdape=policy.min_mdape
    )
    return dg.AssetCheckResult(
        passed=not reasons, metadata=metrics | {"reasons": "; ".join(reasons) or "-"}
    )


checks = [not_too_good_to_be_true]
