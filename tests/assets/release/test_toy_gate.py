"""A gate that is added to the registry alone runs through duel, checks, decision and history."""

import importlib
import json
from collections.abc import Iterator

import dagster as dg
import pytest

from realtor_assets.publish.published_history import HISTORY_KEY
from realtor_assets.release import promotion_decision
from realtor_assets.release.release_records import PromotionRecord
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_model.duel import DuelContext, gates
from realtor_model.duel.gate import Answer, Gate
from tests.assets.lineage import Lineage, lineage_on
from tests.servers import upstream

pytestmark = [pytest.mark.integration]

MARKET = ("--rows", "30000", "--seed", "7")


def few_listings(duel: DuelContext) -> Answer:
    """The toy: fails wherever there are listings to judge on."""
    n = len(duel.listings.price)
    limit = duel.policy.max_rows
    return Answer(False, f"{n} listings (limit {limit})", {"listings": float(n)})


TOY = Gate("few_listings", "The toy gate of this test.", ("max_rows",), few_listings)


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lineage]:
    folder = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch, upstream(folder, *MARKET) as server:
        patch.setattr(gates, "GATES", (*gates.GATES, TOY))
        importlib.reload(promotion_decision)
        with lineage_on(folder, server.url) as lineage:
            yield lineage
    # The next lineage loads the definitions anew.
    importlib.reload(promotion_decision)


def test_a_gate_of_the_registry_is_judged_checked_recorded_and_published(
    lineage: Lineage,
) -> None:
    key = dg.AssetCheckKey(dg.AssetKey("promotion_decision"), TOY.name)
    assert key in lineage.defs.resolve_asset_graph().asset_check_keys

    for result in (*lineage.ingest(), lineage.run("clean")):
        assert result.success, [event.message for event in result.get_step_failure_events()]
    trained = lineage.run(
        "train", "linear_regression", "best_model", "promotion_decision", "published_history"
    )

    assert trained.success, [event.message for event in trained.get_step_failure_events()]
    (check,) = [
        evaluation for evaluation in trained.get_asset_check_evaluations()
        if evaluation.check_name == TOY.name
    ]  # fmt: skip
    assert not check.passed
    assert check.metadata["listings"].value > 0

    clean: Database = lineage.resources["clean_database"]
    with clean.transaction() as connection:
        record = PromotionRecord.newest(connection)
    assert record is not None
    assert (record.decision, record.rule) == ("rejected", TOY.name)
    assert record.criteria[-1]["name"] == TOY.name
    assert [detail["code"] for detail in record.details] == [TOY.name]

    tracking: Tracking = lineage.resources["tracking"]
    assert tracking.production_version() is None
    duel = tracking.client().list_artifacts(str(tracking.version("1").run_id), "duel")
    assert {file.path for file in duel} == {"duel/duel.json", "duel/duel.md"}

    store: ObjectStore = lineage.resources["store"]
    with store.open(HISTORY_KEY) as file:
        (promotion,) = json.load(file)["promotions"]
    assert promotion["rule"] == TOY.name
    assert promotion["details"] == record.details
    assert promotion["criteria"][-1]["figures"] == {"listings": check.metadata["listings"].value}
