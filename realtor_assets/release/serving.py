"""Production → the bento, and the running service, observed to serve the new version."""

import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import httpx

from realtor_assets.raw import OWNERS
from realtor_assets.release.production import UnknownVersion, production, roll_back
from realtor_assets.resources import Database
from realtor_assets.settings import settings
from realtor_assets.tracking import BUNDLE_ARTIFACT, Tracking
from realtor_model.bundle import BrokenBundle

# So many answers in a row, each on a connection of its own, that no worker still has the old one.
ANSWERS_IN_A_ROW = 20
OBSERVE_SECONDS = 60.0
FRESH_FOR = dt.timedelta(minutes=15)
REFUSED = 409


@dg.asset(
    group_name="release",
    kinds={"bentoml"},
    owners=OWNERS,
    deps=["production_model"],
    pool="pipeline",
    description="The Production model packaged with the service: a bento that values homes with "
    "no registry, database or network. A version whose bundle is broken is rolled back.",
)
def bento(clean_database: Database, tracking: Tracking) -> dg.MaterializeResult[None]:
    champion = tracking.production()
    version = str(champion.version)
    try:
        model = tracking.load_bundle(champion)
    except BrokenBundle as problem:
        reason = f"The bundle of version {version} is broken: {problem}"
        raise _rolled_back(clean_database, tracking, version, reason) from problem
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / BUNDLE_ARTIFACT
        model.save(bundle)
        # A process of its own: packaging belongs to the serving package, which assets don't import.
        packaged = subprocess.run(  # noqa: S603
            [
                sys.executable, "-m", "realtor_serving.packaging", str(bundle),
                "--version", version, "--run-id", champion.run_id or "",
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
    if packaged.returncode != 0:
        raise dg.Failure(f"the bento could not be built:\n{packaged.stderr[-4000:]}")
    built = json.loads(packaged.stdout.splitlines()[-1])
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            "tag": str(built["tag"]),
            "path": dg.MetadataValue.path(str(built["path"])),
            "model_version": version,
        },
    )


class ServiceDown(Exception):
    """The running service does not answer, or has no registry to ask."""


class ServiceRefuses(Exception):
    """The running service cannot load the Production model; the text says why."""


def tell_to_reload(url: str) -> dict[str, Any]:
    """Tell the service at `url` to take the Production model now; returns what it answers.

    Raises `ServiceRefuses`, `ServiceDown`.
    """
    try:
        answer = httpx.post(
            f"{url}/reload-model", json={}, headers=settings().service_headers, timeout=120
        )
    except httpx.HTTPError as problem:
        raise ServiceDown(f"{type(problem).__name__}: {problem}") from problem
    if answer.status_code == REFUSED:
        raise ServiceRefuses(answer.text[:1000])
    if not answer.is_success:
        raise ServiceDown(f"it answers {answer.status_code}: {answer.text[:300]}")
    return dict(answer.json())


def observe(url: str) -> dict[str, Any]:
    """What the service at `url` tells of the model it serves. Raises `ServiceDown`."""
    try:
        # A connection of its own each time: another worker may answer the next.
        answer = httpx.get(f"{url}/model-info", headers=settings().service_headers, timeout=30)
        return dict(answer.raise_for_status().json())
    except httpx.HTTPError as problem:
        raise ServiceDown(f"{type(problem).__name__}: {problem}") from problem


def last_seen(instance: dg.DagsterInstance) -> dt.datetime | None:
    """When the service was last seen to answer: materialized, or observed."""
    filters = dg.AssetRecordsFilter(dg.AssetKey("served_model"))
    records = [
        *instance.fetch_materializations(filters, limit=1).records,
        *instance.fetch_observations(filters, limit=1).records,
    ]
    if not records:
        return None
    return dt.datetime.fromtimestamp(max(record.timestamp for record in records), dt.UTC)


def is_fresh(seen: dt.datetime | None) -> bool:
    """Whether `last_seen` is recent enough."""
    return seen is not None and seen > dt.datetime.now(dt.UTC) - FRESH_FOR


def seen_in_words(seen: dt.datetime | None) -> str:
    """`last_seen` for people."""
    return (
        "It was never seen." if seen is None else f"It was last seen at {seen:%Y-%m-%d %H:%M} UTC."
    )


def observe_until(url: str, version: str, told: Callable[[str], None]) -> dict[str, Any]:
    """Wait until every worker serves `version`; returns the last answer. Raises `ServiceDown`."""
    deadline = time.monotonic() + OBSERVE_SECONDS
    in_a_row = 0
    while True:
        served = observe(url)
        in_a_row = in_a_row + 1 if str(served["version"]) == version else 0
        if in_a_row == ANSWERS_IN_A_ROW:
            return served
        if in_a_row == 0:
            if time.monotonic() > deadline:
                raise ServiceDown(
                    f"after {OBSERVE_SECONDS:.0f} s it still serves version {served['version']}, "
                    f"not {version}"
                )
            told(f"the service still answers with version {served['version']}")
            time.sleep(0.5)


@dg.asset(
    group_name="serving",
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
        failure = _rolled_back(clean_database, tracking, version, reason)
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


def _rolled_back(database: Database, tracking: Tracking, version: str, reason: str) -> dg.Failure:
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
