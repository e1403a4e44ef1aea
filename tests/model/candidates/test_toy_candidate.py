"""A candidate that is only registered does what every candidate's model does."""

import json
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from realtor_model.candidates import CANDIDATES
from realtor_model.duel import DuelPolicy, duel
from realtor_model.evaluation.model_change import what_changed
from realtor_model.features import take
from realtor_model.valuation.bundle import load_bundle, save_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from tests.model.candidates.toy_candidate import RIDGE_REGRESSION
from tests.model.conftest import AS_OF, SMALL, Market, trained_model

NAME = RIDGE_REGRESSION.name

ModelOf = Callable[[str], ValuationModel]


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """The toy candidate is in the registry, and nothing else knows of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cast("dict[str, Any]", CANDIDATES), NAME, RIDGE_REGRESSION)
        patch.setitem(SMALL, NAME, {"alpha": 2.0})
        yield


@pytest.fixture(scope="module")
def model(registered: None) -> ValuationModel:
    return trained_model(NAME)


def test_bundle_of_a_new_candidate_is_read_bit_equal_and_records_its_libraries(
    model: ValuationModel, homes: dict[str, NDArray[Any]], tmp_path: Path
) -> None:
    save_bundle(model, tmp_path / "bundle")

    values, again = model.value(homes), load_bundle(tmp_path / "bundle").value(homes)

    for name in ("price", "low", "high"):
        assert getattr(values, name).tobytes() == getattr(again, name).tobytes()
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["candidate"] == NAME
    for library in RIDGE_REGRESSION.requirements:
        assert manifest["versions"][library] == version(library)


def test_new_candidate_explains_and_compares_homes(
    model: ValuationModel, homes: dict[str, NDArray[Any]]
) -> None:
    few = take(homes, slice(5))

    explanation = model.explain(few)
    comparables = model.compare(take(homes, slice(1)))

    total = explanation.base_log + explanation.by_input_log.sum(axis=1)
    assert total == pytest.approx(np.log(model.predict(few)), abs=1e-4)
    assert len(comparables.price) == 5


def test_new_candidate_duels_with_a_champion(
    model: ValuationModel, model_of: ModelOf, market: Market
) -> None:
    criteria = duel(
        model, model_of("xgboost"), market.test.columns, market.test.price, AS_OF.item(),
        DuelPolicy(),
    )  # fmt: skip

    results = {criterion.name: criterion.passed for criterion in criteria}
    # The market is linear in the features, so the toy even wins.
    assert results["accuracy"]
    assert results["leak_canary"]
    assert results["coverage"]


def test_few_homes_are_explained_when_a_new_candidate_is_slow(
    model: ValuationModel, model_of: ModelOf, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained: list[int] = []
    explain = ValuationModel.explain

    def counted(model: ValuationModel, columns: dict[str, NDArray[Any]]) -> object:
        explained.append(len(columns["status"]))
        return explain(model, columns)

    monkeypatch.setattr(ValuationModel, "explain", counted)
    what_changed(model_of("linear_regression"), model, market.test.columns, market.test.price)

    assert explained == [60, 60]
