"""Charts of places and of many homes: distributions, sizes, volumes."""

import altair as alt
import pandas as pd

from realtor_ui.charts.chart_style import (
    DOLLARS,
    LOWERS,
    RAISES,
    Chart,
    dollar_ticks,
    label_axis,
    legend,
    number_axis,
    text_colour,
    tooltip,
)
from realtor_ui.charts.place_measures import MEASURES
from realtor_ui.texts import Texts


def quantile_ranges(
    texts: Texts, places: pd.DataFrame, measure: str, *, dark: bool = False
) -> Chart:
    """One line for each place: the middle half of its listings, and of prices the middle 80 %.

    places: name, p25, median, p75, listings, and for prices p10 and p90. measure: of `MEASURES`.
    """
    form = MEASURES[measure].form
    base = alt.Chart(places, height=26 * len(places) + 60).encode(
        y=alt.Y("name:N", sort=None, axis=label_axis(dark)),
        tooltip=[
            tooltip("name:N", " "),
            tooltip("p25:Q", texts("market.p25"), form),
            tooltip("median:Q", texts(f"market.{measure}"), form),
            tooltip("p75:Q", texts("market.p75"), form),
            tooltip("listings:Q", texts("market.listings"), ","),
        ],
    )
    axis = number_axis(dark, form=MEASURES[measure].axis)
    layers: list[alt.Chart] = []
    if "p10" in places:
        layers.append(
            base.mark_rule(color=RAISES, strokeWidth=2, opacity=0.6).encode(
                x=alt.X("p10:Q", axis=axis), x2="p90:Q"
            )
        )
    layers.append(
        base.mark_bar(height=12, cornerRadius=3, color=RAISES, opacity=0.6).encode(
            x=alt.X("p25:Q", axis=axis), x2="p75:Q"
        )
    )
    layers.append(
        base.mark_tick(thickness=4, size=18, color=text_colour(dark), opacity=1).encode(
            x=alt.X("median:Q", axis=axis)
        )
    )
    return alt.layer(*layers)


def horizontal_bars(
    frame: pd.DataFrame, name: str, figure: str, title: str, *, form: str = ",", dark: bool = False
) -> Chart:
    """One horizontal bar for each row, in its order, with its figure beside it."""
    top = float(frame[figure].max() or 1)
    base = alt.Chart(frame, height=24 * len(frame)).encode(
        y=alt.Y(f"{name}:N", sort=None, axis=label_axis(dark)),
        x=alt.X(f"{figure}:Q", axis=None, scale=alt.Scale(domain=[0, 1.25 * top], nice=False)),
        tooltip=[tooltip(f"{name}:N", " "), tooltip(f"{figure}:Q", title, form)],
    )
    words = base.mark_text(align="left", dx=5, color=text_colour(dark)).encode(
        text=alt.Text(f"{figure}:Q", format=form)
    )
    return alt.layer(base.mark_bar(height=14, cornerRadius=2, color=RAISES), words)


def price_histogram(
    texts: Texts, frame: pd.DataFrame, *, dark: bool = False, field: str = "price"
) -> Chart:
    """How many of n homes cost how much; prices are shown on a logarithmic scale.

    frame: low and high end of each bin, dollars, and n.
    """
    ends = float(frame["low"].min()), float(frame["high"].max())
    chart: alt.Chart = (
        alt.Chart(frame, height=240)
        .mark_bar(color=RAISES, stroke=None)
        .encode(
            x=alt.X(
                "low:Q",
                scale=alt.Scale(type="log", nice=False),
                axis=number_axis(dark, texts(field), values=dollar_ticks(ends[0], ends[1])),
            ),
            x2="high:Q",
            # Both ends of both: else the bars would lie.
            y2=alt.Y2Datum(0),
            y=alt.Y("n:Q", axis=number_axis(dark, texts("market.homes"), ",.0f")),
            tooltip=[
                tooltip("low:Q", texts("value.low"), DOLLARS),
                tooltip("high:Q", texts("value.high"), DOLLARS),
                tooltip("n:Q", texts("market.homes"), ","),
            ],
        )
    )
    return chart


def batch_volumes(texts: Texts, frame: pd.DataFrame, *, dark: bool = False) -> Chart:
    """How many listings each batch brought, and how many of them were new."""
    names = {"inserted": texts("market.new"), "other": texts("market.known")}
    long = frame.melt("name", ["inserted", "other"], "kind", "rows")
    long["kind"] = long["kind"].map(names)
    chart: alt.Chart = (
        alt.Chart(long, height=260)
        .mark_bar(cornerRadius=2)
        .encode(
            x=alt.X(
                "name:N", sort=None, axis=label_axis(dark, labelAngle=0),
                title=texts("market.batch"),
            ),
            y=alt.Y("rows:Q", axis=number_axis(dark, texts("market.listings"), ",.0f")),
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=list(names.values()), range=[RAISES, LOWERS]),
                legend=legend(dark),
            ),
            tooltip=[
                tooltip("name:N", texts("market.batch")), tooltip("kind:N", " "),
                tooltip("rows:Q", texts("market.listings"), ","),
            ],
        )
    )  # fmt: skip
    return chart
