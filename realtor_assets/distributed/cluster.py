"""The configured Dask cluster, and a function mapped over items on its workers."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Concatenate

from distributed import Client

from realtor_assets.pipeline_settings import settings

# Retries of a task whose error may be the network's. Dask itself repeats tasks of dead workers.
_RETRIES = 2


@contextmanager
def cluster() -> Iterator[Client]:
    """A client of the cluster at `REALTOR_DASK_SCHEDULER`, once it has a worker.

    With `tls://` the certificates are those of Dask's own configuration.

    Raises:
        OSError: the scheduler does not answer.
        TimeoutError: no worker came within five minutes.
    """
    with Client(settings().dask_scheduler, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=300)
        yield client


def on_workers[Item, **Rest, Result](
    client: Client,
    function: Callable[Concatenate[Item, Rest], Result],
    items: Iterable[Item],
    *rest: Rest.args,
    **named: Rest.kwargs,
) -> list[Result]:
    """`function(item, *rest)` of every item, in their order; memory holds the results.

    The tasks of a dead worker are repeated on another one, so `function` has to be idempotent.

    Raises:
        distributed.KilledWorker: an item killed worker after worker.
        Exception: what `function` raised, after its retries.
    """
    # Not pure: a later run's equal call has to write its files again.
    futures = [
        client.submit(function, item, *rest, **named, pure=False, retries=_RETRIES)
        for item in items
    ]
    results: list[Result] = client.gather(futures)
    return results
