"""`mlflow.pyfunc.load_model` takes any frame of homes that the reader takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest

from realtor_assets.resources.mlflow_tracking import BUNDLE_ARTIFACT
from realtor_assets.train import mlflow_model
from realtor_assets.train.mlflow_model import described_inputs, example, signature
from realtor_model.valuation.bundle import save_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from tests.serving.running import make_model

HOME = {
    "state": "Texas", "city": "Houston", "zip_code": "77002", "bed": 3, "bath": 2,
    "house_size": 1800, "acre_lot": 0.12,
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> ValuationModel:
    return make_model()


@pytest.fixture(scope="module")
def loaded(model: ValuationModel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("pyfunc")
    save_bundle(model, folder / "bundle")
    mlflow.pyfunc.save_model(
        str(folder / "model"),
        python_model=str(Path(mlflow_model.__file__).with_name("pyfunc_model.py")),
        artifacts={BUNDLE_ARTIFACT: str(folder / "bundle")},
        signature=signature(),
        input_example=example(model.contract),
        metadata={"inputs": described_inputs(model.contract)},
        pip_requirements=[],
    )
    return mlflow.pyfunc.load_model(str(folder / "model"))


FRAMES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "whole numbers": lambda homes: homes,
    "floats": lambda homes: homes.astype({"bed": float, "bath": float, "house_size": float}),
    "text": lambda homes: homes.astype(str),
    "objects": lambda homes: homes.astype(object),
    "nullable": lambda homes: homes.convert_dtypes(),
    "Arrow": lambda homes: homes.convert_dtypes(dtype_backend="pyarrow"),
    "categories": lambda homes: homes.astype(dict.fromkeys(["state", "city", "bed"], "category")),
    "integer zips": lambda homes: homes.astype({"zip_code": int}),
    "dates": lambda homes: homes.assign(prev_sold_date=pd.Timestamp("2020-02-03", tz="UTC")),
    "another index": lambda homes: homes.set_axis([7, 7]),
    "other headers": lambda homes: homes.rename(
        columns={"house_size": "Sq. Ft.", "zip_code": "ZIP", "bed": "Beds"}
    ).assign(roof="slate"),
    "units": lambda homes: homes.assign(house_size="1,800 sq ft", acre_lot="5,227.2 sqft"),
    "mixed types": lambda homes: homes.assign(bed=pd.Series([3, "3 bd"], dtype=object)),
}


@pytest.mark.parametrize("form", FRAMES)
def test_every_form_of_a_frame_has_the_same_value(loaded: Any, form: str) -> None:
    plain = loaded.predict(pd.DataFrame([HOME]))
    frame = FRAMES[form](pd.DataFrame([HOME, HOME]))

    valued = loaded.predict(frame)

    assert list(valued.index) == list(frame.index)
    assert set(valued["price"]) == set(plain["price"])
    assert valued["error"].isna().all()


def test_bad_row_costs_itself(loaded: Any) -> None:
    valued = loaded.predict(pd.DataFrame([HOME, HOME | {"bed": 300}, {"bed": 3}, HOME]))

    assert list(valued["price"].isna()) == [False, True, True, False]
    assert valued.loc[1, "error"] == "bed is 300; it must be from 0 to 100 bedrooms"
    assert valued.loc[2, "error"].startswith("state or zip_code is required")


def test_missing_columns_and_values_are_missing(loaded: Any) -> None:
    few = loaded.predict(pd.DataFrame({"zip_code": [77002], "house_size": [1800]}))
    gaps = loaded.predict(
        pd.DataFrame({**{name: [None] for name in HOME}, "zip_code": [77002], "house_size": [1800],
                      "bed": [np.nan], "state": ["NA"]})
    )  # fmt: skip

    assert few.equals(gaps)
    assert "Without bed" in few.loc[0, "warnings"]


def test_mlflow_shows_inputs_and_answers(loaded: Any) -> None:
    assert set(loaded.metadata.metadata["inputs"]) == {*HOME, "status", "street", "brokered_by",
                                                       "prev_sold_date"}  # fmt: skip
    assert loaded.metadata.get_output_schema().input_names() == [
        "price", "low", "high", "warnings", "error",
    ]  # fmt: skip
