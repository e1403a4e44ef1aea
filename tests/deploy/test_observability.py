"""Dashboards, rules and runbook match each other, and the exporter exports the right figures."""

import datetime as dt
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import psycopg
import pytest
import yaml
from packaging.version import Version
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from deploy.observability.check import queries
from deploy.observability.check.files import (
    ALERTMANAGER,
    DASHBOARDS,
    FOLDER,
    PROMETHEUS,
    RULES,
    alertmanager_config,
    prometheus_config,
)
from deploy.observability.dashboards.files import documents
from realtor_assets.exporter.__main__ import read_only
from realtor_assets.exporter.collector import Sources
from realtor_assets.exporter.families import gauge
from realtor_assets.exporter.model_metrics import Models
from realtor_assets.exporter.run_metrics import Dagster
from realtor_assets.raw.loading import load_payload
from realtor_assets.release.release_records import PromotionRecord, begin_move, finish_move
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import migrate
from realtor_local.ports import free_port
from realtor_model.listing import US_LISTINGS
from realtor_model.registry_names import HISTORY_KEY
from realtor_serving.http import service_metrics
from realtor_serving.http.admission import RouteRule
from realtor_serving.http.edge import wrap
from realtor_serving.service_settings import ServiceSettings
from tests.assets.conftest import land, listing
from tests.conftest import empty_databases
from tests.servers import listening, running
from tests.serving.running import wait_for

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "RUNBOOK.md"
# Prefixes of the metrics of Prometheus and the standard exporters. `make observability-test` checks
# these against the real programs.
STANDARD = ("node_", "pg_", "prometheus_", "alertmanager_")
PROMETHEUS_OWN = {"up", "ALERTS"}
_KEYWORDS = {
    "and", "or", "unless", "by", "on", "ignoring", "group_left", "group_right", "without", "bool",
    "offset",
}  # fmt: skip

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def test_committed_dashboards_equal_the_generated_ones() -> None:
    committed = {path.name: path.read_text() for path in DASHBOARDS.iterdir()}

    assert committed == documents(), "run `make dashboards`"


def test_dashboards_are_of_the_newest_named_grafana_that_compose_can_read() -> None:
    compose = yaml.safe_load((FOLDER.parent / "compose/compose.yaml").read_text())
    [runs] = re.findall(r"grafana:([\d.]+)", compose["services"]["grafana"]["image"])
    made_for = Version(version("grafana-foundation-sdk"))

    assert Version("11.6") <= Version(made_for.public.partition("!")[2]) <= Version(runs)
    assert {json.loads(path.read_text())["schemaVersion"] for path in DASHBOARDS.iterdir()} == {41}


def test_panels_do_not_overlap() -> None:
    for path in DASHBOARDS.iterdir():
        panels = json.loads(path.read_text())["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        taken: set[tuple[int, int]] = set()
        for at in (panel["gridPos"] for panel in panels):
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert not cells & taken
            assert at["x"] + at["w"] <= 24
            taken |= cells


def metric_names(expr: str) -> set[str]:
    """The names of the metrics in a PromQL expression."""
    for noise in (r'"[^"]*"', r"\{[^}]*\}", r"\[[^\]]*\]",
                  r"\b(by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)"):  # fmt: skip
        expr = re.sub(noise, " ", expr)
    return set(re.findall(r"(?<![\w:])[a-zA-Z_:][\w:]*\b(?!\s*\()", expr)) - _KEYWORDS


def test_metric_names_finds_the_metrics_of_an_expression() -> None:
    expr = 'sum by (le) (rate(a_bucket{x="y_z"}[5m])) / on (b) group_left (c) clamp_min(d:e, 1e-9)'

    assert metric_names(expr) == {"a_bucket", "d:e"}


def test_every_queried_metric_exists(exported: Samples) -> None:
    recorded = {rule["record"] for rule in queries.rules() if "record" in rule}
    known = recorded | declared(service_metrics) | exported.keys() | PROMETHEUS_OWN
    expressions = [query.expr for query in queries.dashboard_queries()]
    expressions += [rule["expr"] for rule in queries.rules()]

    unknown = {
        name
        for expr in expressions
        for name in metric_names(expr)
        if name not in known and not name.startswith(STANDARD)
    }

    assert not unknown


def declared(module: Any) -> set[str]:
    """The sample names of every metric that a module declares."""
    suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}
    return {
        f"{metric._name}{suffix}"
        for metric in vars(module).values()
        if isinstance(metric, MetricWrapperBase)
        for suffix in suffixes[metric._type]
    }


