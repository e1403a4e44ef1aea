"""The state of one worker process, and the limits of its threads."""

import functools
import gc
from collections.abc import Callable
from pathlib import Path

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

# Answers create many short-lived objects. Collecting rarely shortens the slowest answers.
GC_THRESHOLD = (50_000, 50, 100)


def packaged_champion(chosen: Path | None) -> tuple[Path, RegisteredVersion] | None:
    """The bundle to start with and its version: `chosen`, else the one in this bento, else None."""
    bundle = chosen or ROOT / PACKAGED_BUNDLE
    if chosen is None and not bundle.is_dir():
        return None
    return bundle, packaged_version(bundle)


class Runtime:
    """The state of one worker process.

    Attributes:
        watcher: holds the champion.
        log: the inference log; None without a database.
        history: the document of GET /history; None if it is not configured.
        history_url: the MLflow page of the model's versions; None without MLflow.
        explanations: limits concurrent explanations and comparables.
        batches: limits concurrent batches.
        reads: limits concurrent reads of the history and of coordinates.
        reloads: limits concurrent reloads.
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
        """The current champion. Read it once per request."""
        return self.watcher.champion

    def reload(self) -> ReloadResult | None:
        """Load the registry's production version now; None if no model serves after that.

        Raises:
            RegistryUnavailable, RefusedModel, NotEverywhere: see `ChampionWatcher.reload`.
        """
        result = self.watcher.reload()
        if result.after is None:
            return None
        return ReloadResult(
            before=result.before, after=result.after, changed=result.before != result.after
        )

    def close(self) -> None:
        """Stop the threads and write the rest of the inference log."""
        self.watcher.stop()
        if self.log is not None:
            self.log.close()


async def in_thread[Result](
    limiter: CapacityLimiter, work: Callable[..., Result], *args: object
) -> Result:
    """Run `work(*args)` in a thread as soon as `limiter` has room, and return its result."""
    return await anyio.to_thread.run_sync(functools.partial(work, *args), limiter=limiter)
