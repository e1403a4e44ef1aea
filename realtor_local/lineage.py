"""The lineage from outside: its source, its jobs in order, and whether it has a champion."""

from __future__ import annotations

import time
from collections.abc import Sequence

import httpx
from rich.console import Console

from realtor_local.errors import RealtorError
from realtor_local.health import http_client
from realtor_local.orchestrator import Dagster, Progress

# The names in realtor_model.listing, whose import takes seconds.
REGISTERED_MODEL = "realtor-price"
PRODUCTION_ALIAS = "production"

LINEAGE = ("ingest", "clean", "train")


class RegistryError(RealtorError):
    """MLflow does not tell whether there is a Production model."""


class UpstreamError(RealtorError):
    """The upstream API does not answer as it should."""


def rewind_upstream(url: str, *, group: str, day: str | None) -> None:
    """Sets our group's cursor back to the first batch. Raises UpstreamError."""
    parameters = {"group_number": group} | ({"day": day} if day else {})
    try:
        with http_client(60.0) as client:
            answer = client.get(f"{url.rstrip('/')}/restart_data_generation", params=parameters)
            answer.raise_for_status()
    except httpx.HTTPError as error:
        raise UpstreamError(f"The upstream at {url} is not rewound: {error}") from error


def has_champion(mlflow_url: str) -> bool:
    """Whether MLflow has a Production model. Raises RegistryError."""
    try:
        with http_client(30.0) as client:
            answer = client.get(
                f"{mlflow_url}/api/2.0/mlflow/registered-models/alias",
                params={"name": REGISTERED_MODEL, "alias": PRODUCTION_ALIAS},
            )
    except httpx.HTTPError as error:
        raise RegistryError(f"MLflow at {mlflow_url} does not answer: {error}") from error
    if answer.is_success:
        return True
    # No such model is a 404, no such alias of it a 400.
    if answer.status_code == 404 or "INVALID_PARAMETER_VALUE" in answer.text:
        return False
    raise RegistryError(f"MLflow at {mlflow_url} answers {answer.status_code}: {answer.text[:300]}")


def has_listings(raw_url: str) -> bool:
    """Whether a batch is in RAW already."""
    import psycopg

    with psycopg.connect(raw_url, connect_timeout=10) as connection:
        made = connection.execute("SELECT to_regclass('ingestion_summary')").fetchone()
        if made is None or made[0] is None:
            return False
        loaded = connection.execute(
            "SELECT EXISTS (SELECT FROM ingestion_summary WHERE state = 'loaded')"
        ).fetchone()
    return loaded is not None and bool(loaded[0])


def run_jobs(dagster_url: str, jobs: Sequence[str], console: Console) -> None:
    """Runs Dagster jobs one after another, showing their progress.

    Raises DagsterError; its subclass RunFailedError holds the failed run's errors and its URL.
    """
    with Dagster(dagster_url) as dagster:
        for job in jobs:
            began = time.monotonic()
            run_id = dagster.launch(job)
            console.print(f"{job}: {dagster.run_url(run_id)}")
            with _Teller(job, console) as teller:
                dagster.follow(run_id, teller.tell)
            console.print(f"✓ {job:<18}{time.monotonic() - began:6.1f} s", style="green")


class _Teller:
    """A moving line on a terminal; elsewhere one line per change."""

    def __init__(self, job: str, console: Console) -> None:
        self._job = job
        self._console = console
        self._status = console.status(job)
        self._told = ""

    def __enter__(self) -> _Teller:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def tell(self, progress: Progress) -> None:
        begun = progress.done or progress.running
        steps = f"{progress.done}/{progress.total} steps" if begun else progress.status.lower()
        text = f"{self._job}: {steps}  {', '.join(progress.running)}".rstrip()
        if self._console.is_terminal:
            self._status.update(text)
        elif text != self._told:
            self._console.print(text)
        self._told = text