ALERTS = [rule for rule in queries.rules() if "alert" in rule]


def test_every_alert_has_a_runbook_chapter_and_every_chapter_an_alert() -> None:
    text = RUNBOOK.read_text()
    alerts, tasks = text.split("# Routine tasks")
    chapters = re.findall(r"^## (\w+)$", alerts, re.M)

    assert sorted(chapters) == sorted(rule["alert"] for rule in ALERTS)
    for rule in ALERTS:
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        page, anchor = rule["annotations"]["runbook_url"].split("#")
        assert page.endswith("docs/RUNBOOK.md")
        assert anchor == rule["alert"].lower()
        assert f"## {rule['alert']}\n\n*{rule['labels']['severity']}* · " in text
    headings = {
        re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.M)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= headings
    assert tasks


def test_the_runbook_names_panels_that_exist() -> None:
    titles = {
        path.stem: {panel["title"] for panel in json.loads(path.read_text())["panels"]}
        for path in DASHBOARDS.iterdir()
    }

    named = re.findall(r"\*(service|models|pipeline) → ([^*]+)\*", RUNBOOK.read_text())

    assert named
    assert [f"{board} → {title}" for board, title in named if title not in titles[board]] == []


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_test_that_it_fires_and_one_that_it_does_not(
    rule: dict[str, Any],
) -> None:
    expected = [
        case["exp_samples"]
        for path in (PROMETHEUS / "tests").glob("*.yml")
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["promql_expr_test"]
        if f'alertname="{rule["alert"]}"' in case["expr"]
    ]

    assert [] in expected
    assert any(expected)


def test_the_rules_and_their_tests_pass() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not on PATH (Debian: prometheus)")
    for arguments in (
        # --syntax-only: the credentials file exists only on the machine that scrapes.
        ["check", "config", "--syntax-only", str(PROMETHEUS / "prometheus.yml")],
        ["check", "rules", *map(str, RULES.glob("*.yml"))],
        ["test", "rules", *map(str, (PROMETHEUS / "tests").glob("*.yml"))],
    ):
        ran = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_problem_says_why_a_query_has_no_data(tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not on PATH (Debian: prometheus)")
    (tmp_path / "prometheus.yml").write_text("{}")
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        "prometheus", f"--web.listen-address={url.removeprefix('http://')}",
        f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb",
    ]  # fmt: skip
    with running(command, f"{url}/-/ready", tmp_path / "log"):
        problems = [
            queries.problem(url, queries.LocatedQuery("panel", expr))
            for expr in ("vector(0)", "nothing_here", "vector(0) / 0", "sum(")
        ]

    assert problems[0] is None
    assert problems[1] == "panel: no series: nothing_here"
    assert problems[2] == "panel: NaN only: vector(0) / 0"
    assert problems[3]
    assert "parse error" in problems[3]


def test_compose_writes_the_key_to_the_file_that_prometheus_reads() -> None:
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    [file] = [job["authorization"]["credentials_file"] for job in jobs if "authorization" in job]
    script = (ROOT / "deploy/compose/prometheus.sh").read_text()
    compose = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())["services"]
    known = compose["service"]["environment"]["REALTOR_SERVICE_API_KEYS"]

    assert f'printf %s "$PROMETHEUS_API_KEY" > {file}' in script
    assert "${PROMETHEUS_API_KEY_SHA256:?}" in known.split(",")


