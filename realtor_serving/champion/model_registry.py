"""The model registry (MLflow): which version is in production, and its bundle."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from realtor_model.registry_names import PRODUCTION_ALIAS, REGISTERED_MODEL

if TYPE_CHECKING:
    from mlflow import MlflowClient


class RegistryUnavailable(Exception):
    """The registry does not answer, or not in a way that names a model."""


class NoBundle(Exception):
    """A registered version without a bundle of this project."""


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of the registered model. `run_id` is "" where the registry names no run."""

    version: str
    run_id: str

    @property
    def key(self) -> str:
        """A folder name unique to this version."""
        return f"{self.version}-{self.run_id}" if self.run_id else self.version


class Registry(Protocol):
    """The part of a model registry that the service needs."""

    def production(self) -> RegisteredVersion | None:
        """The version in production; None when there is none. Raises `RegistryUnavailable`."""

    def download(self, registered: RegisteredVersion, folder: Path) -> Path:
        """Download the version's files into `folder`; returns the bundle among them.

        Raises `RegistryUnavailable`, or `NoBundle`.
        """


@dataclass(frozen=True)
class MlflowRegistry:
    """The production alias of the registered model on an MLflow server."""

    tracking_uri: str

    def production(self) -> RegisteredVersion | None:
        """See `Registry.production`."""
        client = self._client()
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

        try:
            version = client.get_model_version_by_alias(REGISTERED_MODEL, PRODUCTION_ALIAS)
        except MlflowException as problem:
            if problem.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise RegistryUnavailable(self._unavailable(problem)) from problem
        except (RequestException, OSError, ValueError) as problem:
            # ValueError: an answer that is not JSON, from a proxy in between.
            raise RegistryUnavailable(self._unavailable(problem)) from problem
        return RegisteredVersion(str(version.version), version.run_id or "")

    def download(self, registered: RegisteredVersion, folder: Path) -> Path:
        """See `Registry.download`."""
        self._client()
        import mlflow.artifacts
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

        try:
            mlflow.artifacts.download_artifacts(
                artifact_uri=f"models:/{REGISTERED_MODEL}/{registered.version}",
                dst_path=str(folder),
            )
        except (MlflowException, RequestException, OSError) as problem:
            raise RegistryUnavailable(self._unavailable(problem)) from problem
        return find_bundle(folder)

    def _client(self) -> "MlflowClient":
        # With MLflow's own limits a dead server keeps a call waiting for minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        import mlflow

        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        return mlflow.MlflowClient()

    def _unavailable(self, problem: Exception) -> str:
        return f"MLflow at {self.tracking_uri} does not answer: {problem}"


def find_bundle(folder: Path) -> Path:
    """The bundle somewhere below `folder`. Raises `NoBundle`."""
    manifests = sorted(folder.rglob("manifest.json"))
    try:
        bundles = [
            path.parent for path in manifests if "feature_names" in json.loads(path.read_text())
        ]
    except ValueError as problem:
        raise NoBundle(f"a manifest of the registered model is no JSON: {problem}") from problem
    if len(bundles) != 1:
        raise NoBundle(f"the registered model holds {len(bundles)} bundles; one was expected")
    return bundles[0]
