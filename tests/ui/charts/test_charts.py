"""Charts hold the figures they were given, in every language, on light and on dark."""

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtor_ui.charts import maps, model_charts, place_charts, valuation_charts
from realtor_ui.charts.chart_style import MOST_TICKS, dollar_ticks
from realtor_ui.charts.place_measures import MEASURES
from realtor_ui.charts.valuation_charts import Reason
from tests.ui.markets import market_texts

T = market_texts()
amounts = st.floats(-1e6, 1e6, allow_nan=False)


def rows(chart: Any) -> list[dict[str, Any]]:
    """The rows of a chart's largest table."""
    return max(chart.to_dict()["datasets"].values(), key=len)  # type: ignore[no-any-return]


@pytest.mark.parametrize("dark", [False, True])
def test_the_range_holds_the_estimate(dark: bool) -> None:
    (row,) = rows(valuation_charts.range_bar(T, 200_000, 250_000, 330_000, dark=dark))

    assert (row["low"], row["price"], row["high"]) == (200_000, 250_000, 330_000)
    assert (row["low_text"], row["high_text"]) == ("$200,000", "$330,000")


# A chart is built in tens of milliseconds: no deadline on a machine that is shared.
@settings(deadline=None)
@given(base=st.floats(1e4, 1e6), dollars=st.lists(amounts, max_size=15), rest=amounts)
def test_a_waterfall_leads_from_the_base_to_the_price(
    base: float, dollars: list[float], rest: float
) -> None:
    reasons = [Reason(f"reason {i}", each) for i, each in enumerate(dollars)]
    price = base + sum(dollars) + rest
    steps = rows(valuation_charts.waterfall(T, base, reasons, price))

    assert steps[0]["to"] == pytest.approx(base)
    assert steps[-1]["to"] == pytest.approx(price)
    moves = steps[1:-1]
    assert [step["label"] for step in moves[: len(reasons)]] == [each.label for each in reasons]
    at = base
    for step in moves:
        assert step["from"] == pytest.approx(at, abs=1e-3)
        at = step["to"]
    assert at == pytest.approx(price, abs=1.5), "what is left out is a step of its own"


@settings(deadline=None)
@given(base=st.floats(1e4, 1e6), dollars=st.lists(amounts, min_size=1, max_size=11))
def test_a_force_plot_balances_at_the_price(base: float, dollars: list[float]) -> None:
    price = base + sum(dollars)
    reasons = [Reason(f"reason {i}: x", each) for i, each in enumerate(dollars)]
    chart = valuation_charts.force_plot(T, base, reasons, price)
    bars = [row for table in chart.to_dict()["datasets"].values() for row in table if "left" in row]

    bars = [dict(each) for each in {json.dumps(bar): bar for bar in bars}.values()]
    up = sum(bar["right"] - bar["left"] for bar in bars if bar["effect"] == T("why.raises"))
    down = sum(bar["right"] - bar["left"] for bar in bars if bar["effect"] == T("why.lowers"))
    assert up - down == pytest.approx(price - base, abs=1e-2)