def test_prometheus_authenticates_and_records_the_first_failure(tmp_path: Path) -> None:
    """Uses the committed configuration and the service's own gate, which requires a key."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not on PATH (Debian: prometheus)")
    key = tmp_path / "key"
    key.write_text("the key of Prometheus")
    settings = ServiceSettings.model_validate(
        {
            "REALTOR_SERVICE_KEYS_FOR": "all",
            "REALTOR_SERVICE_TRUST_LOOPBACK": "false",
            "REALTOR_SERVICE_API_KEYS": hashlib.sha256(key.read_bytes()).hexdigest(),
        }
    )
    rules = {path: RouteRule(frozenset({"GET"})) for path in ("/metrics", "/fails")}
    app = Starlette(routes=[Route("/metrics", _latest), Route("/fails", _fails)])
    with listening(wrap(app, settings, rules)) as url:
        assert httpx.get(f"{url}/metrics").status_code == 401
        config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
        jobs = [job["job_name"] for job in config["scrape_configs"]]
        target = url.removeprefix("http://")
        config = yaml.safe_load(prometheus_config(dict.fromkeys(jobs, target), key))
        config["global"]["scrape_interval"] = "1s"
        config["scrape_configs"] = [config["scrape_configs"][jobs.index("service")]]
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        at = f"http://127.0.0.1:{free_port()}"
        command = [
            "prometheus", f"--web.listen-address={at.removeprefix('http://')}",
            f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb",
        ]  # fmt: skip
        failed = 'increase(api_requests_total{endpoint="/fails",status="500"}[1m])'
        with running(command, f"{at}/-/ready", tmp_path / "log"):
            wait_for(lambda: _value(at, 'up{job="service"}') == 1, "a scrape with the key")
            wait_for(lambda: _value(at, failed) == 0, "two scrapes without a failure")
            mine = {"Authorization": f"Bearer {key.read_text()}"}
            assert httpx.get(f"{url}/fails", headers=mine).status_code == 500
            wait_for(lambda: _value(at, failed) > 0, "the first failure in Prometheus")


async def _latest(request: Request) -> Response:
    return PlainTextResponse(service_metrics.latest())


async def _fails(request: Request) -> Response:
    raise RuntimeError("raised by the test")


def _value(prometheus: str, query: str) -> float:
    """The value of the only series; NaN when there is no series."""
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}).json()
    return float(next((series["value"][1] for series in answer["data"]["result"]), "nan"))


def test_configuration_for_one_machine_differs_in_addresses_only() -> None:
    committed = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    jobs = [job["job_name"] for job in committed["scrape_configs"]]
    key = Path("/a/key")
    changed = yaml.safe_load(prometheus_config(dict.fromkeys(jobs, "127.0.0.1:1"), key))

    assert changed["global"] == committed["global"]
    assert [job["job_name"] for job in changed["scrape_configs"]] == jobs
    assert {job["static_configs"][0]["targets"][0] for job in changed["scrape_configs"]} == {
        "127.0.0.1:1"
    }
    with pytest.raises(ValueError, match="node"):
        prometheus_config(dict.fromkeys(set(jobs) - {"node"}, "127.0.0.1:1"), key)
    routed = yaml.safe_load(alertmanager_config("http://127.0.0.1:2/"))
    assert routed["route"] == yaml.safe_load(ALERTMANAGER.read_text())["route"]


def test_inhibitions_name_alerts_that_exist() -> None:
    known = {rule["alert"] for rule in ALERTS}
    for rule in yaml.safe_load(ALERTMANAGER.read_text())["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            match = re.fullmatch(r'alertname=~?"(.+)"', matcher)
            assert match
            for pattern in match[1].split("|"):
                assert any(re.fullmatch(pattern, name) for name in known), pattern


def test_dashboards_use_the_provisioned_data_source() -> None:
    source = yaml.safe_load(
        (FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text()
    )["datasources"][0]
    for path in DASHBOARDS.iterdir():
        assert set(re.findall(r'"uid": "(prometheus)"', path.read_text())) == {source["uid"]}


# ------------------------------------------------------------------------------------- the exporter


@pytest.fixture(scope="module")
def exported(postgres: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    """The samples that the running exporter serves, for databases with two batches, one held."""
    folder = tmp_path_factory.mktemp("exporter")
    store = ObjectStore(url=f"file://{folder}/store")
    with empty_databases(postgres) as make:
        raw, clean, instance = make(), make(), make()
        migrate(raw.url, "raw")
        migrate(clean.url, "clean")
        _fill(store, raw, clean)
        (folder / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
        port = free_port()
        environment = {
            "REALTOR_RAW_DATABASE_URL": raw.url,
            "REALTOR_CLEAN_DATABASE_URL": clean.url,
            "REALTOR_STORAGE_URL": store.url,
            "DAGSTER_POSTGRES_URL": instance.url,
            "DAGSTER_HOME": str(folder),
            "REALTOR_METRICS_PORT": str(port),
        }
        # The first process with an instance creates its tables. The exporter cannot: it only reads.
        subprocess.run(
            [sys.executable, "-c", "import dagster as dg; dg.DagsterInstance.get().dispose()"],
            env=os.environ | environment, check=True,
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}/metrics"
        command = [sys.executable, "-m", "realtor_assets.exporter"]
        with running(command, url, folder / "exporter.log", environment=environment):
            yield parse_samples(httpx.get(url).text)


def parse_samples(text: str) -> Samples:
    """Name → labels → value of every sample; a family without samples maps to an empty dict."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        samples.setdefault(family.name, {})
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return samples


