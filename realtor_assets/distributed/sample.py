"""A bounded sample of partitioned listings: the encoder is fitted on it, the model described by it.

The encoder's medians, quantiles and neighbourhoods need their rows in one place, and a million rows
estimate them well enough (docs/SCALING.md has the figures). The trees improve with every further
row, so they learn from all of them.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from distributed import Client
from numpy.typing import NDArray

from realtor_assets.distributed.cluster import on_workers
from realtor_assets.distributed.partitions import Partition
from realtor_assets.raw.raw_listings import Listings
from realtor_assets.resources import ObjectStore
from realtor_model.features import Columns, columns_from_frame, property_fold

SAMPLE_ROWS = 1_000_000

# Properties are divided into so many parts; a sample is the first few of them.
_PARTS = 1_000_003
# Differs from the encoder's seed, so that the encoder's folds divide the sample evenly.
_SEED = 20_260


def share_of(partitions: Sequence[Partition], most: int) -> float:
    """The share of the partitions' rows that makes about `most` rows; 1 if there are no more."""
    return min(1.0, most / max(1, sum(partition.rows for partition in partitions)))


def is_sampled(columns: Columns, share: float) -> NDArray[np.bool_]:
    """Which rows (n,) are in a sample of `share`: all listings of a property, or none.

    A row's place does not depend on its partition. A larger share includes a smaller one.
    """
    return property_fold(columns, _PARTS, _SEED) < math.ceil(share * _PARTS)


def sampled(
    client: Client, store: ObjectStore, partitions: Sequence[Partition], share: float
) -> Listings:
    """The sample of the partitions' listings, ordered by `row_hash`, in this process."""
    frames = on_workers(client, _sampled, partitions, store.url, share)
    whole = pd.concat(frames, ignore_index=True)
    return Listings(whole.sort_values("row_hash", ignore_index=True))


def _sampled(partition: Partition, store_url: str, share: float) -> pd.DataFrame:
    table = partition.table(ObjectStore(url=store_url))
    frame: pd.DataFrame = table.to_pandas(date_as_object=False)
    # Only the columns that every market has decide.
    return frame[is_sampled(columns_from_frame(frame), share)]
