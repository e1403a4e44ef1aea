"""The duel: challenger and champion on the same homes, gate by gate, and the decision."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from realtor_assets.clean.clean_build import CleanBuild, required_build
from realtor_assets.metadata import OWNERS
from realtor_assets.metadata.materializations import latest_metadata
from realtor_assets.pipeline_settings import settings
from realtor_assets.raw.raw_listings import Listings, read_listings, requested_homes
from realtor_assets.release.production_model import production
from realtor_assets.release.release_records import PromotionRecord
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import BUNDLE_ARTIFACT, Tracking
from realtor_model.duel import DuelPolicy, ServiceTrial, duel, gates, verdict
from realtor_model.features import as_sold, columns_from_properties
from realtor_model.messages import message
from realtor_model.valuation.bundle import BrokenBundle, save_bundle
from realtor_model.valuation.valuation_model import ValuationModel


@dg.asset(
    group_name="release",
    kinds={"postgres", "mlflow"},
    owners=OWNERS,
    deps=["best_model", "raw_test"],
    pool="pipeline",
    check_specs=[
        dg.AssetCheckSpec(gate.name, asset="promotion_decision", description=gate.description)
        for gate in gates.GATES
    ],
    description="The duel: challenger and champion scored on the same, current test split. Each "
    "gate is a check of this asset. The decision is promoted, rejected, or staged for a person to "
    "approve; a promotion moves the alias at once.",
)
def promotion_decision(
    context: dg.AssetExecutionContext,
    raw_database: Database,
    clean_database: Database,
    tracking: Tracking,
) -> Iterator[dg.MaterializeResult[None]]:
    build = required_build(clean_database)
    version = str(latest_metadata(context.instance, "best_model")["model_version"])
    with production(clean_database, tracking) as alias:
        champion = alias.version
    with clean_database.transaction() as connection:
        # A person's decision belongs to no build, and is no reason to judge again.
        known = PromotionRecord.newest(connection, version, build.data_version)
    if known is not None and champion in (known.champion_version, version):
        context.log.info("version %s was judged on this build already", version)
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
    """Let `version` and the champion value the same listings `test`, and decide.

    A champion that this code can't read leaves the challenger to the absolute gates.
    """
    policy = DuelPolicy()
    challenger = tracking.load_bundle(tracking.version(version))
    opponent = unreadable = None
    if champion is not None:
        try:
            opponent = tracking.load_bundle(tracking.version(champion))
        except BrokenBundle as problem:
            unreadable = message("champion_unreadable", version=champion, problem=str(problem))
    trial = try_in_service(challenger, test, policy)
    criteria = duel(challenger, opponent, test.columns, test.price, build.as_of, policy, trial)
    settled = verdict(criteria, opponent is not None, unreadable)
    record = PromotionRecord(
        version,
        champion,
        settled.decision,
        settled.rule,
        settled.reason,
        figures={"policy": asdict(policy), "test_rows": len(test)},
        criteria=[asdict(criterion) for criterion in criteria],
        details=settled.details,
        data_version=build.data_version,
        loads=challenger.metadata["loads"],
    )
    # The first model becomes the baseline: nothing else could serve meanwhile.
    if record.decision == "promoted" and champion is not None and settings().approval_required:
        waits = message("waits_for_approval", version=version)
        record = replace(
            record,
            decision="staged",
            rule="waits for approval",
            reason=f"{record.reason} {waits.text}",
            details=[*record.details, waits.to_dict()],
        )
    return record


def try_in_service(model: ValuationModel, test: Listings, policy: DuelPolicy) -> ServiceTrial:
    """What the service's own code makes of the model's bundle, in a process of its own.

    A process of its own, since assets don't import the serving package.
    """
    requested = requested_homes(test, model.contract, policy.trial_homes)
    with tempfile.TemporaryDirectory() as folder:
        bundle, homes = Path(folder) / BUNDLE_ARTIFACT, Path(folder) / "properties.json"
        save_bundle(model, bundle)
        homes.write_text(json.dumps([home.model_dump(mode="json") for home in requested]))
        size = sum(file.stat().st_size for file in bundle.rglob("*") if file.is_file()) / 1e6
        process = subprocess.run(  # noqa: S603
            [
                sys.executable,
                "-m",
                "realtor_serving.packaging.bundle_trial",
                str(bundle),
                str(homes),
            ],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    if process.returncode != 0:
        return ServiceTrial(size, problem=process.stderr.strip()[-500:] or "it ended with an error")
    answer = json.loads(process.stdout.splitlines()[-1])
    columns = as_sold(columns_from_properties(requested, model.contract))
    offline, online = model.value(columns).price, np.array(answer["prices"])
    return ServiceTrial(
        size,
        load_seconds=answer["load_seconds"],
        homes=len(requested),
        largest_difference=float(np.max(np.abs(online - offline))),
        median_milliseconds=float(answer["median_milliseconds"]),
    )


def _result(tracking: Tracking, record: PromotionRecord) -> dg.MaterializeResult[None]:
    criteria = {criterion["name"]: criterion for criterion in record.criteria}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(f"{record.model_version}:{record.decision_id}"),
        metadata={
            "decision": record.decision,
            "rule": record.rule,
            "reason": record.reason,
            "model_version": record.model_version,
            "champion_version": record.champion_version or "none",
            "criteria": dg.MetadataValue.md(criteria_table(record.criteria)),
            "details": dg.MetadataValue.json(record.details),
            "model": dg.MetadataValue.url(tracking.version_url(record.model_version)),
        },
        check_results=[_check(gate.name, criteria.get(gate.name)) for gate in gates.GATES],
    )


def _check(name: str, criterion: dict[str, Any] | None) -> dg.AssetCheckResult:
    # A challenger that loses is the pipeline at work, not an error.
    severity = dg.AssetCheckSeverity.WARN
    if criterion is None:
        words = "There was no champion to compare with."
        return dg.AssetCheckResult(passed=True, check_name=name, severity=severity,
                                   description=words)  # fmt: skip
    return dg.AssetCheckResult(
        passed=criterion["passed"],
        check_name=name,
        severity=severity,
        description=criterion["words"],
        metadata={key: float(value) for key, value in criterion["figures"].items()},
    )


def criteria_table(criteria: Sequence[dict[str, Any]]) -> str:
    """The criteria of a duel as a Markdown table."""
    rows = (
        f"| {criterion['name'].replace('_', ' ')} | {'✓' if criterion['passed'] else '**✗**'} "
        f"| {criterion['words']} |"
        for criterion in criteria
    )
    return "\n".join(["| criterion | | |", "|---|---|---|", *rows])


def _log_to_mlflow(tracking: Tracking, version: str, record: PromotionRecord) -> None:
    """Log the duel to the MLflow run that made the challenger."""
    run_id = tracking.version(version).run_id
    if not run_id:
        return
    client = tracking.client()
    client.set_tag(run_id, "promotion", record.decision)
    client.set_tag(run_id, "promotion_reason", record.reason)
    client.log_dict(
        run_id,
        {"criteria": record.criteria, "details": record.details, **record.figures},
        "duel/duel.json",
    )
    client.log_text(run_id, criteria_table(record.criteria), "duel/duel.md")
