"""What each sensor makes of the state of things, on databases in which nothing was trained."""

import datetime as dt
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import dagster as dg
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from realtor_assets.automation import batch_cycle, sensors
from realtor_assets.automation.batch_cycle import TRIES
from realtor_assets.automation.blocking_checks import BLOCKING
from realtor_assets.clean.assets import CLEAN_TABLES
from realtor_assets.clean.load_decisions import UNREADABLE_RULE
from realtor_assets.metadata.run_tags import RETRAIN_REASON_TAG, WORK_TAG
from realtor_assets.publish import running_service
from realtor_assets.publish.running_service import is_fresh, last_seen
from realtor_assets.raw.assets import LOADED_TABLES
from realtor_assets.release.release_records import PromotionRecord
from realtor_assets.resources import Database
from realtor_assets.resources.alerts import Alert, Alerts
from realtor_model.features import FEATURE_VERSION
from tests.assets.lineage import NOWHERE, Lineage, lineage_on
from tests.servers import listening

pytestmark = [pytest.mark.integration]

AT_ONCE = (dt.timedelta(0),) * (TRIES - 1)


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lineage]:
    with lineage_on(tmp_path_factory.mktemp("sensors"), with_mlflow=False) as lineage:
        yield lineage


@pytest.fixture(autouse=True)
def empty(lineage: Lineage) -> Iterator[None]:
    """Empties RAW and CLEAN and forgets all runs."""
    yield
    lineage.instance.wipe_assets([dg.AssetKey("served_model"), dg.AssetKey("published_history")])
    for role, tables in (
        ("realtor_raw_owner", "landed_payloads, ingestion_summary, api_request_log,"
         " api_request_started, raw_quarantine"),
        ("realtor_clean", "retrain_decisions, promotion_decisions, releases, clean_builds"),
    ):  # fmt: skip
        with Database(url=lineage.postgres.url(role)).transaction() as connection:
            connection.execute(f"TRUNCATE {tables} CASCADE")
    for run in lineage.instance.get_runs():
        lineage.instance.delete_run(run.run_id)


def _of_clean(check: dg.AssetCheckKey) -> bool:
    return check.asset_key.to_user_string() in CLEAN_TABLES


def _of_raw(check: dg.AssetCheckKey) -> bool:
    return check.asset_key.to_user_string() in LOADED_TABLES


def skips(said: object) -> str:
    assert isinstance(said, dg.SkipReason), said
    return str(said.skip_message)


def landed(lineage: Lineage, batch: int) -> str:
    partition = f"group-1-batch-{batch:03d}-0123abcd"
    with lineage.resources["raw_database"].transaction() as connection:
        connection.execute(
            "INSERT INTO landed_payloads (partition_key, payload_key, source, group_number,"
            " batch_number, bytes, sha256) VALUES (%s, %s, 'upstream', 1, %s, 1, 'x')",
            [partition, partition, batch],
        )
    return partition


def loaded(lineage: Lineage, partition: str) -> int:
    with lineage.resources["raw_database"].transaction() as connection:
        row = connection.execute(
            "INSERT INTO ingestion_summary (partition_key, state, group_number, batch_number,"
            " received, inserted_train, inserted_validation, inserted_test, duplicate, quarantined,"
            " seconds) VALUES (%s, 'loaded', 1, 0, 10, 7, 2, 1, 0, 0, 1) RETURNING load_id",
            [partition],
        ).fetchone()
    return int(row[0])


def decided(lineage: Lineage, load_id: int, decision: str) -> int:
    with lineage.resources["clean_database"].transaction() as connection:
        row = connection.execute(
            "INSERT INTO retrain_decisions (load_id, partition_key, batches, decision, rule,"
            " reason, figures) VALUES (%s, 'a batch', '{0}', %s, 'drift', 'It drifted.', '{}')"
            " RETURNING decision_id",
            [load_id, decision],
        ).fetchone()
    return int(row[0])


