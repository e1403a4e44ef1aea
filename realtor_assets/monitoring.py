"""Is the champion still right? Drift, the decision to retrain, the ratio study, valuations."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from realtor_assets import plots
from realtor_assets.clean import CleanBuild, required_build
from realtor_assets.identity import SPLITS
from realtor_assets.listings import Listings, read_listings
from realtor_assets.raw import OWNERS
from realtor_assets.release import score
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.tracking import Tracking
from realtor_model import drift
from realtor_model.bundle import ValuationModel
from realtor_model.evaluation import ratio_study as study_ratios
from realtor_model.evaluation import slices
from realtor_model.listing import COLUMNS, PRODUCTION_ALIAS
from realtor_model.scoring import CHUNK_ROWS, ESTIMATES, estimate

MIN_SEGMENT = 30
SEGMENTS_SHOWN = 15


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


@dataclass(frozen=True)
class RetrainPolicy:
    """When new data is worth a training. Thresholds are effect sizes, never p-values.

    max_error_ratio: median error of the champion on rows it has not seen, over its test error.
    max_psi: largest population stability index of any input (0.25: the field's "act").
    max_unseen_share: share of rows whose zip, city or state the champion never saw.
    max_new_rows: new rows over the rows that the champion was trained on.
    """

    max_error_ratio: float = 1.25
    max_psi: float = 0.25
    max_unseen_share: float = 0.05
    max_new_rows: float = 0.2


@dataclass(frozen=True)
class RetrainDecision:
    """Train or skip, the rule that settled it, and the reason in words."""

    decision: str
    rule: str
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """What the champion meets in the batches it has not seen; shares, not percent."""

    new_batches: list[int]
    new_rows: int
    champion_rows: int
    error: float
    expected_error: float
    worst_psi: float
    worst_psi_feature: str
    unseen_share: float
    unseen_feature: str
    outside_price_range: float


def decide(evidence: Evidence | None, policy: RetrainPolicy) -> RetrainDecision:
    """Apply `policy`. `evidence` is None when there is no champion yet."""
    if evidence is None:
        return RetrainDecision("train", "first model", "There is no model in Production yet.")
    figures = asdict(evidence) | {"policy": asdict(policy)}
    if not evidence.new_rows:
        return RetrainDecision(
            "skip", "nothing new", "The champion has seen every batch there is.", figures
        )
    batches = ", ".join(map(str, evidence.new_batches))
    error = (
        f"median error on batch {batches} is {evidence.error:.0%}, was "
        f"{evidence.expected_error:.0%} on the champion's own test split"
    )
    outside = f"{evidence.outside_price_range:.0%} of prices lie outside the range seen in training"
    if evidence.error > policy.max_error_ratio * evidence.expected_error:
        return RetrainDecision("train", "error", f"The {error}: {outside}.", figures)
    if evidence.worst_psi > policy.max_psi:
        reason = (
            f"{evidence.worst_psi_feature} has drifted: PSI {evidence.worst_psi:.2f} on batch "
            f"{batches} (limit {policy.max_psi}); the {error}."
        )
        return RetrainDecision("train", "drift", reason, figures)
    if evidence.unseen_share > policy.max_unseen_share:
        reason = (
            f"{evidence.unseen_share:.0%} of the rows of batch {batches} have a "
            f"{evidence.unseen_feature} never seen in training; the {error}."
        )
        return RetrainDecision("train", "unseen categories", reason, figures)
    if evidence.new_rows > policy.max_new_rows * evidence.champion_rows:
        reason = (
            f"Volume is the only reason: {evidence.new_rows:,} new rows on top of "
            f"{evidence.champion_rows:,}; the {error}."
        )
        return RetrainDecision("train", "volume", reason, figures)
    return RetrainDecision("skip", "no reason to train", f"No limit is passed: {error}.", figures)


@dg.asset(
    group_name="monitoring",
    kinds={"postgres"},
    owners=OWNERS,
    deps=["ingestion_summary", "raw_train", "raw_validation", "raw_test", "clean_train"],
    description="How the batches that the champion has not seen differ from what it was trained "
    "on: PSI, Wasserstein distance, null rate and unseen categories per input.",
)
def drift_report(
    raw_database: Database, clean_database: Database, tracking: Tracking
) -> dg.MaterializeResult[None]:
    build = required_build(clean_database)
    champion = tracking.alias(PRODUCTION_ALIAS)
    if champion is None:
        return dg.MaterializeResult(metadata={"summary": "There is no champion to compare with."})
    model = tracking.load_bundle(champion)
    unseen = _unseen_loads(build, model)
    rows = _rows_of(raw_database, unseen)
    if not len(rows):
        return dg.MaterializeResult(metadata={"summary": "The champion has seen every batch."})
    report = drift.compare(model.profile, rows.columns, rows.price)
    with clean_database.transaction() as connection:
        for item in report.to_dict("records"):
            row: dict[str, Any] = {
                str(key): None if pd.isna(value) else value for key, value in item.items()
            }
            row |= {"load_id": unseen[-1], "model_version": str(champion.version)}
            connection.execute(DRIFT_UPSERT, row)
    return dg.MaterializeResult(
        metadata={
            "champion_version": str(champion.version),
            "batches": str(rows.batches),
            "rows": len(rows),
            "max_psi": float(report["psi"].max()),
            "report": dg.MetadataValue.md(report.to_markdown(index=False, floatfmt=".3f")),
        }
    )


@dg.asset(
    group_name="monitoring",
    kinds={"postgres"},
    owners=OWNERS,
    deps=["drift_report", "clean_train"],
    description="Should we train, and why: the champion scored on the batches it has not seen, "
    "their drift and their volume, against documented limits.",
)
def retrain_decision(
    context: dg.AssetExecutionContext,
    raw_database: Database,
    clean_database: Database,
    tracking: Tracking,
) -> dg.MaterializeResult[None]:
    build = required_build(clean_database)
    champion = tracking.alias(PRODUCTION_ALIAS)
    evidence = None
    if champion is not None:
        evidence = gather(tracking.load_bundle(champion), build, raw_database)
    decision = decide(evidence, RetrainPolicy())
    with clean_database.transaction() as connection:
        connection.execute(
            "INSERT INTO retrain_decisions (data_version, batches, model_version, decision, rule,"
            " reason, figures) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                build.data_version, build.batches, champion and str(champion.version),
                decision.decision, decision.rule, decision.reason, json.dumps(decision.figures),
            ],
        )  # fmt: skip
    context.log.info("%s (%s): %s", decision.decision, decision.rule, decision.reason)
    return dg.MaterializeResult(
        metadata={
            "decision": decision.decision,
            "rule": decision.rule,
            "reason": decision.reason,
            "figures": dg.MetadataValue.json(decision.figures),
        }
    )


def gather(model: ValuationModel, build: CleanBuild, database: Database) -> Evidence:
    """Score `model` on the batches of `build` that it has not seen."""
    expected = float(model.metadata["metrics"]["test"]["mdape"])
    rows_before = int(model.metadata["train_rows"])
    rows = _rows_of(database, _unseen_loads(build, model))
    if not len(rows):
        return Evidence([], 0, rows_before, expected, expected, 0.0, "", 0.0, "", 0.0)
    report = drift.compare(model.profile, rows.columns, rows.price).set_index("feature")
    places = report.loc[["state", "city", "zip_code"], "unseen_share"]
    # With thousands of thin categories PSI measures the size of the sample: zips and cities are
    # judged by what share of them is new.
    inputs = report.drop(index=["price", "city", "zip_code"])["psi"]
    low, high = model.price_range
    return Evidence(
        new_batches=rows.batches,
        new_rows=len(rows),
        champion_rows=rows_before,
        error=score(model, rows)["mdape"],
        expected_error=expected,
        worst_psi=float(inputs.max()),
        worst_psi_feature=str(inputs.idxmax()),
        unseen_share=float(places.max()),
        unseen_feature=str(places.idxmax()),
        outside_price_range=float(np.mean((rows.price < low) | (rows.price > high))),
    )


@dg.asset(
    group_name="evaluation",
    kinds={"pandas"},
    owners=OWNERS,
    deps=["production_model", "raw_test"],
    description="The appraiser's ratio study of the Production model on the test split: median "
    "ratio, COD, PRD, PRB, overall and by status, state and value band.",
)
def ratio_study(raw_database: Database, tracking: Tracking) -> dg.MaterializeResult[None]:
    champion = tracking.production()
    model = tracking.load_bundle(champion)
    test = read_listings(raw_database, "test")
    predicted = model.predict(test.columns)
    fifths = np.searchsorted(np.quantile(predicted, [0.2, 0.4, 0.6, 0.8]), predicted) + 1
    labels = {
        "status": test.columns["status"],
        "state": test.columns["state"],
        "fifth of the estimate": fifths.astype(str).astype(object),
    }
    segments = pd.concat(
        [slices(test.price, predicted, values).assign(by=by) for by, values in labels.items()]
    )
    shown = segments[segments["n"] >= MIN_SEGMENT].sort_values("n", ascending=False)
    study = study_ratios(test.price, predicted)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(champion.version)),
        metadata={
            "model_version": str(champion.version),
            **{name: float(value) for name, value in study.items()},
            "segments": dg.MetadataValue.md(
                shown.head(SEGMENTS_SHOWN).to_markdown(index=False, floatfmt=",.3f")
            ),
            "ratios": plots.in_markdown(plots.ratio_histogram(test.price, predicted), "ratios"),
        },
    )


@dg.asset(
    group_name="evaluation",
    kinds={"parquet"},
    owners=OWNERS,
    deps=["production_model", *(f"raw_{split}" for split in SPLITS)],
    description="Every listing of the newest batch valued as sold by the Production model, with "
    "its range and confidence or the reason why not, as Parquet in the object store.",
)
def batch_valuations(
    store: ObjectStore, raw_database: Database, clean_database: Database, tracking: Tracking
) -> dg.MaterializeResult[None]:
    champion = tracking.production()
    model = tracking.load_bundle(champion)
    build = required_build(clean_database)
    newest = build.loads[-1]
    rows = _rows_of(raw_database, [newest])
    listed = pa.Table.from_pandas(rows.frame[["row_hash", *COLUMNS]], preserve_index=False)
    key = f"valuations/model_version={champion.version}/load={newest}.parquet"
    schema = pa.schema([*listed.schema.remove_metadata(), *ESTIMATES])
    estimated: list[pa.Array] = []
    with (
        store.create(key) as file,
        pa.parquet.ParquetWriter(file, schema, compression="zstd") as parquet,
    ):
        for batch in listed.to_batches(max_chunksize=CHUNK_ROWS):
            estimates = estimate(model, batch)
            parquet.write_batch(
                pa.RecordBatch.from_arrays([*batch.columns, *estimates.columns], schema=schema)
            )
            estimated.append(estimates.column("estimated_price"))
    prices = pa.chunked_array(estimated, pa.float64())
    return dg.MaterializeResult(
        data_version=dg.DataVersion(f"{champion.version}:{build.data_version}"),
        metadata={
            "url": store.url_of(key),
            "dagster/row_count": len(rows),
            "model_version": str(champion.version),
            "not_valued": prices.null_count,
            "median_price": float(np.median(prices.drop_null().to_numpy())),
        },
    )


def _unseen_loads(build: CleanBuild, model: ValuationModel) -> list[int]:
    """The loads of `build` that `model` was not trained with."""
    return sorted(set(build.loads) - set(model.metadata["loads"]))


def _rows_of(database: Database, loads: list[int]) -> Listings:
    """All rows that `loads` first brought, whatever their split."""
    frames = [read_listings(database, split, loads=loads).frame for split in SPLITS]
    return Listings(pd.concat(frames, ignore_index=True))
