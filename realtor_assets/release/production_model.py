"""The one Production model: who moves the alias, in what order, and how it is moved back.

Every move is written down before the registry is told, and finished by whoever comes next if its
process dies; a PostgreSQL lock lets one move at a time. So `releases` is a chain whose last version
is the one that the alias names.
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
from realtor_model.registry_names import ARCHIVED, REGISTERED_MODEL, STAGING, Stage

PROMOTION_LOCK = "realtor promotion"


class UnknownVersion(Exception):
    """A version that the registry does not have, or that there is nothing to be done with."""


class Production:
    """The Production alias of realtor-price, for one holder at a time: see `production`."""

    def __init__(self, database: Database, tracking: Tracking) -> None:
        self._database = database
        self._tracking = tracking
        self._settle()

    @property
    def version(self) -> str | None:
        """The version in Production."""
        line = self.line
        return line[-1] if line else None

    @property
    def line(self) -> list[str]:
        """The versions that a rollback goes back through, the current one last."""
        with self._database.transaction() as connection:
            return in_line(release_records.releases(connection))

    def record(self, decision: PromotionRecord) -> PromotionRecord:
        """Write `decision` into the history and do what it says; returns it as it was written.

        A challenger that met another champion than the one in Production now is written down as
        rejected: it was overtaken.
        """
        current, version = self.version, decision.model_version
        if decision.decision == "promoted" and current not in (decision.champion_version, version):
            decision = replace(
                decision,
                decision="rejected",
                rule="overtaken",
                reason=f"Version {version} met version {decision.champion_version}, and version "
                f"{current} has come into Production since: train again, to meet that one.",
            )
        with self._database.transaction() as connection:
            decision = replace(decision, decision_id=decision.save(connection))
            moves = decision.moves and version != current
            if moves:
                release_records.begin_release(connection, decision, current)
        if moves:
            self._finish(version)
        self._tell(decision)
        return decision

    def _settle(self) -> None:
        """Finish what a killed process began, and write down what somebody else moved."""
        with self._database.transaction() as connection:
            require_current(connection, "clean")
            moves = release_records.releases(connection)
            newest = PromotionRecord.newest(connection)
        if moves and not moves[-1].finished:
            self._finish(moves[-1].model_version)
            if newest is not None:
                self._tell(newest)
        named = self._tracking.production_version()
        if named is not None and named != self.version:
            with self._database.transaction() as connection:
                release_records.begin_found_release(connection, named, self.version)
            self._finish(named)

    def _finish(self, version: str) -> None:
        line = self.line
        self._tracking.point_production_at(version, line[-2] if len(line) > 1 else None)
        with self._database.transaction() as connection:
            release_records.finish_release(connection)

    def _tell(self, decision: PromotionRecord) -> None:
        version = decision.model_version
        stages: dict[str, Stage] = {"rejected": ARCHIVED, "staged": STAGING}
        if decision.decision in stages and version != self.version:
            self._tracking.set_stage(version, stages[decision.decision])
        self._tracking.describe_version(version, decision=decision.decision, reason=decision.reason)


@contextmanager
def production(database: Database, tracking: Tracking) -> Iterator[Production]:
    """The Production alias, held against every other process until the block ends."""
    with database.lock(PROMOTION_LOCK):
        yield Production(database, tracking)


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
        return alias.record(
            replace(
                judged,
                decision="promoted",
                rule="approved",
                reason=f"Approved by {approver}: {rationale}",
                approver=approver,
            )
        )


def _require_known(tracking: Tracking, version: str) -> None:
    known = tracking.versions()
    if version not in known:
        raise UnknownVersion(
            f"{REGISTERED_MODEL} has no version {version}; it has: {', '.join(known) or 'none'}"
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
    description="The one Production model: the alias `production` of realtor-price. The one "
    "before keeps the alias `previous` and the tag stage=Archived.",
)
def production_model(
    context: dg.AssetExecutionContext, clean_database: Database, tracking: Tracking
) -> Iterator[dg.MaterializeResult[None]]:
    # The promotion decision has moved the alias, or a person has: this finishes what a crash left.
    with production(clean_database, tracking) as alias:
        line = alias.line
    if not line:
        context.log.info("no version is in Production yet")
        return
    with clean_database.transaction() as connection:
        move = release_records.releases(connection)[-1]
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
