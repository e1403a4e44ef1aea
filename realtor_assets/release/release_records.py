"""Promotion decisions, and every move of the Production alias: two tables of CLEAN."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg
from psycopg.rows import class_row


@dataclass(frozen=True)
class PromotionRecord:
    """One row of `promotion_decisions`: a challenger, the champion it met, and what followed.

    decision: "promoted", "rejected", "staged" (waits for a person) or "rolled back". criteria: the
    duel's, as JSON. details: code, params and message of each gate that failed, or of what settled
    the decision. data_version: the clean build whose test split both were judged on.
    """

    model_version: str
    champion_version: str | None
    decision: str
    rule: str
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)
    criteria: list[dict[str, Any]] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    data_version: str | None = None
    loads: list[int] = field(default_factory=list)
    approver: str | None = None
    dagster_run_id: str | None = None
    decision_id: int | None = None

    @property
    def moves(self) -> bool:
        """Whether it puts its version into Production."""
        return self.decision in ("promoted", "rolled back")

    def save(self, connection: psycopg.Connection) -> int:
        """Append this decision to the history; returns its id."""
        values = asdict(self) | {
            "figures": json.dumps(self.figures),
            "criteria": json.dumps(self.criteria),
            "details": json.dumps(self.details),
        }
        del values["decision_id"]
        row = connection.execute(
            f"INSERT INTO promotion_decisions ({', '.join(values)})"
            f" VALUES ({', '.join(f'%({name})s' for name in values)}) RETURNING decision_id",
            values,
        ).fetchone()
        assert row is not None
        return int(row[0])

    @classmethod
    def newest(
        cls,
        connection: psycopg.Connection,
        version: str | None = None,
        data_version: str | None = None,
    ) -> "PromotionRecord | None":
        """The last decision of all, or about `version`, or by its duel on a clean build."""
        columns = ", ".join(cls.__dataclass_fields__)
        with connection.cursor(row_factory=class_row(cls)) as cursor:
            return cursor.execute(
                f"SELECT {columns} FROM promotion_decisions"
                " WHERE (%(version)s::text IS NULL OR model_version = %(version)s)"
                " AND (%(build)s::text IS NULL OR data_version = %(build)s)"
                " ORDER BY decision_id DESC LIMIT 1",
                {"version": version, "build": data_version},
            ).fetchone()


@dataclass(frozen=True)
class AliasMove:
    """One row of `releases`: the alias `production` moved from `replaced` to `model_version`.

    action: "promoted", "rolled back", or "found": somebody moved the alias in MLflow itself.
    """

    release_id: int
    model_version: str
    replaced: str | None
    action: str
    reason: str
    finished: bool


def alias_moves(connection: psycopg.Connection) -> list[AliasMove]:
    """Every move of the alias, oldest first."""
    with connection.cursor(row_factory=class_row(AliasMove)) as cursor:
        return cursor.execute(
            "SELECT release_id, model_version, replaced, action, reason,"
            " finished_at IS NOT NULL AS finished FROM releases ORDER BY release_id"
        ).fetchall()


def begin_move(
    connection: psycopg.Connection, decision: PromotionRecord, replaced: str | None
) -> None:
    """Write down that the alias is about to move as `decision` says."""
    connection.execute(
        "INSERT INTO releases (model_version, replaced, action, reason, decision_id)"
        " VALUES (%s, %s, %s, %s, %s)",
        [
            decision.model_version, replaced, decision.decision, decision.reason,
            decision.decision_id,
        ],
    )  # fmt: skip


def begin_found_move(connection: psycopg.Connection, version: str, replaced: str | None) -> None:
    """Write down that somebody else moved the alias."""
    connection.execute(
        "INSERT INTO releases (model_version, replaced, action, reason)"
        " VALUES (%s, %s, 'found', 'The alias was moved in MLflow itself.')",
        [version, replaced],
    )


def finish_move(connection: psycopg.Connection) -> None:
    """Write down that the alias has moved as the unfinished move said."""
    connection.execute(
        "UPDATE releases SET finished_at = clock_timestamp() WHERE finished_at IS NULL"
    )


def in_line(moves: Iterable[AliasMove]) -> list[str]:
    """The versions that a rollback goes back through, the current champion last.

    A promotion adds to the line; going back to a version takes off it what came after.
    """
    line: list[str] = []
    for move in moves:
        version = move.model_version
        if move.action == "rolled back" and version in line:
            del line[line.index(version) + 1 :]
        else:
            line = [earlier for earlier in line if earlier != version] + [version]
    return line
