"""`realtor history`: the decisions about batches and models, and the releases, from CLEAN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row
from rich.console import Console
from rich.table import Table

from realtor_local.console_output import print_table

Rows = list[dict[str, Any]]

_BATCHES: LiteralString = (
    "SELECT load_id, partition_key AS batch, state, received, inserted, loaded_at"
    " FROM new_loads ORDER BY load_id"
)
_DECISIONS: LiteralString = (
    "SELECT d.load_id, d.partition_key AS batch, d.model_version AS champion,"
    " CASE WHEN d.decision = 'hold' AND a.load_id IS NOT NULL"
    " THEN 'hold, admitted by ' || a.approver ELSE d.decision END AS decision,"
    " d.rule, d.reason, d.decided_at FROM retrain_decisions d"
    " LEFT JOIN batch_admissions a ON a.load_id = d.load_id AND NOT d.admitted"
    " ORDER BY d.decision_id"
)
_PROMOTIONS: LiteralString = (
    "SELECT model_version AS version, champion_version AS champion, decision, rule, reason,"
    " approver, decided_at FROM promotion_decisions ORDER BY decision_id"
)
_RELEASES: LiteralString = (
    "SELECT model_version AS version, replaced, action, reason, begun_at, finished_at"
    " FROM releases ORDER BY release_id"
)


def read_history(raw_url: str, clean_url: str) -> dict[str, Rows]:
    """Batches without a decision, retrain decisions, promotion decisions and releases, in order."""
    with psycopg.connect(clean_url, row_factory=dict_row, connect_timeout=10) as clean:
        decisions: dict[str, Rows] = {
            "retrain_decisions": clean.execute(_DECISIONS).fetchall(),
            "promotion_decisions": clean.execute(_PROMOTIONS).fetchall(),
            "releases": clean.execute(_RELEASES).fetchall(),
        }
    with psycopg.connect(raw_url, row_factory=dict_row, connect_timeout=10) as raw:
        batches = raw.execute(_BATCHES).fetchall()
    decided = {row["load_id"] for row in decisions["retrain_decisions"]}
    return {"waiting": [row for row in batches if row["load_id"] not in decided], **decisions}


def show(tables: dict[str, Rows], console: Console) -> None:
    """Print the tables of `read_history`."""
    _print(console, "Batches waiting for a decision", tables["waiting"], ("batch", "inserted"))
    for title, key, columns in (
        ("Retrain decisions", "retrain_decisions", "batch champion decision rule"),
        ("Promotion decisions", "promotion_decisions", "version champion decision rule"),
        ("Releases", "releases", "version replaced action"),
    ):
        _print(console, title, tables[key], (*columns.split(), "reason"))


def print_new_decisions(before: dict[str, Rows], after: dict[str, Rows], console: Console) -> None:
    """Print the decisions since `before`, and the batches that are held back."""
    for key in ("retrain_decisions", "promotion_decisions"):
        for row in after[key][len(before[key]) :]:
            what = row.get("batch") or f"version {row['version']}"
            console.print(f"{what}: {row['decision']} ({row['rule']}). {row['reason']}")
    last = {row["load_id"]: row for row in after["retrain_decisions"]}
    if held := [row["batch"] for row in last.values() if row["decision"] == "hold"]:
        console.print(
            f"Held back as suspect: {', '.join(held)}. `realtor history` says why;"
            " `realtor admit BATCH --reason …` admits a batch to training.",
            style="yellow",
        )


def _print(console: Console, title: str, rows: Rows, columns: Sequence[str]) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left", show_lines=True)
    for column in columns:
        table.add_column(column, overflow="fold", ratio=4 if column == "reason" else None)
    for row in rows:
        table.add_row(*("-" if row[column] is None else str(row[column]) for column in columns))
    print_table(console, table)
