"""Runs the pipeline's Dagster jobs from the command line, and shows their progress."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, LiteralString

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from realtor_local.dagster_client import DagsterClient, RunFailedError
from realtor_local.dagster_client import Progress as RunProgress
from realtor_local.errors import AFTER_REFUSAL, RealtorError
from realtor_local.program_health import http_client
from realtor_model.registry_names import PRODUCTION_ALIAS, REGISTERED_MODEL


class RegistryError(RealtorError):
    """MLflow does not answer whether there is a Production model."""


class UpstreamError(RealtorError):
    """The upstream API does not answer as it should."""


def rewind_upstream(url: str, *, group: str, day: str | None) -> None:
    """Set the cursor of our group back to the first batch.

    Raises:
        UpstreamError: the upstream does not answer with success.
    """
    parameters = {"group_number": group} | ({"day": day} if day else {})
    try:
        with http_client(60.0) as client:
            answer = client.get(f"{url.rstrip('/')}/restart_data_generation", params=parameters)
            answer.raise_for_status()
    except httpx.HTTPError as error:
        raise UpstreamError(f"The upstream at {url} is not rewound: {error}") from error


def served_listings(url: str) -> dict[str, Any]:
    """What the stand-in upstream serves: rows of its batches, what is left out, notes.

    Raises:
        UpstreamError: it has no listings; the text says why.
    """
    try:
        with http_client(600.0) as client:
            answer = client.get(f"{url.rstrip('/')}/listings")
    except httpx.HTTPError as error:
        raise UpstreamError(f"The upstream at {url} does not answer: {error}") from error
    if not answer.is_success:
        raise UpstreamError(str(answer.json().get("detail", answer.text)))
    served: dict[str, Any] = answer.json()
    return served


def has_champion(mlflow_url: str) -> bool:
    """Whether MLflow has a Production model.

    Raises:
        RegistryError: MLflow does not answer.
    """
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


class NoSuchBatch(RealtorError):
    """The upstream has no batch of that number, or nothing is landed as that partition."""


class PayloadRefused(RealtorError):
    """A payload was refused as a whole."""

    def __init__(self, partition: str, error: str) -> None:
        self.reason = f"{partition} was refused, and nothing of it is in RAW: {error}"
        super().__init__(f"{self.reason}. {AFTER_REFUSAL.format(partition=partition)}")


class Ingestion:
    """Batches into RAW: the Dagster jobs `ingest`, `ingest_csv` and `load`, one after another.

    Each method shows its progress and raises DagsterError; RunFailedError holds the errors of a
    run that failed, and its URL. A payload that is refused stops no other: it is printed, and
    `raise_refused` raises once the others are loaded.
    """

    def __init__(self, dagster: DagsterClient, raw_url: str, console: Console) -> None:
        self._dagster = dagster
        self._raw_url = raw_url
        self._console = console
        self._refused: list[PayloadRefused] = []

    def first(self) -> None:
        """Ingest and load a batch, unless RAW holds one.

        Raises:
            PayloadRefused: the batch was refused, so there is nothing to train on.
        """
        if self._ask(_LOADED):
            return
        if not self._ask(_PENDING):
            self._run("ingest")
        self._load_pending()
        if not self._ask(_LOADED):
            self.raise_refused()

    def raise_refused(self) -> None:
        """Raise `PayloadRefused` if a payload was refused since the start."""
        if self._refused:
            raise self._refused[-1]

    def next(self) -> bool:
        """Land and load the next batch. Returns False when the upstream has no more."""
        before = self._landed()
        self._run("ingest")
        self._load_pending()
        if self._landed() == before:
            self._console.print("The upstream has no more data.")
            return False
        return True

    def batch(self, number: int, group: int) -> None:
        """Load a landed batch again, or ingest batches until that one arrives.

        Raises:
            NoSuchBatch: the upstream ends before it.
        """
        of_number = (
            "SELECT partition_key FROM landed_payloads WHERE batch_number = %s"
            " AND group_number = %s ORDER BY landed_at DESC LIMIT 1"
        )
        if known := self._ask(of_number, number, group):
            self._load(known[0][0])
            return
        while not self._ask(of_number, number, group):
            if not self.next():
                raise NoSuchBatch(f"The upstream has no batch {number}.")

    def again(self, partition: str) -> None:
        """Load a landed payload again.

        Raises:
            NoSuchBatch: nothing is landed as `partition`.
        """
        if not self._ask("SELECT 1 FROM landed_payloads WHERE partition_key = %s", partition):
            raise NoSuchBatch(f"Nothing is landed as {partition}.")
        self._load(partition)

    def file(self, path: Path) -> None:
        """Land and load a CSV file. The same bytes again are not loaded again."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        before = self._ask(_LOADS_OF_FILE, sha256)
        self._run("ingest_csv", config={"ops": {"land_csv": {"config": {"path": str(path)}}}})
        self._load_pending()
        if not before or self._ask(_LOADS_OF_FILE, sha256) != before:
            return
        partition, _, _, error = before[0]
        if any(state == "loaded" for _, _, state, _ in before):
            self._console.print("This file is in RAW already: nothing is added.")
        else:
            self._refused.append(PayloadRefused(partition, error))

    def _load_pending(self) -> None:
        """Load what waits. A load that fails stops no other; then the first failure is raised."""
        failures = []
        for (partition,) in self._ask(_PENDING):
            try:
                self._load(partition)
            except RunFailedError as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def _load(self, partition: str) -> None:
        pending = (partition,) in self._ask(_PENDING)
        # The sensor may have been quicker.
        run_id = self._dagster.unfailed_run("load", partition) if pending else None
        before = self._ask(_LAST_LOAD, partition)
        try:
            _follow(self._dagster, "load", self._console, run_id=run_id, partition=partition)
        except RunFailedError:
            last = self._ask(_LAST_LOAD, partition)
            if last == before or last[0][1] != "refused":
                raise
            refusal = PayloadRefused(partition, last[0][2])
            self._console.print(refusal.reason, style="yellow")
            self._refused.append(refusal)
        else:
            self._print_summary(partition)

    def _run(self, job: str, config: Mapping[str, Any] | None = None) -> None:
        _follow(self._dagster, job, self._console, config=config)

    def _print_summary(self, partition: str) -> None:
        for load_id, received, inserted, duplicate, quarantined, unused in self._ask(
            _SUMMARY, partition
        ):
            self._console.print(
                f"{partition}: {received:,} rows received = {inserted:,} inserted +"
                f" {duplicate:,} duplicate + {quarantined:,} quarantined"
            )
            for rule, rows in self._ask(_QUARANTINED, load_id):
                self._console.print(f"  {rows:,} quarantined: {rule}")
            if unused:
                self._console.print(f"  columns without a use: {', '.join(sorted(unused))}")

    def _landed(self) -> int:
        return int(self._ask("SELECT count(*) FROM landed_payloads")[0][0])

    def _ask(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self._raw_url, connect_timeout=10) as connection:
            return connection.execute(query, values).fetchall()


