"""Dagster over GraphQL: launching a job and following its run.

Plain GraphQL and not `dagster_graphql.DagsterGraphQLClient`, which takes a second to import and
cannot tell which steps of a run are done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from realtor_assets.metadata.run_tags import PARTITION_TAG, PROGRESS_TAG
from realtor_local.errors import RealtorError

ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
POLL_SECONDS = 1.0

_REPOSITORIES = """
{ repositoriesOrError {
    ... on RepositoryConnection { nodes { name location { name } jobs { name } } }
    ... on PythonError { message } } }
"""
_LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries { name
    locationOrLoadError { ... on PythonError { message } } } } } }
"""
_LAUNCH = """
mutation ($selector: JobOrPipelineSelector!, $config: RunConfigData!, $tags: [ExecutionTag!]!) {
  launchRun(executionParams: {
      selector: $selector, runConfigData: $config, executionMetadata: {tags: $tags}}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } } } }
"""
_RUN = """
query ($id: ID!) { runOrError(runId: $id) {
    ... on Run { status stepKeysToExecute stepStats { stepKey status } tags { key value } }
    ... on RunNotFoundError { message }
    ... on PythonError { message } } }
"""
_EVENTS = """
query ($id: ID!, $after: String) { runOrError(runId: $id) { ... on Run {
    eventConnection(afterCursor: $after) { cursor hasMore events {
        __typename
        ... on ExecutionStepFailureEvent {
            stepKey error { message errorChain { error { message } } } }
        ... on RunFailureEvent { message error { message } } } } } } }
"""
_LIVE_RUNS = """
{ runsOrError(filter: {statuses: [STARTING, STARTED, CANCELING]}) {
    ... on Runs { results { runId jobName } } ... on PythonError { message } } }
"""
_ACTIVE_RUNS = """
query ($job: String!) {
  runsOrError(filter: {pipelineName: $job, statuses: [QUEUED, NOT_STARTED, STARTING, STARTED]},
              limit: 1) {
    ... on Runs { results { runId } } ... on PythonError { message } } }
"""
_RUNS_OF = """
query ($job: String!, $tags: [ExecutionTag!]!) {
  runsOrError(filter: {pipelineName: $job, tags: $tags}, limit: 1) {
    ... on Runs { results { runId status } } ... on PythonError { message } } }
"""
_CANCEL = """
mutation ($ids: [String!]!) {
  terminateRuns(runIds: $ids, terminatePolicy: MARK_AS_CANCELED_IMMEDIATELY) {
    ... on PythonError { message } } }
"""
_DAEMONS = """
{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }
"""


class DagsterError(RealtorError):
    """Dagster does not answer, or a job cannot be launched."""


class RunFailedError(DagsterError):
    """A run ended without success; the text holds its errors and its URL."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands: its status, steps done of total, the steps now running, how far the
    work of a long one is, in words, and for a queued one the jobs that run meanwhile.
    """

    status: str
    done: int
    total: int
    running: tuple[str, ...]
    detail: str = ""
    behind: tuple[str, ...] = ()


