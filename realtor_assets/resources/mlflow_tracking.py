"""MLflow: one parent run per Dagster run, candidates as its children, one registered model.

dagster-mlflow is not used: its resource lets steps that start together each create a parent, and
its hook leaves a FINISHED parent behind a failed run (dagster issue 21872).
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from realtor_assets.pipeline_settings import settings
from realtor_assets.resources import Database
from realtor_model.listing import PREVIOUS_ALIAS, PRODUCTION_ALIAS, REGISTERED_MODEL
from realtor_model.valuation.bundle import load_bundle
from realtor_model.valuation.valuation_model import ValuationModel

if TYPE_CHECKING:
    from mlflow import ActiveRun, MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

EXPERIMENT = "realtor"
DAGSTER_RUN_TAG = "dagster_run_id"
PARENT_RUN_TAG = "mlflow/parent_run_id"
BUNDLE_ARTIFACT = "bundle"


@lru_cache(maxsize=1)
def code_commit() -> str:
    """The commit of this code: REALTOR_COMMIT where it is set (an image), else git's."""
    if told := settings().commit:
        return told
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"],  # noqa: S607
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() if found.returncode == 0 else "unknown"


class Tracking(dg.ConfigurableResource[None]):
    """The MLflow server. Steps of one Dagster run share one parent run, however they race."""

    tracking_uri: str
    dagster_url: str | None = None

    def client(self) -> "MlflowClient":
        """A client of the server. MLflow is imported on first use: it takes seconds."""
        # Progress bars of uploads would fill the compute logs.
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        return mlflow.MlflowClient()

    def parent_run_id(self, context: dg.AssetExecutionContext, database: Database) -> str:
        """The MLflow run of this Dagster run, made by whichever step comes first.

        A PostgreSQL lock makes search-then-create one step for all processes of the run.
        """
        client = self.client()
        run_id = context.run.run_id
        with database.lock(f"mlflow parent of {run_id}"):
            experiment = self._experiment_id(client)
            found = client.search_runs(
                [experiment], f"tags.{DAGSTER_RUN_TAG} = '{run_id}'", max_results=1
            )
            if found:
                return str(found[0].info.run_id)
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
        """What made an MLflow run, as its tags: the Dagster run and the commit of the code."""
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
        """Whether the run exists, finished, and is not deleted."""
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
        """The Dagster runs whose MLflow run is still RUNNING."""
        client = self.client()
        runs = client.search_runs(
            [self._experiment_id(client)],
            f"attributes.status = 'RUNNING' AND tags.{DAGSTER_RUN_TAG} != ''",
        )
        return [run.data.tags[DAGSTER_RUN_TAG] for run in runs]

    def close_parent(self, dagster_run_id: str, status: str) -> None:
        """Give the MLflow run of a Dagster run its status; a child that a crash left open fails."""
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

    def alias(self, alias: str) -> "ModelVersion | None":
        """The version that `alias` names, or None."""
        import mlflow.exceptions

        client = self.client()
        try:
            return client.get_model_version_by_alias(REGISTERED_MODEL, alias)
        except mlflow.exceptions.MlflowException as problem:
            if problem.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def production(self) -> "ModelVersion":
        """The Production version. Raises `dagster.Failure` when there is none."""
        champion = self.alias(PRODUCTION_ALIAS)
        if champion is None:
            raise dg.Failure(
                f"no version of {REGISTERED_MODEL} is in Production: run the train job",
                allow_retries=False,
            )
        return champion

    def register(self, run_id: str, model_uri: str, tags: dict[str, str]) -> "ModelVersion":
        """The registered version of a candidate's run: made once, found after that."""
        client = self.client()
        import mlflow

        for version in client.search_model_versions(f"name = '{REGISTERED_MODEL}'"):
            if version.run_id == run_id:
                return version
        return mlflow.register_model(model_uri, REGISTERED_MODEL, tags=tags)

    def production_version(self) -> str | None:
        """The number of the Production version."""
        champion = self.alias(PRODUCTION_ALIAS)
        return None if champion is None else str(champion.version)

    def point_production_at(self, version: str, previous: str | None) -> None:
        """Make `version` the one Production model, and `previous` the one to go back to.

        The production alias moves in one call of the registry. What stands around it is set so
        that doing all of it again mends a crash, and so that no two versions ever have the tag
        stage=Production.
        """
        client = self.client()
        for other in client.search_model_versions(f"name = '{REGISTERED_MODEL}'"):
            if str(other.version) != version and other.tags.get("stage") == "Production":
                self.set_stage(str(other.version), "Archived")
        client.set_registered_model_alias(REGISTERED_MODEL, PRODUCTION_ALIAS, version)
        self.set_stage(version, "Production")
        if previous is not None:
            client.set_registered_model_alias(REGISTERED_MODEL, PREVIOUS_ALIAS, previous)
        elif self.alias(PREVIOUS_ALIAS) is not None:
            client.delete_registered_model_alias(REGISTERED_MODEL, PREVIOUS_ALIAS)

    def version_url(self, version: str) -> str:
        """The page of a registered version."""
        return f"{self.tracking_uri}/#/models/{REGISTERED_MODEL}/versions/{version}"

    def version(self, version: str) -> "ModelVersion":
        """A registered version by its number."""
        return self.client().get_model_version(REGISTERED_MODEL, version)

    def versions(self) -> list[str]:
        """The numbers of all registered versions, oldest first."""
        found = self.client().search_model_versions(f"name = '{REGISTERED_MODEL}'")
        return sorted((str(version.version) for version in found), key=int)

    def set_stage(self, version: str, stage: str) -> None:
        """Tag `version` with its stage: Staging, Production or Archived."""
        self.client().set_model_version_tag(REGISTERED_MODEL, version, "stage", stage)

    def describe_version(self, version: str, *, decision: str, reason: str) -> None:
        """Keep with `version` what was decided about it and why."""
        client = self.client()
        client.update_model_version(REGISTERED_MODEL, version, f"{decision}: {reason}")
        client.set_model_version_tag(REGISTERED_MODEL, version, "decision", decision)

    def load_bundle(self, version: "ModelVersion") -> ValuationModel:
        """The valuation model of a registered version, verified while loading."""
        return self.load_logged_bundle(f"models:/{version.name}/{version.version}")

    def load_logged_bundle(self, model_uri: str) -> ValuationModel:
        """The valuation model inside the logged or registered model at `model_uri`."""
        self.client()
        import mlflow.artifacts

        with tempfile.TemporaryDirectory() as folder:
            mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=folder)
            manifests = [
                path
                for path in Path(folder).rglob("manifest.json")
                if path.parent.name == BUNDLE_ARTIFACT
            ]
            if len(manifests) != 1:
                raise dg.Failure(f"{model_uri} holds {len(manifests)} bundles; one was expected")
            return load_bundle(manifests[0].parent)

    def _experiment_id(self, client: "MlflowClient") -> str:
        import mlflow.exceptions

        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return str(experiment.experiment_id)
        try:
            return client.create_experiment(EXPERIMENT)
        except mlflow.exceptions.MlflowException as problem:
            if problem.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        return str(experiment.experiment_id)
