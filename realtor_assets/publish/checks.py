"""Asset checks of served_model: same estimates as offline, right version, recent answer."""

import dagster as dg
import httpx
import numpy as np

from realtor_assets.pipeline_settings import settings
from realtor_assets.publish.running_service import (
    FRESH_FOR,
    ServiceDown,
    is_fresh,
    last_seen,
    observe,
    seen_in_words,
)
from realtor_assets.raw.raw_listings import read_listings, requested_homes
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_model.duel import DuelPolicy
from realtor_model.features import as_sold, columns_from_properties

PARITY_ROWS = 50


@dg.asset_check(
    asset="served_model",
    description="The service estimates the same prices over HTTP as the Production model offline.",
)
def offline_equals_online(raw_database: Database, tracking: Tracking) -> dg.AssetCheckResult:
    _, model = tracking.production_model()
    homes = requested_homes(read_listings(raw_database, "test"), model.contract, PARITY_ROWS)
    answer = httpx.post(
        f"{settings().service_url.rstrip('/')}/predict-batch",
        json={"properties": [home.model_dump(mode="json") for home in homes]},
        headers=settings().service_headers,
        timeout=60,
    ).raise_for_status()
    results = answer.json()["results"]
    served = np.array(
        [item["valuation"]["price"] if item["valuation"] else np.nan for item in results]
    )
    columns = columns_from_properties(homes, model.contract)
    offline = model.value(as_sold(columns)).price
    worst = float(np.max(np.abs(served - offline)))
    return dg.AssetCheckResult(
        passed=bool(worst <= DuelPolicy().max_difference_dollars),
        metadata={"rows": len(homes), "largest_difference_dollars": worst},
    )


@dg.asset_check(
    asset="served_model",
    description="The service serves the Production version now.",
)
def serves_production(tracking: Tracking) -> dg.AssetCheckResult:
    champion = tracking.production_version()
    try:
        served = str(observe(settings().service_url.rstrip("/"))["version"])
    except ServiceDown as problem:
        return dg.AssetCheckResult(
            passed=False, description=f"The service does not answer: {problem}"
        )
    return dg.AssetCheckResult(
        passed=served == champion,
        metadata={"served": served, "production": champion or "none"},
    )


@dg.asset_check(
    asset="served_model",
    description="The service answered within the last "
    f"{FRESH_FOR.total_seconds() / 60:.0f} minutes. The sensor observe_service asks every minute "
    "and evaluates this check when its outcome changes.",
)
def freshness(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    seen = last_seen(context.instance)
    return dg.AssetCheckResult(passed=is_fresh(seen), description=seen_in_words(seen))


checks = [offline_equals_online, serves_production, freshness]
