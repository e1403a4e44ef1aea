"""The running service, told to reload and observed to serve the Production model."""

import dagster as dg

from realtor_assets.metadata import OWNERS
from realtor_assets.pipeline_settings import settings
from realtor_assets.publish.running_service import (
    ServiceDown,
    ServiceRefuses,
    observe_until,
    tell_to_reload,
)
from realtor_assets.publish.withdrawal import withdrawn
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking


@dg.asset(
    group_name="publish",
    kinds={"bentoml", "api"},
    owners=OWNERS,
    deps=["bento"],
    retry_policy=dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL),
    description="What the running service answers with: it is told to reload, and observed until "
    "every worker serves the Production model. A version that it cannot load is rolled back. The "
    "sensor observe_service looks again every minute.",
)
def served_model(
    context: dg.AssetExecutionContext, clean_database: Database, tracking: Tracking
) -> dg.MaterializeResult[None]:
    champion = tracking.production()
    version, url = str(champion.version), settings().service_url.rstrip("/")
    try:
        reload = tell_to_reload(url)
        served = observe_until(url, version, context.log.info)
    except ServiceDown as problem:
        raise dg.Failure(
            f"the service at {url} does not serve version {version}: {problem}. The promotion "
            "stands, and the service takes the version by itself when it can"
        ) from problem
    except ServiceRefuses as problem:
        reason = f"The service cannot load version {version}: {problem}"
        failure = withdrawn(clean_database, tracking, version, reason)
        tell_to_reload(url)
        raise failure from problem
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            "url": dg.MetadataValue.url(url),
            "model_version": version,
            "candidate": str(served["candidate"]),
            "reload": dg.MetadataValue.json(reload),
        },
    )


inference_log = dg.AssetSpec(
    "inference_log",
    group_name="publish",
    kinds={"postgres"},
    owners=OWNERS,
    deps=["served_model"],
    description="Valuations given over HTTP, written to RAW by the service itself.",
)
