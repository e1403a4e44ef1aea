"""The assets served_model and inference_log: the running service and its log."""

import dagster as dg

from realtor_assets.metadata import OWNERS
from realtor_assets.pipeline_settings import settings
from realtor_assets.publish.running_service import (
    ServiceDown,
    ServiceRefuses,
    reload_service,
    wait_until_served,
)
from realtor_assets.publish.withdrawal import withdraw
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking


@dg.asset(
    group_name="publish",
    kinds={"bentoml", "api"},
    owners=OWNERS,
    deps=["bento"],
    retry_policy=dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL),
    description="The model in the running service. Materializing it reloads the service and waits "
    "until every worker serves the Production model; a version that the service cannot load is "
    "rolled back. The sensor observe_service observes it every minute.",
)
def served_model(
    context: dg.AssetExecutionContext, clean_database: Database, tracking: Tracking
) -> dg.MaterializeResult[None]:
    champion = tracking.production()
    version, url = str(champion.version), settings().service_url.rstrip("/")
    try:
        reload = reload_service(url)
        served = wait_until_served(url, version, context.log.info)
    except ServiceDown as problem:
        raise dg.Failure(
            f"the service at {url} does not serve version {version}: {problem}. The promotion "
            "stands, and the service takes the version by itself when it can"
        ) from problem
    except ServiceRefuses as problem:
        reason = f"The service cannot load version {version}: {problem}"
        failure = withdraw(clean_database, tracking, version, reason)
        reload_service(url)
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
    description="Valuations answered over HTTP; the service itself writes them to RAW.",
)
