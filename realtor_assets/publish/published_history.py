"""The history of batches, decisions and models, as one JSON document in the object store.

Pages that show the history read this document, and need neither the databases nor MLflow.
"""

import datetime as dt
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd
import psycopg
from psycopg.rows import dict_row

from realtor_assets.clean.load_decisions import Load, all_loads
from realtor_assets.metadata import OWNERS
from realtor_assets.release import release_records
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.schema import require_current
from realtor_model.json_values import json_value
from realtor_model.registry_names import HISTORY_KEY

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

FORMAT = 1
# What a document may grow to: the service refuses a larger one.
MOST_VERSIONS, MOST_BATCHES, MOST_SEGMENTS = 60, 200, 12
_RATIOS = (
    "median_ratio", "cod", "prd", "prb", "median_ratio_low", "median_ratio_high", "cod_low",
    "cod_high", "prd_low", "prd_high", "prb_low", "prb_high",
)  # fmt: skip
# The figures of a model that people compare; MLflow has all of them.
FIGURES = (
    "n", "rmse", "mae", "r2", "mape", "mdape", "within_10", "within_20", "r2_log", "rmse_log",
    "coverage", "median_width", *_RATIOS, "sold_n", "sold_mdape",
    *(f"sold_{name}" for name in _RATIOS), "newest_month_mdape",
)  # fmt: skip
_CHANGE = {"importance": "importance_table", "segments": "segments", "homes": "homes"}

_DECISIONS = (
    "SELECT d.load_id, d.decision, d.rule, d.reason, d.model_version AS champion_version,"
    " d.admitted, d.figures, d.details, d.decided_at, a.approver, a.rationale"
    " FROM retrain_decisions d"
    " LEFT JOIN batch_admissions a ON a.load_id = d.load_id"
    " WHERE d.load_id = ANY(%s) ORDER BY d.decision_id"
)
_DRIFT = (
    "SELECT load_id, model_version, feature, psi, wasserstein, null_rate_change, unseen_share"
    " FROM drift_reports WHERE load_id = ANY(%s) ORDER BY load_id, psi DESC NULLS LAST, feature"
)
_DRIFT_SEGMENTS = (
    "SELECT load_id, model_version, by, segment, feature, n, psi FROM"
    " (SELECT *, row_number() OVER (PARTITION BY load_id ORDER BY psi DESC NULLS LAST, by, segment,"
    " feature) AS place FROM drift_segments WHERE load_id = ANY(%s)) ranked WHERE place <= %s"
    " ORDER BY load_id, place"
)
_PROMOTIONS = (
    "SELECT decision_id, model_version, champion_version, decision, rule, reason, criteria,"
    " figures, details, approver, decided_at FROM promotion_decisions ORDER BY decision_id"
)
_RELEASES = (
    "SELECT model_version, replaced, action, reason, decision_id, begun_at, finished_at"
    " FROM releases ORDER BY release_id"
)


@dg.asset(
    group_name="publish",
    kinds={"json"},
    owners=OWNERS,
    deps=["retrain_decision", "promotion_decision", "production_model", "champion_change"],
    pool="pipeline",
    description="Batches, retrain and promotion decisions, releases, versions with their figures, "
    "and what changed between champions: one JSON document in the object store, which the service "
    "hands to the app.",
)
def published_history(
    store: ObjectStore, raw_database: Database, clean_database: Database, tracking: Tracking
) -> dg.MaterializeResult[None]:
    history = gather(raw_database, clean_database, tracking)
    document = json.dumps(json_value(history), allow_nan=False, separators=(",", ":")).encode()
    with store.create(HISTORY_KEY) as file:
        file.write(document)
    return dg.MaterializeResult(
        metadata={
            "url": store.url_of(HISTORY_KEY),
            "bytes": len(document),
            "batches": len(history["batches"]),
            "versions": len(history["versions"]),
            "champion_version": history["champion"] or "none",
        }
    )