@pytest.mark.parametrize("dollars", [[-500.0, 200.0], [10.0], [-10.0, -3.0], [0.0]])
def test_differences_keep_their_order_and_have_room_for_their_figures(dollars: list[float]) -> None:
    reasons = [Reason(f"reason {i}", each) for i, each in enumerate(dollars)]
    chart = valuation_charts.price_differences(T, reasons)

    assert [row["dollars"] for row in rows(chart)] == dollars
    low, high = chart.to_dict()["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert low <= min(0, *dollars) <= max(0, *dollars) <= high
    assert min(dollars) >= 0 or low < min(dollars)
    assert max(dollars) <= 0 or high > max(dollars)


def test_axis_is_off_in_all_layers_of_a_chart() -> None:
    # Vega-Lite cannot merge a missing axis with a default one: the browser would draw nothing.
    reasons = [Reason("a", 1.0), Reason("b", -1.0)]
    for chart in (
        valuation_charts.price_differences(T, reasons), valuation_charts.range_bar(T, 1, 2, 3),
        valuation_charts.waterfall(T, 10, reasons, 10),
    ):  # fmt: skip
        encodings = [layer["encoding"]["x"] for layer in chart.to_dict()["layer"]]
        assert all("axis" in x and x["axis"] is None for x in encodings)


PLACES = pd.DataFrame(
    {
        "name": ["77002 Houston", "00901 San Juan"], "zip_code": ["77002", "00901"],
        "city": ["Houston", "San Juan"], "state": ["Texas", "Puerto Rico"],
        "latitude": [29.8, 18.5], "longitude": [-95.4, -66.1], "listings": [5, 3],
        "median_price": [2e5, 1e5], "median_price_per_sqft": [150.0, None],
        "median_house_size": [1_650.0, None], "median_acre_lot": [0.2, None],
    }
)  # fmt: skip


def test_map_omits_places_outside_its_projection() -> None:
    assert [row["state"] for row in rows(maps.measure_map(T, PLACES, "median_price"))] == ["Texas"]
    near = maps.measure_map(T, PLACES, "median_price", whole=False)
    assert len(rows(near)) == 2


def test_map_legend_orders_price_sixths_from_low_to_high() -> None:
    many = pd.concat([PLACES.head(1)] * 60, ignore_index=True)
    many["median_price"] = [100_000.0 + 10_000 * i for i in range(60)]
    chart = maps.measure_map(T, many, "median_price")

    names = chart.to_dict()["encoding"]["color"]["scale"]["domain"]
    assert len(names) == 6
    assert names[0].startswith("$100k")
    assert names[-1].endswith("$690k")
    shares = pd.DataFrame(rows(chart)).groupby("sixth").size()
    assert set(shares.index) == set(names)
    assert shares.between(9, 11).all()


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("dark", [False, True])
def test_no_chart_asks_the_network_for_anything(language: str, dark: bool) -> None:
    t = market_texts(language)
    home = pd.DataFrame({"latitude": [29.8], "longitude": [-95.4], "name": ["home"]})
    sales = home.assign(number="1", price=2e5)
    spread = pd.DataFrame(
        {"name": ["Texas"], "p10": [1.0], "p25": [2.0], "median": [3.0], "p75": [4.0],
         "p90": [5.0], "listings": [7]}
    )  # fmt: skip
    versions = pd.DataFrame(
        {"version": ["1"], "figure": [0.2], "decision": ["promoted"], "champion": [True]}
    )
    segments = pd.DataFrame({"segment": ["1"], "mdape": [0.2], "coverage": [0.8], "n": [50]})
    curve = pd.DataFrame({"value": [1.0, 2.0], "price": [1e5, 2e5], "name": ["a", "b"]})
    charts = [
        maps.neighbourhood_map(t, PLACES, home, sales, dark=dark),
        *(maps.measure_map(t, PLACES, measure, dark=dark) for measure in MEASURES),
        *(place_charts.quantile_ranges(t, spread, measure, dark=dark) for measure in MEASURES),
        place_charts.horizontal_bars(spread, "name", "listings", "x", dark=dark),
        place_charts.batch_volumes(
            t, pd.DataFrame({"name": ["0"], "inserted": [5], "other": [1]}), dark=dark
        ),
        model_charts.metric_by_version(t, versions, "x", ".1%", dark=dark),
        model_charts.segment_errors(t, segments, 0.2, dark=dark),
        model_charts.calibration(t, segments, 0.8, dark=dark),
        model_charts.drift_heatmap(
            t, pd.DataFrame({"batch": ["1"], "label": ["x"], "psi": [0.4]}), dark=dark
        ),
        model_charts.importance_change(
            t, pd.DataFrame({"label": ["x"], "before": [1.0], "after": [2.0]}), "1", "2", dark=dark
        ),
        valuation_charts.what_if_curve(t, "x", curve, (1.5, 1.5e5), dark=dark),
        valuation_charts.place_prices(t, curve, "a", dark=dark),
    ]
    for chart in charts:
        spec = chart.to_dict()
        del spec["$schema"]
        assert "http" not in json.dumps(spec)


def test_drift_of_any_number_of_batches_takes_the_width_that_there_is() -> None:
    batches = [str(number) for number in range(12)]
    frame = pd.DataFrame({"batch": batches, "label": "x", "psi": 0.4})

    assert "width" not in model_charts.drift_heatmap(T, frame).to_dict()


@given(st.floats(1.0, 1e8), st.floats(1.0, 1e4))
def test_ticks_lie_within_and_are_few(low: float, factor: float) -> None:
    ticks = dollar_ticks(low, low * factor)

    assert 1 <= len(ticks) <= MOST_TICKS
    assert all(low <= each <= low * factor for each in ticks)
    assert ticks == sorted(ticks)
