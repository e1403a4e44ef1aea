"""The code location as a whole: its stages, and which way data flows between them."""

import importlib
from collections.abc import Iterator

import dagster as dg
import pytest

from realtor_assets.pipeline_settings import settings

# The order of the collapsed lineage, left to right, and of the folders of realtor_assets.
STAGES = ("source", "raw", "clean", "train", "release", "monitor", "publish")


@pytest.fixture(scope="module")
def definitions() -> Iterator[dg.Definitions]:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REALTOR_RAW_DATABASE_URL", nowhere)
        patch.setenv("REALTOR_CLEAN_DATABASE_URL", nowhere)
        patch.setenv("REALTOR_STORAGE_URL", "file:///nonexistent")
        settings.cache_clear()
        yield importlib.reload(importlib.import_module("realtor_assets.definitions")).defs
    settings.cache_clear()


@pytest.fixture(scope="module")
def stage_of(definitions: dg.Definitions) -> dict[dg.AssetKey, str]:
    graph = definitions.resolve_asset_graph()
    return {key: str(graph.get(key).group_name) for key in graph.get_all_asset_keys()}


@pytest.fixture(scope="module")
def dependencies(definitions: dg.Definitions) -> list[tuple[dg.AssetKey, dg.AssetKey]]:
    """Every edge of the lineage: upstream asset, downstream asset."""
    graph = definitions.resolve_asset_graph()
    return [
        (parent, key) for key in graph.get_all_asset_keys() for parent in graph.get(key).parent_keys
    ]


def test_asset_groups_are_the_stages(stage_of: dict[dg.AssetKey, str]) -> None:
    assert set(stage_of.values()) == set(STAGES)


def test_no_asset_depends_on_a_later_stage(
    stage_of: dict[dg.AssetKey, str], dependencies: list[tuple[dg.AssetKey, dg.AssetKey]]
) -> None:
    """No exception is needed: the champion, which retrain_decision scores, is read from MLflow."""
    backward = [
        f"{upstream.to_user_string()} ({stage_of[upstream]}) -> "
        f"{downstream.to_user_string()} ({stage_of[downstream]})"
        for upstream, downstream in dependencies
        if STAGES.index(stage_of[upstream]) > STAGES.index(stage_of[downstream])
    ]
    assert backward == []


def test_stages_form_no_cycle(
    stage_of: dict[dg.AssetKey, str], dependencies: list[tuple[dg.AssetKey, dg.AssetKey]]
) -> None:
    downstream_of: dict[str, set[str]] = {stage: set() for stage in STAGES}
    for upstream, downstream in dependencies:
        if stage_of[upstream] != stage_of[downstream]:
            downstream_of[stage_of[upstream]].add(stage_of[downstream])

    def reachable(stage: str, visited: frozenset[str] = frozenset()) -> set[str]:
        return {
            further
            for following in downstream_of[stage] - visited
            for further in {following} | reachable(following, visited | {following})
        }

    assert [stage for stage in STAGES if stage in reachable(stage)] == []


def test_every_stage_hands_something_to_a_later_one(
    stage_of: dict[dg.AssetKey, str], dependencies: list[tuple[dg.AssetKey, dg.AssetKey]]
) -> None:
    connected = {
        stage
        for edge in dependencies
        if len({stage_of[key] for key in edge}) == 2
        for stage in (stage_of[key] for key in edge)
    }
    assert connected == set(STAGES)


def test_each_asset_is_described_and_owned(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.get_all_asset_keys()]
    assert [node.key for node in nodes if not node.description or not node.owners] == []


def test_modules_of_a_stage_define_the_assets_of_that_stage(definitions: dg.Definitions) -> None:
    """A stranger finds an asset of the group `train` in the folder `train`."""
    misplaced = []
    for asset in definitions.assets or []:
        if isinstance(asset, dg.AssetsDefinition) and asset.is_executable:
            folder = str(asset.op.compute_fn.decorated_fn.__module__).split(".")[1]
            misplaced += [
                key.to_user_string()
                for key, group in asset.group_names_by_key.items()
                if group != folder
            ]
    assert misplaced == []
