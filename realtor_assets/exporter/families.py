"""Metric families from rows of labels and a value."""

import datetime as dt
from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

Value = float | int | dt.datetime
Samples = Iterable[tuple[tuple[str, ...], Value | None]]


def gauge(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    """A gauge. Times become Unix seconds; samples with the value None are left out."""
    return _filled(GaugeMetricFamily(name, text, labels=labels), samples)


def counter(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    """A counter; `name` without its suffix _total."""
    return _filled(CounterMetricFamily(name, text, labels=labels), samples)


def every(values: Iterable[str], counts: Mapping[str, int]) -> Samples:
    """A sample for each of `values`, 0 without a count, so that rate() sees the first increase."""
    return [((value,), counts.get(value, 0)) for value in values]


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for labels, value in samples:
        if value is not None:
            number = value.timestamp() if isinstance(value, dt.datetime) else float(value)
            family.add_metric(labels, number)
    return family
