"""Candidates → Production: the best one, its duel with the champion, and who serves."""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import httpx
import psycopg

from realtor_assets.clean import read_snapshot, required_build
from realtor_assets.listings import Listings, read_listings
from realtor_assets.models import Report, log_to_mlflow, unchanged
from realtor_assets.raw import OWNERS
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import require_current
from realtor_assets.settings import Settings, settings
from realtor_assets.tracking import BUNDLE_ARTIFACT, Tracking
from realtor_model import canary
from realtor_model.bundle import ValuationModel
from realtor_model.estimators import CANDIDATES
from realtor_model.evaluation import (
    PairedComparison,
    paired_comparison,
    ratio_study,
    regression_metrics,
)
from realtor_model.listing import PREVIOUS_ALIAS, PRODUCTION_ALIAS, REGISTERED_MODEL
from realtor_model.study import Judged, summary
from realtor_model.training import TRAINING_VERSION, Rows, refit

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

PROMOTION_LOCK = "realtor promotion"
SELECTION_METRIC = "validation_rmse"


@dataclass(frozen=True)
class PromotionPolicy:
    """When a challenger takes over; both are scored on the same, current test split.

    min_improvement: least fall of the mean absolute error of log price that is worth a change,
        as a share of the champion's; its 95 % bootstrap interval must exclude zero as well.
    max_rmse_increase: largest rise of RMSE, in dollars, as a share of the champion's.
    """

    min_improvement: float = 0.01
    max_rmse_increase: float = 0.01

    def decide(self, duel: PairedComparison) -> tuple[str, str, str]:
        """Returns decision ("promoted" or "rejected"), the rule that settled it, the reason."""
        before, after = duel.champion["mae_log"], duel.challenger["mae_log"]
        change = (after - before) / before
        rmse = duel.challenger["rmse"] / duel.champion["rmse"] - 1
        figures = (
            f"mean absolute error of log price {before:.4f} → {after:.4f} ({change:+.1%}, 95 % "
            f"interval of the difference {duel.low:+.4f} to {duel.high:+.4f}); "
            f"RMSE {duel.champion['rmse']:,.0f} → {duel.challenger['rmse']:,.0f} ({rmse:+.1%}); "
            f"median error {duel.champion['mdape']:.1%} → {duel.challenger['mdape']:.1%}, "
            f"on the same {duel.n:,} test listings"
        )
        if duel.high >= 0 or change > -self.min_improvement:
            return "rejected", "not clearly more accurate", f"Not clearly more accurate: {figures}."
        if rmse > self.max_rmse_increase:
            return (
                "rejected",
                "rmse worse",
                f"More accurate on most homes, but RMSE rose: {figures}.",
            )
        return "promoted", "clearly more accurate", f"Clearly more accurate: {figures}."


