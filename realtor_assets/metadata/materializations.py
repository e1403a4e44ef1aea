"""The latest materialization of an asset, read from Dagster's event log."""

from typing import Any

import dagster as dg

INPUTS_KEY = "inputs_key"
"""Metadata entry by which `unchanged` recognises what a materialization was made from."""


def latest_entries(instance: dg.DagsterInstance, asset: str) -> dict[str, dg.MetadataValue] | None:
    """The metadata entries of the latest materialization of `asset`; None before the first."""
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    if event is None or event.asset_materialization is None:
        return None
    return dict(event.asset_materialization.metadata)


def latest_values(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    """The values of these entries in Python's types; empty before the first materialization."""
    entries = latest_entries(instance, asset) or {}
    return {name: entry.value for name, entry in entries.items()}


def latest_metadata(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    """`latest_values` of an asset that must have been materialized.

    Raises:
        dagster.Failure: it never was.
    """
    if latest_entries(instance, asset) is None:
        raise dg.Failure(f"{asset} was never materialized", allow_retries=False)
    return latest_values(instance, asset)


def unchanged(
    context: dg.AssetExecutionContext, asset: str, inputs_key: str
) -> dict[str, dg.MetadataValue] | None:
    """The metadata entries of the latest materialization of `asset`, if its inputs were the same.

    Args:
        inputs_key: a hash or a name of the inputs, compared with the entry `INPUTS_KEY`.
    """
    entries = latest_entries(context.instance, asset)
    if entries is None or INPUTS_KEY not in entries:
        return None
    return entries if entries[INPUTS_KEY].value == inputs_key else None
