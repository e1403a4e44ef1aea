"""The resource `tracking`: MLflow's runs and registered models, behind one address."""

from realtor_assets.resources.mlflow_runs import MlflowRuns
from realtor_assets.resources.registered_models import Champion, RegisteredModels
from realtor_model.registry_names import BUNDLE_ARTIFACT

__all__ = ["BUNDLE_ARTIFACT", "Champion", "Tracking"]


class Tracking(MlflowRuns, RegisteredModels):
    """The MLflow server as the assets use it: its runs and its registered models."""
