"""The service's Prometheus metrics: request rates, latencies and estimated prices."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.parser import text_string_to_metric_families

REQUESTS = "api_requests_total"
SECONDS = "api_request_duration_seconds_bucket"
PRICES = "prediction_price_dollars_bucket"
VALUED = "predictions_total"
# Requests of monitoring, this app's own among them, are not counted.
WATCHING = ("/metrics", "/livez", "/readyz", "/health", "/model-info", "/history")

Buckets = dict[float, float]


@dataclass(frozen=True)
class MetricsSnapshot:
    """The counters at one moment. Buckets are cumulative: upper end → count."""

    at: datetime
    requests: dict[str, float] = field(default_factory=dict)
    errors: float = 0.0
    seconds: Buckets = field(default_factory=dict)
    prices: Buckets = field(default_factory=dict)
    valued: dict[str, float] = field(default_factory=dict)

    @property
    def total_requests(self) -> float:
        """Requests since the service started, without those of monitoring."""
        return sum(self.requests.values())


def parse_metrics(text: str, at: datetime) -> MetricsSnapshot:
    """The counters in `text`, the Prometheus format; other metrics are skipped.

    Raises:
        ValueError: the text has another format.
    """
    requests: dict[str, float] = defaultdict(float)
    valued: dict[str, float] = defaultdict(float)
    seconds: Buckets = defaultdict(float)
    prices: Buckets = defaultdict(float)
    errors = 0.0
    samples = (
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    )
    for sample in samples:
        name, labels, value = sample.name, sample.labels, sample.value
        watched = labels.get("endpoint") in WATCHING
        if name == REQUESTS and not watched:
            requests[labels.get("endpoint", "")] += value
            if labels.get("status", "200") >= "500":
                errors += value
        elif name == SECONDS and not watched:
            seconds[float(labels["le"])] += value
        elif name == PRICES:
            prices[float(labels["le"])] += value
        elif name == VALUED:
            valued[labels.get("version", "")] += value
    return MetricsSnapshot(at, dict(requests), errors, dict(seconds), dict(prices), dict(valued))


def request_rate(before: MetricsSnapshot, after: MetricsSnapshot) -> float:
    """Requests per second between two snapshots; 0 if the service restarted in between."""
    passed = (after.at - before.at).total_seconds()
    return max(0.0, after.total_requests - before.total_requests) / passed if passed > 0 else 0.0


def bucket_increase(before: Buckets, after: Buckets) -> Buckets:
    """The increase of each bucket between two snapshots; after a restart, the whole bucket."""
    increase = {end: count - before.get(end, 0.0) for end, count in after.items()}
    return dict(after) if any(count < 0 for count in increase.values()) else increase


def histogram_quantile(buckets: Buckets, share: float) -> float | None:
    """The quantile `share` of a histogram, interpolated as Prometheus does; None if it is empty."""
    ends = sorted(buckets)
    total = buckets[ends[-1]] if ends else 0.0
    if total <= 0:
        return None
    below, low = 0.0, 0.0
    for end in ends:
        count = buckets[end]
        if count >= share * total:
            if math.isinf(end):
                return low
            inside = count - below
            return low + (end - low) * ((share * total - below) / inside if inside else 1.0)
        below, low = count, end
    return low


def bucket_counts(buckets: Buckets) -> list[tuple[float, float, float]]:
    """Lower end, upper end and count of each bucket that has an upper end."""
    ends = sorted(end for end in buckets if math.isfinite(end))
    counts, below = [], 0.0
    for low, end in zip([ends[0] / 2 if ends else 0.0, *ends], ends, strict=False):
        counts.append((low, end, buckets[end] - below))
        below = buckets[end]
    return counts
