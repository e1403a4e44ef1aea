"""Batch valuation on a Dask cluster: one Parquet file per partition."""

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
    """The file of one partition: its key, its rows, and how many of them have no estimate."""

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
    """Estimate sale prices for all listings of `partitions`, into files under `folder`.

    The files are those of `write_valuations`. One task values one
    partition and replaces its file, so a task that runs again after a worker died writes the same
    bytes.
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
    model = model_at(store_url, shared)
    prices = write_valuations(model, partition.listings(store, model.contract), store, key)
    return Valued(key, len(prices), prices.null_count)
