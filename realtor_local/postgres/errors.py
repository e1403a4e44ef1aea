"""What goes wrong with the embedded PostgreSQL."""

from realtor_local.errors import RealtorError


class PostgresError(RealtorError):
    """The embedded PostgreSQL cannot be found, initialised, started or reached."""
