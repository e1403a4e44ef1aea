"""The base of the errors that `realtor` prints as one line instead of a traceback."""

# How to get the packages of everything that `realtor` starts.
INSTALL = '`pip install "realtor[local]"` or `uvx --from "realtor[local]" realtor up`'


class RealtorError(Exception):
    """Something a person can put right; the text says what it is and how."""


class PostgresError(RealtorError):
    """The embedded PostgreSQL cannot be found, initialised, started or reached."""
