"""What the running service answers: which model it serves, and whether it was seen lately."""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import dagster as dg
import httpx

from realtor_assets.pipeline_settings import settings

# So many answers in a row, each on a connection of its own, that no worker still has the old one.
ANSWERS_IN_A_ROW = 20


OBSERVE_SECONDS = 60.0


FRESH_FOR = dt.timedelta(minutes=15)


REFUSED = 409


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
