"""The latest materialization of an asset, on a Dagster instance of the test's own."""

from collections.abc import Iterator

import dagster as dg
import pytest

from realtor_assets.metadata.materializations import (
    INPUTS_KEY,
    latest_entries,
    latest_metadata,
    latest_values,
    unchanged,
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def materialize(instance: dg.DagsterInstance, **metadata: object) -> None:
    @dg.asset(name="model")
    def model() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata=metadata)

    assert dg.materialize([model], instance=instance).success


def context(instance: dg.DagsterInstance) -> dg.AssetExecutionContext:
    return dg.build_asset_context(instance=instance)


def test_an_asset_without_materialization_has_no_metadata(instance: dg.DagsterInstance) -> None:
    assert latest_entries(instance, "model") is None
    assert latest_values(instance, "model") == {}
    assert unchanged(context(instance), "model", "a") is None
    with pytest.raises(dg.Failure, match="model was never materialized"):
        latest_metadata(instance, "model")


def test_values_are_those_of_the_latest_materialization(instance: dg.DagsterInstance) -> None:
    materialize(instance, model_version="1", rows=10)
    materialize(instance, model_version="2", rows=20)
    assert latest_values(instance, "model") == {"model_version": "2", "rows": 20}
    assert latest_metadata(instance, "model") == {"model_version": "2", "rows": 20}


def test_metadata_are_kept_while_the_inputs_key_is_equal(instance: dg.DagsterInstance) -> None:
    materialize(instance, **{INPUTS_KEY: "a", "model_version": "1"})
    entries = unchanged(context(instance), "model", "a")
    assert entries is not None
    assert entries["model_version"].value == "1"
    assert unchanged(context(instance), "model", "b") is None


def test_a_materialization_without_inputs_key_counts_as_changed(
    instance: dg.DagsterInstance,
) -> None:
    materialize(instance, model_version="1")
    assert unchanged(context(instance), "model", "a") is None
