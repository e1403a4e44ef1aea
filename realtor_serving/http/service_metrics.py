"""Prometheus metrics of the service, served on /metrics.

Counters and histograms are summed over all workers, including dead ones. The `multiprocess_mode`
of each gauge says how its values are combined. Paths that are not routes get the label "other", so
that labels take few values.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from realtor_model.registry_names import REGISTERED_MODEL
from realtor_serving.champion.served_champion import Champion

Floats = NDArray[np.float64]

OTHER = "other"
PLACES = ("state", "city", "zip_code")

REQUESTS = Counter(
    "api_requests", "Requests answered, by endpoint, method and status.",
    ["endpoint", "method", "status"],
)  # fmt: skip
DURATION = Histogram(
    "api_request_duration_seconds",
    "From the head of a request to the last byte of its answer, seconds.",
    ["endpoint"],
    buckets=[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60],
)
IN_PROGRESS = Gauge(
    "api_requests_in_progress", "Requests being answered.", multiprocess_mode="livesum"
)
PREDICTIONS = Counter(
    "predictions", "Homes valued, by endpoint and model version.", ["endpoint", "version"]
)
PRICE = Histogram(
    "prediction_price_dollars",
    "Estimated prices, dollars.",
    buckets=[25e3, 50e3, 100e3, 150e3, 200e3, 300e3, 400e3, 600e3, 800e3, 1.2e6, 2e6, 4e6],
)
INTERVAL = Histogram(
    "prediction_interval_width_ratio",
    "Width of the range, relative to the price.",
    buckets=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 4.0],
)
UNKNOWN = Counter(
    "predictions_unknown_category",
    "Homes valued whose state, city or zip code the model never saw; over predictions_total it is "
    "the rate.",
    ["input"],
)
MODEL = Gauge(
    "model_version",
    "1 for the model being served, 0 for those that were.",
    ["name", "version", "stage", "candidate"],
    multiprocess_mode="livemax",
)
RELOADS = Counter(
    "model_reloads",
    "Changes of the model in a worker: loaded, refused, unavailable (the registry).",
    ["result"],
)
LOGGED = Counter(
    "inference_log_rows",
    "Rows for inference_log: written, dropped for good, or failed in an attempt that is repeated.",
    ["result"],
)
LOG_QUEUE = Gauge(
    "inference_log_queue_rows", "Rows that wait to be written.", multiprocess_mode="livesum"
)
# Create the counters at 0, so that rate() sees the first failure.
FAILURES = ("429", "500", "503", "504")
for _result in ("loaded", "refused", "unavailable"):
    RELOADS.labels(_result)
for _result in ("written", "dropped", "failed"):
    LOGGED.labels(_result)
for _input in PLACES:
    UNKNOWN.labels(_input)


def expect(methods: Mapping[str, Iterable[str]]) -> None:
    """Create the request counters at 0 for each endpoint, method and status of `FAILURES`."""
    for endpoint, allowed_methods in methods.items():
        for method in allowed_methods:
            for status in FAILURES:
                REQUESTS.labels(endpoint, method, status)


def latest() -> bytes:
    """The metrics of all workers in the Prometheus text format."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return generate_latest()
    # A killed worker leaves its gauge files behind.
    for file in Path(folder).glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not _is_alive(pid):
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def observe_all(histogram: Histogram, values: Floats) -> None:
    """Call `histogram.observe` for each of `values`, shape (n,), but vectorized."""
    edges = np.asarray(histogram._upper_bounds[:-1], np.float64)
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    for bucket, count in zip(histogram._buckets, counts.tolist(), strict=True):
        if count:
            bucket.inc(count)
    histogram._sum.inc(float(values.sum()))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class ModelMetrics:
    """Updates the gauge of the served model when the model changes."""

    def __init__(self) -> None:
        self._shown: tuple[str, str, str, str] | None = None

    def observe(self, outcome: str, champion: Champion | None) -> None:
        """Count a change of the model.

        Args:
            outcome: "loaded", "refused" or "unavailable".
            champion: the model that serves after the change; None for none.
        """
        RELOADS.labels(outcome).inc()
        if champion is None:
            return
        shown = (
            REGISTERED_MODEL,
            champion.registered.version,
            champion.stage,
            champion.model.candidate,
        )
        if self._shown is not None and self._shown != shown:
            MODEL.labels(*self._shown).set(0)
        MODEL.labels(*shown).set(1)
        self._shown = shown
