"""Python, NumPy and pandas values as strict JSON has them."""

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def json_value(value: Any) -> Any:
    """`value` in the types of strict JSON (RFC 8259), containers included.

    NaN, NaT, NA and infinite numbers become None; NumPy scalars become Python's; dates and times
    become ISO 8601 text; keys become text; tuples and arrays become lists. Anything else is
    returned as it is.

    >>> json_value({"psi": np.float64("nan"), "days": (np.int64(3), dt.date(2024, 5, 6))})
    {'psi': None, 'days': [3, '2024-05-06']}
    """
    match value:
        case None | str() | bool() | int():
            return value
        case Mapping():
            return {str(name): json_value(item) for name, item in value.items()}
        case list() | tuple() | np.ndarray():
            return [json_value(item) for item in value]
        case np.datetime64():
            return None if np.isnat(value) else str(value)
        case np.generic():
            return json_value(value.item())
        case float():
            return value if math.isfinite(value) else None
        case _ if value is pd.NaT or value is pd.NA:
            return None
        case dt.date() | dt.time():
            return value.isoformat()
        case _:
            return value


def json_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `frame` (n rows) as n objects: column name to `json_value` of the cell.

    >>> json_records(pd.DataFrame({"feature": ["bed", "bath"], "psi": [0.25, np.nan]}))
    [{'feature': 'bed', 'psi': 0.25}, {'feature': 'bath', 'psi': None}]
    """
    return [json_value(record) for record in frame.to_dict("records")]
