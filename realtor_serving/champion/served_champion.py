"""The champion of a worker: loaded from the cache, watched and swapped without a restart.

Every worker loads the version that the cache's `current.json` names. One worker, the leader, asks
MLflow for the production version and rewrites `current.json`. If any step fails, the model in
memory keeps answering.
"""

import gc
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np

from realtor_model.features import as_sold, columns_from_properties
from realtor_model.listing import Home, ListingContract, home_model
from realtor_model.valuation.bundle import load_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.champion.champion_cache import (
    ChampionCache,
    Pointer,
    Worker,
    WorkerFile,
    living_workers,
)
from realtor_serving.champion.model_registry import (
    NoBundle,
    RegisteredVersion,
    Registry,
    RegistryUnavailable,
)

FOLLOW_SECONDS = 0.25
# Loading and trying out a bundle takes one or two seconds, and longer on a busy machine.
WORKERS_SECONDS = 45.0
COMPLAIN_SECONDS = 60.0
ADDITIVITY_TOLERANCE = 1e-4

logger = logging.getLogger(__name__)


class RefusedModel(Exception):
    """The new version cannot serve; the text says why."""


class NotEverywhere(Exception):
    """Some workers do not serve the production version yet; the text names them."""


@dataclass(frozen=True)
class Champion:
    """The model being served and its origin. Immutable: each request reads it once."""

    model: ValuationModel
    registered: RegisteredVersion
    stage: str
    loaded_at: datetime
    bundle_sha256: str


def example_home(contract: ListingContract) -> Home:
    """The example home of a market: a new model must value it before it serves."""
    return home_model(contract).model_validate(contract.example_home)


def load_champion(
    path: Path, registered: RegisteredVersion, stage: str, loaded_at: datetime
) -> Champion:
    """Load, verify and try out the bundle at `path`.

    Args:
        path: the bundle's folder.
        registered: its version in the registry.
        stage: "Production", or "Packaged" if no registry has confirmed the version.
        loaded_at: when the load began, for the answers.

    Raises:
        RefusedModel: the bundle is broken, or its values or explanations are wrong.
        OSError, MemoryError: the machine is out of file handles, disk or memory; load it again
            later.
    """
    try:
        model = load_bundle(path)
        columns = as_sold(columns_from_properties([example_home(model.contract)]))
        price = float(model.value(columns).price[0])
        explanation = model.explain(columns)
        if model.sold_homes is not None:
            model.compare(columns)
    except (OSError, MemoryError):
        raise
    except Exception as problem:
        raise RefusedModel(f"{type(problem).__name__}: {problem}") from problem
    if not (np.isfinite(price) and price > 0):
        raise RefusedModel(f"it values an ordinary house at {price}")
    gap = float(explanation.additivity_error[0])
    if not gap <= ADDITIVITY_TOLERANCE:
        raise RefusedModel(f"its explanation misses its valuation by {gap} in log price")
    digest = hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()
    return Champion(model, registered, stage, loaded_at, digest)


@dataclass(frozen=True)
class Reload:
    """The version served before and after a reload; None for no model."""

    before: str | None
    after: str | None


