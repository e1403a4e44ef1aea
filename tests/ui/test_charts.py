"""Charts hold the figures they were given, and words are those of a person."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from realtor_ui import charts, wording


def data(chart: Any) -> list[dict[str, Any]]:
    (rows,) = chart.to_dict()["datasets"].values()
    return list(rows)


@pytest.mark.parametrize("dark", [False, True])
def test_the_range_holds_the_estimate(dark: bool) -> None:
    (row,) = data(charts.range_bar(200_000, 250_000, 330_000, dark=dark))

    assert (row["low"], row["price"], row["high"]) == (200_000, 250_000, 330_000)
    assert (row["low_text"], row["high_text"]) == ("$200,000", "$330,000")


@pytest.mark.parametrize("dollars", [[-500.0, 200.0], [10.0], [-10.0, -3.0], [0.0]])
def test_reasons_keep_their_order_and_have_room_for_their_figures(dollars: list[float]) -> None:
    labels = [f"reason {i}" for i in range(len(dollars))]
    chart = charts.contributions(labels, dollars)

    rows = data(chart)
    assert [row["label"] for row in rows] == labels
    assert [row["dollars"] for row in rows] == dollars
    assert [row["effect"] for row in rows] == ["raises" if d >= 0 else "lowers" for d in dollars]
    low, high = chart.to_dict()["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert low <= min(0, *dollars) <= max(0, *dollars) <= high
    assert min(dollars) >= 0 or low < min(dollars)
    assert max(dollars) <= 0 or high > max(dollars)


def test_no_axis_is_left_out_in_one_layer_only() -> None:
    # Vega-Lite cannot merge a missing axis with a default one: the browser would draw nothing.
    for chart in (charts.contributions(["a", "b"], [1.0, -1.0]), charts.range_bar(1, 2, 3)):
        encodings = [layer["encoding"]["x"] for layer in chart.to_dict()["layer"]]
        assert all("axis" in x and x["axis"] is None for x in encodings)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("house_size", 1650, "1,650 sq ft"),
        ("acre_lot", 0.25, "0.25 acres"),
        ("bed", 3.0, "3"),
        ("status", "ready_to_build", "Ready to build"),
        ("city", "Hartford", "Hartford"),
        ("zip_code", None, "not given"),
    ],
)
def test_values_are_written_for_people(name: str, value: Any, expected: str) -> None:
    assert wording.entered(name, value) == expected


@pytest.mark.parametrize(
    ("days", "expected"),
    [(0, "today"), (1, "yesterday"), (12, "12 days ago"), (100, "3 months ago")],
)
def test_age(days: int, expected: str) -> None:
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert wording.age(now - timedelta(days=days, hours=1), now) == expected


def test_signs_stand_before_the_dollar() -> None:
    assert wording.signed_dollars(-1234.5) == "-$1,234"
    assert wording.signed_dollars(99.6) == "+$100"
