"""Charts: pure functions from figures to Altair charts."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

RAISES, LOWERS = "#1f5f8b", "#b4551d"
BAND, MARK = "#8fb3cc", "#1f5f8b"
DOLLARS = "$,.0f"
SHORT_DOLLARS = "$~s"


def range_bar(low: float, price: float, high: float) -> alt.LayerChart | alt.FacetChart:
    """The estimate within its range, dollars."""
    figures = pd.DataFrame({"low": [low], "price": [price], "high": [high]})
    margin = 0.15 * (high - low)
    scale = alt.Scale(domain=[max(0.0, low - margin), high + margin], nice=False)
    axis = alt.Axis(format=SHORT_DOLLARS, title=None, tickCount=4, grid=False, domain=False)
    tooltip = [
        alt.Tooltip("low:Q", format=DOLLARS, title="Low end"),
        alt.Tooltip("price:Q", format=DOLLARS, title="Estimate"),
        alt.Tooltip("high:Q", format=DOLLARS, title="High end"),
    ]
    base = alt.Chart(figures, height=64).encode(tooltip=tooltip)
    band = base.mark_bar(height=18, cornerRadius=9, color=BAND).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"
    )
    mark = base.mark_tick(thickness=4, size=36, color=MARK).encode(x=alt.X("price:Q", scale=scale))
    return alt.layer(band, mark)


def contributions(
    labels: Sequence[str], dollars: Sequence[float]
) -> alt.LayerChart | alt.FacetChart:
    """What each of n inputs adds to the price or takes from it, dollars, in the given order."""
    figures = pd.DataFrame({"label": list(labels), "dollars": list(dollars)})
    figures["effect"] = ["raises" if each >= 0 else "lowers" for each in dollars]
    figures["text"] = [f"{'+' if each >= 0 else '-'}${abs(each):,.0f}" for each in dollars]
    reach = 1.35 * max(1.0, max(abs(each) for each in dollars))
    base = alt.Chart(figures, height=alt.Step(30)).encode(
        y=alt.Y("label:N", sort=None, axis=alt.Axis(title=None, labelLimit=170, ticks=False)),
        x=alt.X(
            "dollars:Q",
            scale=alt.Scale(domain=[-reach, reach]),
            axis=alt.Axis(format=SHORT_DOLLARS, title=None, tickCount=5),
        ),
        tooltip=[
            alt.Tooltip("label:N", title="Because of"),
            alt.Tooltip("dollars:Q", format="+$,.0f", title="Adds"),
        ],
    )
    bars = base.mark_bar(height=18, cornerRadius=2).encode(
        color=alt.Color(
            "effect:N",
            scale=alt.Scale(domain=["raises", "lowers"], range=[RAISES, LOWERS]),
            legend=None,
        )
    )
    above = base.transform_filter("datum.dollars >= 0").mark_text(align="left", dx=5)
    below = base.transform_filter("datum.dollars < 0").mark_text(align="right", dx=-5)
    return alt.layer(bars, above.encode(text="text:N"), below.encode(text="text:N"))
