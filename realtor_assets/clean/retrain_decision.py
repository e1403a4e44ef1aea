"""Does the champion still fit what arrives? Every load gets a decision before it is trained on.

A load is decided once, in the order of loading; a batch that is held is decided again when a
person admits it. What the decision says is kept in `retrain_decisions`, in Dagster and in MLflow.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import pandas as pd

from realtor_assets.clean.load_decisions import (
    Load,
    admitted_loads,
    all_loads,
    decided_loads,
    undecided,
)
from realtor_assets.metadata import OWNERS
from realtor_assets.raw.raw_listings import Listings, read_listings
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.schema import require_current
from realtor_model.listing import VALUATION_PRICE_RANGE
from realtor_model.registry_names import PRODUCTION_ALIAS
from realtor_model.retraining import drift
from realtor_model.retraining.retrain_policy import Evidence, RetrainDecision, RetrainPolicy, gather
from realtor_model.valuation.valuation_model import ValuationModel

# Of a larger batch that many rows tell as much.
MOST_ROWS = 60_000
SEGMENTS_SHOWN = 20
_SHARE_OF_SPLIT = {"train": 0.7, "validation": 0.15, "test": 0.15}

DRIFT_UPSERT = """
INSERT INTO drift_reports (load_id, model_version, feature, psi, wasserstein,
                           null_rate_change, unseen_share)
VALUES (%(load_id)s, %(model_version)s, %(feature)s, %(psi)s, %(wasserstein)s,
        %(null_rate_change)s, %(unseen_share)s)
ON CONFLICT (load_id, model_version, feature) DO UPDATE
SET psi = excluded.psi, wasserstein = excluded.wasserstein,
    null_rate_change = excluded.null_rate_change, unseen_share = excluded.unseen_share,
    reported_at = now()
"""
SEGMENT_UPSERT = """
INSERT INTO drift_segments (load_id, model_version, by, segment, feature, n, psi, wasserstein)
VALUES (%(load_id)s, %(model_version)s, %(by)s, %(segment)s, %(feature)s, %(n)s, %(psi)s,
        %(wasserstein)s)
