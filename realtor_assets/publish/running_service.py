"""HTTP calls to the running service: reload it, and ask which version it serves."""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import dagster as dg
import httpx

from realtor_assets.pipeline_settings import settings

# After so many equal answers in a row, each on a new connection, no worker has the old version.
ANSWERS_IN_A_ROW = 20


OBSERVE_SECONDS = 60.0


FRESH_FOR = dt.timedelta(minutes=15)


REFUSED = 409


class ServiceDown(Exception):
    """The service does not answer, or cannot reach the model registry."""


class ServiceRefuses(Exception):
    """The service cannot load the Production model; the text is its reason."""


def reload_service(url: str) -> dict[str, Any]:
    """Make the service at `url` load the Production model now; returns its answer.

    Raises:
        ServiceRefuses: it cannot load that model.
        ServiceDown: it does not answer, or answers with another error.
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
    """GET /model-info of the service at `url`.

    Raises:
        ServiceDown: it does not answer with success.
    """
    try:
        # A new connection for each request, so that another worker may answer.
        answer = httpx.get(f"{url}/model-info", headers=settings().service_headers, timeout=30)
        return dict(answer.raise_for_status().json())
    except httpx.HTTPError as problem:
        raise ServiceDown(f"{type(problem).__name__}: {problem}") from problem


def last_seen(instance: dg.DagsterInstance) -> dt.datetime | None:
    """When served_model was last materialized or observed; None if never."""
    filters = dg.AssetRecordsFilter(dg.AssetKey("served_model"))
    records = [
        *instance.fetch_materializations(filters, limit=1).records,
        *instance.fetch_observations(filters, limit=1).records,
    ]
    if not records:
        return None
    return dt.datetime.fromtimestamp(max(record.timestamp for record in records), dt.UTC)


def is_fresh(seen: dt.datetime | None) -> bool:
    """Whether `seen` is at most `FRESH_FOR` ago."""
    return seen is not None and seen > dt.datetime.now(dt.UTC) - FRESH_FOR


def seen_in_words(seen: dt.datetime | None) -> str:
    """`seen` as a sentence."""
    return (
        "The service has never answered."
        if seen is None
        else f"The service last answered at {seen:%Y-%m-%d %H:%M} UTC."
    )


def wait_until_served(url: str, version: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """Wait until every worker serves `version`; returns the last answer of /model-info.

    Raises:
        ServiceDown: the service stopped answering, or served another version for too long.
    """
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
            progress(f"the service still answers with version {served['version']}")
            time.sleep(0.5)
