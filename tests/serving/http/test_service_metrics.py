"""Counting n answers at once is counting each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from realtor_serving.http.service_metrics import observe_all


@given(
    st.lists(st.floats(0, 6, width=16) | st.sampled_from([0.5, 1.0, 5.0]), min_size=1, max_size=50)
)
def test_a_batch_is_observed_as_its_values_are(values: list[float]) -> None:
    registries = CollectorRegistry(), CollectorRegistry()
    one, all_ = (
        Histogram("h", "h", buckets=[0.5, 1.0, 5.0], registry=registry) for registry in registries
    )
    for value in values:
        one.observe(value)

    observe_all(all_, np.array(values))

    expected, found = (
        {(each.name, *each.labels.items()): each.value for each in next(iter(r.collect())).samples}
        for r in registries
    )
    expected = {key: value for key, value in expected.items() if key[0] != "h_created"}
    assert {key: found[key] for key in expected} == pytest.approx(expected)
