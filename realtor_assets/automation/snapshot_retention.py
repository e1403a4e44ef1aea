"""What may go when a person says so: nothing here is deleted by itself.

Landed payloads, RAW, decisions, releases and MLflow's runs and versions are the history, and stay.
What can be made again from them may go: Parquet snapshots of earlier clean builds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from realtor_assets.clean.clean_build import SNAPSHOTS, CleanBuild
from realtor_assets.release import release_records
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_assets.schema import require_current


@dataclass(frozen=True)
class Snapshot:
    """The Parquet files of a clean build that may go."""

    data_version: str
    keys: Sequence[str]
    bytes: int


def removable_snapshots(
    store: ObjectStore, database: Database, tracking: Tracking, *, keep: int
) -> list[Snapshot]:
    """Snapshots of all builds but the newest `keep` and those of the versions to go back to."""
    with database.transaction() as connection:
        require_current(connection, "clean")
        builds = [
            str(version)
            for (version,) in connection.execute(
                "SELECT data_version FROM clean_builds ORDER BY built_at DESC"
            )
        ]
        line = release_records.in_line(release_records.releases(connection))
    kept = {*builds[:keep], *(tracking.version(each).tags.get("data_version") for each in line)}
    found = []
    for version in builds:
        keys = [
            key for name in SNAPSHOTS
            if store.exists(key := CleanBuild.key_of(version, name))
        ]  # fmt: skip
        if version not in kept and keys:
            found.append(Snapshot(version, keys, sum(map(store.size, keys))))
    return found


def remove(store: ObjectStore, snapshot: Snapshot) -> None:
    """Remove a snapshot; half of it gone already is fine."""
    for key in snapshot.keys:
        store.delete(key)
