"""The one Production model: how the alias is moved, and moved back.

Every move is recorded before it is made in the registry. If its process dies in between, the next
holder of the alias finishes it. A PostgreSQL lock allows one holder at a time. So the table
`releases` is a chain whose last version is the one that the alias names.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import dagster as dg

from realtor_assets.metadata import OWNERS
from realtor_assets.release import release_records
from realtor_assets.release.release_records import PromotionRecord, in_line
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.schema import require_current
from realtor_model.messages import message
from realtor_model.registry_names import ARCHIVED, REGISTERED_MODEL, STAGING, Stage

PROMOTION_LOCK = "realtor promotion"


class UnknownVersion(Exception):
    """A version that is not in the registry, or that the command does not apply to."""


class Production:
    """The Production alias of realtor-price, for one holder at a time: see `production`."""

    def __init__(self, database: Database, tracking: Tracking) -> None:
        self._database = database
        self._tracking = tracking

    @property
    def version(self) -> str | None:
        """The version in Production."""
        line = self.line
        return line[-1] if line else None

    @property
    def line(self) -> list[str]:
        """The versions that a rollback goes back through, the current one last."""
        with self._database.transaction() as connection:
            return in_line(release_records.alias_moves(connection))

    def record(self, decision: PromotionRecord) -> PromotionRecord:
        """Record `decision` and carry it out; returns it as it was recorded.

        A challenger that was compared with another champion than the one in Production now is
        recorded as rejected: it was overtaken.
        """
        current, version = self.version, decision.model_version
        if decision.decision == "promoted" and current not in (decision.champion_version, version):
            overtaken = message(
                "overtaken", version=version, met=decision.champion_version, current=current
            )
            decision = replace(
                decision,
                decision="rejected",
                rule="overtaken",
                reason=overtaken.text,
                details=[overtaken.to_dict()],
            )
        with self._database.transaction() as connection:
            decision = replace(decision, decision_id=decision.save(connection))
            moves = decision.moves and version != current
            if moves:
                release_records.begin_move(connection, decision, current)
        if moves:
            self._finish(version)
        self._describe_in_registry(decision)
        return decision

    def reconcile(self) -> None:
        """Finish a move that a killed process began; record one that was made in MLflow itself."""
        with self._database.transaction() as connection:
            require_current(connection, "clean")
            moves = release_records.alias_moves(connection)
            newest = PromotionRecord.newest(connection)
        if moves and not moves[-1].finished:
            self._finish(moves[-1].model_version)
            if newest is not None:
                self._describe_in_registry(newest)
        named = self._tracking.production_version()
        if named is not None and named != self.version:
            with self._database.transaction() as connection:
                release_records.begin_found_move(connection, named, self.version)
            self._finish(named)

    def _finish(self, version: str) -> None:
        line = self.line
        self._tracking.point_production_at(version, line[-2] if len(line) > 1 else None)
        with self._database.transaction() as connection:
            release_records.finish_move(connection)

    def _describe_in_registry(self, decision: PromotionRecord) -> None:
        version = decision.model_version
        stages: dict[str, Stage] = {"rejected": ARCHIVED, "staged": STAGING}
        if decision.decision in stages and version != self.version:
            self._tracking.set_stage(version, stages[decision.decision])
        self._tracking.describe_version(version, decision=decision.decision, reason=decision.reason)


@contextmanager
def production(database: Database, tracking: Tracking) -> Iterator[Production]:
    """The Production alias, locked against every other process until the block ends.

    Before the block starts, the alias and the table `releases` are reconciled.
    """
    with database.lock(PROMOTION_LOCK):
        alias = Production(database, tracking)
        alias.reconcile()
        yield alias


def promote(
    database: Database, tracking: Tracking, version: str, *, reason: str, approver: str
) -> PromotionRecord:
    """Make `version` the Production model by hand.

    Raises `UnknownVersion`, also for the version that is in Production already.
    """
    _require_known(tracking, version)
    with production(database, tracking) as alias:
        _require_other(alias, version)
        return alias.record(
            PromotionRecord(
                version, alias.version, "promoted", "by hand", reason, approver=approver
            )
        )


def roll_back(
    database: Database,
    tracking: Tracking,
    *,
    reason: str,
    approver: str,
    version: str | None = None,
    rule: str = "by hand",
) -> PromotionRecord:
    """Give Production back to an earlier version, or to the one before.

    Raises `UnknownVersion` when there is none, or `version` is in Production already.
    """
    if version is not None:
        _require_known(tracking, version)
    with production(database, tracking) as alias:
        _require_other(alias, version)
        line = alias.line
        if version is None and len(line) < 2:
            raise UnknownVersion("no version was in Production before the current one")
        return alias.record(
            PromotionRecord(
                version or line[-2], alias.version, "rolled back", rule, reason, approver=approver
            )
        )


def approve(
    database: Database, tracking: Tracking, version: str, *, rationale: str, approver: str
) -> PromotionRecord:
    """Promote a version that waits for a person.

    Raises `UnknownVersion` for one that does not wait. One that was overtaken meanwhile comes back
    as rejected.
    """
    with production(database, tracking) as alias:
        with database.transaction() as connection:
            judged = PromotionRecord.newest(connection, version)
        if judged is None or judged.decision != "staged":
            state = "it was never judged" if judged is None else f"it is {judged.decision}"
            raise UnknownVersion(f"version {version} does not wait for approval: {state}")
        approved = message("approved", approver=approver, rationale=rationale)
        return alias.record(
            replace(
                judged,
                decision="promoted",
                rule="approved",
                reason=approved.text,
                details=[approved.to_dict()],
                approver=approver,
            )
        )


def _require_known(tracking: Tracking, version: str) -> None:
    versions = tracking.versions()
    if version not in versions:
        raise UnknownVersion(
            f"{REGISTERED_MODEL} has no version {version}; it has: {', '.join(versions) or 'none'}"
        )


def _require_other(alias: Production, version: str | None) -> None:
    if version is not None and version == alias.version:
        raise UnknownVersion(f"version {version} is in Production already")


@dg.asset(
    group_name="release",
    kinds={"mlflow"},
    owners=OWNERS,
    deps=["promotion_decision"],
    pool="pipeline",
    output_required=False,
    description="The one Production model: the alias `production` of realtor-price. The version "
    "before it keeps the alias `previous` and the tag stage=Archived.",
)
def production_model(
    context: dg.AssetExecutionContext, clean_database: Database, tracking: Tracking
) -> Iterator[dg.MaterializeResult[None]]:
    # promotion_decision or a person moved the alias; this finishes a move that a crash cut off.
    with production(clean_database, tracking) as alias:
        line = alias.line
    if not line:
        context.log.info("no version is in Production yet")
        return
    with clean_database.transaction() as connection:
        move = release_records.alias_moves(connection)[-1]
    champion = tracking.version(line[-1])
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(line[-1]),
        metadata={
            "model_version": line[-1],
            "candidate": champion.tags.get("candidate", "unknown"),
            "since": move.action,
            "reason": move.reason,
            "versions_to_go_back_to": ", ".join(line[:-1]) or "none",
            "model": dg.MetadataValue.url(tracking.version_url(line[-1])),
        },
    )
