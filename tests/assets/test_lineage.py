"""Source → Production, in one process, on real PostgreSQL, MLflow, object store and upstream.

The bento and the running service belong to `tests/e2e`; everything before them runs here.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow.parquet
import pytest

from realtor_assets.clean.assets import CLEAN_TABLES
from realtor_assets.clean.clean_build import required_build
from realtor_assets.raw.raw_listings import read_listings
from realtor_assets.release import release_records
from realtor_assets.release.production_model import promote
from realtor_assets.release.release_records import PromotionRecord
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_model.duel import gates
from realtor_model.features import as_sold, columns_from_frame
from realtor_model.registry_names import HISTORY_KEY
from tests.assets.lineage import TRAIN, Lineage, lineage_on
from tests.servers import Upstream

pytestmark = [pytest.mark.integration]


@pytest.fixture(scope="module")
def lineage(
    small_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lineage]:
    with lineage_on(tmp_path_factory.mktemp("lineage"), small_upstream.url) as lineage:
        yield lineage


def raw_of(lineage: Lineage) -> Database:
    database: Database = lineage.resources["raw_database"]
    return database


def test_definitions_are_loadable(lineage: Lineage) -> None:
    dg.Definitions.validate_loadable(lineage.defs)


def test_first_batch_to_production(lineage: Lineage) -> None:
    for result in (*lineage.ingest(), lineage.run("clean"), lineage.run("train", *TRAIN)):
        assert result.success, [event.message for event in result.get_step_failure_events()]
        checks = result.get_asset_check_evaluations()
        assert all(check.passed for check in checks), checks

    assert lineage.metadata("retrain_decision")["rule"] == "first model"
    assert lineage.metadata("promotion_decision")["rule"] == "first model"
    assert lineage.metadata("production_model")["model_version"] == "1"
    assert lineage.metadata("ratio_study")["median_ratio"] == pytest.approx(1.0, abs=0.15)
    told = lineage.metadata("xgboost")
    for name in ("rmse", "mape", "rmse_log", "prb_low", "coverage"):
        assert f"validation_{name}" in told
        assert f"test_{name}" in told
    rows = lineage.metadata("best_model")["train_rows"]
    assert rows > told["train_rows"]  # type: ignore[operator]


@pytest.mark.parametrize(
    "table", ["encoding_mappings", "preprocessing_statistics", "zip_context", "clean_train",
              "clean_validation", "clean_test"],
)  # fmt: skip
def test_every_clean_column_has_lineage(lineage: Lineage, table: str) -> None:
    def columns(asset: str) -> set[str]:
        schema = lineage.metadata(asset)["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        return {column.name for column in schema.columns}

    told = lineage.metadata(table)["dagster/column_lineage"]
    assert isinstance(told, dg.TableColumnLineage)
    assert set(told.deps_by_column) <= columns(table)
    for dependencies in told.deps_by_column.values():
        for dependency in dependencies:
            assert dependency.column_name in columns(dependency.asset_key.to_user_string())
    if table.startswith("clean_"):
        assert set(told.deps_by_column) == columns(table)


def test_unchanged_inputs_keep_every_candidate(lineage: Lineage) -> None:
    tracking: Tracking = lineage.resources["tracking"]
    before = lineage.metadata("xgboost")

    assert lineage.run("train", "xgboost", "linear_regression", "best_model").success

    assert lineage.metadata("xgboost")["mlflow_run_id"] == before["mlflow_run_id"]
    assert lineage.metadata("best_model")["model_version"] == "1"
    assert tracking.versions() == ["1"]


def test_a_search_resumes_and_a_candidate_uses_its_best_hyperparameters(lineage: Lineage) -> None:
    tracking: Tracking = lineage.resources["tracking"]
    few = {"candidate": "gradient_boosting", "rows": 400}

    assert lineage.run("search", hyperparameter_search=few | {"trials": 2}).success
    first = lineage.metadata("hyperparameter_search")
    assert lineage.run("search", hyperparameter_search=few | {"trials": 3}).success
    told = lineage.metadata("hyperparameter_search")

    assert (first["trials"], first["new_trials"]) == (2, 2)
    assert (told["trials"], told["new_trials"]) == (3, 1)
    trials = tracking.finished_runs("tags.`realtor.search.candidate` = 'gradient_boosting'")
    errors = [run.data.metrics["validation_mae_log"] for run in trials]
    assert len(set(errors)) == 3, "no trial is tried twice"
    assert told["best_validation_mae_log"] == pytest.approx(min(errors))
    assert trials[-1].data.params["learning_rate"] == "0.1", "the defaults go first"
    parents = {run.data.tags["mlflow.parentRunId"] for run in trials}
    assert len(parents) == 2, "one parent for each Dagster run"

    before = lineage.metadata("gradient_boosting")
    config = {"gradient_boosting": {"searched": True, "seed": 3, "max_iter": 30}}
    assert lineage.run("train", "gradient_boosting", **config).success
    trained = lineage.metadata("gradient_boosting")
    assert trained["mlflow_run_id"] != before["mlflow_run_id"]
    used, best = trained["hyperparameters"], told["best"]
    assert isinstance(used, dict)
    assert isinstance(best, dict)
    assert used["max_iter"] == 30, "what is set by hand comes first"
    assert all(used[name] == best[name] for name in best if name != "max_iter")
    assert lineage.run("train", "gradient_boosting").success, "and as usual again"


def test_a_candidate_without_search_fails_with_the_reason(lineage: Lineage) -> None:
    for job, assets, config, message in (
        ("search", (), {"hyperparameter_search": {"candidate": "linear_regression"}},
         "nothing to search for linear_regression"),
        ("train", ("random_forest",), {"random_forest": {"searched": True}},
         "no search for random_forest has a finished trial"),
    ):  # fmt: skip
        result = lineage.run(job, *assets, **config)
        (failure,) = [event for event in result.all_events if event.is_step_failure]
        assert message in str(failure.step_failure_data.error), failure


def test_ingesting_nothing_new_keeps_the_clean_build(lineage: Lineage) -> None:
    clean: Database = lineage.resources["clean_database"]
    statement = "SELECT data_version, built_at FROM clean_builds"
    with clean.transaction() as connection:
        before = connection.execute(statement).fetchall()

    assert lineage.run("clean").success

    with clean.transaction() as connection:
        assert connection.execute(statement).fetchall() == before
        decisions = connection.execute("SELECT rule FROM retrain_decisions ORDER BY decision_id")
        assert [rule for (rule,) in decisions] == ["first model"], "one decision for each load"
    assert lineage.metadata("retrain_decision")["reason"] == "No batch waits for a decision."


def test_a_registered_model_loads_as_mlflow_pyfunc(lineage: Lineage) -> None:
    import mlflow
    import pandas as pd

    lineage.resources["tracking"].client()
    model = mlflow.pyfunc.load_model("models:/realtor-price@production")
    valued = model.predict(pd.DataFrame([{"state": "Texas", "house_size": 1_500.0}]))

    assert 0 < valued["low"][0] < valued["price"][0] < valued["high"][0]


def test_the_model_carries_the_sales_and_the_market_it_learned_from(lineage: Lineage) -> None:
    raw: Database = lineage.resources["raw_database"]
    tracking: Tracking = lineage.resources["tracking"]
    model = tracking.load_bundle(tracking.production())
    train = read_listings(raw, "train", loads=model.metadata["loads"])

    assert model.market is not None
    assert sum(row["listings"] for row in model.market.rows("state")) == len(train)
    assert model.sold_homes is not None
    # The upstream's first batches have no sale.
    sold = (train.columns["status"] == "sold") & ~np.isnat(train.columns["prev_sold_date"])
    assert set(model.sold_homes.price) == set(train.price[sold])
    home = {name: values[:1] for name, values in as_sold(train.columns).items()}
    assert len(model.compare(home).price) == min(5, len(model.sold_homes))


def test_every_listing_of_the_newest_batch_is_valued(lineage: Lineage) -> None:
    told = lineage.metadata("batch_valuations")
    tracking: Tracking = lineage.resources["tracking"]
    model = tracking.load_bundle(tracking.production())
    table = pyarrow.parquet.read_table(str(told["url"]).removeprefix("file://")).to_pandas()

    assert len(table) == told["dagster/row_count"]
    valued = table[table["error"].isna()]
    assert len(table) - len(valued) == told["not_valued"]
    expected = model.value(as_sold(columns_from_frame(valued)))
    np.testing.assert_allclose(valued["estimated_price"], expected.price, atol=0.01)
    assert list(valued["confidence"]) == list(expected.confidence)


def test_second_batch_duels_on_the_same_test_split(lineage: Lineage) -> None:
    for result in (*lineage.ingest(), lineage.run("clean"), lineage.run("train", *TRAIN)):
        assert result.success, [event.message for event in result.get_step_failure_events()]

    assert "batch 1" in str(lineage.metadata("retrain_decision")["reason"]).lower()
    decision = lineage.metadata("promotion_decision")
    assert decision["champion_version"] == "1"
    clean: Database = lineage.resources["clean_database"]
    with clean.transaction() as connection:
        judged = PromotionRecord.newest(connection)
    assert judged is not None
    assert judged.figures["test_rows"] == len(read_listings(raw_of(lineage), "test"))
    assert [each["name"] for each in judged.criteria] == [gate.name for gate in gates.GATES]
    tracking: Tracking = lineage.resources["tracking"]
    production = tracking.production()
    assert production.version == ("2" if decision["decision"] == "promoted" else "1")


def test_four_candidates_of_one_run_share_one_parent(lineage: Lineage) -> None:
    tracking: Tracking = lineage.resources["tracking"]
    client = tracking.client()
    experiment = client.get_experiment_by_name("realtor")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "dagster_run_id" in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    trainings = [run for run in parents if run.data.tags["dagster_job"] == "train"]
    # Two whole trainings; others trained single candidates.
    whole = [run for run in trainings if run.info.run_id in {
        child.data.tags["mlflow.parentRunId"] for child in children
        if child.info.run_name.startswith("best_model")
    }]  # fmt: skip
    assert len(whole) == 2
    for parent in whole:
        names = {
            run.info.run_name
            for run in children
            if run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        }
        assert names >= {"linear_regression", "random_forest", "gradient_boosting", "xgboost"}
    assert {run.info.status for run in children} == {"FINISHED"}
    assert len({run.data.tags["dagster_run_id"] for run in parents}) == len(parents)


def test_a_rollback_by_job_survives_materializing_production_again(lineage: Lineage) -> None:
    tracking: Tracking = lineage.resources["tracking"]
    version = tracking.production_version()
    other = next(each for each in tracking.versions() if each != version)
    said = {"approver": "a tester", "rationale": "to see"}

    assert lineage.run("roll_back", give_production_back=said | {"version": other}).success
    assert tracking.production_version() == other
    assert lineage.run("train", "promotion_decision", "production_model").success
    assert tracking.production_version() == other, "the version that left was judged before"

    assert not lineage.run("roll_back", give_production_back=said | {"version": "99"}).success
    assert lineage.run("roll_back", give_production_back=said | {"version": version}).success
    assert tracking.production_version() == version


def test_a_version_promoted_by_hand_is_not_judged_against_itself(lineage: Lineage) -> None:
    clean: Database = lineage.resources["clean_database"]
    tracking: Tracking = lineage.resources["tracking"]
    newest = str(lineage.metadata("best_model")["model_version"])
    other = next(each for each in tracking.versions() if each != newest)
    for version in (other, newest):
        promote(clean, tracking, version, reason="to see", approver="a tester")

    assert lineage.run("train", "promotion_decision").success

    with clean.transaction() as connection:
        last = PromotionRecord.newest(connection)
    assert last is not None
    assert (last.model_version, last.decision, last.rule) == (newest, "promoted", "by hand")
    assert tracking.production().tags["decision"] == "promoted"


def test_the_published_history_holds_batches_promotions_and_versions(lineage: Lineage) -> None:
    assert lineage.run("serve", "published_history").success
    store: ObjectStore = lineage.resources["store"]
    with store.open(HISTORY_KEY) as file:
        told = json.load(file)

    clean: Database = lineage.resources["clean_database"]
    with clean.transaction() as connection:
        moves = release_records.alias_moves(connection)
    assert told["champion"] == moves[-1].model_version
    assert [batch["name"] for batch in told["batches"]][:2] == ["0", "1"]
    first, second = told["batches"][:2]
    assert first["decisions"][0]["rule"] == "first model"
    assert {row["feature"] for row in second["drift"]} >= {"price", "house_size", "state"}
    tracking: Tracking = lineage.resources["tracking"]
    assert [version["version"] for version in told["versions"]] == tracking.versions()
    for version in told["versions"]:
        assert 0 < version["test"]["mdape"] < 1
        assert {"cod", "prd", "prb", "coverage"} <= set(version["test"])
        assert {"status", "kind"} <= {row["by"] for row in version["segments"]}
    decision = told["promotions"][0]
    assert {each["name"] for each in decision["criteria"]} <= {gate.name for gate in gates.GATES}
    assert [detail["code"] for detail in decision["details"]] == ["first_champion"]
    assert [detail["code"] for detail in first["decisions"][0]["details"]] == ["first_model"]
    assert all(each["words"] for each in decision["criteria"])
    assert [move["model_version"] for move in told["releases"]] == [
        move.model_version for move in moves
    ]
    for change in told["changes"]:
        assert {row["input"] for row in change["importance"]} >= {"house_size", "zip_code"}


def test_ended_runs_close_their_mlflow_runs(lineage: Lineage) -> None:
    tracking: Tracking = lineage.resources["tracking"]
    ours = {run.run_id for run in lineage.instance.get_runs()}
    assert set(tracking.open_parents()) <= ours
    assert tracking.open_parents(), "in one process nobody has closed them yet"

    assert isinstance(lineage.tick("close_mlflow_runs"), dg.SkipReason)
    assert tracking.open_parents() == []


def test_each_check_fails_on_the_fault_it_looks_for(lineage: Lineage) -> None:
    # The pipeline's own role could not spoil RAW.
    raw = Database(url=lineage.postgres.url("realtor_raw_owner"))
    clean: Database = lineage.resources["clean_database"]

    def broken(database: Database, statement: str, check: str, asset: str) -> bool:
        """Whether `check` fails once `statement` has spoilt the data; the data are mended."""
        table = statement.split()[1 if statement.startswith("UPDATE") else 2]
        with database.transaction() as connection:
            connection.execute(f"CREATE TABLE kept AS TABLE {table}")
            connection.execute(statement)
        try:
            definition = lineage.defs.resolve_job_def("__ASSET_JOB")
            result = definition.execute_in_process(
                instance=lineage.instance,
                op_selection=[f"{asset}_{check}"],
                raise_on_error=False,
            )
            return [each.passed for each in result.get_asset_check_evaluations()] == [False]
        finally:
            with database.transaction() as connection:
                connection.execute(f"TRUNCATE {table}")
                connection.execute(f"INSERT INTO {table} TABLE kept")
                connection.execute("DROP TABLE kept")

    assert broken(raw, "UPDATE raw_train SET bed = 473", "listing_contract", "raw_train")
    assert broken(raw, "DELETE FROM raw_test", "every_row_is_somewhere", "ingestion_summary")
    assert broken(
        raw,
        "INSERT INTO raw_test SELECT * FROM raw_train LIMIT 1",
        "no_property_straddles_splits",
        "raw_test",
    )
    assert broken(
        clean, "UPDATE clean_test SET log_house_size = 'NaN'", "feature_contract", "clean_test"
    )
    assert broken(
        clean, "UPDATE clean_train SET log_house_size = ln(price)", "no_feature_is_the_price",
        "clean_train",
    )  # fmt: skip
    assert broken(
        clean, "UPDATE clean_validation SET log_house_size = 1", "encoder_rebuilds_exactly",
        "encoding_mappings",
    )  # fmt: skip


def test_the_store_holds_what_was_received(lineage: Lineage) -> None:
    store: ObjectStore = lineage.resources["store"]
    raw: Database = lineage.resources["raw_database"]
    with raw.transaction() as connection:
        logged = connection.execute(
            "SELECT payload_key FROM api_request_log WHERE payload_key IS NOT NULL"
        ).fetchall()
    assert sorted(key for (key,) in logged) == store.list_keys("payloads")
    assert len(logged) == 2
    assert Path(store.url.removeprefix("file://")).is_dir()


def test_a_decided_load_is_built_after_a_run_died_in_between(lineage: Lineage) -> None:
    clean: Database = lineage.resources["clean_database"]
    assert all(result.success for result in lineage.ingest())
    assert isinstance(lineage.tick("decide_on_batches"), dg.RunRequest)
    assert lineage.run("clean", "drift_report", "retrain_decision").success
    built = required_build(clean).loads

    assert isinstance(lineage.tick("train_as_decided"), dg.SkipReason)
    assert isinstance(lineage.tick("decide_on_batches"), dg.RunRequest)
    assert lineage.run("clean").success

    assert len(required_build(clean).loads) == len(built) + 1
    assert isinstance(lineage.tick("decide_on_batches"), dg.SkipReason)


def test_undecided_loads_are_not_in_the_clean_build(lineage: Lineage) -> None:
    """Such a one arrives while a decision is being carried out; it may have to be held."""
    clean: Database = lineage.resources["clean_database"]
    built = required_build(clean).loads
    assert all(result.success for result in lineage.ingest())

    assert lineage.run("clean", *CLEAN_TABLES).success

    assert required_build(clean).loads == built
    assert isinstance(lineage.tick("train_as_decided"), dg.SkipReason)
    assert lineage.run("clean").success
    assert len(required_build(clean).loads) == len(built) + 1
