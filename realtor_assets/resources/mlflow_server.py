"""A connection to the MLflow server, and the one experiment that holds all runs."""

import os
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "realtor"


class MlflowServer(dg.ConfigurableResource[None]):
    """The MLflow server at `tracking_uri`. Links to runs need Dagster's address, `dagster_url`."""

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

    def _experiment_id(self, client: "MlflowClient") -> str:
        """The id of `EXPERIMENT`, which the first caller creates."""
        import mlflow.exceptions

        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return str(experiment.experiment_id)
        try:
            return client.create_experiment(EXPERIMENT)
        except mlflow.exceptions.MlflowException as problem:
            if problem.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # Another process created it meanwhile.
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        return str(experiment.experiment_id)
