"""The Dagster resources: the RAW and CLEAN databases, the object store, MLflow, alerts."""

from realtor_assets.resources.database import Database, copy_arrow, lock_key
from realtor_assets.resources.object_store import ObjectStore

__all__ = ["Database", "ObjectStore", "copy_arrow", "lock_key"]