class DagsterClient:
    """A Dagster webserver at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=60.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def run_url(self, run_id: str) -> str:
        return f"{self.url}/runs/{run_id}"

    def launch(
        self, job: str, *, partition: str | None = None, config: Mapping[str, Any] | None = None
    ) -> str:
        """Launches a job and returns its run's id. Raises DagsterError."""
        repositories = self._ask(_REPOSITORIES)["repositoriesOrError"].get("nodes", [])
        for repository in repositories:
            if job in (each["name"] for each in repository["jobs"]):
                break
        else:
            raise DagsterError(f"Dagster has no job {job!r}. {self._load_errors()}".strip())
        selector = {
            "jobName": job,
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
        }
        launched = self._ask(
            _LAUNCH, selector=selector, config=config or {}, tags=_partition_tags(partition)
        )["launchRun"]
        if launched["__typename"] != "LaunchRunSuccess":
            reasons = [launched.get("message", launched["__typename"])]
            reasons += [error["message"] for error in launched.get("errors", [])]
            raise DagsterError(f"Dagster does not launch {job!r}: {' '.join(reasons)}")
        return str(launched["run"]["runId"])

    def active_run(self, job: str) -> str | None:
        """The newest run of a job that is queued or under way."""
        runs = self._ask(_ACTIVE_RUNS, job=job)["runsOrError"].get("results", [])
        return str(runs[0]["runId"]) if runs else None

    def unfailed_run(self, job: str, partition: str) -> str | None:
        """The newest run of a job for a partition, unless it failed or there is none."""
        runs = self._ask(_RUNS_OF, job=job, tags=_partition_tags(partition))["runsOrError"]
        newest = next(iter(runs.get("results", [])), None)
        if newest is None or newest["status"] in ("FAILURE", "CANCELED"):
            return None
        return str(newest["runId"])

    def follow(self, run_id: str, report: Callable[[Progress], None]) -> None:
        """Waits for a run's end, reporting its progress. Raises RunFailedError, DagsterError."""
        while True:
            progress = self.progress(run_id)
            report(progress)
            if progress.status in ENDED:
                break
            time.sleep(POLL_SECONDS)
        if progress.status != "SUCCESS":
            errors = self._errors(run_id) or [f"The run ended as {progress.status}."]
            raise RunFailedError("\n".join([*errors, self.run_url(run_id)]))

    def progress(self, run_id: str) -> Progress:
        run = self._ask(_RUN, id=run_id)["runOrError"]
        if "status" not in run:
            raise DagsterError(run["message"])
        steps = {each["stepKey"]: each["status"] for each in run["stepStats"]}
        return Progress(
            run["status"],
            done=sum(status in ("SUCCESS", "SKIPPED") for status in steps.values()),
            total=len(run["stepKeysToExecute"] or steps),
            running=tuple(step for step, status in steps.items() if status == "IN_PROGRESS"),
            detail=next((tag["value"] for tag in run["tags"] if tag["key"] == PROGRESS_TAG), ""),
            behind=tuple(each["jobName"] for each in self._live_runs())
            if run["status"] == "QUEUED"
            else (),
        )

    def cancel_live_runs(self) -> list[str]:
        """Marks every run that Dagster believes alive as canceled; returns their jobs.

        For a platform that has just started: its machine or its supervisor ended under those runs,
        and nothing else would ever end them or give back their places in the pools.
        """
        runs = self._live_runs()
        if runs:
            self._ask(_CANCEL, ids=[each["runId"] for each in runs])
        return [each["jobName"] for each in runs]

    def _live_runs(self) -> list[dict[str, str]]:
        return list(self._ask(_LIVE_RUNS)["runsOrError"].get("results", []))

    def late_daemons(self) -> list[str]:
        """The required daemons that send no heartbeat."""
        statuses = self._ask(_DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return [each["daemonType"] for each in statuses if each["required"] and not each["healthy"]]

    def _errors(self, run_id: str) -> list[str]:
        """One text per failed step, the innermost cause last; the run's own where none failed."""
        steps, whole = [], []
        after = None
        while True:
            page = self._ask(_EVENTS, id=run_id, after=after)["runOrError"]["eventConnection"]
            for event in page["events"]:
                error = event.get("error") or {}
                if event["__typename"] == "ExecutionStepFailureEvent":
                    chain = [link["error"]["message"] for link in error.get("errorChain", [])]
                    text = " ← ".join(each.strip() for each in [error.get("message", ""), *chain])
                    steps.append(f"{event['stepKey']}: {text}")
                elif event["__typename"] == "RunFailureEvent":
                    whole.append(error.get("message") or event["message"])
            if not page["hasMore"]:
                return steps or whole
            after = page["cursor"]

    def _load_errors(self) -> str:
        entries = self._ask(_LOCATIONS)["workspaceOrError"].get("locationEntries", [])
        errors = [(each["locationOrLoadError"] or {}).get("message") for each in entries]
        return " ".join(f"Its code does not load: {error}" for error in errors if error)

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        try:
            answer = self._client.post("/graphql", json={"query": query, "variables": variables})
            answer.raise_for_status()
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise DagsterError(f"Dagster at {self.url} does not answer: {error}") from error
        if body.get("errors"):
            raise DagsterError(f"Dagster at {self.url}: {body['errors'][0]['message']}")
        return dict(body["data"])


def _partition_tags(partition: str | None) -> list[dict[str, str]]:
    return [] if partition is None else [{"key": PARTITION_TAG, "value": partition}]
