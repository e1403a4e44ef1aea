"""MLflow runs: one parent run per Dagster run, and a child run for each candidate and trial.

dagster-mlflow is not used: its resource lets steps that start together each create a parent, and
its hook leaves a FINISHED parent behind a failed run (dagster issue 21872).
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from realtor_assets.metadata.run_tags import PARENT_RUN_TAG
from realtor_assets.pipeline_settings import settings
from realtor_assets.resources.database import Database
from realtor_assets.resources.mlflow_server import MlflowServer
from realtor_model.installation import checkout
from realtor_model.registry_names import DAGSTER_RUN_TAG

if TYPE_CHECKING:
    from mlflow import ActiveRun
    from mlflow.entities import Run


@lru_cache(maxsize=1)
def code_commit() -> str:
    """The commit of this code: REALTOR_COMMIT where it is set (in images), else git's answer.

    "unknown" where there is neither: installed code may stand in a repository of somebody else.
    """
    if commit := settings().commit:
        return commit
    if checkout() is None:
        return "unknown"
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"],  # noqa: S607
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return git.stdout.strip() if git.returncode == 0 else "unknown"


class MlflowRuns(MlflowServer):
    """Runs of the experiment. The steps of one Dagster run share one parent run."""

    def parent_run_id(self, context: dg.AssetExecutionContext, database: Database) -> str:
        """The id of the MLflow run of this Dagster run; the first step creates it.

        A PostgreSQL lock in `database` makes search and creation one step for all processes.
        """
        client = self.client()
        run_id = context.run.run_id
        with database.lock(f"mlflow parent of {run_id}"):
            experiment = self._experiment_id(client)
            parents = client.search_runs(
                [experiment], f"tags.{DAGSTER_RUN_TAG} = '{run_id}'", max_results=1
            )
            if parents:
                return str(parents[0].info.run_id)
            parent = client.create_run(
                experiment,
                run_name=f"dagster {context.run.job_name} {run_id[:8]}",
                tags={DAGSTER_RUN_TAG: run_id, "dagster_job": context.run.job_name}
                | self.origin(context),
            )
            parent_id = str(parent.info.run_id)
            context.instance.add_run_tags(run_id, {PARENT_RUN_TAG: parent_id})
            return parent_id

    def origin(self, context: dg.AssetExecutionContext) -> dict[str, str]:
        """Tags that say where an MLflow run comes from: the code's commit, and the Dagster run."""
        tags = {"mlflow.source.git.commit": code_commit()}
        if self.dagster_url:
            tags["dagster_run_url"] = f"{self.dagster_url.rstrip('/')}/runs/{context.run.run_id}"
        return tags

    def run_url(self, run_id: str) -> str:
        """The page of an MLflow run."""
        experiment = self._experiment_id(self.client())
        return f"{self.tracking_uri}/#/experiments/{experiment}/runs/{run_id}"

    @contextmanager
    def child_run(
        self, parent_run_id: str, name: str, context: dg.AssetExecutionContext
    ) -> Iterator["ActiveRun"]:
        """A nested run named `name`: FINISHED when the block ends, FAILED when it raises."""
        client = self.client()
        import mlflow

        with mlflow.start_run(
            experiment_id=self._experiment_id(client),
            run_name=name,
            parent_run_id=parent_run_id,
            nested=True,
            tags=self.origin(context),
            log_system_metrics=False,
        ) as run:
            yield run

    def has_run(self, run_id: str) -> bool:
        """Whether the run exists, is finished, and is not deleted."""
        import mlflow.exceptions

        client = self.client()
        try:
            run = client.get_run(run_id)
        except mlflow.exceptions.MlflowException as problem:
            if problem.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return bool(run.info.lifecycle_stage == "active" and run.info.status == "FINISHED")

    def finished_runs(self, condition: str) -> "list[Run]":
        """The finished runs that meet `condition` (MLflow's search syntax), newest first."""
        client = self.client()
        runs: list[Run] = []
        token = None
        while token is None or token:
            page = client.search_runs(
                [self._experiment_id(client)],
                f"{condition} AND attributes.status = 'FINISHED'",
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            runs += page
            token = page.token or ""
        return runs

    def open_parents(self) -> list[str]:
        """The ids of the Dagster runs whose MLflow run is still RUNNING."""
        client = self.client()
        runs = client.search_runs(
            [self._experiment_id(client)],
            f"attributes.status = 'RUNNING' AND tags.{DAGSTER_RUN_TAG} != ''",
        )
        return [run.data.tags[DAGSTER_RUN_TAG] for run in runs]

    def close_parent(self, dagster_run_id: str, status: str) -> None:
        """End the MLflow run of a Dagster run with `status`, and its running children as FAILED."""
        client = self.client()
        experiments = [self._experiment_id(client)]
        for parent in client.search_runs(
            experiments, f"tags.{DAGSTER_RUN_TAG} = '{dagster_run_id}'"
        ):
            children = client.search_runs(
                experiments,
                f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
                " AND attributes.status = 'RUNNING'",
            )
            for child in children:
                client.set_terminated(child.info.run_id, status="FAILED")
            client.set_terminated(parent.info.run_id, status=status)