ON CONFLICT (load_id, model_version, by, segment, feature) DO UPDATE
SET n = excluded.n, psi = excluded.psi, wasserstein = excluded.wasserstein
"""


@dg.asset(
    group_name="clean",
    kinds={"postgres"},
    owners=OWNERS,
    deps=["ingestion_summary", "raw_train", "raw_validation", "raw_test"],
    pool="pipeline",
    description="How each batch that nobody has decided on differs from what the champion was "
    "trained on: PSI, Wasserstein distance, null rate and unseen categories of each input and of "
    "the price, and by state and price band.",
)
def drift_report(
    raw_database: Database, clean_database: Database, tracking: Tracking
) -> dg.MaterializeResult[None]:
    with raw_database.transaction() as raw, clean_database.transaction() as clean:
        require_current(clean, "clean")
        waiting = [load for load in undecided(raw, clean) if load.inserted]
    champion = tracking.alias(PRODUCTION_ALIAS)
    if champion is None:
        return dg.MaterializeResult(metadata={"summary": "There is no champion to compare with."})
    if not waiting:
        return dg.MaterializeResult(metadata={"summary": "No batch waits for a decision."})
    model, version = tracking.load_bundle(champion), str(champion.version)
    told: dict[str, Any] = {}
    for load in waiting:
        rows = rows_of(raw_database, [load])
        report = drift.compare(model.profile, rows.columns, rows.price)
        segments = drift.compare_segments(model.profile, rows.columns, rows.price)
        with clean_database.transaction() as connection:
            for query, table in ((DRIFT_UPSERT, report), (SEGMENT_UPSERT, segments)):
                keys = {"load_id": load.load_id, "model_version": version}
                for row in _records(table):
                    connection.execute(query, row | keys)
        told[f"drift of {load.partition_key}"] = _markdown(report)
        if len(segments):
            worst = segments.sort_values("psi", ascending=False, na_position="first")
            told[f"segments of {load.partition_key}"] = _markdown(worst.head(SEGMENTS_SHOWN))
    return dg.MaterializeResult(metadata={"champion_version": version, **told})


@dg.asset(
    group_name="clean",
    kinds={"postgres", "mlflow"},
    owners=OWNERS,
    deps=["drift_report"],
    pool="pipeline",
    description="Of each batch that nobody has decided on: train, skip, or hold it back as "
    "suspect, and why. The champion is scored on it before anybody trains on it; its drift, its "
    "volume and the champion's age are held against documented limits.",
)
def retrain_decision(
    context: dg.AssetExecutionContext,
    raw_database: Database,
    clean_database: Database,
    tracking: Tracking,
) -> dg.MaterializeResult[None]:
    with raw_database.transaction() as raw, clean_database.transaction() as clean:
        require_current(clean, "clean")
        waiting = undecided(raw, clean)
        admitted = admitted_loads(clean)
    champion = tracking.alias(PRODUCTION_ALIAS)
    model = None if champion is None else tracking.load_bundle(champion)
    version = None if champion is None else str(champion.version)
    made: dict[Load, RetrainDecision] = {}
    for load in waiting:
        with raw_database.transaction() as raw, clean_database.transaction() as clean:
            loads, decided = all_loads(raw), decided_loads(clean)
        known = [each for each in loads if each.load_id in decided]
        made[load] = decide(load, model, known, raw_database, admitted=load.load_id in admitted)
        _save(clean_database, load, made[load], model, version, context.run.run_id,
              admitted=load.load_id in admitted)  # fmt: skip
        context.log.info(
            "%s: %s (%s): %s", load.partition_key, made[load].decision, made[load].rule,
            made[load].reason,
        )  # fmt: skip
    if made:
        _log_to_mlflow(context, clean_database, tracking, made)
    return dg.MaterializeResult(metadata=_told(made, version))


def decide(
    load: Load,
    model: ValuationModel | None,
    known: Sequence[Load],
    database: Database,
    *,
    admitted: bool,
) -> RetrainDecision:
    """What to do about `load`, of the loads `known` that may be trained on."""
    batch = load.name
    if load.state == "refused":
        reason = f"Batch {batch} was refused as a whole and is not in RAW: {load.error}"
        return RetrainDecision("skip", "refused", reason, {})
    if not load.inserted:
        reason = (
            f"Batch {batch} brought nothing new: each of its {load.received:,} rows was in RAW or "
            "in the quarantine already."
        )
        return RetrainDecision("skip", "nothing new", reason, {"received": load.received})
    if model is None:
        return RetrainPolicy().decide(None, batch)
    learned = set(model.metadata["loads"])
    if load.load_id in learned:
        reason = f"The champion was trained with batch {batch} already."
        return RetrainDecision("skip", "known to the champion", reason, {})
    evidence = evidence_of(load, model, known, database)
    if not evidence.n:
        low, high = VALUATION_PRICE_RANGE
        reason = (
            f"Batch {batch} holds nothing to learn from: none of its {load.inserted:,} new rows "
            f"has a price from ${low:,.0f} to ${high:,.0f}."
        )
        return RetrainDecision("skip", "outside the domain", reason, {"inserted": load.inserted})
    if admitted:
        evidence = replace(evidence, suspicions=[])
    return RetrainPolicy().decide(evidence, batch)


def evidence_of(
    load: Load, model: ValuationModel, known: Sequence[Load], database: Database
) -> Evidence:
    """What the champion `model` meets in `load`."""
    learned = set(model.metadata["loads"])
    unseen = {each.load_id: each.to_learn_from for each in (*known, load)}
    trained_at = dt.datetime.fromisoformat(model.metadata["trained_at"])
    rows = rows_of(database, [load])
    evidence = gather(
        model,
        rows.columns,
        rows.price,
        new_rows=sum(rows for load_id, rows in unseen.items() if load_id not in learned),
        age_days=(dt.datetime.now(dt.UTC) - trained_at).total_seconds() / 86_400,
    )
    return replace(evidence, n=load.inserted if evidence.n else 0)


def rows_of(database: Database, loads: Sequence[Load]) -> Listings:
    """Rows that `loads` first brought, of all splits; at most some 60,000 of them."""
    ids = [load.load_id for load in loads]
    frames = [
        read_listings(
            database, split, loads=ids, most=round(MOST_ROWS * _SHARE_OF_SPLIT[split])
        ).frame
        for split in SPLITS
    ]
    return Listings(pd.concat(frames, ignore_index=True))


def _save(
    database: Database,
    load: Load,
    decision: RetrainDecision,
    model: ValuationModel | None,
    version: str | None,
    run_id: str,
    *,
    admitted: bool,
) -> None:
    batches = [] if load.batch_number is None else [load.batch_number]
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO retrain_decisions (load_id, partition_key, admitted, data_version,"
            " batches, model_version, decision, rule, reason, figures, dagster_run_id)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (load_id, admitted) DO NOTHING",
            [
                load.load_id, load.partition_key, admitted,
                model and model.metadata["data_version"], batches, version, decision.decision,
                decision.rule, decision.reason, json.dumps(decision.figures), run_id,
            ],
        )  # fmt: skip


def _log_to_mlflow(
    context: dg.AssetExecutionContext,
    database: Database,
    tracking: Tracking,
    made: dict[Load, RetrainDecision],
) -> None:
    parent = tracking.parent_run_id(context, database)
    client = tracking.client()
    for load, decision in made.items():
        name = f"retrain_decision/{load.partition_key}"
        client.set_tag(parent, f"{name}", f"{decision.decision} ({decision.rule})")
        client.set_tag(parent, "mlflow.note.content", _table(made))
        client.log_dict(
            parent,
            {"reason": decision.reason, "rule": decision.rule, **decision.figures},
            f"{name}.json",
        )


def _told(made: dict[Load, RetrainDecision], version: str | None) -> dict[str, Any]:
    if not made:
        return {"decision": "none", "reason": "No batch waits for a decision."}
    decision = list(made.values())[-1]
    return {
        "decision": decision.decision,
        "rule": decision.rule,
        "reason": decision.reason,
        "champion_version": version or "none",
        "decisions": dg.MetadataValue.md(_table(made)),
        "figures": dg.MetadataValue.json(decision.figures),
    }


def _table(made: dict[Load, RetrainDecision]) -> str:
    rows = (
        f"| {load.partition_key} | {each.decision} | {each.rule} | {each.reason} |"
        for load, each in made.items()
    )
    return "\n".join(["| batch | decision | rule | reason |", "|---|---|---|---|", *rows])


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]


def _markdown(table: pd.DataFrame) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(table.to_markdown(index=False, floatfmt=".3f"))
