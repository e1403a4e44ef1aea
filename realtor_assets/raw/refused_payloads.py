"""Refused payloads that a person has to look at: listed, and dismissed with a reason.

The `realtor` command uses it, too, so it imports nothing that takes long.
"""

import datetime as dt
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

# A payload that was ever loaded is in RAW: a later refusal of it takes nothing away.
_OPEN = """
SELECT DISTINCT ON (s.partition_key)
    s.load_id, s.partition_key, p.payload_key, p.source, p.bytes, s.error, s.loaded_at AS refused_at
FROM ingestion_summary s JOIN landed_payloads p USING (partition_key)
WHERE NOT EXISTS (SELECT FROM ingestion_summary loaded
                  WHERE loaded.partition_key = s.partition_key AND loaded.state = 'loaded')
ORDER BY s.partition_key, s.load_id DESC
"""
_NOT_DISMISSED = f"""
SELECT refused.* FROM ({_OPEN}) refused
WHERE NOT EXISTS (SELECT FROM refusal_dismissals d WHERE d.load_id = refused.load_id)
ORDER BY load_id
"""


@dataclass(frozen=True)
class RefusedPayload:
    """A landed payload that could not be loaded.

    Attributes:
        load_id: of its last load.
        payload_key: where its bytes are in the object store.
        source: "upstream" or "file".
        error: why it was refused.
    """

    load_id: int
    partition_key: str
    payload_key: str
    source: str
    bytes: int
    error: str
    refused_at: dt.datetime


class NotRefused(Exception):
    """No refusal of this payload waits for a person."""


def refused_payloads(raw: psycopg.Connection) -> list[RefusedPayload]:
    """The payloads that are refused and not dismissed, in order of their last load."""
    with raw.cursor(row_factory=class_row(RefusedPayload)) as cursor:
        return cursor.execute(_NOT_DISMISSED).fetchall()


def dismiss(raw: psycopg.Connection, partition: str, *, approver: str, rationale: str) -> None:
    """Record that a refused payload needs no more work. Nothing is deleted.

    Another load that refuses it makes it a problem again.

    Raises:
        NotRefused: it is not refused, or dismissed already.
    """
    refused = {payload.partition_key: payload for payload in refused_payloads(raw)}
    if partition not in refused:
        raise NotRefused(
            f"{partition} is not refused, or is dismissed already: there is nothing to dismiss"
        )
    raw.execute(
        "INSERT INTO refusal_dismissals (load_id, approver, rationale) VALUES (%s, %s, %s)",
        [refused[partition].load_id, approver, rationale],
    )
