"""An upgrade to another feature version: the old champion is a reason to train, and no error."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from realtor_assets.clean.clean_build import required_build
from realtor_assets.clean.load_decisions import UNREADABLE_RULE
from realtor_assets.metadata.run_tags import RETRAIN_REASON_TAG
from realtor_assets.publish.withdrawal import withdraw
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.resources.registered_models import bundle_manifest
from realtor_model.features import FEATURE_VERSION
from tests.assets.lineage import Lineage, lineage_on
from tests.servers import upstream

pytestmark = [pytest.mark.integration]

OLD = "of the release before"
# One candidate is enough for a version.
TRAIN = (
    "linear_regression", "best_model", "promotion_decision", "production_model", "champion_change",
    "ratio_study", "batch_valuations", "published_history",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("upgrade")


@pytest.fixture(scope="module")
def lineage(folder: Path) -> Iterator[Lineage]:
    with (
        upstream(folder, "--rows", "30000", "--seed", "7") as server,
        lineage_on(folder, server.url) as lineage,
    ):
        yield lineage


def succeed(result: dg.ExecuteInProcessResult) -> None:
    assert result.success, [event.message for event in result.get_step_failure_events()]


def asked(lineage: Lineage, query: str) -> list[tuple[Any, ...]]:
    database: Database = lineage.resources["clean_database"]
    with database.transaction() as connection:
        return connection.execute(query).fetchall()


@pytest.fixture(scope="module")
def upgraded(lineage: Lineage, folder: Path) -> None:
    """A platform whose champion and clean tables were made by a release with other features."""
    for result in lineage.ingest():
        succeed(result)
    succeed(lineage.run("clean"))
    with pytest.MonkeyPatch.context() as patch:
        # A candidate knows by its training key that the features have changed.
        patch.setattr("realtor_model.training.FEATURE_VERSION", OLD)
        succeed(lineage.run("train", *TRAIN))
    manifests = [
        path for path in folder.rglob("manifest.json") if "feature_names" in path.read_text()
    ]
    assert manifests
    for path in manifests:
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps(manifest | {"feature_version": OLD}))
    former = hashlib.sha256(OLD.encode()).hexdigest()[:16]
    clean: Database = lineage.resources["clean_database"]
    with clean.transaction() as connection:
        connection.execute(
            "UPDATE clean_builds SET feature_version = %s, data_version = %s", [OLD, former]
        )
        connection.execute("UPDATE promotion_decisions SET data_version = %s", [former])
        connection.execute("UPDATE retrain_decisions SET feature_version = %s", [OLD])
    bundle_manifest.cache_clear()


@pytest.mark.usefixtures("upgraded")
def test_nothing_is_trained_on_clean_tables_of_another_feature_version(
    lineage: Lineage,
) -> None:
    (failure,) = lineage.run("train", "linear_regression").get_step_failure_events()
    assert "run the clean job" in str(failure.step_failure_data.error)
    assert isinstance(lineage.tick("train_as_decided"), dg.SkipReason)


@pytest.mark.usefixtures("upgraded")
def test_the_clean_job_decides_on_a_training_although_no_batch_is_new(lineage: Lineage) -> None:
    request = lineage.tick("decide_on_batches")
    assert isinstance(request, dg.RunRequest)

    succeed(lineage.run("clean"))

    decisions = asked(
        lineage,
        "SELECT decision, rule, model_version, feature_version, details FROM retrain_decisions"
        " ORDER BY decision_id",
    )
    assert [decision[:4] for decision in decisions] == [
        ("train", "first model", None, OLD),
        ("train", UNREADABLE_RULE, "1", FEATURE_VERSION),
    ]
    (detail,) = decisions[-1][-1]
    assert detail["code"] == "champion_unreadable"
    assert detail["params"]["version"] == "1"
    assert f"features {OLD}" in detail["params"]["problem"]
    assert lineage.metadata("retrain_decision")["rule"] == UNREADABLE_RULE
    assert required_build(lineage.resources["clean_database"]).feature_version == FEATURE_VERSION


@pytest.mark.usefixtures("upgraded")
def test_it_is_decided_once(lineage: Lineage) -> None:
    assert isinstance(lineage.tick("decide_on_batches"), dg.SkipReason)
    succeed(lineage.run("clean"))
    assert asked(lineage, "SELECT count(*) FROM retrain_decisions") == [(2,)]


@pytest.mark.usefixtures("upgraded")
def test_what_needs_the_champion_says_that_it_cannot_be_read(lineage: Lineage) -> None:
    for asset in ("ratio_study", "batch_valuations", "bento"):
        (failure,) = lineage.run("serve", asset).get_step_failure_events()
        assert "this release can't read it" in str(failure.step_failure_data.error), asset
    tracking: Tracking = lineage.resources["tracking"]
    assert tracking.production_version() == "1", "and nothing is rolled back"
    succeed(lineage.run("serve", "production_model", "published_history"))


@pytest.mark.usefixtures("upgraded")
def test_the_challenger_passes_the_absolute_gates_alone(lineage: Lineage) -> None:
    request = lineage.tick("train_as_decided")
    assert isinstance(request, dg.RunRequest)
    assert "can't read" in request.tags[RETRAIN_REASON_TAG]

    succeed(lineage.run("train", *TRAIN))

    decision = lineage.metadata("promotion_decision")
    assert (decision["decision"], decision["rule"]) == ("promoted", "champion unreadable")
    assert decision["champion_version"] == "1"
    ((details, criteria),) = asked(
        lineage,
        "SELECT details, criteria FROM promotion_decisions ORDER BY decision_id DESC LIMIT 1",
    )
    assert [detail["code"] for detail in details] == [
        "champion_unreadable", "passed_absolute_gates",
    ]  # fmt: skip
    assert len(criteria) == 8
    tracking: Tracking = lineage.resources["tracking"]
    assert tracking.production_version() == "2"
    assert "nothing to compare" in str(lineage.metadata("champion_change")["summary"])
    assert isinstance(lineage.tick("train_as_decided"), dg.SkipReason)
    assert isinstance(lineage.tick("decide_on_batches"), dg.SkipReason)


@pytest.mark.usefixtures("upgraded")
def test_a_service_of_the_release_before_does_not_bring_the_old_version_back(
    lineage: Lineage,
) -> None:
    tracking: Tracking = lineage.resources["tracking"]
    clean: Database = lineage.resources["clean_database"]

    failure = withdraw(clean, tracking, "2", "The service cannot load version 2.")

    assert "Version 2 stays in Production" in str(failure.description)
    assert tracking.production_version() == "2"


@pytest.mark.usefixtures("upgraded")
def test_the_next_batch_duels_with_a_champion_again(lineage: Lineage) -> None:
    for result in lineage.ingest():
        succeed(result)
    succeed(lineage.run("clean"))

    assert "batch 1" in str(lineage.metadata("retrain_decision")["reason"]).lower()
    assert lineage.metadata("drift_report")["champion_version"] == "2"
