"""The bundle as an MLflow pyfunc, logged as code: `mlflow.pyfunc.load_model` works for anybody.

MLflow stores this file with the model and runs it when the model is loaded; nothing is pickled.
"""

from pathlib import Path
from typing import Any

import mlflow.models
import pandas as pd
from mlflow.pyfunc.model import PythonModel

from realtor_model.features import as_sold, columns_from_properties
from realtor_model.listing import home_model
from realtor_model.valuation.bundle import load_bundle


class ListingValuation(PythonModel):
    """Values homes as sold: the market's inputs in, price, low and high in its currency out."""

    def load_context(self, context: Any) -> None:
        """Load and verify the bundle among the model's artifacts."""
        self.model = load_bundle(Path(context.artifacts["bundle"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Value `model_input` (n rows, any of the market's inputs as columns); returns n rows."""
        contract = self.model.contract
        rows = model_input.reindex(columns=list(contract.by_name)).astype(object)
        records = rows.where(rows.notna(), None).to_dict("records")
        homes = [home_model(contract).model_validate(record) for record in records]
        values = self.model.value(as_sold(columns_from_properties(homes, contract)))
        return pd.DataFrame({"price": values.price, "low": values.low, "high": values.high})


mlflow.models.set_model(ListingValuation())