def of(samples: Samples, name: str, **labels: str) -> float:
    """The value of the sample `name` with these labels."""
    return samples[name][tuple(sorted(labels.items()))]


def _fill(store: ObjectStore, raw: Database, clean: Database) -> None:
    for batch in (0, 1):
        rows = [listing(street=float(batch * 100 + i)) for i in range(10)]
        payload = land(store, raw, rows, batch=batch)
        with raw.transaction() as connection:
            load_payload(
                store,
                connection,
                payload,
                contract=US_LISTINGS,
                max_broken_share=0.2,
                progress=lambda text: None,
            )
    land(store, raw, [listing(street=999.0)], batch=2)
    with raw.transaction() as connection:
        connection.execute("INSERT INTO backups VALUES ('2026-01-01Z', 'a'), ('2026-01-02Z', 'b')")
        partitions = [
            row[0]
            for row in connection.execute(
                "SELECT partition_key FROM ingestion_summary ORDER BY load_id"
            )
        ]
    with clean.transaction() as connection:
        for load, (decision, rule, figures) in enumerate(
            [("train", "first model", {}), ("hold", "suspect data", {"error": 0.3})], 1
        ):
            connection.execute(
                "INSERT INTO retrain_decisions (load_id, partition_key, batches, model_version,"
                " decision, rule, reason, figures) VALUES (%s, %s, %s, '1', %s, %s, 'why', %s)",
                [load, partitions[load - 1], [load - 1], decision, rule, json.dumps(figures)],
            )
        connection.execute(
            "INSERT INTO drift_reports (load_id, model_version, feature, psi)"
            " VALUES (2, '1', 'house_size', 0.4), (2, '0', 'house_size', 9)"
        )
        connection.execute(
            "INSERT INTO clean_builds (data_version, feature_version, loads, batches, as_of,"
            " rows_train, rows_validation, rows_test, outside_domain)"
            " VALUES ('x', '1', '{1}', '{0}', now(), 7, 2, 1, 0)"
        )
        criterion = {"name": "accuracy", "passed": True, "words": "", "figures": {"change": -0.1}}
        record = PromotionRecord("1", None, "promoted", "first model", "why",
                                 criteria=[criterion], loads=[1])  # fmt: skip
        record.save(connection)
        begin_move(connection, record, None)
        finish_move(connection)
    version = {
        "version": "1", "stage": "Production", "candidate": "xgboost", "train_rows": 14,
        "trained_at": "2026-01-01T00:00:00+00:00", "test": {"mdape": 0.2},
    }  # fmt: skip
    document = {"published_at": "2026-01-02T00:00:00+00:00", "champion": "1", "versions": [version]}
    with store.create(HISTORY_KEY) as file:
        file.write(json.dumps(document).encode())


