"""XGBoost's own distributed training: each worker streams its partitions, all grow the same trees.

`xgboost.dask.train` would hold all features as floats in the workers' memory, 220 bytes a row.
Here a worker's matrix is XGBoost's external memory: it reads a partition, makes features, bins them
and writes them to its disk; a few dozen bytes a row stay in memory.

A tree needs every worker. When one dies the others stop with an error, and training starts again
with the workers that are left.
"""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
import xgboost
from distributed import Client, KilledWorker, Scheduler, get_worker
from distributed.comm.addressing import get_address_host
from numpy.typing import NDArray
from tenacity import Retrying, before_sleep_log, retry_if_exception_type, stop_after_attempt
from xgboost.collective import CommunicatorContext
from xgboost.tracker import RabitTracker

from realtor_assets.distributed.cluster_trainer import ClusterRows, Source
from realtor_assets.distributed.exchange import encoder_at
from realtor_assets.distributed.sample import is_sampled
from realtor_assets.resources import ObjectStore
from realtor_model.estimators import (
    Estimator,
    XGBoostEstimator,
    boosting_parameters,
    mark_imputed_as_missing,
)
from realtor_model.features import take
from realtor_model.training import Rows

_ATTEMPTS = 3
# How long to wait for a worker that died to return, before training starts again without it.
_RETURN_SECONDS = 60.0
_PRICE = "price"

_log = logging.getLogger(__name__)


class WorkerLost(Exception):
    """A worker died during a training."""


class Boosted(NamedTuple):
    """A booster up to its best round, and the rows it learned from.

    rows: their number. log_range: lowest and highest log price among them.
    """

    booster: xgboost.Booster
    best_iteration: int
    rows: int
    log_range: tuple[float, float]


@dataclass(frozen=True)
class Boosting:
    """One training: XGBoost's parameters, and where the rows are.

    encoder: its key in the object store. patience: stop after so many rounds without a gain on the
    validation rows; without `validation` all rounds are made.
    """

    parameters: Mapping[str, Any]
    rounds: int
    patience: int
    store_url: str
    encoder: str
    train: Sequence[Source]
    validation: Sequence[Source] = ()


def train_xgboost(
    client: Client,
    rows: ClusterRows,
    *,
    candidate: str,
    hyperparameters: Mapping[str, Any],
    seed: int,
) -> Estimator:
    """The XGBoost estimator trained on all workers of the cluster: a `ClusterTrainer`.

    Raises:
        WorkerLost, distributed.KilledWorker, xgboost.core.XGBoostError: of the last attempt.
    """
    feature_names = rows.encoder.feature_names
    base_score = float(np.median(np.log(rows.sample.price)))
    boosted = boost(
        client,
        Boosting(
            parameters=boosting_parameters(
                hyperparameters, feature_names, rows.encoder.monotone, base_score, seed
            ),
            rounds=hyperparameters["n_estimators"],
            patience=hyperparameters["early_stopping_rounds"],
            store_url=rows.store_url,
            encoder=rows.encoder_key,
            train=rows.train,
            validation=rows.validation,
        ),
    )
    boosted.booster.set_param({"nthread": 1})
    estimator = XGBoostEstimator(
        boosted.booster,
        candidate=candidate,
        hyperparameters={**hyperparameters, "best_iteration": boosted.best_iteration},
        n_train_rows=boosted.rows,
        log_range=boosted.log_range,
        feature_names=feature_names,
    )
    estimator.measure_importance(rows.sample.x, seed)
    return estimator


def boost(client: Client, boosting: Boosting) -> Boosted:
    """Train on all workers of the cluster; if one dies start again, three attempts in all.

    Raises:
        WorkerLost, distributed.KilledWorker, xgboost.core.XGBoostError: of the last attempt.
    """
    wanted = len(_workers(client))
    attempts = Retrying(
        retry=retry_if_exception_type((WorkerLost, KilledWorker, xgboost.core.XGBoostError)),
        stop=stop_after_attempt(_ATTEMPTS),
        before_sleep=before_sleep_log(_log, logging.WARNING),
        reraise=True,
    )
    return attempts(_attempt, client, boosting, wanted)


def _attempt(client: Client, boosting: Boosting, wanted: int) -> Boosted:
    """One attempt, as soon as `wanted` workers are there or the time to wait for them is over.

    When it returns or raises, none of its tasks runs on a worker any more.
    """
    deadline = time.monotonic() + _RETURN_SECONDS
    while not (addresses := _workers(client)) or (
        len(addresses) < wanted and time.monotonic() < deadline
    ):
        time.sleep(0.2)
    train = _dealt(boosting.train, len(addresses))
    validation = _dealt(boosting.validation, len(addresses)) if boosting.validation else []
    # XGBoost refuses a worker without rows.
    taking_part = min(len(train), len(validation) or len(train))
    if taking_part < len(addresses):
        train = _dealt(boosting.train, taking_part)
        validation = _dealt(boosting.validation, taking_part) if boosting.validation else []
    arguments = client.run_on_scheduler(_start_tracker, taking_part)
    shared = {name: getattr(boosting, name) for name in _SHARED}
    futures = [
        client.submit(
            _take_part,
            address,
            arguments,
            train[rank],
            validation[rank] if validation else [],
            **shared,
            pure=False,
            # Without other workers a task would wait for its dead worker for ever. With them it
            # moves to one, notices that, and ends with an error.
            workers=[address],
            allow_other_workers=True,
        )
        for rank, address in enumerate(addresses[:taking_part])
    ]
    try:
        parts: list[_Part] = client.gather(futures)
    except BaseException:
        for future in futures:
            future.exception()  # waits until it has ended
        raise
    (booster,) = (part.booster for part in parts if part.booster is not None)
    return Boosted(
        xgboost.Booster(model_file=bytearray(booster)),
        parts[0].best_iteration,
        sum(part.rows for part in parts),
        (min(part.low for part in parts), max(part.high for part in parts)),
    )


