"""A candidate that is only registered goes all the way, from its asset to the service.

`tests/model/candidates/toy_candidate.py` and an entry in the registry are all there is of it.
Processes that the platform starts (the trial of the bundle, the service) get the entry by a
`sitecustomize` module. What the model can do alone: `tests/model/candidates/test_toy_candidate.py`.
"""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest

from realtor_assets.publish.published_history import HISTORY_KEY
from realtor_assets.release.production_model import promote
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.train.mlflow_model import requirements
from realtor_model.candidates import CANDIDATES
from realtor_model.duel.gates import GATES
from realtor_model.features import as_sold, columns_from_properties
from realtor_model.listing import Property
from tests.assets.lineage import Lineage, lineage_on
from tests.model.candidates.toy_candidate import RIDGE_REGRESSION
from tests.servers import upstream
from tests.serving.running import HOUSE, run_service, wait_for

NAME = RIDGE_REGRESSION.name
ROOT = Path(__file__).parents[3]
# Assets are made from the registry when these are imported.
MODULES = [
    "realtor_assets.train.hyperparameter_search",
    "realtor_assets.train.candidate_assets",
    "realtor_assets.train.best_model",
]
REGISTERED_EVERYWHERE = """
from realtor_model.candidates import CANDIDATES
from tests.model.candidates.toy_candidate import RIDGE_REGRESSION
CANDIDATES[RIDGE_REGRESSION.name] = RIDGE_REGRESSION
"""


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """The toy candidate is in the registry, and nothing else knows of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cast("dict[str, Any]", CANDIDATES), NAME, RIDGE_REGRESSION)
        yield


def test_mlflow_requirements_follow_the_candidate() -> None:
    pinned = {line.partition("==")[0] for line in requirements(NAME)}

    assert pinned >= set(RIDGE_REGRESSION.requirements)
    assert "shap" not in pinned
    assert "scipy" not in {line.partition("==")[0] for line in requirements("xgboost")}


@pytest.fixture(scope="module")
def lineage(registered: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lineage]:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "sitecustomize.py").write_text(REGISTERED_EVERYWHERE)
    for module in MODULES:
        importlib.reload(importlib.import_module(module))
    try:
        # An upstream of its own: the shared one's cursor would skip its batches in later tests.
        with (
            upstream(folder, "--rows", "30000", "--seed", "7") as server,
            lineage_on(folder, server.url, PYTHONPATH=f"{folder}:{ROOT}") as lineage,
        ):
            for result in (*lineage.ingest(), lineage.run("clean")):
                assert result.success, [event.message for event in result.get_step_failure_events()]
            yield lineage
    finally:
        # Later tests of this process get the assets of the real registry.
        del cast("dict[str, Any]", CANDIDATES)[NAME]
        for module in MODULES:
            importlib.reload(importlib.import_module(module))
        cast("dict[str, Any]", CANDIDATES)[NAME] = RIDGE_REGRESSION


@pytest.mark.integration
def test_asset_of_a_new_candidate_follows_from_the_registry(lineage: Lineage) -> None:
    graph = lineage.defs.resolve_asset_graph()
    asset = graph.get(dg.AssetKey(NAME))

    assert asset.description == RIDGE_REGRESSION.description
    assert asset.kinds == {"mlflow", "scikitlearn", "scipy"}
    assert dg.AssetKey(NAME) in graph.get(dg.AssetKey("best_model")).parent_keys


@pytest.mark.integration
def test_new_candidate_is_searched_trained_and_registered(lineage: Lineage) -> None:
    searched = lineage.run("search", hyperparameter_search={"candidate": NAME, "trials": 2})
    trained = lineage.run("train", NAME, "best_model", **{NAME: {"searched": True}})

    assert searched.success
    assert trained.success, [event.message for event in trained.get_step_failure_events()]
    found = lineage.metadata("hyperparameter_search")["best"]
    assert lineage.metadata(NAME)["hyperparameters"] == found
    assert lineage.metadata("best_model")["candidate"] == NAME
    tracking: Tracking = lineage.resources["tracking"]
    run = tracking.client().get_run(str(lineage.metadata(NAME)["mlflow_run_id"]))
    assert run.data.params["candidate"] == NAME
    assert "validation_mae_log" in run.data.metrics


@pytest.mark.integration
def test_logged_model_requires_the_libraries_of_its_candidate(
    lineage: Lineage, tmp_path: Path
) -> None:
    import mlflow.artifacts

    lineage.resources["tracking"].client()
    mlflow.artifacts.download_artifacts(
        artifact_uri=str(lineage.metadata(NAME)["model_uri"]), dst_path=str(tmp_path)
    )

    (file,) = tmp_path.rglob("requirements.txt")
    assert set(requirements(NAME)) <= set(file.read_text().splitlines())


@pytest.mark.integration
def test_new_candidate_reaches_the_service_and_the_history(
    lineage: Lineage, tmp_path: Path
) -> None:
    tracking: Tracking = lineage.resources["tracking"]
    clean: Database = lineage.resources["clean_database"]

    decided = lineage.run("train", "promotion_decision")

    assert decided.success, [event.message for event in decided.get_step_failure_events()]
    checks = {check.check_name: check for check in decided.get_asset_check_evaluations()}
    assert set(checks) == {gate.name for gate in GATES}
    assert checks["serving"].passed, checks["serving"].description
    assert checks["latency"].passed
    number = str(lineage.metadata("best_model")["model_version"])
    if tracking.production_version() is None:
        promote(clean, tracking, number, reason="a toy", approver="a tester")
    published = lineage.run("train", "production_model", "ratio_study", "batch_valuations",
                            "published_history")  # fmt: skip
    assert published.success, [event.message for event in published.get_step_failure_events()]

    store: ObjectStore = lineage.resources["store"]
    with store.open(HISTORY_KEY) as file:
        history = json.load(file)
    assert [row["candidate"] for row in history["versions"]] == [NAME]
    model = tracking.load_bundle(tracking.production())
    offline = model.value(as_sold(columns_from_properties([Property.model_validate(HOUSE)])))
    # With one worker, a service that is ready has the model in all of them.
    variables = {"MLFLOW_TRACKING_URI": tracking.tracking_uri, "REALTOR_SERVICE_WORKERS": "1"}
    with run_service(tmp_path, **variables) as service:
        wait_for(lambda: service.get("/readyz").is_success, f"a model {service.log}")
        answer = service.post("/predict", HOUSE).json()
        explained = service.post("/explain", HOUSE)
    assert answer["price"] == pytest.approx(offline.price[0], abs=0.01)
    assert answer["model"]["candidate"] == NAME
    assert explained.is_success, explained.text
