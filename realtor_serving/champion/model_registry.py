"""The model registry (MLflow): the production version and its bundle."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from realtor_model.registry_names import PRODUCTION_ALIAS, REGISTERED_MODEL

if TYPE_CHECKING:
    from mlflow import MlflowClient


class RegistryUnavailable(Exception):
    """The registry does not answer, or its answer cannot be used."""


class NoBundle(Exception):
    """The registered version holds no bundle of this project, or more than one."""


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of the registered model. `run_id` is "" if the registry names no run."""

    version: str
    run_id: str

    @property
    def key(self) -> str:
        """A folder name unique to this version."""
        return f"{self.version}-{self.run_id}" if self.run_id else self.version


class Registry(Protocol):
    """The operations of a model registry that the service needs."""

    def production(self) -> RegisteredVersion | None:
        """The version in production; None if no version is.

        Raises:
            RegistryUnavailable: the registry does not answer.
        """

    def download(self, registered: RegisteredVersion, folder: Path) -> Path:
        """Download the version's files into `folder` and return the path of the bundle.

        Raises:
            RegistryUnavailable: the registry does not answer.
            NoBundle: the version does not hold exactly one bundle.
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
            # ValueError: the answer is not JSON; a proxy sent it.
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
        # With MLflow's default limits, a call to a dead server takes minutes to fail.
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
    """The path of the only bundle below `folder`, at any depth.

    Raises:
        NoBundle: `folder` holds no bundle or several, or a manifest is not JSON.
    """
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
