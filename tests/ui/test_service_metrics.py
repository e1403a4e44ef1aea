"""The service's counters are read as Prometheus would read them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtor_ui import service_metrics
from tests.serving.running import HOUSE, Server

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TEXT = """
# HELP api_requests_total Total
api_requests_total{endpoint="/predict",status="200"} 40.0
api_requests_total{endpoint="/predict",status="500"} 2.0
api_requests_total{endpoint="/metrics",status="200"} 900.0
api_request_duration_seconds_bucket{endpoint="/predict",le="0.01"} 20.0
api_request_duration_seconds_bucket{endpoint="/predict",le="0.1"} 40.0
api_request_duration_seconds_bucket{endpoint="/predict",le="+Inf"} 42.0
api_request_duration_seconds_bucket{endpoint="/livez",le="0.01"} 900.0
prediction_price_dollars_bucket{le="100000.0"} 3.0
prediction_price_dollars_bucket{le="200000.0"} 5.0
prediction_price_dollars_bucket{le="+Inf"} 5.0
predictions_total{endpoint="/predict",version="2"} 40.0
"""


def test_counters_of_those_who_use_the_service_are_read() -> None:
    snapshot = service_metrics.parse_metrics(TEXT, NOW)

    assert (snapshot.total_requests, snapshot.errors) == (42.0, 2.0), "watching is not using"
    assert snapshot.valued == {"2": 40.0}
    assert service_metrics.bucket_counts(snapshot.prices) == [
        (50_000.0, 100_000.0, 3.0),
        (100_000.0, 200_000.0, 2.0),
    ]
    assert service_metrics.histogram_quantile(snapshot.seconds, 0.25) == pytest.approx(0.00525)
    assert service_metrics.histogram_quantile(snapshot.seconds, 0.99) == 0.1, (
        "beyond the last end nothing is known"
    )
    assert service_metrics.histogram_quantile({}, 0.5) is None


@pytest.mark.parametrize(
    "text", ["<html>Not found</html>", 'api_requests_total{endpoint="/"} many']
)
def test_another_format_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid metric name|could not convert"):
        service_metrics.parse_metrics(text, NOW)


def test_labels_are_read_when_they_contain_quotes_and_braces() -> None:
    text = 'predictions_total{endpoint="/predict",version="a\\"}b, c"} 2.0'

    assert service_metrics.parse_metrics(text, NOW).valued == {'a"}b, c': 2.0}


def test_rate_counts_requests_between_readings_and_is_missing_after_a_restart() -> None:
    before = service_metrics.MetricsSnapshot(NOW, {"/predict": 10.0}, seconds={0.1: 10.0})
    after = service_metrics.MetricsSnapshot(
        NOW + timedelta(seconds=5), {"/predict": 30.0}, seconds={0.1: 30.0}
    )

    assert service_metrics.request_rate(before, after) == 4.0
    assert service_metrics.bucket_increase(before.seconds, after.seconds) == {0.1: 20.0}
    assert (
        service_metrics.request_rate(
            after,
            service_metrics.MetricsSnapshot(after.at + timedelta(seconds=5), {"/predict": 1.0}),
        )
        == 0.0
    )
    assert service_metrics.bucket_increase(after.seconds, {0.1: 1.0}) == {0.1: 1.0}


@given(st.lists(st.integers(0, 50), min_size=2, max_size=8), st.floats(0.01, 0.99))
def test_a_quantile_lies_within_the_ends_and_grows_with_its_share(
    added: list[int], share: float
) -> None:
    total, buckets = 0, {}
    for i, count in enumerate(added):
        total += count
        buckets[float(i + 1)] = float(total)
    found = service_metrics.histogram_quantile(buckets, share)
    if total == 0:
        assert found is None
        return
    assert found is not None
    assert 0 <= found <= len(added)
    more = service_metrics.histogram_quantile(buckets, min(0.99, share + 0.2))
    assert more is not None
    assert more >= found - 1e-9


@pytest.mark.integration
def test_readings_match_the_service_metrics(service: Server) -> None:
    before = service_metrics.parse_metrics(service.get("/metrics").text, NOW)
    for _ in range(3):
        service.post("/predict", HOUSE).raise_for_status()
    after = service_metrics.parse_metrics(service.get("/metrics").text, NOW + timedelta(seconds=1))

    assert service_metrics.request_rate(before, after) == 3.0
    assert sum(after.valued.values()) - sum(before.valued.values()) == 3
    assert service_metrics.histogram_quantile(after.seconds, 0.5) is not None
