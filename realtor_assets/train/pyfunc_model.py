"""The bundle as an MLflow pyfunc, logged as code: `mlflow.pyfunc.load_model` works for anybody.

MLflow stores this file with the model and runs it when the model is loaded; nothing is pickled.
"""

from pathlib import Path
from typing import Any

import mlflow.models
import pandas as pd
from mlflow.pyfunc.model import PythonModel

from realtor_model.reading.home_tables import table_of
from realtor_model.valuation.bundle import load_bundle
from realtor_model.valuation.table_estimates import estimate

# Column of the answer -> column of the estimates.
ANSWER = {
    "price": "estimated_price",
    "low": "estimated_low",
    "high": "estimated_high",
    "warnings": "warnings",
    "error": "error",
}


class ListingValuation(PythonModel):
    """Values homes as sold, from a frame in any form that the reader of homes takes."""

    def load_context(self, context: Any) -> None:
        """Load and verify the bundle among the model's artifacts."""
        self.model = load_bundle(Path(context.artifacts["bundle"]))

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Value n homes.

        Args:
            model_input: n rows, with any of the market's inputs as columns under any of their
                headers; numbers, texts, categories, dates and nullable types.

        Returns:
            n rows with the index of `model_input`: price, low and high in the market's currency,
            warnings, and the error of a row that cannot be valued, whose price is NaN.
        """
        estimates = estimate(self.model, table_of(model_input)).to_pandas()
        answer: pd.DataFrame = estimates[list(ANSWER.values())].set_axis(list(ANSWER), axis=1)
        return answer.set_axis(model_input.index)


mlflow.models.set_model(ListingValuation())