_SHARED = ("parameters", "rounds", "patience", "store_url", "encoder")


class _Part(NamedTuple):
    """A worker's result; only the first worker has the booster (UBJSON)."""

    booster: bytes | None
    best_iteration: int
    rows: int
    low: float
    high: float


def _workers(client: Client) -> list[str]:
    return sorted(client.scheduler_info(n_workers=-1)["workers"])


def _dealt(sources: Sequence[Source], hands: int) -> list[list[Source]]:
    """The sources dealt out evenly; cut up if there are fewer of them than `hands`."""
    if len(sources) < hands:
        sources = [piece for source in sources for piece in source.cut(hands)]
    largest_first = sorted(sources, key=lambda source: -source.partition.rows)
    return [hand for i in range(hands) if (hand := largest_first[i::hands])]


def _start_tracker(workers: int, dask_scheduler: Scheduler) -> dict[str, Any]:
    """Start XGBoost's tracker on the scheduler, which all workers reach; returns its arguments."""
    host = get_address_host(dask_scheduler.address)
    tracker = RabitTracker(n_workers=workers, host_ip=host, sortby="task")
    tracker.start()
    Thread(target=_wait_for, args=(tracker,), daemon=True).start()
    return dict(tracker.worker_args())


def _wait_for(tracker: RabitTracker) -> None:
    try:
        tracker.wait_for()
    except xgboost.core.XGBoostError as problem:
        _log.warning("a training has ended early: %s", problem)


def _take_part(
    address: str,
    arguments: dict[str, Any],
    train: Sequence[Source],
    validation: Sequence[Source],
    *,
    parameters: Mapping[str, Any],
    rounds: int,
    patience: int,
    store_url: str,
    encoder: str,
) -> _Part:
    """One worker's part in a training."""
    worker = get_worker()
    if worker.address != address:
        raise WorkerLost(f"{address} has died")
    threads = worker.state.nthreads

    def train_in(folder: str) -> _Part:
        stream = _Stream(train, store_url, encoder, f"{folder}/train")
        learned = xgboost.ExtMemQuantileDMatrix(stream, nthread=threads)
        evaluations = []
        if validation:
            held_out = _Stream(validation, store_url, encoder, f"{folder}/validation")
            matrix = xgboost.ExtMemQuantileDMatrix(held_out, ref=learned, nthread=threads)
            evaluations = [(matrix, "validation")]
        booster = xgboost.train(
            {**parameters, "nthread": threads},
            learned,
            rounds,
            evals=evaluations,
            early_stopping_rounds=patience if evaluations else None,
            verbose_eval=False,
        )
        best = booster.best_iteration if evaluations else rounds - 1
        first = xgboost.collective.get_rank() == 0
        content = bytes(booster[: best + 1].save_raw("ubj")) if first else None
        return _Part(content, best, learned.num_row(), *stream.log_range)

    with (
        tempfile.TemporaryDirectory(dir=worker.local_directory) as folder,
        CommunicatorContext(**arguments, dmlc_task_id=address),
    ):
        # A function of its own, so that its matrices are gone before their folder is.
        return train_in(folder)


class _Stream(xgboost.DataIter):
    """The features and log prices of `sources`, one after the other, as XGBoost asks for them.

    XGBoost goes through them several times, and caches the binned rows in files `cache`….

    log_range: lowest and highest log price so far.
    """

    def __init__(self, sources: Sequence[Source], store_url: str, encoder: str, cache: str) -> None:
        self._sources = sources
        self._store = ObjectStore(url=store_url)
        self._encoder = encoder_at(store_url, encoder)
        self._next: Iterator[Rows] = iter(())
        self.log_range = (np.inf, -np.inf)
        super().__init__(cache_prefix=cache, release_data=True)

    def next(self, input_data: Callable[..., None]) -> bool:
        rows = next(self._next, None)
        if rows is None:
            return False
        log_price, (low, high) = np.log(rows.price), self.log_range
        self.log_range = (min(low, float(log_price.min())), max(high, float(log_price.max())))
        input_data(
            data=mark_imputed_as_missing(rows.x, self._encoder.feature_names), label=log_price
        )
        return True

    def reset(self) -> None:
        parts = (self._rows(source) for source in self._sources)
        self._next = (rows for rows in parts if len(rows.price))

    def _rows(self, source: Source) -> Rows:
        if source.featured:
            table = source.partition.table(self._store)
            x = np.column_stack([table[name] for name in self._encoder.feature_names])
            return Rows(x, table[_PRICE].to_numpy())
        listings = source.partition.listings(self._store, self._encoder.contract)
        columns, price = listings.columns, listings.price
        if source.left_out:
            others: NDArray[np.bool_] = ~is_sampled(columns, source.left_out)
            columns, price = take(columns, others), price[others]
        return Rows(self._encoder.transform(columns), price)
