"""How a new champion differs from the one before: weight of each input, values that moved."""

import dagster as dg
import pandas as pd

from realtor_assets.clean.clean_build import required_build
from realtor_assets.metadata import OWNERS, plots
from realtor_assets.metadata.materializations import unchanged
from realtor_assets.raw.raw_listings import read_listings
from realtor_assets.release import release_records
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_model.evaluation.model_change import Change, what_changed
from realtor_model.valuation.bundle import BrokenBundle

COMPARED_ROWS = 5_000
SEGMENTS_SHOWN = 15


@dg.asset(
    group_name="release",
    kinds={"mlflow"},
    owners=OWNERS,
    deps=["production_model", "raw_test"],
    pool="pipeline",
    description="The Production model beside the one it replaced, on the same homes: mean |SHAP| "
    "of each input before and after, the segments whose values moved most, ten homes with both "
    "values.",
)
def champion_change(
    context: dg.AssetExecutionContext,
    raw_database: Database,
    clean_database: Database,
    tracking: Tracking,
) -> dg.MaterializeResult[None]:
    with clean_database.transaction() as connection:
        move = release_records.alias_moves(connection)[-1]
    before, after = move.replaced, move.model_version
    if before is None:
        summary = f"Version {after} is the first model: there is nothing to compare it with."
        return dg.MaterializeResult(
            data_version=dg.DataVersion(after), metadata={"summary": summary}
        )
    key = f"{before} to {after}"
    earlier = unchanged(context, "champion_change", key)
    if earlier is not None:
        return dg.MaterializeResult(data_version=dg.DataVersion(key), metadata=earlier)
    build = required_build(clean_database)
    test = read_listings(raw_database, "test", loads=build.loads, most=COMPARED_ROWS)
    versions = {name: tracking.version(name) for name in (before, after)}
    models = {}
    for name, registered in versions.items():
        try:
            models[name] = tracking.load_bundle(registered)
        except BrokenBundle as problem:
            summary = (
                f"Version {after} {move.action} in place of version {before}: {move.reason} There "
                f"is nothing to compare: this release can't read version {name}: {problem}."
            )
            return dg.MaterializeResult(
                data_version=dg.DataVersion(key), metadata={"summary": summary}
            )
    change = what_changed(models[before], models[after], test.columns, test.price)
    picture = plots.importance_before_and_after(change.importance, before, after)
    run_id = versions[after].run_id
    if run_id:
        client = tracking.client()
        folder = f"change/from_version_{before}"
        client.log_figure(run_id, picture, f"{folder}/importance.png")
        for name, table in _tables(change).items():
            client.log_text(run_id, table.to_csv(index=False), f"{folder}/{name}.csv")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(key),
        metadata={
            "inputs_key": key,
            "summary": f"Version {after} {move.action} in place of version {before}: {move.reason}",
            "importance": plots.in_markdown(picture, "mean |SHAP| by input"),
            **{
                name: dg.MetadataValue.md(
                    table.head(SEGMENTS_SHOWN).to_markdown(index=False, floatfmt=",.3f")
                )
                for name, table in _tables(change).items()
            },
        },
    )


def _tables(change: Change) -> dict[str, pd.DataFrame]:
    return {
        "importance_table": change.importance,
        "segments": change.segments,
        "homes": change.homes,
    }
