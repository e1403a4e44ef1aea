"""Removes Parquet snapshots of earlier clean builds, when a person asks for it.

Nothing is removed automatically. Landed payloads, RAW, decisions, releases and MLflow's runs and
versions are the history and always stay; snapshots can be rebuilt from RAW.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from realtor_assets.clean.clean_build import SNAPSHOTS, CleanBuild
from realtor_assets.release import release_records
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.schema import require_current
from realtor_model.registry_names import DATA_VERSION_TAG


@dataclass(frozen=True)
class Snapshot:
    """The Parquet files of a clean build that may be removed."""

    data_version: str
    keys: Sequence[str]
    bytes: int


def removable_snapshots(
    store: ObjectStore, database: Database, tracking: Tracking, *, keep: int
) -> list[Snapshot]:
    """Snapshots that may be removed.

    All but those of the newest `keep` builds, and of the versions that a rollback returns to.
    """
    with database.transaction() as connection:
        require_current(connection, "clean")
        builds = [
            str(version)
            for (version,) in connection.execute(
                "SELECT data_version FROM clean_builds ORDER BY built_at DESC"
            )
        ]
        line = release_records.in_line(release_records.alias_moves(connection))
    needed = {
        *builds[:keep],
        *(tracking.version(version).tags.get(DATA_VERSION_TAG) for version in line),
    }
    removable = []
    for version in builds:
        keys = [
            key for name in SNAPSHOTS
            if store.exists(key := CleanBuild.key_of(version, name))
        ]  # fmt: skip
        if version not in needed and keys:
            removable.append(Snapshot(version, keys, sum(map(store.size, keys))))
    return removable


def remove(store: ObjectStore, snapshot: Snapshot) -> None:
    """Remove a snapshot, or what is left of it."""
    for key in snapshot.keys:
        store.delete(key)
