"""Real servers for tests: each xdist worker starts its own, on a free port, in a temp folder."""

from collections.abc import Iterator

import pytest

from realtor_local.postgres import EmbeddedPostgres, temporary_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A real PostgreSQL with the platform's four databases; `.urls` names them."""
    with temporary_postgres() as server:
        yield server
