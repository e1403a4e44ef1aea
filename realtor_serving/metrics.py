"""Prometheus metrics of the service, next to BentoML's own on /metrics.

Counters and histograms are summed over the workers; a gauge keeps the largest of the live ones.
"""

from prometheus_client import Counter, Gauge, Histogram

from realtor_model.listing import REGISTERED_MODEL
from realtor_serving.champion import Champion

PREDICTIONS = Counter(
    "realtor_predictions", "Homes valued, by endpoint and model version.", ["endpoint", "version"]
)
PRICE = Histogram(
    "realtor_predicted_price_dollars",
    "Estimated prices, dollars.",
    buckets=[25e3, 50e3, 100e3, 150e3, 200e3, 300e3, 400e3, 600e3, 800e3, 1.2e6, 2e6, 4e6],
)
MODEL = Gauge(
    "realtor_model_info",
    "1 for the model being served, 0 for those that were.",
    ["name", "version", "stage", "candidate"],
    multiprocess_mode="livemax",
)
RELOADS = Counter(
    "realtor_model_reloads", "Changes of the model: loaded, refused, unavailable.", ["result"]
)
LOGGED = Counter(
    "realtor_inference_log_rows", "Rows for inference_log: written, dropped, failed.", ["result"]
)
for _result in ("loaded", "refused", "unavailable"):
    RELOADS.labels(_result)
for _result in ("written", "dropped", "failed"):
    LOGGED.labels(_result)


class ModelMetrics:
    """Keeps the gauge of the served model true when the model changes."""

    def __init__(self) -> None:
        self._shown: tuple[str, str, str, str] | None = None

    def observe(self, outcome: str, champion: Champion | None) -> None:
        """Count a change of the model; `champion` is what serves after it."""
        RELOADS.labels(outcome).inc()
        if champion is None:
            return
        shown = (
            REGISTERED_MODEL,
            champion.release.version,
            champion.stage,
            champion.model.candidate,
        )
        if self._shown is not None and self._shown != shown:
            MODEL.labels(*self._shown).set(0)
        MODEL.labels(*shown).set(1)
        self._shown = shown
