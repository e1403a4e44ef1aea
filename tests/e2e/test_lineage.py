"""The whole platform: `realtor up` in an empty home, the lineage, a price over HTTP, `down`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from dotenv import dotenv_values

from docs.generator.execute import execute
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_ui.texts import LANGUAGES, catalogue
from tests.ui import paths

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
REALTOR = Path(sys.executable).with_name("realtor")
OURS = ("REALTOR_", "DAGSTER_", "MLFLOW_", "BENTOML_")
# Where the app's pictures go; CI keeps the folder.
PICTURES = Path(os.environ.get("REALTOR_SCREENSHOTS") or ROOT / "build" / "screenshots")
NOTEBOOK = ROOT / "docs/notebooks/compare_two_models.ipynb"
HOME = {"bed": 3, "bath": 2, "house_size": 1_650, "state": "Texas", "city": "Houston"}


class Platform:
    """One platform in a folder of its own, driven by its command as a person would."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(OURS)
        } | {
            "REALTOR_HOME": str(home),
            "REALTOR_MARKET_ROWS": "30000",
            **{
                f"REALTOR_{program}_PORT": "0"
                for program in ("MLFLOW", "UPSTREAM", "DAGSTER", "SERVICE", "APP")
            },
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [REALTOR, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    @property
    def settings(self) -> dict[str, str]:
        found = dotenv_values(self.home / "platform.env")
        return {name: value for name, value in found.items() if value is not None}

    def get(self, path: str) -> Any:
        return httpx.get(self.settings["REALTOR_SERVICE_URL"] + path, timeout=30).json()

    def post(self, path: str, body: Any) -> Any:
        url = self.settings["REALTOR_SERVICE_URL"] + path
        return httpx.post(url, json=body, timeout=60).raise_for_status().json()

    def query(self, variable: str, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings[variable]) as connection:
            return connection.execute(statement).fetchall()

    def wait_for_runs(self) -> None:
        """Wait until no run is left: a sensor may have requested one that a command made, too."""
        unfinished = (
            "SELECT pipeline_name FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')"
        )
        deadline = time.monotonic() + 300
        while left := self.query("DAGSTER_POSTGRES_URL", unfinished):
            assert time.monotonic() < deadline, left
            time.sleep(1)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("platform") / "home")
    up = platform.run("up", "--detach")
    try:
        assert up.returncode == 0, up.stdout[-6000:] + up.stderr[-6000:]
        assert "xgboost" in up.stdout or "gradient_boosting" in up.stdout or "forest" in up.stdout
        yield platform
    finally:
        down = platform.run("down", "--purge")
        assert down.returncode == 0, down.stdout + down.stderr


def test_the_lineage_ends_in_a_price_over_http(platform: Platform) -> None:
    valuation = platform.post("/predict", HOME)

    assert 0 < valuation["low"] < valuation["price"] < valuation["high"]
    assert valuation["model"]["version"] == "1"
    info = platform.get("/model-info")
    assert info["batches"] == [0]
    assert info["metrics"]["test"]["mdape"] < 0.5
    assert platform.get("/health")["status"] == "ok"


def test_every_endpoint_answers(platform: Platform) -> None:
    service = platform.settings["REALTOR_SERVICE_URL"]
    assert {item["path"] for item in platform.get("/")["endpoints"]} >= {
        "/", "/health", "/model-info", "/predict", "/predict-batch", "/explain",
        "/reload-model", "/metrics",
    }  # fmt: skip
    batch = platform.post("/predict-batch", {"properties": [HOME, HOME | {"bed": -1}]})
    assert (batch["valued"], batch["failed"]) == (1, 1)
    explained = platform.post("/explain", HOME)
    total = explained["base_price"] + sum(item["dollars"] for item in explained["contributions"])
    assert total == pytest.approx(explained["valuation"]["price"], rel=1e-3)
    assert platform.post("/reload-model", {})["changed"] is False
    assert "api_requests_total" in httpx.get(f"{service}/metrics").text


def test_every_asset_is_materialized_and_every_check_passed(platform: Platform) -> None:
    platform.wait_for_runs()
    executed = platform.query(
        "DAGSTER_POSTGRES_URL",
        "SELECT check_name, execution_status FROM asset_check_executions",
    )
    assert len(executed) >= 12
    assert {status for _, status in executed} == {"SUCCEEDED"}
    materialized = platform.query(
        "DAGSTER_POSTGRES_URL",
        "SELECT asset_key FROM asset_keys WHERE last_materialization IS NOT NULL",
    )
    names = {json.loads(key)[0] for (key,) in materialized}
    assert names >= {
        "api_request_log", "landed_payloads", "raw_train", "raw_quarantine",
        "encoding_mappings", "clean_test",
        "drift_report", "retrain_decision", "linear_regression", "random_forest",
        "gradient_boosting", "xgboost", "best_model", "promotion_decision", "production_model",
        "bento", "served_model", "ratio_study", "batch_valuations",
        "published_history",
    }  # fmt: skip


def test_the_bento_names_the_run_that_made_its_model(platform: Platform) -> None:
    (told,) = (platform.home / "bentoml" / "bentos").glob("realtor/*/src/champion_bundle.json")
    served = platform.get("/model-info")

    assert served["run_id"]
    assert json.loads(told.read_text()) == {name: served[name] for name in ("version", "run_id")}


def test_the_train_run_is_one_mlflow_parent_with_its_true_status(platform: Platform) -> None:
    statement = (
        "SELECT r.run_uuid, r.status FROM runs r JOIN tags t USING (run_uuid)"
        " WHERE t.key = 'dagster_job' AND t.value = 'train'"
    )
    deadline = time.monotonic() + 120
    parents = platform.query("MLFLOW_BACKEND_STORE_URI", statement)
    while parents[0][1] == "RUNNING" and time.monotonic() < deadline:
        time.sleep(2)  # a sensor closes it
        parents = platform.query("MLFLOW_BACKEND_STORE_URI", statement)
    assert [status for _, status in parents] == ["FINISHED"]
    children = platform.query(
        "MLFLOW_BACKEND_STORE_URI",
        "SELECT r.name FROM runs r JOIN tags t USING (run_uuid)"
        f" WHERE t.key = 'mlflow.parentRunId' AND t.value = '{parents[0][0]}'",
    )
    names = {name for (name,) in children}
    assert names >= {"linear_regression", "random_forest", "gradient_boosting", "xgboost"}


def test_the_next_batch_is_ingested_and_judged(platform: Platform) -> None:
    for command in ("ingest", "train"):
        done = platform.run(command)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]

    decisions = platform.query(
        "REALTOR_CLEAN_DATABASE_URL",
        "SELECT decision, reason FROM promotion_decisions ORDER BY decision_id",
    )
    assert len(decisions) == 2
    assert all(len(reason) > 20 for _, reason in decisions)
    retrain = platform.query(
        "REALTOR_CLEAN_DATABASE_URL",
        "SELECT batches, reason FROM retrain_decisions ORDER BY decision_id",
    )
    assert [batches for batches, _ in retrain] == [[0], [1]]


