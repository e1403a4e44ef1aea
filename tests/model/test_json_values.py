"""What strict JSON makes of Python, NumPy and pandas values."""

import datetime as dt
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from realtor_model.json_values import json_records, json_value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (pd.NaT, None),
        (pd.NA, None),
        (np.datetime64("NaT", "D"), None),
        (np.float32(0.5), 0.5),
        (np.float64("-inf"), None),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.datetime64("2024-05-06"), "2024-05-06"),
        (dt.date(2024, 5, 6), "2024-05-06"),
        (pd.Timestamp("2024-05-06 07:08"), "2024-05-06T07:08:00"),
        (dt.datetime(2024, 5, 6, tzinfo=dt.UTC), "2024-05-06T00:00:00+00:00"),
        ((1, [float("nan")]), [1, [None]]),
        (np.array([1.0, np.nan]), [1.0, None]),
        ({3: {"a": np.int8(1)}}, {"3": {"a": 1}}),
        ("text", "text"),
        (True, True),
    ],
)
def test_value_is_strict_json(value: Any, expected: Any) -> None:
    result = json_value(value)
    assert result == expected
    assert type(result) is type(expected)
    json.dumps(result, allow_nan=False)


def test_records_have_none_where_the_frame_has_nothing() -> None:
    frame = pd.DataFrame(
        {
            "n": np.array([1, 2], np.int64),
            "psi": [np.nan, 0.5],
            "day": pd.to_datetime(["2024-05-06", None]),
        }
    )
    assert json_records(frame) == [
        {"n": 1, "psi": None, "day": "2024-05-06T00:00:00"},
        {"n": 2, "psi": 0.5, "day": None},
    ]
