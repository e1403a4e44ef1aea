"""Asks the sources, each at most every so often, whoever scrapes and however many."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from realtor_assets.exporter.families import gauge

# A scrape is answered from what was read that long ago, so that nobody's scraping becomes load.
SECONDS = 15.0

logger = logging.getLogger(__name__)

Source = Callable[[], Iterable[Metric]]


class Sources(Collector):
    """The metrics of several sources, by name.

    A source that fails is told of (`realtor_exporter_source_up`), and its metrics are left out:
    an old number must not pass for a new one. One reader at a time; others wait for it.
    """

    def __init__(self, sources: Mapping[str, Source], *, seconds: float = SECONDS) -> None:
        self._sources = sources
        self._seconds = seconds
        self._lock = threading.Lock()
        self._due = 0.0
        self._found: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        """What was read last, read again when that was long ago."""
        with self._lock:
            if time.monotonic() >= self._due:
                self._found = self._read()
                self._due = time.monotonic() + self._seconds
            return self._found

    def _read(self) -> list[Metric]:
        found: list[Metric] = []
        up: dict[str, bool] = {}
        seconds: dict[str, float] = {}
        for name, source in self._sources.items():
            began = time.monotonic()
            try:
                # As a whole: half of what a source tells would look like all of it.
                found += list(source())
                up[name] = True
            except Exception:
                # Whatever it is: the other sources are still to be seen.
                logger.exception("The source %s cannot be read", name)
                up[name] = False
            seconds[name] = time.monotonic() - began
        return [
            *found,
            gauge(
                "realtor_exporter_source_up",
                "1 for a source that could be read; without it, its metrics are missing.",
                ("source",),
                [((name,), value) for name, value in up.items()],
            ),
            gauge(
                "realtor_exporter_read_seconds",
                "How long reading a source took.",
                ("source",),
                [((name,), value) for name, value in seconds.items()],
            ),
            gauge(
                "realtor_exporter_read_timestamp_seconds",
                "When the sources were read.",
                (),
                [((), time.time())],
            ),
        ]