def built(lineage: Lineage, *loads: int, features: str = FEATURE_VERSION) -> None:
    """The clean tables of `loads`, whose blocking checks have passed."""
    with lineage.resources["clean_database"].transaction() as connection:
        connection.execute(
            "INSERT INTO clean_builds (data_version, feature_version, loads, batches, as_of,"
            " rows_train, rows_validation, rows_test, outside_domain)"
            " VALUES (%s, %s, %s, '{0}', now(), 7, 2, 1, 0)",
            [str(uuid4()), features, list(loads)],
        )
    for check in BLOCKING:
        evaluated(lineage, check)


def evaluated(lineage: Lineage, check: dg.AssetCheckKey, *, passed: bool = True) -> None:
    lineage.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=check.asset_key, check_name=check.name, passed=passed)
    )


def called(lineage: Lineage, outcome: str, ago: dt.timedelta) -> None:
    with lineage.resources["raw_database"].transaction() as connection:
        request = uuid4()
        at = dt.datetime.now(dt.UTC) - ago
        connection.execute(
            "INSERT INTO api_request_started (request_id, requested_at, endpoint, group_number,"
            " url, attempt) VALUES (%s, %s, 'data', 1, 'http://upstream', 1)",
            [request, at],
        )
        connection.execute(
            "INSERT INTO api_request_log (request_id, requested_at, endpoint, group_number, url,"
            " attempt, bytes, outcome) VALUES (%s, %s, 'data', 1, 'http://upstream', 1, 0, %s)",
            [request, at, outcome],
        )


def wanted(lineage: Lineage) -> int:
    """A batch that waits for its training; its decision's id."""
    load_id = loaded(lineage, landed(lineage, 0))
    decision = decided(lineage, load_id, "train")
    built(lineage, load_id)
    return decision


def ran(lineage: Lineage, job: str, status: dg.DagsterRunStatus, **tags: str) -> str:
    run = dg.DagsterRun(job_name=job, run_id=str(uuid4()), status=status, tags=tags)
    return str(lineage.instance.add_run(run).run_id)


def test_the_first_call_to_the_upstream_is_due_at_once(lineage: Lineage) -> None:
    assert isinstance(lineage.tick("ask_upstream"), dg.RunRequest)


@pytest.mark.parametrize(
    ("outcome", "ago", "reason"),
    [
        ("landed", dt.timedelta(hours=23), "REALTOR_INGEST_EVERY_HOURS"),
        ("end of data", dt.timedelta(hours=23), "REALTOR_END_OF_DATA_PAUSE_HOURS"),
        ("failed", dt.timedelta(minutes=14), "the last call was failed"),
    ],
)
def test_no_call_is_made_during_the_pause(
    lineage: Lineage, outcome: str, ago: dt.timedelta, reason: str
) -> None:
    called(lineage, outcome, ago)

    assert reason in skips(lineage.tick("ask_upstream"))


@pytest.mark.parametrize(
    ("outcome", "ago"),
    [
        ("landed", dt.timedelta(hours=25)),
        ("end of data", dt.timedelta(hours=25)),
        ("failed", dt.timedelta(minutes=16)),
    ],
)
def test_the_next_call_is_made_after_the_pause(
    lineage: Lineage, outcome: str, ago: dt.timedelta
) -> None:
    called(lineage, outcome, ago)

    assert isinstance(lineage.tick("ask_upstream"), dg.RunRequest)


