"""The state of one worker process, and the threads for its longer work."""

import functools
import gc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from realtor_model.registry_names import REGISTERED_MODEL
from realtor_serving.champion.champion_cache import ChampionCache
from realtor_serving.champion.history_document import PublishedHistory
from realtor_serving.champion.model_registry import MlflowRegistry, RegisteredVersion
from realtor_serving.champion.packaged_bundle import PACKAGED_BUNDLE, packaged_version
from realtor_serving.champion.served_champion import Champion, ChampionWatcher
from realtor_serving.contract.schemas import ReloadResult
from realtor_serving.http import service_metrics
from realtor_serving.service_settings import ROOT, ServiceSettings
from realtor_serving.valuation.inference_log import PostgresInferenceLog

# An answer is a thousand short-lived objects: collecting seldom keeps the slowest answers quick.
GC_THRESHOLD = (50_000, 50, 100)

_Result = TypeVar("_Result")


def packaged_champion(chosen: Path | None) -> tuple[Path, RegisteredVersion] | None:
    """The bundle to start with and its version: the one chosen, or the one in this bento."""
    bundle = chosen or ROOT / PACKAGED_BUNDLE
    if chosen is None and not bundle.is_dir():
        return None
    return bundle, packaged_version(bundle)


class Runtime:
    """The state of one worker process.

    Attributes:
        watcher: holds the champion.
        log: where answers are logged; None without a database.
        history: what GET /history hands on; None where it is not configured.
        history_url: the page of the model's versions in MLflow; None without MLflow.
        explanations, batches, reads, reloads: how many of each run at the same time.
    """

    def __init__(self, config: ServiceSettings) -> None:
        gc.set_threshold(*GC_THRESHOLD)
        uri = config.mlflow_tracking_uri
        self.watcher = ChampionWatcher(
            ChampionCache(config.cache),
            MlflowRegistry(uri) if uri else None,
            packaged=packaged_champion(config.champion_bundle),
            poll_seconds=config.champion_poll_seconds,
            observe=service_metrics.ModelMetrics().observe,
        )
        self.log = (
            PostgresInferenceLog(
                config.inference_log_url,
                count=lambda result, rows: service_metrics.LOGGED.labels(result).inc(rows),
                waiting=service_metrics.LOG_QUEUE.set,
            )
            if config.inference_log_url
            else None
        )
        self.history_url = f"{uri.rstrip('/')}/#/models/{REGISTERED_MODEL}" if uri else None
        self.history = PublishedHistory(config.history_url) if config.history_url else None
        self.explanations = CapacityLimiter(config.explain_concurrency)
        self.batches = CapacityLimiter(1)
        self.reads = CapacityLimiter(1)
        self.reloads = CapacityLimiter(1)
        self.watcher.start()

    @property
    def champion(self) -> Champion | None:
        """The champion now; read once per request."""
        return self.watcher.champion

    def reload(self) -> ReloadResult | None:
        """Take the registry's production model now; None when there is none."""
        result = self.watcher.reload()
        if result.after is None:
            return None
        return ReloadResult(
            before=result.before, after=result.after, changed=result.before != result.after
        )

    def close(self) -> None:
        """Stop the threads; what is still to be logged is written."""
        self.watcher.stop()
        if self.log is not None:
            self.log.close()


async def in_thread(
    limiter: CapacityLimiter, work: Callable[..., _Result], *args: object
) -> _Result:
    """`work(*args)` in a thread, once `limiter` has room."""
    return await anyio.to_thread.run_sync(functools.partial(work, *args), limiter=limiter)