_LOADED = "SELECT 1 FROM ingestion_summary WHERE state = 'loaded' LIMIT 1"
_PENDING = (
    "SELECT partition_key FROM landed_payloads p WHERE NOT EXISTS (SELECT FROM ingestion_summary s"
    " WHERE s.partition_key = p.partition_key) ORDER BY landed_at"
)
_LAST_LOAD = (
    "SELECT load_id, state, error FROM ingestion_summary WHERE partition_key = %s"
    " ORDER BY load_id DESC LIMIT 1"
)
_LOADS_OF_FILE = (
    "SELECT partition_key, s.load_id, s.state, s.error FROM ingestion_summary s"
    " JOIN landed_payloads p USING (partition_key) WHERE p.source = 'file' AND p.sha256 = %s"
    " ORDER BY s.load_id DESC"
)
# The most frequent reasons; a row that breaks several rules counts for all of them together.
_QUARANTINED = (
    "SELECT rule, count(*) FROM raw_quarantine WHERE load_id = %s GROUP BY rule"
    " ORDER BY count(*) DESC, rule LIMIT 5"
)
_SUMMARY = (
    "SELECT load_id, received, inserted_train + inserted_validation + inserted_test, duplicate,"
    " quarantined, unused_columns FROM ingestion_summary WHERE partition_key = %s"
    " ORDER BY load_id DESC LIMIT 1"
)


def run_jobs(dagster_url: str, jobs: Sequence[str], console: Console) -> None:
    """Runs Dagster jobs one after another, showing their progress.

    Raises DagsterError; its subclass RunFailedError holds the failed run's errors and its URL.
    """
    with DagsterClient(dagster_url) as dagster:
        for job in jobs:
            _follow(dagster, job, console)


def _follow(
    dagster: DagsterClient,
    job: str,
    console: Console,
    *,
    run_id: str | None = None,
    partition: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> None:
    began = time.monotonic()
    # A sensor may have been quicker.
    if run_id is None and partition is None and config is None:
        run_id = dagster.active_run(job)
    run_id = run_id or dagster.launch(job, partition=partition, config=config)
    console.print(f"{job}: {dagster.run_url(run_id)}")
    with ProgressDisplay(job, console) as display:
        dagster.follow(run_id, display.update)
    console.print(f"✓ {job:<18}{time.monotonic() - began:6.1f} s", style="green")


class ProgressDisplay:
    """A progress bar on a terminal; elsewhere a line for each change."""

    def __init__(self, job: str, console: Console) -> None:
        self._job = job
        self._console = console
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(job, total=None, text="")
        self._printed = ""
        self._detail = ""
        self._detailed: tuple[str, ...] = ()

    def __enter__(self) -> ProgressDisplay:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, progress: RunProgress) -> None:
        begun = progress.done or progress.running
        steps = f"{progress.done}/{progress.total} steps" if begun else progress.status.lower()
        # The progress tag stays after its step has ended: it must not be shown for the next step.
        if progress.detail != self._detail:
            self._detail, self._detailed = progress.detail, progress.running
        detail = progress.detail if progress.running == self._detailed != () else ""
        behind = f"behind {', '.join(progress.behind)}" if progress.behind else ""
        text = "  ".join(filter(None, [steps, ", ".join(progress.running), detail, behind]))
        if self._console.is_terminal:
            share = re.search(r"(\d+)%", detail)
            total, done = (100, int(share[1])) if share else (None, 0)
            self._bar.update(self._task, total=total, completed=done, text=text)
        elif text != self._printed:
            self._console.print(f"{self._job}: {text}")
        self._printed = text
