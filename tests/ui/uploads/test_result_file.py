"""The download: the file as it came, its estimates, and a comparison with its prices."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from realtor_ui.uploads.ratio_statistics import ratio_statistics
from realtor_ui.uploads.result_file import estimates_table, result_table, to_file
from realtor_ui.uploads.valuing import ESTIMATES
from tests.ui.uploads.shapes import opened, understood

FILE = (
    b"zip_code,bed,price,estimated_price,note\n"
    b"77002,3,150000,old,a\n77002,many,1,old,b\n06114,2,,old,c\n06114,2,90000,old,d\n"
)


def answers(*prices: float) -> pa.Table:
    """What the service says about some homes."""
    empty = [None] * len(prices)
    columns = {name: pa.array(empty, pa.string()) for name in ESTIMATES}
    columns |= {
        "estimated_price": pa.array(prices),
        "estimated_low": pa.array([0.8 * price for price in prices]),
        "estimated_high": pa.array([1.2 * price for price in prices]),
    }
    return pa.table(columns)


def test_download_has_the_file_as_it_came_and_the_estimates_beside_their_rows() -> None:
    read = understood(FILE)
    table = result_table(
        opened(FILE), estimates_table(read, [answers(100_000, 1), answers(80_000)])
    )
    frame = table.to_pandas()
    assert list(frame.columns[:5]) == ["zip_code", "bed", "price", "estimated_price", "note"]
    assert frame["note"].tolist() == list("abcd")
    np.testing.assert_array_equal(frame["estimated_price_of_model"], [100_000, np.nan, 1, 80_000])
    assert frame["error_codes"].fillna("").tolist() == ["", "not_a_number", "", ""]


def test_price_of_the_file_is_compared_with_the_estimate() -> None:
    estimates = estimates_table(understood(FILE), [answers(100_000, 1, 80_000)]).to_pandas()
    np.testing.assert_array_equal(estimates["price_gap_percent"], [50, np.nan, np.nan, 12.5])
    assert estimates["price_outside_range"].tolist() == [True, None, None, False]


def test_rows_that_wait_after_a_stop_have_no_estimate_and_no_error() -> None:
    estimates = estimates_table(understood(FILE), [answers(100_000)]).to_pandas()
    assert estimates["estimated_price"].notna().tolist() == [True, False, False, False]
    assert estimates["error"].notna().tolist() == [False, True, False, False]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(),
                                  pa.dictionary(pa.int32(), pa.string())])  # fmt: skip
def test_download_escapes_formulas_in_every_text_type(kind: pa.DataType) -> None:
    texts = ["=cmd()", "-3", None, "+1", "@x", "-x", "plain"]
    if pa.types.is_dictionary(kind):
        notes = pa.array(texts).dictionary_encode()
    else:
        notes = pa.array(texts, pa.string()).cast(kind)
    table = pa.table({"=header": notes, "n": range(7)})

    read = pd.read_csv(io.BytesIO(to_file(table, "csv")), dtype=str, keep_default_na=False)

    assert list(read.columns) == ["'=header", "n"]
    assert read["'=header"].tolist() == ["'=cmd()", "-3", "", "'+1", "'@x", "'-x", "plain"]
    again = pd.read_parquet(io.BytesIO(to_file(table, "parquet")))
    assert again["=header"].astype(object).fillna("").tolist() == [text or "" for text in texts]


def test_ratio_statistics_take_homes_with_both_figures_and_need_enough_of_them() -> None:
    estimates = np.array([90.0, 100.0, 110.0] * 4 + [np.nan, 50.0])
    prices = np.array([100.0] * 12 + [100.0, np.nan])
    statistics = ratio_statistics(estimates, prices)
    assert statistics is not None
    assert statistics.homes == 12
    assert statistics.cod == pytest.approx(20 / 3)
    assert ratio_statistics(estimates[5:], prices[5:]) is None


def test_ratio_statistics_are_those_of_the_model_package() -> None:
    from realtor_model.evaluation.metrics import ratio_study

    rng = np.random.default_rng(0)
    prices = rng.lognormal(12.5, 0.5, 400)
    estimates = prices * np.exp(rng.normal(0, 0.2, 400))
    ours, theirs = ratio_statistics(estimates, prices), ratio_study(prices, estimates)
    assert ours is not None
    assert ours.median_ratio == pytest.approx(theirs["median_ratio"])
    assert ours.cod == pytest.approx(theirs["cod"])
    assert ours.prd == pytest.approx(theirs["prd"])
