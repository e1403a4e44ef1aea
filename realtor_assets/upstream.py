"""The client of the upstream listings API: one call, landed before it is read."""

import hashlib
import logging
import time
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import psycopg
import tenacity
import zstandard
from psycopg import sql

from realtor_assets.resources import Database, ObjectStore

PAYLOADS = "payloads"
END_OF_DATA = "ya se recolect"
BODY_SHOWN = 500


class UpstreamError(Exception):
    """The upstream gave no batch, and calling again as it is will not help."""


class UpstreamUnavailable(UpstreamError):
    """The upstream gave no batch this time: silence, a broken answer, or a 5xx."""


@dataclass(frozen=True)
class LandedPayload:
    """A batch as received, safe in the object store."""

    key: str
    sha256: str
    bytes: int
    seconds: float


@dataclass(frozen=True)
class ListingsApi:
    """The upstream, for one group (and day, where the version asks for one)."""

    url: str
    group: int
    day: str | None
    timeout_seconds: float
    attempts: int

    def land_next_batch(
        self, store: ObjectStore, database: Database, log: logging.Logger
    ) -> LandedPayload | None:
        """Ask for the next batch and keep its bytes verbatim (zstd) before anybody parses them.

        Every call is written to `api_request_log`, failed ones too. Returns None at the end of
        the data. Raises `UpstreamUnavailable` after `attempts` tries, `UpstreamError` at once for
        an answer that trying again cannot mend.
        """
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(UpstreamUnavailable),
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=tenacity.wait_exponential_jitter(initial=1, max=30),
            before_sleep=lambda state: log.warning(
                "%s; trying again", state.outcome and state.outcome.exception()
            ),
            reraise=True,
        ):
            with attempt:
                return self._call(store, database, attempt.retry_state.attempt_number)
        raise AssertionError("tenacity returns or raises")

    def _call(self, store: ObjectStore, database: Database, attempt: int) -> LandedPayload | None:
        requested_at = datetime.now(UTC)
        started = time.monotonic()
        url = str(httpx.URL(f"{self.url.rstrip('/')}/data", params=self._parameters()))
        key = (
            f"{PAYLOADS}/group={self.group}/"
            f"{requested_at:%Y%m%dT%H%M%S.%fZ}-{uuid4().hex[:8]}.json.zst"
        )
        status: int | None = None
        received = 0
        digest = hashlib.sha256()
        landed: LandedPayload | None = None
        error: str | None = None
        try:
            with httpx.stream("GET", url, timeout=self.timeout_seconds) as response:
                status = response.status_code
                if status != httpx.codes.OK:
                    body = response.read()
                    received = len(body)
                    if _is_end_of_data(status, body):
                        error = "end of data"
                        return None
                    failure = UpstreamUnavailable if status >= 500 else UpstreamError
                    raise failure(
                        f"GET {url} answered {status}: {body[:BODY_SHOWN].decode(errors='replace')}"
                    )
                with (
                    store.create(key) as file,
                    zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as out,
                ):
                    for chunk in response.iter_bytes():
                        digest.update(chunk)
                        received += len(chunk)
                        out.write(chunk)
            landed = LandedPayload(key, digest.hexdigest(), received, time.monotonic() - started)
        except httpx.HTTPError as problem:
            error = (
                f"GET {url} failed after {received:,} bytes: {type(problem).__name__}: {problem}"
            )
            raise UpstreamUnavailable(error) from problem
        except UpstreamError as problem:
            error = str(problem)
            raise
        finally:
            with database.transaction() as connection:
                _log_request(
                    connection,
                    requested_at=requested_at,
                    group_number=self.group,
                    day=self.day,
                    url=url,
                    attempt=attempt,
                    status=status,
                    seconds=time.monotonic() - started,
                    bytes=received,
                    sha256=landed and landed.sha256,
                    payload_key=landed and landed.key,
                    error=error or (None if landed else "the payload could not be landed"),
                )
        return landed

    def _parameters(self) -> dict[str, str]:
        return {"group_number": str(self.group)} | ({"day": self.day} if self.day else {})


def _is_end_of_data(status: int, body: bytes) -> bool:
    """400 with the documented text, or 404 as the API's first description has it."""
    text = unicodedata.normalize("NFKD", body.decode(errors="replace")).lower()
    return status == httpx.codes.NOT_FOUND or (
        status == httpx.codes.BAD_REQUEST and END_OF_DATA in text
    )


def _log_request(connection: psycopg.Connection, **values: object) -> None:
    connection.execute(
        sql.SQL("INSERT INTO api_request_log ({}) VALUES ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        ),
        values,
    )
