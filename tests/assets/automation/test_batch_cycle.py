"""Six batches, sensor by sensor, and nobody touches anything: decided, trained, judged, explained.

Then what must train nothing, and what must not reach Production.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from realtor_assets.automation.snapshot_retention import removable_snapshots, remove
from realtor_assets.clean.clean_build import required_build
from realtor_assets.clean.load_decisions import NotHeld, admit_batch
from realtor_assets.pipeline_settings import settings
from realtor_assets.raw.raw_listings import read_listings
from realtor_assets.release.promotion_decision import judge
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_local import synthetic_market
from realtor_model.evaluation.metrics import regression_metrics
from tests.assets.lineage import SENSORS, Lineage, asked, lineage_on
from tests.servers import upstream

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

ROWS, SEED = 16_000, 7


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lineage]:
    folder = tmp_path_factory.mktemp("cycle")
    with (
        upstream(folder, "--rows", str(ROWS), "--seed", str(SEED)) as server,
        lineage_on(folder, server.url, REALTOR_INGEST_EVERY_HOURS="0") as lineage,
    ):
        yield lineage


@pytest.fixture(scope="module")
def clean_database(lineage: Lineage) -> Database:
    database: Database = lineage.resources["clean_database"]
    return database


@pytest.fixture(scope="module")
def tracking(lineage: Lineage) -> Tracking:
    tracking: Tracking = lineage.resources["tracking"]
    return tracking


def test_sensors_carry_six_batches_through_the_whole_cycle(
    lineage: Lineage, clean_database: Database
) -> None:
    skipped = lineage.carry_on(*SENSORS)

    assert "the upstream had no more data" in skipped["ask_upstream"]
    decided = asked(
        clean_database,
        "SELECT batches, decision, rule, reason FROM retrain_decisions ORDER BY decision_id",
    )
    assert [batches for batches, *_ in decided] == [[0], [1], [2], [3], [4], [5]]
    assert decided[0][1:3] == ("train", "first model")
    for number in (4, 5):
        _, decision, _, reason = decided[number]
        assert decision == "train"
        assert f"median error on batch {number} is" in reason
        assert "above the range seen in training" in reason
    trained = sum(decision == "train" for _, decision, *_ in decided)
    promotions = asked(
        clean_database,
        "SELECT model_version, decision, rule, reason FROM promotion_decisions"
        " ORDER BY decision_id",
    )
    assert [version for version, *_ in promotions] == [str(n + 1) for n in range(trained)]
    assert promotions[0][1:3] == ("promoted", "first model")
    assert promotions[-1][1] == "promoted", promotions[-1]
    assert all(len(reason) > 40 for *_, reason in promotions)
    calls = asked(lineage.resources["raw_database"], "SELECT count(*) FROM api_request_log")
    assert calls == [(7,)], "each batch was asked for once, and then there were no more"


def test_the_next_batch_is_requested_after_the_last_has_passed_the_cycle(lineage: Lineage) -> None:
    runs = sorted(lineage.instance.get_run_records(), key=lambda record: record.create_timestamp)
    jobs = [record.dagster_run.job_name for record in runs]
    asks = [position for position, job in enumerate(jobs) if job == "ingest"]
    for start, end in pairwise(asks):
        assert jobs[start + 1 : start + 3] == ["load", "clean"]
        assert set(jobs[start + 3 : end]) <= {"train"}


def test_the_champion_is_the_best_of_all_on_the_final_test_set(
    lineage: Lineage, clean_database: Database, tracking: Tracking
) -> None:
    build = required_build(clean_database)
    test = read_listings(lineage.resources["raw_database"], "test", loads=build.loads)
    errors = {
        version: regression_metrics(
            test.price, tracking.load_bundle(tracking.version(version)).predict(test.columns)
        )["mae_log"]
        for version in tracking.versions()
    }
    print({version: round(error, 4) for version, error in errors.items()})
    assert tracking.production_version() == min(errors, key=lambda version: errors[version])


def test_decisions_and_duels_are_in_mlflow(
    lineage: Lineage, clean_database: Database, tracking: Tracking
) -> None:
    client = tracking.client()
    experiment = client.get_experiment_by_name("realtor")
    assert experiment is not None
    notes = [
        run.data.tags.get("mlflow.note.content", "")
        for run in client.search_runs([experiment.experiment_id], "tags.dagster_job = 'clean'")
    ]
    reasons = asked(clean_database, "SELECT reason FROM retrain_decisions")
    assert all(any(reason in note for note in notes) for (reason,) in reasons)
    version = tracking.version(tracking.versions()[-1])
    assert version.run_id is not None
    run = client.get_run(version.run_id)
    assert run.data.tags["promotion"] == "promoted"
    assert len(run.data.tags["mlflow.source.git.commit"]) >= 7
    names = {file.path for file in client.list_artifacts(version.run_id, "duel")}
    assert names == {"duel/duel.json", "duel/duel.md"}
    assert client.list_artifacts(version.run_id, "change"), "what the champion changed"


def test_champion_change_compares_old_and_new_champion(lineage: Lineage) -> None:
    told = lineage.metadata("champion_change")

    assert "data:image/png;base64," in str(told["importance"])
    for name in ("importance_table", "segments", "homes"):
        assert str(told[name]).count("\n") > 3


def test_a_winner_is_staged_when_approval_is_required(
    lineage: Lineage,
    clean_database: Database,
    tracking: Tracking,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build = required_build(clean_database)
    test = read_listings(lineage.resources["raw_database"], "test", loads=build.loads)
    winner = tracking.production_version()
    assert winner is not None
    with monkeypatch.context() as patch:
        patch.setenv("REALTOR_APPROVAL_REQUIRED", "true")
        settings.cache_clear()
        record = judge(tracking, winner, "1", test, build)
        first = judge(tracking, winner, None, test, build)
    settings.cache_clear()

    assert (record.decision, record.rule) == ("staged", "waits for approval")
    assert f"realtor approve {winner}" in record.reason
    assert first.decision == "promoted", "without a baseline nothing is served meanwhile"


# ---- what must train nothing, and what must not reach Production ---------------------------------


def listings(seed: int) -> pd.DataFrame:
    """New listings of the same market, complete ones, all prices."""
    return synthetic_market.generate(8_000, seed).listings.dropna().reset_index(drop=True)


def arrives(lineage: Lineage, frame: pd.DataFrame, folder: Path) -> tuple[str, str, str]:
    """Land `frame` as a CSV and let everything follow; decision, rule and reason of its load."""
    path = folder / "batch.csv"
    frame.to_csv(path, index=False)
    assert lineage.run("ingest_csv", land_csv={"path": str(path)}).success
    lineage.carry_on(*SENSORS[1:])
    (found,) = asked(
        lineage.resources["clean_database"],
        "SELECT decision, rule, reason FROM retrain_decisions ORDER BY decision_id DESC LIMIT 1",
    )
    return found[0], found[1], found[2]


def counts(lineage: Lineage, tracking: Tracking) -> tuple[int, str | None]:
    """Trained versions, and the one in Production."""
    return len(tracking.versions()), tracking.production_version()


def test_a_batch_loaded_again_without_a_new_row_leaves_no_decision(
    lineage: Lineage, tracking: Tracking, clean_database: Database
) -> None:
    before = counts(lineage, tracking)
    decided = asked(clean_database, "SELECT count(*) FROM retrain_decisions")
    of_clean = dg.RunsFilter(job_name="clean")
    cleaned = lineage.instance.get_runs_count(of_clean)
    raw: Database = lineage.resources["raw_database"]
    (partition,) = asked(
        raw, "SELECT partition_key FROM landed_payloads WHERE batch_number = 2"
    )[0]  # fmt: skip

    assert lineage.run("load", partition=partition).success
    lineage.carry_on(*SENSORS[1:])

    assert asked(clean_database, "SELECT count(*) FROM retrain_decisions") == decided
    assert lineage.instance.get_runs_count(of_clean) == cleaned
    assert counts(lineage, tracking) == before


def test_a_batch_of_known_rows_is_skipped_with_the_reason(
    lineage: Lineage, tracking: Tracking, tmp_path: Path
) -> None:
    before = counts(lineage, tracking)
    known = pd.concat(
        [
            read_listings(lineage.resources["raw_database"], split).frame[
                list(synthetic_market.COLUMNS)
            ]
            for split in ("train", "validation", "test")
        ]
    )
    sample = known.sample(3_000, replace=True, random_state=1)

    decision, rule, reason = arrives(lineage, sample, tmp_path)

    assert (decision, rule) == ("skip", "nothing new"), reason
    assert counts(lineage, tracking) == before


def times_ten_in_texas(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(price=frame["price"].where(frame["state"] != "Texas", frame["price"] * 10))


def shuffled(column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def shuffle(frame: pd.DataFrame) -> pd.DataFrame:
        order = np.random.default_rng(3).permutation(len(frame))
        return frame.assign(**{column: frame[column].to_numpy()[order]})

    return shuffle


@pytest.mark.parametrize(
    ("seed", "poison", "suspicion"),
    [
        (101, times_ten_in_texas, "Texas"),
        (102, shuffled("house_size"), "house_size"),
        (103, shuffled("zip_code"), "zip_code"),
        (104, shuffled("price"), "price"),
    ],
    ids=["prices times ten in one state", "house_size", "zip_code", "price"],
)
def test_a_batch_with_implausible_prices_is_held(
    lineage: Lineage,
    clean_database: Database,
    tracking: Tracking,
    tmp_path: Path,
    seed: int,
    poison: Callable[[pd.DataFrame], pd.DataFrame],
    suspicion: str,
) -> None:
    before = counts(lineage, tracking), required_build(clean_database).data_version

    decision, rule, reason = arrives(lineage, poison(listings(seed)), tmp_path)

    assert (decision, rule) == ("hold", "suspect data"), reason
    assert suspicion in reason
    assert (counts(lineage, tracking), required_build(clean_database).data_version) == before


def test_an_admitted_batch_is_decided_on_again(lineage: Lineage, clean_database: Database) -> None:
    before = required_build(clean_database)
    ((partition, load_id),) = asked(
        clean_database,
        "SELECT partition_key, load_id FROM retrain_decisions WHERE decision = 'hold'"
        " AND reason LIKE '%Texas%'",
    )
    with pytest.raises(NotHeld):
        admit_batch(clean_database, "nothing", approver="a tester", rationale="?")

    said = {"approver": "a tester", "rationale": "looks right to me", "partition": partition}
    assert lineage.run("admit_batch", admit_held_batch=said).success
    assert not lineage.run("admit_batch", admit_held_batch=said).success, "it is admitted already"
    lineage.carry_on("decide_on_batches")

    assert asked(
        clean_database,
        f"SELECT decision, admitted FROM retrain_decisions WHERE load_id = {load_id}"
        " ORDER BY decision_id",
    ) == [("hold", False), ("train", True)]
    assert asked(clean_database, "SELECT approver, rationale FROM batch_admissions") == [
        ("a tester", "looks right to me")
    ]
    assert required_build(clean_database).loads == [*before.loads, load_id]
    wanted = lineage.tick("train_as_decided")
    assert isinstance(wanted, dg.RunRequest), "and it would be trained on now"


def test_snapshots_of_earlier_builds_are_removable(
    lineage: Lineage, clean_database: Database, tracking: Tracking
) -> None:
    store: ObjectStore = lineage.resources["store"]
    ask = {"store": store, "database": clean_database, "tracking": tracking}
    versions = {
        version for (version,) in asked(clean_database, "SELECT data_version FROM clean_builds")
    }
    kept = {tracking.production().tags["data_version"], required_build(clean_database).data_version}

    found = removable_snapshots(**ask, keep=1)
    for snapshot in found:
        remove(store, snapshot)

    gone = {snapshot.data_version for snapshot in found}
    assert gone
    assert not gone & kept
    assert gone < versions
    assert removable_snapshots(**ask, keep=1) == []
    left = {key.split("/")[1] for key in store.list_keys("snapshots")}
    assert left == versions - gone
