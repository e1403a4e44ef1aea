"""Reads the sources, at most once every `SECONDS`, however many scrapes there are."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from realtor_assets.exporter.families import gauge

# Scrapes within this time get the same values, so that scraping puts no load on the sources.
SECONDS = 15.0

logger = logging.getLogger(__name__)

Source = Callable[[], Iterable[Metric]]


class Sources(Collector):
    """The metrics of several sources, by name.

    A source that fails is reported (`realtor_exporter_source_up` 0) and its metrics are left out,
    so that no old value looks new. One thread reads at a time; others wait for it.
    """

    def __init__(self, sources: Mapping[str, Source], *, seconds: float = SECONDS) -> None:
        self._sources = sources
        self._seconds = seconds
        self._lock = threading.Lock()
        self._due = 0.0
        self._metrics: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        """The metrics, read again if the last reading is older than `seconds`."""
        with self._lock:
            if time.monotonic() >= self._due:
                self._metrics = self._read()
                self._due = time.monotonic() + self._seconds
            return self._metrics

    def _read(self) -> list[Metric]:
        metrics: list[Metric] = []
        up: dict[str, bool] = {}
        seconds: dict[str, float] = {}
        for name, source in self._sources.items():
            began = time.monotonic()
            try:
                # All or nothing: half of a source's metrics would look like all of them.
                metrics += list(source())
                up[name] = True
            except Exception:
                # Any error: the other sources must still be read.
                logger.exception("The source %s cannot be read", name)
                up[name] = False
            seconds[name] = time.monotonic() - began
        return [
            *metrics,
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