class ChampionWatcher:
    """Holds the champion of one worker and keeps it current in a background thread.

    Args:
        cache: the bundles on disk.
        registry: the model registry; None to serve only cached and packaged bundles.
        packaged: the bundle to serve while the cache is empty, and its version.
        poll_seconds: interval at which the leader asks the registry.
        observe: called on each change with its outcome ("loaded", "refused" or "unavailable") and
            the champion that serves after it.

    Attributes:
        champion: the model to serve now, or None. Read it once per request.
    """

    def __init__(
        self,
        cache: ChampionCache,
        registry: Registry | None,
        *,
        packaged: tuple[Path, RegisteredVersion] | None = None,
        poll_seconds: float = 5.0,
        observe: Callable[[str, Champion | None], None] = lambda outcome, champion: None,
    ) -> None:
        self._cache = cache
        self._registry = registry
        self._packaged = packaged
        self._poll_seconds = poll_seconds
        self._observe = observe
        self.champion: Champion | None = None
        self._followed: Pointer | None = None
        self._changing = threading.Lock()
        self._stopping = threading.Event()
        self._leadership: IO[bytes] | None = None
        self._complained_at = -COMPLAIN_SECONDS
        self._report = WorkerFile(cache)
        self._thread = threading.Thread(target=self._watch, name="champion", daemon=True)

    def start(self) -> None:
        """Load the cached or packaged bundle, then start the background thread."""
        with self._changing:
            try:
                self._follow()
            except (OSError, MemoryError):
                logger.exception("The cached model cannot be loaded now; the watch tries again")
            if self.champion is None and self._packaged is not None:
                path, registered = self._packaged
                try:
                    self._swap(load_champion(path, registered, "Packaged", datetime.now(UTC)))
                except RefusedModel as problem:
                    self._refused(registered, problem)
        self._thread.start()

    def stop(self) -> None:
        """Stop the background thread. The champion stays readable."""
        self._stopping.set()
        self._thread.join(timeout=5)
        if self._leadership is not None:
            self._leadership.close()
        self._report.close()

    def reload(self) -> Reload:
        """Load the production version now and wait until all workers serve it.

        A version that was refused before is tried again. On any error, this worker keeps a
        champion that works.

        Raises:
            RegistryUnavailable: the registry does not answer.
            RefusedModel: the production version cannot serve; the champion is unchanged.
            NotEverywhere: some workers do not serve the production version.
        """
        before = self.champion
        if reason := self._check(again=True):
            raise RefusedModel(reason)
        with self._changing:
            self._follow()
        self._await_workers()
        after = self.champion
        return Reload(
            before.registered.version if before else None,
            after.registered.version if after else None,
        )

    def _await_workers(self) -> None:
        """Wait until every worker serves what `current.json` names. Raises `NotEverywhere`."""
        deadline = time.monotonic() + WORKERS_SECONDS
        while (pointer := self._cache.current()) is not None:
            workers = living_workers(self._cache)
            behind = [
                worker for worker in workers if worker.followed != pointer.key or worker.problem
            ]
            if not behind:
                return
            settled = all(worker.followed == pointer.key for worker in workers)
            if settled or time.monotonic() > deadline:
                raise NotEverywhere(
                    f"version {pointer.registered.version} is served by "
                    f"{len(workers) - len(behind)} of {len(workers)} workers, but not by "
                    + "; ".join(map(_in_words, behind))
                )
            time.sleep(0.05)

    def _watch(self) -> None:
        next_check = 0.0
        while True:
            try:
                with self._changing:
                    self._follow()
                if time.monotonic() >= next_check and (self._leads() or self._lags()):
                    next_check = time.monotonic() + self._poll_seconds
                    self._check(again=False)
            except RegistryUnavailable as problem:
                self._observe("unavailable", self.champion)
                self._complain(f"{problem}. Serving on with {self._served()}.")
            except Exception:
                logger.exception("The watch over the champion failed; it goes on")
            if self._stopping.wait(FOLLOW_SECONDS):
                return

    def _leads(self) -> bool:
        """Whether this worker is the leader. The lock is released when the leader dies."""
        if self._leadership is None:
            self._leadership = self._cache.try_lock("leader")
        return self._leadership is not None

    def _lags(self) -> bool:
        """Whether this worker failed to load the version that `current.json` names."""
        champion, pointer = self.champion, self._followed
        return pointer is not None and (
            champion is None or champion.registered != pointer.registered
        )

    def _follow(self) -> None:
        """Load and serve the version that `current.json` names, if it has changed."""
        pointer = self._cache.current()
        if pointer is None or pointer == self._followed:
            return
        try:
            champion = load_champion(
                pointer.path, pointer.registered, "Production", pointer.loaded_at
            )
        except RefusedModel as problem:
            self._refused(pointer.registered, problem)
            self._follows(pointer, str(problem))
        else:
            self._swap(champion)
            self._follows(pointer)

    def _follows(self, pointer: Pointer, problem: str | None = None) -> None:
        self._followed = pointer
        champion = self.champion
        self._report.report(pointer, champion.registered.version if champion else None, problem)

    def _check(self, *, again: bool) -> str | None:
        """Ask the registry for the production version and point all workers at it.

        Args:
            again: whether to try a version that was refused in the last ten minutes.

        Returns:
            The reason why the version was refused; None if it was not.

        Raises:
            RegistryUnavailable: the registry does not answer.
        """
        if self._registry is None:
            return None
        with self._cache.lock("check"):
            registered = self._registry.production()
            if registered is None or self._serves(registered):
                return None
            # A worker without a model also tries a version that was refused.
            remembered = None if again or self.champion is None else self._cache.refusal(registered)
            if remembered is not None:
                return remembered
            loaded_at = datetime.now(UTC)
            try:
                path, champion = self._obtain(registered, self._registry, loaded_at)
            except (RefusedModel, NoBundle) as problem:
                self._cache.refuse(registered, str(problem))
                self._refused(registered, problem)
                return f"version {registered.version} was refused: {problem}"
            os.utime(path)
            pointer = Pointer(registered, path, loaded_at)
            with self._changing:
                self._cache.point_at(pointer)
                self._swap(champion)
                self._follows(pointer)
            self._cache.prune()
            return None

    def _serves(self, registered: RegisteredVersion) -> bool:
        """Whether this worker and `current.json` are both at `registered`."""
        champion, pointer = self.champion, self._cache.current()
        return (
            champion is not None
            and champion.stage == "Production"
            and champion.registered == registered
            and pointer is not None
            and pointer.registered == registered
        )

    def _obtain(
        self, registered: RegisteredVersion, registry: Registry, loaded_at: datetime
    ) -> tuple[Path, Champion]:
        cached = self._cache.path(registered)
        if cached.is_dir():
            try:
                return cached, load_champion(cached, registered, "Production", loaded_at)
            except RefusedModel as problem:
                logger.warning(
                    "The cached version %s is fetched again: %s", registered.key, problem
                )
        path = self._cache.fetch(registered, registry.download)
        return path, load_champion(path, registered, "Production", loaded_at)

    def _swap(self, champion: Champion) -> None:
        self.champion = champion
        # Exclude the long-lived objects of the model from garbage collection.
        gc.collect()
        gc.freeze()
        logger.info("Serving %s", self._served())
        self._observe("loaded", champion)

    def _refused(self, registered: RegisteredVersion, problem: Exception) -> None:
        logger.error(
            "Version %s is refused: %s. Serving on with %s.",
            registered.version,
            problem,
            self._served(),
        )
        self._observe("refused", self.champion)

    def _served(self) -> str:
        champion = self.champion
        if champion is None:
            return "no model"
        return f"version {champion.registered.version} ({champion.model.candidate})"

    def _complain(self, text: str) -> None:
        if time.monotonic() - self._complained_at >= COMPLAIN_SECONDS:
            self._complained_at = time.monotonic()
            logger.warning(text)


def _in_words(worker: Worker) -> str:
    serving = f"serves {worker.version or 'no model'}"
    return f"worker {worker.pid}, which {serving}" + (
        f": {worker.problem}" if worker.problem else ""
    )
