"""The Dask cluster that is configured, and a function mapped over what lies in the object store."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Concatenate, ParamSpec, TypeVar

from distributed import Client

from realtor_assets.pipeline_settings import settings

Item = TypeVar("Item")
Result = TypeVar("Result")
Rest = ParamSpec("Rest")

# Of an error that may be the network's; a worker that dies is another matter, and Dask's own.
_RETRIES = 2


@contextmanager
def cluster() -> Iterator[Client]:
    """A client of the cluster at `REALTOR_DASK_SCHEDULER`, once it has a worker.

    With `tls://` the certificates are those of Dask's own configuration.

    Raises `OSError` when the scheduler does not answer, `TimeoutError` without a worker.
    """
    with Client(settings().dask_scheduler, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=300)
        yield client


def on_workers(
    client: Client,
    function: Callable[Concatenate[Item, Rest], Result],
    items: Iterable[Item],
    *rest: Rest.args,
    **named: Rest.kwargs,
) -> list[Result]:
    """`function(item, *rest)` of every item, in their order; memory holds the results.

    What a dead worker had begun begins again on another one, so `function` has to be idempotent.

    Raises what `function` raises, or `distributed.KilledWorker` when an item kills worker after
    worker.
    """
    # Not pure: the same call of a later run has to write its files again.
    futures = [
        client.submit(function, item, *rest, **named, pure=False, retries=_RETRIES)
        for item in items
    ]
    results: list[Result] = client.gather(futures)
    return results