@dg.asset(
    group_name="release",
    kinds={"mlflow"},
    owners=OWNERS,
    deps=[*CANDIDATES, "raw_test"],
    pool="release",
    description="The candidate with the lowest validation RMSE, trained once more on train and "
    "validation rows, judged on the test split, and registered as a version of realtor-price, "
    "waiting (stage=Staging).",
)
def best_model(
    context: dg.AssetExecutionContext,
    store: ObjectStore,
    raw_database: Database,
    clean_database: Database,
    tracking: Tracking,
) -> dg.MaterializeResult[None]:
    build = required_build(clean_database)
    trained = _trained_candidates(context.instance, build.data_version)
    name = min(trained, key=lambda candidate: trained[candidate][SELECTION_METRIC])
    chosen = trained[name]
    key = f"{chosen['mlflow_run_id']} {TRAINING_VERSION}"
    kept = unchanged(context, "best_model", key)
    if kept is not None and (number := str(kept["model_version"].value)) in tracking.versions():
        context.log.info("%s is still the best, as version %s: kept", name, number)
        return dg.MaterializeResult(data_version=dg.DataVersion(number), metadata=kept)
    model = tracking.load_logged_bundle(str(chosen["model_uri"]))
    fitted, held_out = (
        Rows(*read_snapshot(store, build, split, model.encoder.feature_names))
        for split in ("train", "validation")
    )
    model = refit(model, fitted, held_out)
    test = read_listings(raw_database, "test", loads=build.loads)
    judged = Judged.by(model, test.columns, test.price)
    metrics = summary(judged, build.as_of)
    study = ratio_study(judged.price, judged.predicted)
    model = replace(
        model,
        metadata=model.metadata
        | {
            "metrics": model.metadata["metrics"] | {"test": metrics},
            "ratio_study": study,
            "candidate_run_id": chosen["mlflow_run_id"],
        },
    )
    parent = tracking.parent_run_id(context, clean_database)
    with tracking.child_run(parent, f"best_model: {name}") as run:
        report = Report.of(model, judged, "test")
        uri = log_to_mlflow(model, report)
    version = tracking.register(
        run.info.run_id,
        uri,
        {
            "stage": "Staging",
            "candidate": name,
            "data_version": build.data_version,
            "batches": json.dumps(build.batches),
            "dagster_run_id": context.run_id,
        },
    )
    table = "\n".join(
        [
            "| candidate | validation RMSE | validation MAE | validation MdAPE | |",
            "|---|---|---|---|---|",
            *(
                f"| {candidate} | {row['validation_rmse']:,.0f} | {row['validation_mae']:,.0f} "
                f"| {row['validation_mdape']:.1%} | {'**best**' if candidate == name else ''} |"
                for candidate, row in sorted(
                    trained.items(), key=lambda item: item[1][SELECTION_METRIC]
                )
            ),
        ]
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(version.version)),
        metadata={
            "training_key": key,
            "candidate": name,
            "model_version": str(version.version),
            "train_rows": model.metadata["train_rows"],
            "candidates": dg.MetadataValue.md(table),
            **{f"test_{metric}": float(value) for metric, value in metrics.items()},
            **report.pictures(),
        },
    )


def _trained_candidates(
    instance: dg.DagsterInstance, data_version: str
) -> dict[str, dict[str, Any]]:
    """Metadata of the candidates trained on the current clean build."""
    trained = {}
    for candidate in CANDIDATES:
        event = instance.get_latest_materialization_event(dg.AssetKey(candidate))
        if event is None or event.asset_materialization is None:
            continue
        values = {key: item.value for key, item in event.asset_materialization.metadata.items()}
        if values["clean_data_version"] == data_version:
            trained[candidate] = values
    if not trained:
        raise dg.Failure(
            f"no candidate is trained on the current clean build {data_version}: "
            "materialize at least one candidate",
            allow_retries=False,
        )
    return trained


@dg.asset(
    group_name="release",
    kinds={"postgres", "mlflow"},
    owners=OWNERS,
    deps=["best_model", "raw_test"],
    pool="release",
    description="The duel: challenger and champion scored on the same, current test split, and "
    "what follows from it, in words and figures.",
)
def promotion_decision(
    context: dg.AssetExecutionContext,
    raw_database: Database,
    clean_database: Database,
    tracking: Tracking,
) -> dg.MaterializeResult[None]:
    challenger = tracking.version(_latest_metadata(context.instance, "best_model")["model_version"])
    champion = tracking.alias(PRODUCTION_ALIAS)
    record = judge(tracking, challenger, champion, read_listings(raw_database, "test"))
    record = replace(record, dagster_run_id=context.run_id)
    with clean_database.transaction() as connection:
        record.save(connection)
    if record.champion_version != record.model_version:
        tracking.describe_version(
            record.model_version, decision=record.decision, reason=record.reason
        )
    context.log.info("version %s %s: %s", record.model_version, record.decision, record.reason)
    return dg.MaterializeResult(
        metadata={
            "decision": record.decision,
            "rule": record.rule,
            "reason": record.reason,
            "model_version": record.model_version,
            "champion_version": record.champion_version or "none",
            "figures": dg.MetadataValue.json(record.figures),
        }
    )