def test_an_ingest_that_failed_before_its_call_is_retried_after_a_pause(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(lineage, "ingest", dg.DagsterRunStatus.FAILURE)

    assert "failed" in skips(lineage.tick("ask_upstream"))
    monkeypatch.setattr(sensors, "AGAIN_AFTER_FAILURE", dt.timedelta(0))
    assert isinstance(lineage.tick("ask_upstream"), dg.RunRequest)


def test_a_batch_goes_through_the_whole_cycle_before_the_next(lineage: Lineage) -> None:
    partition = landed(lineage, 0)
    assert "waits to be loaded (job load)" in skips(lineage.tick("ask_upstream"))
    assert "every loaded batch has" in skips(lineage.tick("decide_on_batches"))

    load_id = loaded(lineage, partition)
    assert "waits for its retrain decision" in skips(lineage.tick("ask_upstream"))
    assert isinstance(lineage.tick("decide_on_batches"), dg.RunRequest)

    decided(lineage, load_id, "train")
    built(lineage, load_id)
    assert "waits for its training" in skips(lineage.tick("ask_upstream"))
    asked = lineage.tick("train_as_decided")
    assert isinstance(asked, dg.RunRequest)
    assert asked.tags[RETRAIN_REASON_TAG] == "drift: It drifted."

    with lineage.resources["clean_database"].transaction() as connection:
        connection.execute(
            "INSERT INTO promotion_decisions (model_version, decision, rule, reason, figures,"
            " loads) VALUES ('1', 'rejected', 'accuracy', 'It is not.', '{}', %s)",
            [[load_id]],
        )
    assert "has been carried out" in skips(lineage.tick("train_as_decided"))
    assert isinstance(lineage.tick("ask_upstream"), dg.RunRequest)


def test_a_skipped_batch_completes_the_cycle(lineage: Lineage) -> None:
    load_id = loaded(lineage, landed(lineage, 0))
    decided(lineage, load_id, "skip")
    built(lineage, load_id)

    assert "has been carried out" in skips(lineage.tick("train_as_decided"))
    assert isinstance(lineage.tick("ask_upstream"), dg.RunRequest)


def test_no_two_runs_train_or_release_at_once(lineage: Lineage) -> None:
    wanted(lineage)
    run_id = ran(lineage, "serve", dg.DagsterRunStatus.STARTED)
    assert "serve is running" in skips(lineage.tick("train_as_decided"))

    lineage.instance.delete_run(run_id)
    ran(lineage, "train", dg.DagsterRunStatus.FAILURE, **{"dagster/will_retry": "true"})
    assert "train is running" in skips(lineage.tick("train_as_decided")), "Dagster retries it"


def test_a_failed_job_is_retried_after_a_pause(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = landed(lineage, 1)
    ran(lineage, "load", dg.DagsterRunStatus.FAILURE, **{"dagster/partition": partition})
    ran(lineage, "train", dg.DagsterRunStatus.FAILURE, **{WORK_TAG: f"decision {wanted(lineage)}"})

    assert "train failed; the next try is at" in skips(lineage.tick("train_as_decided"))
    assert requested(lineage) == []
    monkeypatch.setattr(batch_cycle, "PAUSES", AT_ONCE)
    assert isinstance(lineage.tick("train_as_decided"), dg.RunRequest)
    assert requested(lineage) == [partition]
    for _ in range(TRIES - 1):
        ran(lineage, "load", dg.DagsterRunStatus.FAILURE, **{"dagster/partition": partition})
    assert requested(lineage) == [], "and then a person has to look"


def requested(lineage: Lineage) -> list[str | None]:
    """The partitions that are to be loaded now."""
    said = lineage.tick("load_landed_batches")
    assert isinstance(said, dg.SensorResult)
    return [request.partition_key for request in said.run_requests or []]


def test_a_job_that_failed_three_times_waits_for_a_person(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_cycle, "PAUSES", AT_ONCE)
    decision = wanted(lineage)
    for _ in range(TRIES):
        assert isinstance(lineage.tick("train_as_decided"), dg.RunRequest)
        tags = {WORK_TAG: f"decision {decision}"}
        ran(lineage, "train", dg.DagsterRunStatus.FAILURE, **tags)

    assert f"failed {TRIES} times; a person has to look" in skips(lineage.tick("train_as_decided"))
    assert "waits for its training" in skips(lineage.tick("ask_upstream"))


def test_failures_before_a_success_do_not_count(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_cycle, "PAUSES", AT_ONCE)
    tags = {WORK_TAG: f"decision {wanted(lineage)}"}
    ran(lineage, "train", dg.DagsterRunStatus.FAILURE, **tags)
    ran(lineage, "train", dg.DagsterRunStatus.SUCCESS, **tags)
    for _ in range(TRIES - 1):
        ran(lineage, "train", dg.DagsterRunStatus.FAILURE, **tags)

    assert isinstance(lineage.tick("train_as_decided"), dg.RunRequest)


def test_a_decision_whose_build_was_never_made_is_not_trained_on(lineage: Lineage) -> None:
    first = loaded(lineage, landed(lineage, 0))
    decided(lineage, first, "skip")
    built(lineage, first)
    second = loaded(lineage, landed(lineage, 1))
    decided(lineage, second, "train")

    assert "group-1-batch-001-0123abcd is loaded and waits" in skips(lineage.tick("ask_upstream"))
    assert "training waits: " in skips(lineage.tick("train_as_decided"))
    assert isinstance(lineage.tick("decide_on_batches"), dg.RunRequest)

    built(lineage, first, second)
    assert "every loaded batch has" in skips(lineage.tick("decide_on_batches"))
    assert isinstance(lineage.tick("train_as_decided"), dg.RunRequest)


def test_clean_tables_of_another_feature_version_are_rebuilt_before_anything_else(
    lineage: Lineage,
) -> None:
    load_id = loaded(lineage, landed(lineage, 0))
    decided(lineage, load_id, "train")
    built(lineage, load_id, features="of the release before")

    assert "feature version of the release before" in skips(lineage.tick("train_as_decided"))
    assert isinstance(lineage.tick("ask_upstream"), dg.SkipReason)
    request = lineage.tick("decide_on_batches")
    assert isinstance(request, dg.RunRequest)
    assert request.tags[WORK_TAG] == f"load {load_id}, features {FEATURE_VERSION}"

    built(lineage, load_id)
    assert "every loaded batch has" in skips(lineage.tick("decide_on_batches"))


def test_a_champion_that_cannot_be_read_needs_a_challenger_judged_after_the_decision(
    lineage: Lineage,
) -> None:
    load_id = loaded(lineage, landed(lineage, 0))
    decided(lineage, load_id, "train")
    built(lineage, load_id)
    judged(lineage, load_id)
    assert "every decision to train" in skips(lineage.tick("train_as_decided"))

    with lineage.resources["clean_database"].transaction() as connection:
        connection.execute(
            "INSERT INTO retrain_decisions (load_id, partition_key, batches, decision, rule,"
            " reason, figures, model_version, feature_version)"
            " VALUES (%s, 'p', '{0}', 'train', %s, 'an upgrade', '{}', '1', %s)",
            [load_id, UNREADABLE_RULE, FEATURE_VERSION],
        )
    assert isinstance(lineage.tick("train_as_decided"), dg.RunRequest)

    judged(lineage, load_id)
    assert "every decision to train" in skips(lineage.tick("train_as_decided"))


def judged(lineage: Lineage, load_id: int) -> None:
    """A challenger that learned from the load was judged."""
    with lineage.resources["clean_database"].transaction() as connection:
        PromotionRecord("1", None, "rejected", "rmse", "RMSE rose.", loads=[load_id]).save(
            connection
        )


@pytest.mark.parametrize("check", [each for each in BLOCKING if _of_clean(each)], ids=str)
def test_nothing_is_trained_on_tables_that_a_blocking_check_rejects(
    lineage: Lineage, check: dg.AssetCheckKey
) -> None:
    wanted(lineage)
    evaluated(lineage, check, passed=False)

    assert check.name in skips(lineage.tick("train_as_decided"))
    assert isinstance(lineage.tick("decide_on_batches"), dg.RunRequest), "it may pass"
    evaluated(lineage, check)
    assert isinstance(lineage.tick("train_as_decided"), dg.RunRequest)


def test_no_batch_is_requested_while_clean_tables_fail_a_check(lineage: Lineage) -> None:
    load_id = loaded(lineage, landed(lineage, 0))
    decided(lineage, load_id, "skip")
    built(lineage, load_id)
    check = next(each for each in BLOCKING if _of_clean(each))
    evaluated(lineage, check, passed=False)

    assert check.name in skips(lineage.tick("ask_upstream"))
    evaluated(lineage, check)
    assert isinstance(lineage.tick("ask_upstream"), dg.RunRequest)


@pytest.mark.parametrize("check", [each for each in BLOCKING if _of_raw(each)], ids=str)
def test_nothing_is_built_on_rows_that_a_blocking_check_rejects(
    lineage: Lineage, check: dg.AssetCheckKey
) -> None:
    loaded(lineage, landed(lineage, 0))
    evaluated(lineage, check, passed=False)

    assert check.name in skips(lineage.tick("decide_on_batches"))
    evaluated(lineage, check)
    assert isinstance(lineage.tick("decide_on_batches"), dg.RunRequest)


def test_a_load_that_dagster_retries_is_not_requested_again(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_cycle, "PAUSES", AT_ONCE)
    partition = landed(lineage, 0)
    crashed = {"dagster/partition": partition, "dagster/will_retry": "true"}
    ran(lineage, "load", dg.DagsterRunStatus.FAILURE, **crashed)

    assert requested(lineage) == []


def released(lineage: Lineage, version: str, action: str = "promoted") -> int:
    with lineage.resources["clean_database"].transaction() as connection:
        row = connection.execute(
            "INSERT INTO releases (model_version, action, reason, finished_at)"
            " VALUES (%s, %s, 'better', now()) RETURNING release_id",
            [version, action],
        ).fetchone()
    return int(row[0])


def told(lineage: Lineage, asset: str, **metadata: str) -> None:
    lineage.instance.report_runless_asset_event(dg.AssetMaterialization(asset, metadata=metadata))


def test_serve_is_launched_until_the_production_version_is_served(lineage: Lineage) -> None:
    assert "the service serves the Production model" in skips(lineage.tick("serve_production")), (
        "there is nothing"
    )
    release = released(lineage, "3")
    asked = lineage.tick("serve_production")
    assert isinstance(asked, dg.RunRequest)
    assert asked.tags[WORK_TAG] == f"release {release}"

    told(lineage, "served_model", model_version="3")
    told(lineage, "published_history", champion_version="3")
    assert "the service serves the Production model" in skips(lineage.tick("serve_production"))


def test_a_release_that_is_not_published_is_served_again(lineage: Lineage) -> None:
    """A training whose version the service refuses ends so: rolled back after it was published."""
    for version, action in (("3", "promoted"), ("4", "promoted"), ("3", "rolled back")):
        released(lineage, version, action)
    told(lineage, "served_model", model_version="3")
    told(lineage, "published_history", champion_version="4")

    assert isinstance(lineage.tick("serve_production"), dg.RunRequest)


def test_a_version_that_returns_is_served_although_it_failed_before(lineage: Lineage) -> None:
    release = released(lineage, "3")
    for _ in range(TRIES):
        ran(lineage, "serve", dg.DagsterRunStatus.FAILURE, **{WORK_TAG: f"release {release}"})
    assert f"failed {TRIES} times; a person has to look" in skips(lineage.tick("serve_production"))

    for version, action in (("4", "promoted"), ("3", "rolled back")):
        released(lineage, version, action)

    assert isinstance(lineage.tick("serve_production"), dg.RunRequest)


class Webhook:
    """A receiver of alerts, which can be made to fail."""

    def __init__(self, refuses: str | None = None) -> None:
        self.received: list[dict[str, Any]] = []
        self.status = 200
        self._refuses = refuses

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> JSONResponse:
        alert = await request.json()
        if self._refuses and self._refuses in alert["text"]:
            return JSONResponse({}, 400)
        if self.status == 200:
            self.received.append(alert)
        return JSONResponse({}, self.status)


def test_a_failed_run_raises_one_alert(lineage: Lineage, monkeypatch: pytest.MonkeyPatch) -> None:
    result = lineage.run("admit_batch", admit_held_batch={
        "approver": "a tester", "rationale": "?", "partition": "no such batch",
    })  # fmt: skip
    assert not result.success
    webhook = Webhook()
    with listening(webhook.app) as url:
        monkeypatch.setitem(lineage.resources, "alerts", Alerts(webhook_url=url))
        webhook.status = 500
        with pytest.raises(httpx.HTTPStatusError):
            lineage.tick("alert_on_failures")
        webhook.status = 200
        assert skips(lineage.tick("alert_on_failures")) == "alerts sent: 1"
        assert skips(lineage.tick("alert_on_failures")) == "no run has failed"
    (alert,) = webhook.received
    assert alert["title"] == "admit_batch failed"
    assert "no such batch is not held" in alert["text"]


def test_a_refused_payload_is_dismissed_in_dagster(lineage: Lineage) -> None:
    note = {"approver": "a tester", "rationale": "?", "partition": "no such batch"}
    result = lineage.run("dismiss_refused", dismiss_refused_batch=note)

    assert not result.success
    failure = result.get_step_failure_events()[0].step_failure_data.error
    assert failure is not None
    assert "no such batch is not refused" in failure.message


def test_other_alerts_are_sent_when_the_webhook_refuses_one(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for partition in ("one", "two", "three"):
        said = {"approver": "a tester", "rationale": "?", "partition": partition}
        assert not lineage.run("admit_batch", admit_held_batch=said).success
    webhook = Webhook(refuses="two is not held")
    with listening(webhook.app) as url:
        monkeypatch.setitem(lineage.resources, "alerts", Alerts(webhook_url=url))
        with pytest.raises(httpx.HTTPStatusError):
            lineage.tick("alert_on_failures")
    assert len(webhook.received) == 2
    assert not any("two is not held" in alert["text"] for alert in webhook.received)


def test_alerts_are_logged_without_a_webhook(caplog: pytest.LogCaptureFixture) -> None:
    Alerts().send(Alert("train failed", "xgboost: no memory", "http://dagster/runs/1"))

    assert "ALERT train failed: xgboost: no memory http://dagster/runs/1" in caplog.text


def test_the_service_is_observed(lineage: Lineage, monkeypatch: pytest.MonkeyPatch) -> None:
    from realtor_assets.pipeline_settings import settings

    async def model_info(_: Request) -> JSONResponse:
        return JSONResponse({"version": "4", "candidate": "xgboost"})

    monkeypatch.setenv("REALTOR_SERVICE_URL", NOWHERE)
    settings.cache_clear()
    assert "does not answer" in skips(lineage.tick("observe_service"))
    with listening(Starlette(routes=[Route("/model-info", model_info)])) as url:
        monkeypatch.setenv("REALTOR_SERVICE_URL", url)
        settings.cache_clear()
        seen = lineage.tick("observe_service")
    settings.cache_clear()
    assert isinstance(seen, dg.SensorResult)
    observation, check = seen.asset_events
    assert isinstance(observation, dg.AssetObservation)
    assert observation.tags == {"dagster/data_version": "4"}
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert check.passed
    assert seen.cursor == "fresh"


def test_a_service_that_stops_answering_becomes_stale(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_fresh(last_seen(lineage.instance)), "it was never seen"
    lineage.instance.report_runless_asset_event(dg.AssetObservation("served_model"))
    assert is_fresh(last_seen(lineage.instance))
    monkeypatch.setattr(running_service, "FRESH_FOR", dt.timedelta(0))

    gone = lineage.tick("observe_service")

    assert isinstance(gone, dg.SensorResult)
    (check,) = gone.asset_events
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert not check.passed
    assert "The service last answered at" in str(check.description)
    assert "does not answer" in skips(lineage.tick("observe_service", cursor=gone.cursor))