def gather(raw_database: Database, clean_database: Database, tracking: Tracking) -> dict[str, Any]:
    """The document, from the two databases and the registry, oldest first."""
    with raw_database.transaction() as raw, clean_database.transaction() as clean:
        require_current(clean, "clean")
        batches = tell_batches(all_loads(raw)[-MOST_BATCHES:], clean)
        promotions, releases = _rows(clean, _PROMOTIONS), _rows(clean, _RELEASES)
        line = release_records.in_line(release_records.alias_moves(clean))
    moves = [(move["replaced"], move["model_version"]) for move in releases if move["replaced"]]
    return {
        "format": FORMAT,
        "published_at": dt.datetime.now(dt.UTC),
        "champion": line[-1] if line else None,
        "batches": batches,
        "promotions": promotions,
        "releases": releases,
        "versions": _versions(tracking),
        "changes": _changes(tracking, list(dict.fromkeys(moves))),
    }


def tell_batches(loads: Sequence[Load], clean: psycopg.Connection) -> list[dict[str, Any]]:
    """For each of `loads`: its rows, its drift and the decisions about it."""
    ids = [load.load_id for load in loads]
    decisions, drift, segments = (
        _by_load(rows)
        for rows in (
            _rows(clean, _DECISIONS, [ids]),
            _rows(clean, _DRIFT, [ids]),
            _rows(clean, _DRIFT_SEGMENTS, [ids, MOST_SEGMENTS]),
        )
    )
    return [
        {
            "load_id": load.load_id,
            "name": load.name,
            "partition": load.partition_key,
            "state": load.state,
            "error": load.error,
            "received": load.received,
            "inserted": load.inserted,
            "loaded_at": load.loaded_at,
            "decisions": decisions[load.load_id],
            "drift": drift[load.load_id],
            "drift_segments": segments[load.load_id],
        }
        for load in loads
    ]


def _versions(tracking: Tracking) -> list[dict[str, Any]]:
    client = tracking.client()
    versions = []
    for number in tracking.versions()[-MOST_VERSIONS:]:
        version = tracking.version(number)
        run = client.get_run(version.run_id) if version.run_id else None
        params = run.data.params if run else {}
        metrics = run.data.metrics if run else {}
        versions.append(
            {
                "version": number,
                "stage": version.tags.get("stage", "None"),
                "candidate": version.tags.get("candidate") or params.get("candidate"),
                "batches": json.loads(version.tags.get("batches", "[]")),
                "data_version": version.tags.get("data_version"),
                "trained_at": dt.datetime.fromtimestamp(
                    (run.info.start_time if run else version.creation_timestamp) / 1_000, dt.UTC
                ),
                "train_rows": int(params["train_rows"]) if "train_rows" in params else None,
                "test": {
                    name: metrics[f"test_{name}"] for name in FIGURES if f"test_{name}" in metrics
                },
                "segments": _table(client, version, "segments.csv"),
                "fairness": _table(client, version, "fairness.csv"),
            }
        )
    return versions


def _changes(tracking: Tracking, moves: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """The tables of `champion_change` for each move of the alias that it compared."""
    client, known = tracking.client(), set(tracking.versions())
    changes = []
    for before, after in moves[-MOST_VERSIONS:]:
        if after not in known:
            continue
        version = tracking.version(after)
        tables = {
            name: _table(client, version, f"change/from_version_{before}/{file}.csv")
            for name, file in _CHANGE.items()
        }
        if tables["importance"]:
            changes.append({"before": before, "after": after, **tables})
    return changes


def _table(client: "MlflowClient", version: "ModelVersion", path: str) -> list[dict[str, Any]]:
    """A CSV among the artifacts of a version's run, as rows; none when the run has none."""
    import mlflow.artifacts

    if not version.run_id:
        return []
    folder = path.rpartition("/")[0] or None
    if path not in {each.path for each in client.list_artifacts(version.run_id, folder)}:
        return []
    text = Path(
        mlflow.artifacts.download_artifacts(run_id=version.run_id, artifact_path=path)
    ).read_text()
    columns = {"segment": str, "zip_code": str, "city": str, "state": str}
    return pd.read_csv(io.StringIO(text), dtype=columns).to_dict("records")  # type: ignore[return-value]


def _rows(
    connection: psycopg.Connection, query: str, values: list[Any] | None = None
) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def _by_load(rows: Iterable[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    grouped: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        grouped[row.pop("load_id")].append(row)
    return grouped
