"""Metadata that Dagster shows with assets and runs: owners, tags, table schemas, plots."""

OWNERS = ["team:data-platform"]
