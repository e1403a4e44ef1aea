"""Retrain decisions: whether a load is worth a training, decided before anything learns from it.

Each load is decided on once, in the order of loading; a batch that is held is decided on again when
a person admits it. A champion that this release can't read is a reason to train, also when no batch
is new. Decisions are recorded in `retrain_decisions`, in Dagster and in MLflow.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import pandas as pd

from realtor_assets.clean.load_decisions import (
    UNREADABLE_RULE,
    Load,
    admitted_loads,
    all_loads,
    decided_loads,
    decided_unreadable,
    decisions,
    undecided,
)
from realtor_assets.metadata import OWNERS
from realtor_assets.pipeline_settings import listing_contract
from realtor_assets.raw.raw_listings import Listings, read_listings
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Champion, Tracking
from realtor_assets.schema import require_current, require_market
from realtor_model.features import FEATURE_VERSION
from realtor_model.json_values import json_records
from realtor_model.messages import message
from realtor_model.retraining import drift
from realtor_model.retraining.retrain_policy import (
    Evidence,
    RetrainDecision,
    RetrainPolicy,
    decision_of,
    gather,
)
from realtor_model.valuation.valuation_model import ValuationModel

# A sample of this size is enough to decide on a larger batch.
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
    description="How each batch without a decision differs from the champion's training data: "
    "PSI, Wasserstein distance, null rate and unseen categories of each input and of the price, "
    "and by state and price band.",
)
def drift_report(
    raw_database: Database, clean_database: Database, tracking: Tracking
) -> dg.MaterializeResult[None]:
    with raw_database.transaction() as raw, clean_database.transaction() as clean:
        require_current(clean, "clean")
        require_market(raw, listing_contract())
        waiting = [load for load in undecided(raw, clean) if load.inserted]
    if tracking.production_version() is None:
        return dg.MaterializeResult(metadata={"summary": "There is no champion to compare with."})
    if not waiting:
        return dg.MaterializeResult(metadata={"summary": "No batch waits for a decision."})
    champion = tracking.champion()
    assert champion is not None
    if champion.unreadable is not None:
        return dg.MaterializeResult(metadata={"summary": champion.unreadable.text})
    model, version = champion.model, champion.version
    assert model is not None
    metadata: dict[str, Any] = {}
    for load in waiting:
        rows = rows_of(raw_database, [load])
        report = drift.compare(model.profile, rows.columns, rows.price)
        segments = drift.compare_segments(model.profile, rows.columns, rows.price)
        with clean_database.transaction() as connection:
            for query, table in ((DRIFT_UPSERT, report), (SEGMENT_UPSERT, segments)):
                keys = {"load_id": load.load_id, "model_version": version}
                for row in json_records(table):
                    connection.execute(query, row | keys)
        metadata[f"drift of {load.partition_key}"] = _markdown(report)
        if len(segments):
            worst = segments.sort_values("psi", ascending=False, na_position="first")
            metadata[f"segments of {load.partition_key}"] = _markdown(worst.head(SEGMENTS_SHOWN))
    return dg.MaterializeResult(metadata={"champion_version": version, **metadata})


@dg.asset(
    group_name="clean",
    kinds={"postgres", "mlflow"},
    owners=OWNERS,
    deps=["drift_report"],
    pool="pipeline",
    description="Of each batch without a decision: train on it, skip it, or hold it back as "
    "suspect, and why. The champion is scored on the batch before anything learns from it; error, "
    "drift, volume and the champion's age are compared with documented limits. A champion that "
    "this release can't read is a reason to train.",
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
    champion = tracking.champion()
    version = None if champion is None else champion.version
    made: dict[Load, RetrainDecision] = {}
    for load in waiting:
        with raw_database.transaction() as raw, clean_database.transaction() as clean:
            loads, decided = all_loads(raw), decided_loads(clean)
        known = [earlier for earlier in loads if earlier.load_id in decided]
        made[load] = decide(load, champion, known, raw_database, admitted=load.load_id in admitted)
        _save(clean_database, load, made[load], champion, context.run.run_id,
              admitted=load.load_id in admitted)  # fmt: skip
    if champion is not None and champion.unreadable is not None:
        made |= _decide_again(champion, raw_database, clean_database, context.run.run_id)
    for load, decision in made.items():
        context.log.info(
            "%s: %s (%s): %s", load.partition_key, decision.decision, decision.rule, decision.reason
        )
    if made:
        _log_to_mlflow(context, clean_database, tracking, made)
    return dg.MaterializeResult(metadata=_metadata(made, version))


def decide(
    load: Load,
    champion: Champion | None,
    known: Sequence[Load],
    database: Database,
    *,
    admitted: bool,
) -> RetrainDecision:
    """What to do about `load`; `known` are the loads that may be trained on already."""
    batch = load.name
    if load.state == "refused":
        refused = message("refused_batch", batch=batch, error=load.error)
        return decision_of("skip", "refused", refused)
    if not load.inserted:
        nothing = message("nothing_new", batch=batch)
        return decision_of("skip", "nothing new", nothing, figures={"received": load.received})
    if champion is None:
        return RetrainPolicy().decide(None, batch)
    model = champion.model
    if model is None:
        return _train_for_readable(champion)
    learned = set(model.metadata["loads"])
    if load.load_id in learned:
        learned_already = message("known_to_champion", batch=batch)
        return decision_of("skip", "known to the champion", learned_already)
    evidence = evidence_of(load, model, known, database)
    if not evidence.n:
        low, high = listing_contract().price_range
        outside = message(
            "outside_price_domain", batch=batch, rows=load.inserted, low=low, high=high
        )
        figures = {"inserted": load.inserted}
        return decision_of("skip", "outside the domain", outside, figures=figures)
    if admitted:
        evidence = replace(evidence, suspicions=[])
    return RetrainPolicy().decide(evidence, batch)


def _train_for_readable(champion: Champion) -> RetrainDecision:
    """Train because this release can't read the champion."""
    assert champion.unreadable is not None
    figures = dict(champion.unreadable.params)
    return decision_of("train", UNREADABLE_RULE, champion.unreadable, figures=figures)


