"""The asset batch_valuations: the newest batch, valued by the Production model."""

import dagster as dg
import numpy as np
import pandas as pd

from realtor_assets.clean.clean_build import required_build
from realtor_assets.metadata import OWNERS
from realtor_assets.monitor.valuation_files import read_prices, write_valuations
from realtor_assets.pipeline_settings import settings
from realtor_assets.raw.raw_listings import Listings, read_listings
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.resources.mlflow_tracking import Tracking


@dg.asset(
    group_name="monitor",
    kinds={"parquet"},
    owners=OWNERS,
    deps=["production_model", *(f"raw_{split}" for split in SPLITS)],
    description="Sale prices that the Production model estimates for the listings of the newest "
    "batch, with range and confidence, or the reason why there is none: Parquet files in the "
    "object store.",
)
def batch_valuations(
    store: ObjectStore, raw_database: Database, clean_database: Database, tracking: Tracking
) -> dg.MaterializeResult[None]:
    champion, model = tracking.production_model()
    build = required_build(clean_database)
    newest = build.loads[-1]
    folder = f"valuations/model_version={champion.version}/load={newest}"
    if settings().dask_scheduler:
        from realtor_assets.distributed import cluster, partitions
        from realtor_assets.monitor import cluster_valuation

        partitions.export(raw_database, store, [newest])
        with cluster.cluster() as client:
            parts = partitions.partitions(store, [newest])
            valued = cluster_valuation.value(client, store, parts, model, folder)
        keys = [part.key for part in valued]
    else:
        keys = [f"{folder}/part-00000.parquet"]
        write_valuations(model, _listings_of(raw_database, newest), store, keys[0])
    prices = read_prices(store, keys)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(f"{champion.version}:{build.data_version}"),
        metadata={
            "url": store.url_of(folder),
            "dagster/row_count": len(prices),
            "model_version": str(champion.version),
            "not_valued": prices.null_count,
            "median_price": float(np.median(prices.drop_null().to_numpy())),
        },
    )


def _listings_of(database: Database, load_id: int) -> Listings:
    """The rows that a load inserted, of all splits."""
    frames = [read_listings(database, split, loads=[load_id]).frame for split in SPLITS]
    return Listings(pd.concat(frames, ignore_index=True))
