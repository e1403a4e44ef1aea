"""What earlier runs told of an asset."""

from typing import Any

import dagster as dg


def latest_metadata(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    """The values that the last materialization of `asset` has as metadata.

    Raises `dagster.Failure` when there was none.
    """
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    if event is None or event.asset_materialization is None:
        raise dg.Failure(f"{asset} was never materialized", allow_retries=False)
    return {key: item.value for key, item in event.asset_materialization.metadata.items()}


def unchanged(
    context: dg.AssetExecutionContext, asset: str, key: str
) -> dict[str, dg.MetadataValue] | None:
    """The metadata of the last materialization of `asset`, if it had this `training_key`."""
    event = context.instance.get_latest_materialization_event(dg.AssetKey(asset))
    if event is None or event.asset_materialization is None:
        return None
    metadata = dict(event.asset_materialization.metadata)
    found = metadata.get("inputs_key")
    return metadata if found is not None and found.value == key else None