def test_the_notebook_compares_two_versions(platform: Platform) -> None:
    executed = execute(NOTEBOOK, platform.environment | platform.settings)

    outputs = [
        output for cell in executed.cells for output in cell.get("outputs", ()) if cell.source
    ]
    assert "homes: difference" in "".join(output.get("text", "") for output in outputs)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2


def test_the_history_holds_decisions_and_reasons(platform: Platform) -> None:
    told = json.loads(platform.run("history", "--json").stdout)

    assert told["waiting"] == []
    assert told["retrain_decisions"][0]["rule"] == "first model"
    assert told["releases"][0]["action"] == "promoted"
    shown = platform.run("history")
    assert shown.returncode == 0
    assert "There is no model in Production yet" in " ".join(shown.stdout.split())


@pytest.mark.skipif(paths.CHROMIUM is None, reason=paths.NO_CHROMIUM)
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_apps_main_paths_in_a_browser(
    platform: Platform, language: str, tmp_path: Path
) -> None:
    told = platform.settings
    site = paths.Site(
        f"http://127.0.0.1:{told['REALTOR_APP_PORT']}", told["REALTOR_SERVICE_URL"], HOME, PICTURES
    )
    t = catalogue(language)
    with paths.chromium() as browser, paths.watched_page(browser, site) as page:
        for path in (paths.value_a_home, paths.why, paths.the_market, paths.models_and_monitoring):
            path(page, site, t)
            page.set_viewport_size(paths.WIDE)  # type: ignore[arg-type]
        paths.value_many(page, site, t, tmp_path)
    assert len(list(PICTURES.glob(f"*-{language}-*.png"))) == 14, "seven pictures, two widths"