def _decide_again(
    champion: Champion, raw_database: Database, clean_database: Database, run_id: str
) -> dict[Load, RetrainDecision]:
    """Decide on the newest learned load once more, so that a training follows without a new batch.

    Once for each champion and feature version: a challenger that the gates reject is not trained
    again until a batch arrives or the code changes.
    """
    with raw_database.transaction() as raw, clean_database.transaction() as clean:
        if decided_unreadable(clean, champion.version):
            return {}
        decided = decisions(clean)
        learned = [load for load in all_loads(raw) if load.load_id in decided_loads(clean)]
    with_rows = [load for load in learned if load.inserted]
    if not with_rows:
        return {}
    newest, decision = with_rows[-1], _train_for_readable(champion)
    admitted = decided[newest.load_id].admitted
    _save(clean_database, newest, decision, champion, run_id, admitted=admitted)
    return {newest: decision}


def evidence_of(
    load: Load, model: ValuationModel, known: Sequence[Load], database: Database
) -> Evidence:
    """How the champion `model` does on `load`."""
    learned = set(model.metadata["loads"])
    unseen = {other.load_id: other.to_learn_from for other in (*known, load)}
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
    champion: Champion | None,
    run_id: str,
    *,
    admitted: bool,
) -> None:
    batches = [] if load.batch_number is None else [load.batch_number]
    model = None if champion is None else champion.model
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO retrain_decisions (load_id, partition_key, admitted, data_version,"
            " batches, model_version, decision, rule, reason, figures, details, feature_version,"
            " dagster_run_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [
                load.load_id, load.partition_key, admitted,
                model and model.metadata["data_version"], batches, champion and champion.version,
                decision.decision, decision.rule, decision.reason, json.dumps(decision.figures),
                json.dumps(decision.details), FEATURE_VERSION, run_id,
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
            {
                "reason": decision.reason,
                "rule": decision.rule,
                "details": decision.details,
                **decision.figures,
            },
            f"{name}.json",
        )


def _metadata(made: dict[Load, RetrainDecision], version: str | None) -> dict[str, Any]:
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
        "details": dg.MetadataValue.json(decision.details),
    }


def _table(made: dict[Load, RetrainDecision]) -> str:
    rows = (
        f"| {load.partition_key} | {decision.decision} | {decision.rule} | {decision.reason} |"
        for load, decision in made.items()
    )
    return "\n".join(["| batch | decision | rule | reason |", "|---|---|---|---|", *rows])


def _markdown(table: pd.DataFrame) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(table.to_markdown(index=False, floatfmt=".3f"))
