"""Whether a program does its work: one question to each, answered in words."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from realtor_local.programs import Program

TIMEOUT_SECONDS = 5.0


def http_client(timeout: float = TIMEOUT_SECONDS) -> httpx.Client:
    """A client for this machine's own servers, which no proxy can reach."""
    return httpx.Client(timeout=timeout, trust_env=False)


def problem(program: Program, environment: Mapping[str, str]) -> str | None:
    """Why a running program is not healthy; None when it is."""
    if program.name == "postgres":
        return database_problem(environment["REALTOR_RAW_DATABASE_URL"])
    if program.name == "dagster-daemon":
        return _daemon_problem(environment)
    if program.health_url is None:
        return None
    return http_problem(program.health_url)


def http_problem(url: str) -> str | None:
    """Why `url` does not answer 200; None when it does."""
    try:
        with http_client() as client:
            answer = client.get(url)
    except httpx.HTTPError as error:
        return f"{url}: {error}"
    return None if answer.status_code == 200 else f"{url} answers {answer.status_code}"


def database_problem(url: str) -> str | None:
    """Why the database does not answer SELECT 1; None when it does."""
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=3) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return str(error).strip()
    return None


def _daemon_problem(environment: Mapping[str, str]) -> str | None:
    from realtor_local.dagster_client import DagsterClient, DagsterError

    port = environment.get("REALTOR_DAGSTER_PORT")
    if port is None:
        return None
    try:
        with DagsterClient(f"http://127.0.0.1:{port}") as dagster:
            late = dagster.late_daemons()
    except DagsterError as error:
        return f"its heartbeats cannot be seen: {error}"
    return f"no heartbeat from {', '.join(late)}" if late else None
