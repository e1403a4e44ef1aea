"""The meaning of a listing's date."""

import numpy as np

from realtor_model.features.measures import Sale, sale_of

AS_OF = np.datetime64("2024-03-15", "D")


def sale(status: str, date: str) -> Sale:
    columns = {
        "status": np.array([status], object),
        "prev_sold_date": np.array([date], "datetime64[D]"),
    }
    return sale_of(columns, AS_OF)


def test_the_date_of_a_sold_listing_is_the_sale_itself() -> None:
    sold = sale("sold", "2024-01-31")
    assert sold.sold[0]
    assert sold.outcome[0]
    assert not sold.previous[0]
    assert sold.months_ago[0] == -2


def test_the_date_of_a_listing_for_sale_is_the_previous_sale() -> None:
    listed = sale("for_sale", "2020-03-15")
    assert listed.previous[0]
    assert not listed.sold[0]
    assert not listed.outcome[0]
    assert listed.days[0] == 1_461
    assert listed.month[0] == 3


def test_no_date_means_no_outcome_and_no_previous_sale() -> None:
    for status in ("sold", "for_sale"):
        undated = sale(status, "NaT")
        assert not undated.outcome[0]
        assert not undated.previous[0]
        assert undated.sold[0] == (status == "sold")


def test_distances_are_limited() -> None:
    assert sale("for_sale", "1850-01-01").days[0] == 36_525
    assert sale("for_sale", "2030-01-01").days[0] == 0
    assert sale("sold", "2010-01-01").months_ago[0] == -24
    assert sale("sold", "2030-01-01").months_ago[0] == 0
