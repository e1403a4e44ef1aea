"""How good is the champion, and what does it say of the newest batch?"""

import dagster as dg
import numpy as np
import pandas as pd

from realtor_assets import plots
from realtor_assets.clean import required_build
from realtor_assets.identity import SPLITS
from realtor_assets.listings import Listings, read_listings
from realtor_assets.raw import OWNERS
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.settings import settings
from realtor_assets.tracking import Tracking
from realtor_assets.valuations import read_prices, write_valuations
from realtor_model.evaluation import ratio_study as study_ratios
from realtor_model.evaluation import slices

MIN_SEGMENT = 30
SEGMENTS_SHOWN = 15


@dg.asset(
    group_name="evaluation",
    kinds={"pandas"},
    owners=OWNERS,
    deps=["production_model", "raw_test"],
    description="The appraiser's ratio study of the Production model on the test split: median "
    "ratio, COD, PRD, PRB, overall and by status, state and value band.",
)
def ratio_study(
    raw_database: Database, clean_database: Database, tracking: Tracking
) -> dg.MaterializeResult[None]:
    champion = tracking.production()
    model = tracking.load_bundle(champion)
    test = read_listings(raw_database, "test", loads=required_build(clean_database).loads)
    predicted = model.predict(test.columns)
    fifths = np.searchsorted(np.quantile(predicted, [0.2, 0.4, 0.6, 0.8]), predicted) + 1
    labels = {
        "status": test.columns["status"],
        "state": test.columns["state"],
        "fifth of the estimate": fifths.astype(str).astype(object),
    }
    segments = pd.concat(
        [slices(test.price, predicted, values).assign(by=by) for by, values in labels.items()]
    )
    shown = segments[segments["n"] >= MIN_SEGMENT].sort_values("n", ascending=False)
    study = study_ratios(test.price, predicted)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(champion.version)),
        metadata={
            "model_version": str(champion.version),
            **{name: float(value) for name, value in study.items()},
            "segments": dg.MetadataValue.md(
                shown.head(SEGMENTS_SHOWN).to_markdown(index=False, floatfmt=",.3f")
            ),
            "ratios": plots.in_markdown(plots.ratio_histogram(test.price, predicted), "ratios"),
        },
    )


@dg.asset(
    group_name="evaluation",
    kinds={"parquet"},
    owners=OWNERS,
    deps=["production_model", *(f"raw_{split}" for split in SPLITS)],
    description="Every listing of the newest batch valued as sold by the Production model, with "
    "its range and confidence or the reason why not, as Parquet in the object store.",
)
def batch_valuations(
    store: ObjectStore, raw_database: Database, clean_database: Database, tracking: Tracking
) -> dg.MaterializeResult[None]:
    champion = tracking.production()
    model = tracking.load_bundle(champion)
    build = required_build(clean_database)
    newest = build.loads[-1]
    folder = f"valuations/model_version={champion.version}/load={newest}"
    if settings().dask_scheduler:
        from realtor_assets.distributed import cluster, partitions, valuation

        partitions.export(raw_database, store, [newest])
        with cluster.cluster() as client:
            found = partitions.partitions(store, [newest])
            valued = valuation.value(client, store, found, model, folder)
        keys = [part.key for part in valued]
    else:
        keys = [f"{folder}/part-00000.parquet"]
        write_valuations(model, _rows_of(raw_database, [newest]), store, keys[0])
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


def _rows_of(database: Database, loads: list[int]) -> Listings:
    """All rows that `loads` first brought, whatever their split."""
    frames = [read_listings(database, split, loads=loads).frame for split in SPLITS]
    return Listings(pd.concat(frames, ignore_index=True))
