"""Metrics of batches, drift and decisions, from RAW and CLEAN."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import psycopg
from prometheus_client.metrics_core import Metric

from realtor_assets.automation.batch_cycle import Cycle, last_call
from realtor_assets.clean.load_decisions import Load, all_loads, held_loads
from realtor_assets.exporter.families import counter, every, gauge
from realtor_assets.pipeline_settings import PipelineSettings
from realtor_assets.publish.published_history import tell_batches
from realtor_assets.release import release_records
from realtor_assets.resources import Database
from realtor_model.retraining.retrain_policy import RetrainPolicy

# Batches with metrics of their own; for older ones see `realtor history`, the app, MLflow.
NEWEST = 12
_DECISIONS = {
    "retrain_decisions": ("decision", ("train", "skip", "hold")),
    "promotion_decisions": ("decision", ("promoted", "rejected", "staged", "rolled back")),
    "releases": ("action", ("promoted", "rolled back", "found")),
}


class Batches:
    """Reads RAW and CLEAN."""

    def __init__(self, raw: Database, clean: Database, config: PipelineSettings) -> None:
        self._raw = raw
        self._clean = clean
        self._config = config

    def __call__(self) -> Iterator[Metric]:
        """The metrics; reads small tables of counts and decisions, no listings."""
        cycle = Cycle.now(self._raw, self._clean)
        call = last_call(self._raw, self._config.api_group, self._config.api_day)
        with self._raw.transaction() as raw, self._clean.transaction() as clean:
            loads, held = all_loads(raw), held_loads(clean)
            newest = tell_batches(_newest(loads), clean)
            champion = release_records.in_line(release_records.alias_moves(clean))[-1:]
            decided = {table: _counts(clean, table) for table in _DECISIONS}
            duel = release_records.PromotionRecord.newest(clean)
            [backup] = raw.execute("SELECT max(taken_at) FROM backups").fetchone() or [None]
        states = {
            "landed": len(cycle.to_load),
            "undecided": len(cycle.to_clean),
            "untrained": len(cycle.to_train),
            "held": len(held),
            "loaded": sum(load.state == "loaded" for load in loads),
            "refused": sum(load.state == "refused" for load in loads),
        }
        yield gauge(
            "realtor_batches",
            "Loads by state: landed, undecided and untrained wait for the next step; held waits "
            "for a person; loaded and refused count all there were.",
            ("state",),
            every(states, states),
        )
        yield from _ingestion(loads, call, self._config)
        yield from _arrivals(newest)
        for table, (_, values) in _DECISIONS.items():
            yield counter(
                f"realtor_{table}",
                f"Rows of {table}, by what they say.",
                ("decision",),
                every(values, decided[table]),
            )
        yield gauge(
            "realtor_production_model",
            "1 for the version in production.",
            ("version",),
            [((version,), 1) for version in champion],
        )
        yield gauge(
            "realtor_retrain_limit",
            "The limits of RetrainPolicy, from which a batch is trained on.",
            ("limit",),
            [
                ((name.removeprefix("max_"),), value)
                for name, value in asdict(RetrainPolicy()).items()
            ],
        )
        yield from _duel(duel)
        yield gauge(
            "realtor_backup_newest_timestamp_seconds",
            "When the newest whole backup was begun; none before the first.",
            (),
            [((), backup)],
        )


def _newest(loads: list[Load]) -> list[Load]:
    """The last load of each of the newest batches that brought rows, in order of loading."""
    last = {load.partition_key: load for load in loads if load.inserted}
    return sorted(last.values(), key=lambda load: load.load_id)[-NEWEST:]


def _counts(clean: psycopg.Connection, table: str) -> dict[str, int]:
    column, _ = _DECISIONS[table]
    return dict(clean.execute(f"SELECT {column}, count(*) FROM {table} GROUP BY 1").fetchall())


def _ingestion(
    loads: list[Load], call: tuple[str, Any] | None, config: PipelineSettings
) -> Iterator[Metric]:
    brought = [load.loaded_at for load in loads if load.inserted]
    yield gauge(
        "realtor_batch_newest_timestamp_seconds",
        "When the newest batch with new rows was loaded; none before the first.",
        (),
        [((), max(brought, default=None))],
    )
    yield gauge(
        "realtor_batch_first_timestamp_seconds",
        "When the first batch with new rows was loaded: since then there is something to lose.",
        (),
        [((), min(brought, default=None))],
    )
    for rows, text in (("received", "Rows received."), ("inserted", "Rows new to RAW.")):
        yield counter(
            f"realtor_rows_{rows}", text, (), [((), sum(getattr(load, rows) for load in loads))]
        )
    yield gauge(
        "realtor_upstream_last_call_timestamp_seconds",
        "When the upstream was last called, and what came of it.",
        ("outcome",),
        [((call[0],), call[1])] if call else [],
    )
    yield gauge(
        "realtor_ingest_interval_seconds",
        "REALTOR_INGEST_EVERY_HOURS.",
        (),
        [((), config.ingest_every_hours * 3_600)],
    )


def _arrivals(newest: list[dict[str, Any]]) -> Iterator[Metric]:
    """Metrics of each of the newest batches."""

    def drift(column: str) -> Iterable[tuple[tuple[str, str], float | None]]:
        return [
            ((batch["partition"], row["feature"]), row[column])
            for batch in newest
            for row in _of_last_champion(batch["drift"], batch["decisions"])
        ]

    def figure(name: str) -> Iterable[tuple[tuple[str], float | None]]:
        return [
            ((batch["partition"],), batch["decisions"][-1]["figures"].get(name))
            for batch in newest
            if batch["decisions"]
        ]

    yield gauge(
        "realtor_batch_loaded_timestamp_seconds",
        "When a batch was loaded.",
        ("batch",),
        [((batch["partition"],), batch["loaded_at"]) for batch in newest],
    )
    yield gauge(
        "realtor_batch_rows",
        "Rows of a batch: received, and of them new to RAW.",
        ("batch", "rows"),
        [
            ((batch["partition"], rows), batch[rows])
            for batch in newest
            for rows in ("received", "inserted")
        ],
    )
    yield gauge(
        "realtor_batch_decision",
        "1 for what was decided of a batch: train, skip or hold, and by which rule.",
        ("batch", "decision", "rule"),
        [
            ((batch["partition"], last["decision"], last["rule"]), 1)
            for batch in newest
            for last in batch["decisions"][-1:]
        ],
    )
    yield gauge(
        "realtor_batch_median_error_ratio",
        "Median absolute percentage error of the champion on a batch that it had not seen.",
        ("batch",),
        figure("error"),
    )
    yield gauge(
        "realtor_batch_expected_error_ratio",
        "The same on the champion's own test split, when it was trained.",
        ("batch",),
        figure("expected_error"),
    )
    yield gauge(
        "realtor_drift_psi",
        "Population stability index of a batch against what the champion was trained on.",
        ("batch", "feature"),
        drift("psi"),
    )
    yield gauge(
        "realtor_drift_unseen_ratio",
        "Share of the known values of a category that training never had.",
        ("batch", "feature"),
        drift("unseen_share"),
    )
    yield gauge(
        "realtor_drift_null_rate_change_ratio",
        "Change of the share of missing values against training.",
        ("batch", "feature"),
        drift("null_rate_change"),
    )


def _of_last_champion(
    drift: list[dict[str, Any]], decisions: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The drift against the champion of the last decision; all rows before the first decision."""
    if not decisions:
        return drift
    return [row for row in drift if row["model_version"] == decisions[-1]["champion_version"]]


def _duel(record: release_records.PromotionRecord | None) -> Iterator[Metric]:
    criteria = record.criteria if record else []
    version = record.model_version if record else ""
    yield gauge(
        "realtor_duel_criterion_passed",
        "The newest promotion decision: 1 for each criterion that its challenger passed.",
        ("version", "criterion"),
        [((version, each["name"]), each["passed"]) for each in criteria],
    )
    yield gauge(
        "realtor_duel_figure",
        "The newest promotion decision: the figures of each criterion.",
        ("version", "criterion", "figure"),
        [
            ((version, each["name"], name), value)
            for each in criteria
            for name, value in each["figures"].items()
        ],
    )