def judge(
    tracking: Tracking, challenger: "ModelVersion", champion: "ModelVersion | None", test: Listings
) -> "PromotionRecord":
    """Score challenger and champion on the same listings `test` and decide."""
    version = str(challenger.version)
    in_production = str(champion.version) if champion else None
    policy = {"policy": asdict(PromotionPolicy())}
    if in_production == version:
        reason = f"Version {version} is already in Production."
        return PromotionRecord(version, version, "promoted", "already Production", reason, policy)
    predicted = tracking.load_bundle(challenger).predict(test.columns)
    alone = regression_metrics(test.price, predicted)
    if suspicious := canary.too_good(alone):
        reason = f"Too good to be true: {'; '.join(suspicious)}. Look for a leak."
        figures = {"challenger": alone} | policy
        return PromotionRecord(version, in_production, "rejected", "leak canary", reason, figures)
    if champion is None:
        reason = (
            "There was no model in Production; the first one becomes the baseline: median error "
            f"{alone['mdape']:.1%} on {len(test):,} test listings."
        )
        figures = {"challenger": alone} | policy
        return PromotionRecord(version, None, "promoted", "first model", reason, figures)
    duel = paired_comparison(
        test.price, tracking.load_bundle(champion).predict(test.columns), predicted
    )
    decision, rule, reason = PromotionPolicy().decide(duel)
    return PromotionRecord(version, in_production, decision, rule, reason, asdict(duel) | policy)


@dataclass(frozen=True)
class PromotionRecord:
    """One row of `promotion_decisions`."""

    model_version: str
    champion_version: str | None
    decision: str
    rule: str
    reason: str
    figures: dict[str, Any]
    dagster_run_id: str | None = None

    def save(self, connection: psycopg.Connection) -> None:
        """Append this decision to the history."""
        connection.execute(
            "INSERT INTO promotion_decisions (model_version, champion_version, decision, rule,"
            " reason, figures, dagster_run_id) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                self.model_version, self.champion_version, self.decision, self.rule, self.reason,
                json.dumps(self.figures), self.dagster_run_id,
            ],
        )  # fmt: skip

    @classmethod
    def newest(cls, connection: psycopg.Connection) -> "PromotionRecord | None":
        """The last decision, by whomever; None before the first."""
        row = connection.execute(
            "SELECT model_version, champion_version, decision, rule, reason, figures,"
            " dagster_run_id FROM promotion_decisions ORDER BY decision_id DESC LIMIT 1"
        ).fetchone()
        return cls(*row) if row else None


def score(model: ValuationModel, listings: Listings) -> dict[str, float]:
    """The regression metrics of `model` on `listings`."""
    return regression_metrics(listings.price, model.predict(listings.columns))


@dg.asset(
    group_name="release",
    kinds={"mlflow"},
    owners=OWNERS,
    deps=["promotion_decision"],
    pool="release",
    description="The one Production model: the alias `production` of realtor-price. The one "
    "before keeps the alias `previous` and the tag stage=Archived.",
)
def production_model(clean_database: Database, tracking: Tracking) -> dg.MaterializeResult[None]:
    with clean_database.lock(PROMOTION_LOCK):
        with clean_database.transaction() as connection:
            decision = PromotionRecord.newest(connection)
        if decision is None:
            raise dg.Failure(
                "nothing was decided yet: materialize promotion_decision", allow_retries=False
            )
        carry_out(tracking, decision)
        champion = tracking.production()
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(champion.version)),
        metadata={
            "model_version": str(champion.version),
            "candidate": champion.tags.get("candidate", "unknown"),
            "decision": decision.decision,
            "reason": decision.reason,
            "model": dg.MetadataValue.url(
                f"{tracking.tracking_uri}/#/models/{REGISTERED_MODEL}/versions/{champion.version}"
            ),
        },
    )


def carry_out(tracking: Tracking, decision: PromotionRecord) -> None:
    """Make the registry what `decision` says; doing it again changes nothing.

    The caller holds `PROMOTION_LOCK`. Raises `dagster.Failure` when another model came into
    Production since: the challenger has not met that one.
    """
    champion = tracking.alias(PRODUCTION_ALIAS)
    in_production = str(champion.version) if champion else None
    if decision.decision == "rejected":
        if decision.model_version != in_production:
            tracking.set_stage(decision.model_version, "Archived")
        return
    if in_production not in (decision.champion_version, decision.model_version):
        raise dg.Failure(
            f"version {decision.model_version} was compared with version "
            f"{decision.champion_version}, and version {in_production} is in Production now: "
            "materialize promotion_decision again",
            allow_retries=False,
        )
    tracking.point_production_at(decision.model_version)


