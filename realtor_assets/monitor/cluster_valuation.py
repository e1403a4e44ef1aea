"""Batch valuation, partition by partition: each becomes a Parquet file that appears whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from distributed import Client

from realtor_assets.distributed.cluster import on_workers
from realtor_assets.distributed.exchange import exchange, model_at, put_model
from realtor_assets.distributed.partitions import Partition
from realtor_assets.monitor.valuation_files import write_valuations
from realtor_assets.resources import ObjectStore
from realtor_model.valuation.valuation_model import ValuationModel


@dataclass(frozen=True)
class Valued:
    """What became of one partition: its file, and how many rows have a value and have none."""

    key: str
    rows: int
    not_valued: int


def value(
    client: Client,
    store: ObjectStore,
    partitions: Sequence[Partition],
    model: ValuationModel,
    folder: str,
) -> list[Valued]:
    """Value all listings of `partitions` as sold, on the workers, into files under `folder`.

    The files have row_hash, the 12 columns and `ESTIMATES`. A partition is valued by one task,
    which replaces its file: a killed worker's tasks run again elsewhere and leave the same bytes.
    """
    tasks = [
        (partition, f"{folder}/part-{number:05d}.parquet")
        for number, partition in enumerate(partitions)
    ]
    with exchange(store) as shared:
        put_model(store, shared, model)
        return on_workers(client, _value_partition, tasks, store.url, shared)


def _value_partition(task: tuple[Partition, str], store_url: str, shared: str) -> Valued:
    partition, key = task
    store = ObjectStore(url=store_url)
    prices = write_valuations(model_at(store_url, shared), partition.listings(store), store, key)
    return Valued(key, len(prices), prices.null_count)