def test_exporter_exports_batches_and_decisions(exported: Samples) -> None:
    assert set(exported["realtor_exporter_source_up"].values()) == {1.0}
    states = {dict(labels)["state"]: n for labels, n in exported["realtor_batches"].items()}
    assert states == {
        "landed": 1, "undecided": 0, "untrained": 0, "held": 1, "loaded": 2, "refused": 0,
    }  # fmt: skip
    assert of(exported, "realtor_rows_inserted_total") == 20
    assert of(exported, "realtor_retrain_decisions_total", decision="hold") == 1
    assert of(exported, "realtor_retrain_decisions_total", decision="skip") == 0
    assert of(exported, "realtor_production_model", version="1") == 1
    assert of(exported, "realtor_duel_figure",
              version="1", criterion="accuracy", figure="change") == -0.1  # fmt: skip
    assert of(exported, "realtor_model_test_figure", version="1", figure="mdape") == 0.2
    assert of(exported, "realtor_retrain_limit", limit="psi") == 0.25
    assert of(exported, "realtor_backup_newest_timestamp_seconds") == (
        dt.datetime(2026, 1, 2, tzinfo=dt.UTC).timestamp()
    )
    assert of(exported, "realtor_batch_first_timestamp_seconds") < (
        of(exported, "realtor_batch_newest_timestamp_seconds")
    )
    # Only the figures of the current champion, not those of an earlier one.
    assert list(exported["realtor_drift_psi"].values()) == [0.4]
    assert list(exported["realtor_batch_median_error_ratio"].values()) == [0.3]


def test_exporter_exports_every_job_before_its_first_run(exported: Samples) -> None:
    jobs = {dict(labels)["job"] for labels in exported["dagster_runs_total"]}

    assert {"ingest", "load", "clean", "train", "serve"} <= jobs
    assert set(exported["dagster_runs_total"].values()) == {0.0}


def test_exporter_sessions_are_read_only_and_do_not_wait_for_locks(
    databases: Callable[[], Database],
) -> None:
    database = databases()
    with database.transaction() as connection:
        connection.execute("CREATE TABLE example (x int)")

    with (
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        read_only(database.url).transaction() as connection,
    ):
        connection.execute("INSERT INTO example VALUES (1)")
    with database.transaction() as holder:
        holder.execute("LOCK TABLE example")
        with (
            pytest.raises(psycopg.errors.LockNotAvailable),
            read_only(database.url).transaction() as connection,
        ):
            connection.execute("SELECT * FROM example")
    with read_only(database.url).transaction() as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("5s",)


def test_exporter_exports_the_outcome_of_runs_and_checks() -> None:
    @dg.asset
    def table() -> None:
        pass

    @dg.asset_check(asset=table)
    def holds() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    @dg.op
    def breaks() -> None:
        raise ValueError("raised by the test")

    @dg.job
    def broken() -> None:
        breaks()

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([table, holds], instance=instance)
        broken.execute_in_process(instance=instance, raise_on_error=False)
        source = Dagster(instance, ["broken"], [dg.AssetCheckKey(dg.AssetKey("table"), "holds")])
        samples = _collected({"dagster": source})

    assert of(samples, "dagster_runs_total", job="broken", status="FAILURE") == 1
    assert of(samples, "dagster_runs_total", job="broken", status="SUCCESS") == 0
    assert of(samples, "dagster_asset_check_passed",
              asset="table", check="holds", severity="ERROR") == 0  # fmt: skip


def test_a_failing_source_is_exported_as_down_without_its_metrics(store: ObjectStore) -> None:
    def fails() -> Iterator[Any]:
        yield gauge("partly_read", "", (), [((), 1)])
        raise OSError("gone")

    samples = _collected({"fails": fails, "history": Models(store)})

    assert of(samples, "realtor_exporter_source_up", source="fails") == 0
    assert of(samples, "realtor_exporter_source_up", source="history") == 1
    assert "partly_read" not in samples


def test_frequent_scrapes_read_the_sources_only_once() -> None:
    reads: list[int] = []
    sources = Sources({"one": lambda: reads.append(1) or []}, seconds=60)

    for _ in range(5):
        list(sources.collect())

    assert len(reads) == 1


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(url=f"file://{tmp_path}/store")


def _collected(sources: dict[str, Any]) -> Samples:
    registry = CollectorRegistry()
    registry.register(Sources(sources))
    return parse_samples(generate_latest(registry).decode())
