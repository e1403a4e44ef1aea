"""The duel: challenger and champion on the same homes, criterion by criterion, and the verdict."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from realtor_assets.clean.clean_build import CleanBuild, required_build
from realtor_assets.metadata import OWNERS
from realtor_assets.metadata.materializations import latest_metadata
from realtor_assets.pipeline_settings import settings
from realtor_assets.raw.raw_listings import Listings, plain, read_listings
from realtor_assets.release.production_model import production
from realtor_assets.release.release_records import PromotionRecord
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import BUNDLE_ARTIFACT, Tracking
from realtor_model.duel import Criterion, DuelPolicy, duel, verdict
from realtor_model.features import as_sold, columns_from_properties
from realtor_model.listing import INPUTS, Property
from realtor_model.valuation.bundle import save_bundle
from realtor_model.valuation.valuation_model import ValuationModel

# In the order in which they are asked; the first that fails names the rule.
CRITERIA = {
    "leak_canary": "The challenger is not better than an honest model can be.",
    "serving": "The service's own code loads the bundle and values 500 homes, one by one, as the "
    "model does offline.",
    "latency": "One home is valued in time.",
    "bundle_size": "The bundle fits the service.",
    "unknown_and_missing": "Unknown places and missing inputs are valued.",
    "golden_homes": "Homes that anybody can picture get plausible values.",
    "monotone": "A larger home is not valued lower.",
    "coverage": "Ranges hold as many prices as they promise, in each fifth of the estimate.",
    "accuracy": "Closer to the price on the same homes, by more than chance.",
    "rmse": "Not bought with a few homes that are wildly wrong.",
    "sold_and_newest": "Sold homes, and the newest month of sales, apart.",
    "median_ratio": "The level of the estimates is right.",
    "vertical_equity": "Dear and cheap homes are valued alike (PRB, PRD).",
    "segments": "No state, price band, income fifth or status is materially worse.",
    "stability": "Few homes change their value by more than a quarter.",
}
TRIAL_ROWS = 500
# The service answers in whole cents.
PARITY_DOLLARS = 0.01
MAX_MEDIAN_MILLISECONDS = 50.0
MAX_MEGABYTES = 200.0


@dg.asset(
    group_name="release",
    kinds={"postgres", "mlflow"},
    owners=OWNERS,
    deps=["best_model", "raw_test"],
    pool="pipeline",
    check_specs=[
        dg.AssetCheckSpec(name, asset="promotion_decision", description=text)
        for name, text in CRITERIA.items()
    ],
    description="The duel: challenger and champion scored on the same, current test split, each "
    "criterion as a check of this asset, and what follows from it in words: promoted, rejected, or "
    "staged for a person to approve. A promotion moves the alias at once.",
)
def promotion_decision(
    context: dg.AssetExecutionContext,
    raw_database: Database,
    clean_database: Database,
    tracking: Tracking,
) -> Iterator[dg.MaterializeResult[None]]:
    build = required_build(clean_database)
    told = latest_metadata(context.instance, "best_model")
    version = str(told["model_version"])
    with production(clean_database, tracking) as alias:
        champion = alias.version
    with clean_database.transaction() as connection:
        # A person's decision is of no build, and no reason to judge again.
        known = PromotionRecord.newest(connection, version, build.data_version)
    if known is not None and champion in (known.champion_version, version):
        context.log.info("version %s was judged on this build already: kept", version)
        yield _result(tracking, known)
        return
    test = read_listings(raw_database, "test", loads=build.loads)
    record = judge(tracking, version, champion, test, build)
    record = replace(record, dagster_run_id=context.run.run_id)
    with production(clean_database, tracking) as alias:
        record = alias.record(record)
    context.log.info("version %s %s: %s", version, record.decision, record.reason)
    _log_to_mlflow(tracking, version, record)
    yield _result(tracking, record)


def judge(
    tracking: Tracking, version: str, champion: str | None, test: Listings, build: CleanBuild
) -> PromotionRecord:
    """Let `version` and the champion value the same listings `test`, and decide."""
    challenger = tracking.load_bundle(tracking.version(version))
    opponent = None if champion is None else tracking.load_bundle(tracking.version(champion))
    policy = DuelPolicy()
    found = [
        *duel(challenger, opponent, test.columns, test.price, build.as_of, policy),
        *trial(challenger, test),
    ]
    order = list(CRITERIA)
    criteria = sorted(found, key=lambda each: order.index(each.name))
    decision, rule, reason = verdict(criteria, opponent is not None)
    # The first model is the baseline: there is nothing else that could serve meanwhile.
    if decision == "promoted" and opponent is not None and settings().approval_required:
        decision, rule = "staged", "waits for approval"
        reason = f"{reason} It waits for a person: `realtor approve {version}`."
    return PromotionRecord(
        version,
        champion,
        decision,
        rule,
        reason,
        figures={"policy": asdict(policy), "test_rows": len(test)},
        criteria=[asdict(each) for each in criteria],
        data_version=build.data_version,
        loads=challenger.metadata["loads"],
    )


def trial(model: ValuationModel, test: Listings) -> Iterable[Criterion]:
    """What the service's own code makes of the bundle, in a process of its own.

    A process of its own, since assets don't import the serving package.
    """
    # The service asks for a size; RAW also holds listings without one.
    sized = test.frame[["house_size", "acre_lot", "bed"]].notna().any(axis=1)
    rows = [
        {name: plain(value) for name, value in row.items() if name in INPUTS}
        for row in test.frame[sized].head(TRIAL_ROWS).to_dict("records")
    ]
    with tempfile.TemporaryDirectory() as folder:
        bundle, file = Path(folder) / BUNDLE_ARTIFACT, Path(folder) / "properties.json"
        save_bundle(model, bundle)
        file.write_text(json.dumps(rows))
        size = sum(each.stat().st_size for each in bundle.rglob("*") if each.is_file()) / 1e6
        ran = subprocess.run(  # noqa: S603
            [
                sys.executable,
                "-m",
                "realtor_serving.packaging.bundle_trial",
                str(bundle),
                str(file),
            ],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    yield Criterion(
        "bundle_size",
        size <= MAX_MEGABYTES,
        f"The bundle has {size:,.0f} MB (limit {MAX_MEGABYTES:,.0f}).",
        {"megabytes": size, "limit": MAX_MEGABYTES},
    )
    if ran.returncode != 0:
        words = f"The service cannot load it: {ran.stderr.strip()[-500:]}"
        yield Criterion("serving", False, words, {})
        yield Criterion("latency", False, "Not measured: the service cannot load it.", {})
        return
    told = json.loads(ran.stdout.splitlines()[-1])
    columns = as_sold(columns_from_properties([Property.model_validate(row) for row in rows]))
    offline, online = model.value(columns).price, np.array(told["prices"])
    worst = float(np.max(np.abs(online - offline)))
    yield Criterion(
        "serving",
        worst <= PARITY_DOLLARS,
        f"Loaded in {told['load_seconds']:.1f} s; over {len(rows)} homes one by one the largest "
        f"difference from the valuation offline is ${worst:.4f} (limit ${PARITY_DOLLARS}).",
        {
            "homes": len(rows),
            "largest_difference": worst,
            "limit": PARITY_DOLLARS,
            "load_seconds": told["load_seconds"],
        },
    )
    median = float(told["median_milliseconds"])
    yield Criterion(
        "latency",
        median <= MAX_MEDIAN_MILLISECONDS,
        f"One home takes {median:.1f} ms in the median (limit {MAX_MEDIAN_MILLISECONDS:.0f}).",
        {"median_milliseconds": median, "limit": MAX_MEDIAN_MILLISECONDS},
    )


def _result(tracking: Tracking, record: PromotionRecord) -> dg.MaterializeResult[None]:
    told = {each["name"]: each for each in record.criteria}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(f"{record.model_version}:{record.decision_id}"),
        metadata={
            "decision": record.decision,
            "rule": record.rule,
            "reason": record.reason,
            "model_version": record.model_version,
            "champion_version": record.champion_version or "none",
            "criteria": dg.MetadataValue.md(criteria_table(record.criteria)),
            "model": dg.MetadataValue.url(tracking.version_url(record.model_version)),
        },
        check_results=[_check(name, told.get(name)) for name in CRITERIA],
    )


def _check(name: str, told: dict[str, Any] | None) -> dg.AssetCheckResult:
    # A challenger that loses is the pipeline at work, and no error of its.
    severity = dg.AssetCheckSeverity.WARN
    if told is None:
        words = "There was no champion to compare with."
        return dg.AssetCheckResult(passed=True, check_name=name, severity=severity,
                                   description=words)  # fmt: skip
    return dg.AssetCheckResult(
        passed=told["passed"],
        check_name=name,
        severity=severity,
        description=told["words"],
        metadata={key: float(value) for key, value in told["figures"].items()},
    )


def criteria_table(criteria: Sequence[dict[str, Any]]) -> str:
    """The criteria of a duel as a Markdown table."""
    rows = (
        f"| {each['name'].replace('_', ' ')} | {'✓' if each['passed'] else '**✗**'} "
        f"| {each['words']} |"
        for each in criteria
    )
    return "\n".join(["| criterion | | |", "|---|---|---|", *rows])


def _log_to_mlflow(tracking: Tracking, version: str, record: PromotionRecord) -> None:
    """Keep the duel with the run that made the challenger."""
    run_id = tracking.version(version).run_id
    if not run_id:
        return
    client = tracking.client()
    client.set_tag(run_id, "promotion", record.decision)
    client.set_tag(run_id, "promotion_reason", record.reason)
    client.log_dict(run_id, {"criteria": record.criteria, **record.figures}, "duel/duel.json")
    client.log_text(run_id, criteria_table(record.criteria), "duel/duel.md")
