"""The registered model in MLflow: its versions, their stages, aliases and bundles."""

import json
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from realtor_assets.resources.mlflow_server import MlflowServer
from realtor_model.messages import CodedMessage, message
from realtor_model.registry_names import (
    ARCHIVED,
    BUNDLE_ARTIFACT,
    DECISION_TAG,
    PREVIOUS_ALIAS,
    PRODUCTION,
    PRODUCTION_ALIAS,
    REGISTERED_MODEL,
    STAGE_TAG,
    Stage,
)
from realtor_model.valuation.bundle import (
    MANIFEST,
    BrokenBundle,
    UnreadableBundle,
    load_bundle,
    require_readable,
)
from realtor_model.valuation.valuation_model import ValuationModel

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Champion:
    """A version in Production as this release reads it: its model, or why it can't be read.

    After an upgrade that changes the features, the bundle's format or its libraries, the champion
    of the release before can't be read: it is a reason to train, not an error.
    """

    version: str
    model: ValuationModel | None
    unreadable: CodedMessage | None = None


@lru_cache(maxsize=64)
def bundle_manifest(tracking_uri: str, version: str) -> dict[str, Any]:
    """The manifest of a registered version's bundle; a version never changes."""
    import mlflow.artifacts

    uri = f"models:/{REGISTERED_MODEL}/{version}/artifacts/{BUNDLE_ARTIFACT}/{MANIFEST}"
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(
            artifact_uri=uri, dst_path=folder, tracking_uri=tracking_uri
        )
        manifest: dict[str, Any] = json.loads(Path(path).read_text())
        return manifest


class RegisteredModels(MlflowServer):
    """The versions of `REGISTERED_MODEL`."""

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
        """The Production version.

        Raises:
            dagster.Failure: no version is in Production.
        """
        champion = self.alias(PRODUCTION_ALIAS)
        if champion is None:
            raise dg.Failure(
                f"no version of {REGISTERED_MODEL} is in Production: run the train job",
                allow_retries=False,
            )
        return champion

    def production_version(self) -> str | None:
        """The number of the Production version, or None."""
        champion = self.alias(PRODUCTION_ALIAS)
        return None if champion is None else str(champion.version)

    def version(self, version: str) -> "ModelVersion":
        """A registered version by its number."""
        return self.client().get_model_version(REGISTERED_MODEL, version)

    def versions(self) -> list[str]:
        """The numbers of all registered versions, oldest first."""
        registered = self.client().search_model_versions(f"name = '{REGISTERED_MODEL}'")
        return sorted((str(version.version) for version in registered), key=int)

    def version_url(self, version: str) -> str:
        """The page of a registered version."""
        return f"{self.tracking_uri}/#/models/{REGISTERED_MODEL}/versions/{version}"

    def register(self, run_id: str, model_uri: str, tags: dict[str, str]) -> "ModelVersion":
        """The version that was registered from the run `run_id`; registers one if there is none."""
        client = self.client()
        import mlflow

        for version in client.search_model_versions(f"name = '{REGISTERED_MODEL}'"):
            if version.run_id == run_id:
                return version
        return mlflow.register_model(model_uri, REGISTERED_MODEL, tags=tags)

    def point_production_at(self, version: str, previous: str | None) -> None:
        """Make `version` the one Production model, and `previous` the one to go back to.

        The production alias moves in one call of the registry. The tags and the other alias are set
        around it so that a repetition of all calls repairs a crash, and so that at no moment two
        versions have the tag stage=Production.
        """
        client = self.client()
        for other in client.search_model_versions(f"name = '{REGISTERED_MODEL}'"):
            if str(other.version) != version and other.tags.get(STAGE_TAG) == PRODUCTION:
                self.set_stage(str(other.version), ARCHIVED)
        client.set_registered_model_alias(REGISTERED_MODEL, PRODUCTION_ALIAS, version)
        self.set_stage(version, PRODUCTION)
        if previous is not None:
            client.set_registered_model_alias(REGISTERED_MODEL, PREVIOUS_ALIAS, previous)
        elif self.alias(PREVIOUS_ALIAS) is not None:
            client.delete_registered_model_alias(REGISTERED_MODEL, PREVIOUS_ALIAS)

    def set_stage(self, version: str, stage: Stage) -> None:
        """Set the tag `stage` of `version`."""
        self.client().set_model_version_tag(REGISTERED_MODEL, version, STAGE_TAG, stage)

    def describe_version(self, version: str, *, decision: str, reason: str) -> None:
        """Write the decision about `version` and its reason into the registry."""
        client = self.client()
        client.update_model_version(REGISTERED_MODEL, version, f"{decision}: {reason}")
        client.set_model_version_tag(REGISTERED_MODEL, version, DECISION_TAG, decision)

    def champion(self, version: str | None = None) -> Champion | None:
        """The Production version, or `version`, as this release reads it; None without one."""
        version = version or self.production_version()
        if version is None:
            return None
        try:
            return Champion(version, self.load_bundle(self.version(version)))
        except BrokenBundle as problem:
            reason = message("champion_unreadable", version=version, problem=str(problem))
            return Champion(version, None, reason)

    def production_model(self) -> "tuple[ModelVersion, ValuationModel]":
        """The Production version and its model.

        Raises:
            dagster.Failure: there is none, or this release can't read it.
        """
        registered = self.production()
        try:
            return registered, self.load_bundle(registered)
        except BrokenBundle as problem:
            raise unreadable_failure(str(registered.version), problem) from problem

    def unreadable(self, version: str) -> CodedMessage | None:
        """Why this release can't read the bundle of `version`, by its manifest alone; or None."""
        self.client()
        try:
            require_readable(bundle_manifest(self.tracking_uri, version), f"version {version}")
        except UnreadableBundle as problem:
            return message("champion_unreadable", version=version, problem=str(problem))
        return None

    def load_bundle(self, version: "ModelVersion") -> ValuationModel:
        """The valuation model of a registered version; loading verifies its files.

        Raises:
            BrokenBundle: a file is missing or changed, or this code cannot read the bundle.
        """
        return self.load_logged_bundle(f"models:/{version.name}/{version.version}")

    def load_logged_bundle(self, model_uri: str) -> ValuationModel:
        """The valuation model inside the logged or registered model at `model_uri`.

        Raises:
            BrokenBundle: a file is missing or changed, or this code cannot read the bundle.
            dagster.Failure: the model does not hold exactly one bundle.
        """
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
            bundle = manifests[0].parent
            try:
                return load_bundle(bundle)
            except BrokenBundle as problem:
                # By then the folder is gone: its name would help nobody.
                text = str(problem).replace(str(bundle), model_uri)
                raise type(problem)(text) from problem


def unreadable_failure(version: str, problem: BrokenBundle) -> dg.Failure:
    """What a step raises that needs the Production model, which this release can't read."""
    text = message("champion_unreadable", version=version, problem=str(problem)).text
    return dg.Failure(f"{text} A training replaces it (job train).", allow_retries=False)