@dg.asset(
    group_name="release",
    kinds={"bentoml"},
    owners=OWNERS,
    deps=["production_model"],
    pool="release",
    description="The Production model packaged with the service: a bento that values homes with "
    "no registry, database or network.",
)
def bento(context: dg.AssetExecutionContext, tracking: Tracking) -> dg.MaterializeResult[None]:
    champion = tracking.production()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / BUNDLE_ARTIFACT
        tracking.load_bundle(champion).save(bundle)
        # A process of its own: packaging belongs to the serving package, which assets don't import.
        packaged = subprocess.run(  # noqa: S603
            [
                sys.executable, "-m", "realtor_serving.packaging", str(bundle),
                "--version", str(champion.version),
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
    if packaged.returncode != 0:
        raise dg.Failure(f"the bento could not be built:\n{packaged.stderr[-4000:]}")
    built = json.loads(packaged.stdout.splitlines()[-1])
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(champion.version)),
        metadata={
            "tag": str(built["tag"]),
            "path": dg.MetadataValue.path(str(built["path"])),
            "model_version": str(champion.version),
        },
    )


@dg.asset(
    group_name="serving",
    kinds={"bentoml", "api"},
    owners=OWNERS,
    deps=["bento"],
    retry_policy=dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL),
    description="What the running service answers with, after it was told to reload.",
)
def served_model(
    context: dg.AssetExecutionContext, tracking: Tracking
) -> dg.MaterializeResult[None]:
    champion = tracking.production()
    url = settings().service_url.rstrip("/")
    try:
        reload = httpx.post(f"{url}/reload-model", json={}, timeout=120)
        reload.raise_for_status()
        served = httpx.get(f"{url}/model-info", timeout=30).raise_for_status().json()
    except httpx.HTTPError as problem:
        raise dg.Failure(
            f"the service at {url} did not reload ({type(problem).__name__}: {problem}); the "
            "promotion stands, and the service takes the new version by itself when it is back"
        ) from problem
    if str(served["version"]) != str(champion.version):
        raise dg.Failure(
            f"the service serves version {served['version']}, not {champion.version}: its log says "
            "why it refused the new one"
        )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(champion.version)),
        metadata={
            "url": dg.MetadataValue.url(url),
            "model_version": str(served["version"]),
            "candidate": str(served["candidate"]),
            "reload": dg.MetadataValue.json(reload.json()),
        },
    )


def _latest_metadata(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    if event is None or event.asset_materialization is None:
        raise dg.Failure(f"{asset} was never materialized", allow_retries=False)
    return {key: item.value for key, item in event.asset_materialization.metadata.items()}


class UnknownVersion(Exception):
    """A version that the registry does not have, or no version to go back to."""


def promote(version: str, reason: str) -> PromotionRecord:
    """Make `version` the Production model by hand. Raises `UnknownVersion`."""
    return _by_hand(version, "promoted", reason)


def rollback(reason: str) -> PromotionRecord:
    """Give Production back to the version before. Raises `UnknownVersion` when there is none."""
    previous = _tracking(settings()).alias(PREVIOUS_ALIAS)
    if previous is None:
        raise UnknownVersion("no version was in Production before the current one")
    return _by_hand(str(previous.version), "rolled back", reason)


def _by_hand(version: str, decision: str, reason: str) -> PromotionRecord:
    config = settings()
    tracking = _tracking(config)
    database = Database(url=config.clean_database_url)
    known = tracking.versions()
    if version not in known:
        raise UnknownVersion(
            f"{REGISTERED_MODEL} has no version {version}; it has: {', '.join(known) or 'none'}"
        )
    with database.transaction() as connection:
        require_current(connection, "clean")
    with database.lock(PROMOTION_LOCK):
        champion = tracking.alias(PRODUCTION_ALIAS)
        record = PromotionRecord(
            version,
            str(champion.version) if champion else None,
            decision,
            "by hand",
            reason,
            {},
        )
        with database.transaction() as connection:
            record.save(connection)
        carry_out(tracking, record)
        tracking.describe_version(version, decision=decision, reason=reason)
    return record


def _tracking(config: Settings) -> Tracking:
    return Tracking(tracking_uri=config.mlflow_tracking_uri)
