"""A real PostgreSQL in a folder: found, initialised, started, and its four databases made.

One implementation serves the platform, where supervisord runs `EmbeddedPostgres.command`, and
tests, which call `start` and `stop` or `temporary_postgres`. Everything else in the project only
knows `urls`.

PostgreSQL refuses to run as root. Root therefore runs it as `nobody` (or as the owner of an
existing cluster), and where that user cannot reach the folder or the programs, they are put under
/var/lib/realtor instead.
"""

from realtor_local.errors import PostgresError
from realtor_local.postgres.binaries import find_binaries
from realtor_local.postgres.databases import DATABASES, EXTERNAL, ROLES
from realtor_local.postgres.server import FALLBACK_ROOT, EmbeddedPostgres, temporary_postgres

__all__ = [
    "DATABASES",
    "EXTERNAL",
    "FALLBACK_ROOT",
    "ROLES",
    "EmbeddedPostgres",
    "PostgresError",
    "find_binaries",
    "temporary_postgres",
]