def test_a_rollback_is_served(platform: Platform) -> None:
    champion = platform.get("/model-info")["version"]
    other = "1" if champion != "1" else "2"

    back = platform.run("rollback", other, "--reason", "to see it work")
    assert back.returncode == 0, back.stdout + back.stderr
    assert platform.get("/model-info")["version"] == other
    # A sensor sees that another version is in Production, and has it packaged and observed.
    observed = (
        "SELECT 1 FROM event_logs WHERE asset_key = '[\"served_model\"]'"
        f" AND dagster_event_type = 'ASSET_MATERIALIZATION' AND event LIKE '%\"{other}\"%'"
        " AND timestamp > now() at time zone 'utc' - interval '5 minutes'"
    )
    deadline = time.monotonic() + 240
    while not platform.query("DAGSTER_POSTGRES_URL", observed):
        assert time.monotonic() < deadline, "served_model was not materialized again"
        time.sleep(2)

    assert platform.run("rollback", champion).returncode == 0
    assert platform.get("/model-info")["version"] == champion


def test_a_version_that_cannot_be_served_is_rolled_back(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = platform.get("/model-info")["version"]
    broken = register_broken(platform.settings["MLFLOW_TRACKING_URI"], champion, tmp_path)

    # The service refuses it at once, and goes on with what it has.
    refused = platform.run("promote", broken, "--reason", "somebody is wrong")
    assert "the service does not serve it yet" in " ".join(refused.stdout.split()), (
        refused.stdout + refused.stderr
    )
    assert platform.get("/model-info")["version"] == champion

    statement = "SELECT model_version, reason FROM releases ORDER BY release_id DESC LIMIT 1"
    deadline = time.monotonic() + 240
    while (last := platform.query("REALTOR_CLEAN_DATABASE_URL", statement))[0][0] == broken:
        assert time.monotonic() < deadline, "it was not rolled back"
        time.sleep(2)
    assert last[0][0] == champion
    # `bento` finds the damage, or `served_model` if the bento of the version before was built.
    reasons = (f"The bundle of version {broken} is damaged", f"cannot load version {broken}")
    assert any(reason in last[0][1] for reason in reasons), last[0][1]
    assert platform.post("/reload-model", {})["after"] == champion


def register_broken(url: str, version: str, folder: Path) -> str:
    """A version of the registered model that is `version` with a changed file; its number."""
    client = Tracking(tracking_uri=url).client()
    import mlflow.artifacts

    mlflow.artifacts.download_artifacts(
        artifact_uri=f"models:/realtor-price/{version}", dst_path=str(folder)
    )
    (estimator,) = folder.rglob("estimator.json")
    estimator.write_text(estimator.read_text() + " ")
    run = client.create_run("0").info
    client.log_artifacts(run.run_id, str(folder), "model")
    made = client.create_model_version("realtor-price", f"{run.artifact_uri}/model", run.run_id)
    return str(made.version)


def test_a_second_up_keeps_champion_and_data(platform: Platform) -> None:
    rows = "SELECT count(*) FROM api_request_log"
    before = platform.query("REALTOR_RAW_DATABASE_URL", rows)

    again = platform.run("up", "--detach")

    assert again.returncode == 0, again.stdout + again.stderr
    assert platform.query("REALTOR_RAW_DATABASE_URL", rows) == before
    status = platform.run("status", "--json")
    assert status.returncode == 0, status.stdout


def test_a_restored_platform_ingests_the_next_batch(platform: Platform, tmp_path: Path) -> None:
    """Last, for it ends the platform that the others look at."""

    def known() -> dict[str, Any]:
        tables = ("raw_train", "raw_test", "api_request_log")
        return {
            "price": platform.post("/predict", HOME)["price"],
            "model": platform.get("/model-info")["run_id"],
            "rows": {
                name: platform.query("REALTOR_RAW_DATABASE_URL", f"SELECT count(*) FROM {name}")
                for name in tables
            },
            "releases": platform.query(
                "REALTOR_CLEAN_DATABASE_URL", "SELECT * FROM releases ORDER BY release_id"
            ),
        }

    def runs() -> list[tuple[Any, ...]]:
        return platform.query("DAGSTER_POSTGRES_URL", "SELECT run_id FROM runs ORDER BY id")

    before, ran = known(), runs()
    saved = platform.run("backup", str(tmp_path / "kept"))
    assert saved.returncode == 0, saved.stdout + saved.stderr
    assert platform.run("restore", str(tmp_path / "kept")).returncode == 1  # it runs
    assert platform.run("down", "--purge").returncode == 0
    assert not platform.home.exists()

    restored = platform.run("restore", str(tmp_path / "kept"))
    assert restored.returncode == 0, restored.stdout + restored.stderr
    up = platform.run("up", "--detach")
    assert up.returncode == 0, up.stdout[-6000:] + up.stderr[-6000:]

    assert "training the first one" not in up.stdout
    assert known() == before
    assert runs()[: len(ran)] == ran
