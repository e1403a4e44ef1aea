"""The homes of a file are valued to the cent like the same homes in a request."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from realtor_ui.client import ServiceClient
from realtor_ui.uploads import valuing
from realtor_ui.uploads.result_file import estimates_table, result_table, to_file
from realtor_ui.uploads.valuing import plain_homes, value_homes
from tests.model.reading.workbooks import xlsx
from tests.serving.running import HOUSE, Server
from tests.ui.markets import EVERY_KIND, HOME
from tests.ui.uploads.shapes import (
    INDEX_AND_TOTAL,
    MONEY_AND_UNITS,
    REDFIN,
    SCRAPER,
    TRAILING_COMMAS,
    csv,
    opened,
    parquet,
    understood,
)


def valued(service: Server, content: bytes) -> pd.DataFrame:
    """The rows of a file with their estimates, as the Parquet download has them."""
    read = understood(content)
    with ServiceClient(service.url) as client:
        parts = [step.estimates for step in value_homes(read, client.predict_table)]
    table = result_table(opened(content), estimates_table(read, parts))
    return pd.read_parquet(io.BytesIO(to_file(table, "parquet")))


def price(service: Server, home: dict[str, Any]) -> float:
    with ServiceClient(service.url) as client:
        return client.predict(home).price


TEXAN = {"state": "TX", "city": "Houston", "zip_code": "77002"}
AUSTIN = {"state": "TX", "city": "Austin", "zip_code": "78701"}


@pytest.mark.integration
@pytest.mark.parametrize(
    ("content", "homes"),
    [
        (TRAILING_COMMAS, [TEXAN | {"state": "Texas", "bed": 3, "bath": 2, "house_size": 1800},
                           {"state": "Connecticut", "city": "Hartford", "zip_code": "06114",
                            "bed": 2, "bath": 1, "house_size": 1100}]),
        (MONEY_AND_UNITS, [{"state": "Texas", "zip_code": "77002", "bed": 3, "bath": 2.5,
                            "house_size": 1800, "acre_lot": 5227 / 43_560},
                           {"state": "Connecticut", "zip_code": "06114", "bed": 4, "bath": 3,
                            "house_size": 2303, "acre_lot": 0.25}]),
        (REDFIN, [TEXAN | {"bed": 3, "bath": 2.5, "house_size": 1800, "acre_lot": 5227 / 43_560},
                  AUSTIN | {"bed": 2, "bath": 1.5, "house_size": 1100,
                            "acre_lot": 1800 / 43_560}]),
        (SCRAPER, [TEXAN | {"bed": 3, "bath": 2.5, "house_size": 1800, "acre_lot": 5227 / 43_560},
                   AUSTIN | {"bed": 2, "bath": 1, "house_size": 1100}]),
        (INDEX_AND_TOTAL, [{"state": "Texas", "zip_code": "77002", "bed": 3, "house_size": 1800},
                           {"state": "Ohio", "zip_code": "43215", "bed": 2, "house_size": 1100},
                           None]),
        (xlsx({"Homes": [["Zip", "Beds", "Living area"], [77002, 3, "150 m²"], ["06114", 0, 60]]}),
         [{"zip_code": "77002", "bed": 3, "house_size": 1615},
          {"zip_code": "06114", "bed": 0, "house_size": 60}]),
    ],
    ids=["trailing commas", "money and units", "redfin", "scraper", "total", "workbook"],
)  # fmt: skip
def test_file_of_any_shape_is_valued_like_its_plain_homes(
    service: Server, content: bytes, homes: list[dict[str, Any] | None]
) -> None:
    frame = valued(service, content)
    assert len(frame) == len(homes)
    for got, home in zip(frame["estimated_price"], homes, strict=True):
        if home is None:
            assert pd.isna(got)
        else:
            assert round(got, 2) == round(price(service, home), 2)


@pytest.mark.integration
def test_each_row_of_a_file_gets_an_estimate_or_an_error(
    service: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valuing, "CHUNK_ROWS", 2)
    rows = [HOUSE, HOUSE | {"bed": -1}, HOUSE | {"house_size": 900}, {"bed": 3},
            HOUSE | {"bath": 0, "status": "haunted"}]  # fmt: skip
    content = csv(*rows)
    read = understood(content)
    with ServiceClient(service.url) as client:
        steps = list(value_homes(read, client.predict_table))
        rest = list(value_homes(read, client.predict_table, start=2))
    assert [step.done for step in steps] == [2, 3]
    assert [step.done for step in rest] == [3], "what is done is not asked for again"

    frame = valued(service, content)
    without = {name: value for name, value in HOUSE.items() if name != "bath"}
    expected = [price(service, home) for home in (HOUSE, rows[2], without)]
    assert frame["estimated_price"].dropna().tolist() == pytest.approx(expected)
    assert "bed is '-1'" in frame["error"][1]
    assert "state or zip_code" in frame["error"][3]
    assert frame["error_codes"].fillna("").tolist() == [
        "",
        "out_of_range",
        "",
        "place_required",
        "",
    ]
    codes = frame["warning_codes"][4].split("; ")
    assert codes[:2] == ["zero_is_unknown", "left_out"] or codes[:2] == [
        "left_out",
        "zero_is_unknown",
    ], "the reader's notes come before the service's warnings"
    assert frame["warnings"][4].count("; ") == len(codes) - 1
    assert frame["status"].tolist()[4] == "haunted", "the file's own column stays as it came"


@pytest.mark.integration
@pytest.mark.parametrize("index", [[0, 1] * 12, list("ab") * 12])
def test_repeated_index_multiplies_no_rows(service: Server, index: list[object]) -> None:
    frame = pd.DataFrame([HOUSE, HOUSE | {"bed": -1}] * 12, index=index)
    result = valued(service, parquet(frame))
    assert len(result) == 24
    assert list(result.columns[: len(frame.columns)]) == list(frame.columns)
    assert result["bed"].tolist() == frame["bed"].tolist()
    assert result["estimated_price"].notna().tolist() == [True, False] * 12


def test_homes_of_any_market_are_sent_in_its_names_and_types() -> None:
    read = understood(csv(HOME), contract=EVERY_KIND)
    sent = plain_homes(read, np.array([0]))
    (home,) = sent.to_pylist()
    assert set(home) == set(HOME)
    for name in ("state", "material", "waterfront", "living_m2", "floors", "year_built", "status"):
        assert home[name] == HOME[name]
    assert home["renovated"].isoformat() == HOME["renovated"]
    assert sent.schema.field("waterfront").type == pa.bool_()
    assert sent.schema.field("year_built").type == pa.int64()


def test_columns_that_the_file_lacks_are_not_sent() -> None:
    sent = plain_homes(understood(b"Zip,Beds,price\n77002,3,9\n"), np.array([0]))
    assert sent.to_pylist() == [{"zip_code": "77002", "bed": 3}]
