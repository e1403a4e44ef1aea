"""The base of the errors that `realtor` prints as one line instead of a traceback."""

# How to get the packages of everything that `realtor` starts.
INSTALL = '`pip install "realtor[local]"` or `uvx --from "realtor[local]" realtor up`'

# What to do about a refused payload.
AFTER_REFUSAL = (
    "After a change of the market file (REALTOR_MARKET) or an upgrade, `realtor ingest --again"
    " {partition}` loads it again; a corrected file is ingested as a new one. `realtor refused"
    " --dismiss {partition} --reason …` takes it off the list."
)


class RealtorError(Exception):
    """Something a person can put right; the text says what it is and how."""


class PostgresError(RealtorError):
    """The embedded PostgreSQL cannot be found, initialised, started or reached."""
