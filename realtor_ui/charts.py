"""Charts: pure functions from figures to Altair charts. `dark` says what they are drawn on."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from realtor_ui import wording

Chart = alt.LayerChart | alt.FacetChart

# Blue and orange: told apart with any kind of colour vision, on light and on dark.
RAISES, LOWERS = "#3b82b5", "#c9662a"
MUTED = "#8a949a"
DOLLARS = "$,.0f"
FONT_SIZE = 13
# Room for a figure beside the longest bar, as a share of all bars, on the narrowest screen.
FIGURE_ROOM = 0.45


def _ink(dark: bool) -> str:
    return "#e8ebe9" if dark else "#1c2326"


def range_bar(low: float, price: float, high: float, *, dark: bool = False) -> Chart:
    """The estimate within its range, dollars."""
    figures = pd.DataFrame({"low": [low], "price": [price], "high": [high]})
    for name in ("low", "high"):
        figures[f"{name}_text"] = figures[name].map(wording.dollars)
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    base = alt.Chart(figures, height=70).encode(
        tooltip=[
            alt.Tooltip("low:Q", format=DOLLARS, title="Low end"),
            alt.Tooltip("price:Q", format=DOLLARS, title="Estimate"),
            alt.Tooltip("high:Q", format=DOLLARS, title="High end"),
        ]
    )
    band = base.mark_bar(height=16, cornerRadius=8, color=RAISES, opacity=0.45, yOffset=-12).encode(
        x=alt.X("low:Q", scale=scale, axis=None), x2="high:Q"
    )
    mark = base.mark_tick(
        thickness=5, size=32, color=_ink(dark), opacity=1, yOffset=-12, cornerRadius=2
    ).encode(x=alt.X("price:Q", scale=scale, axis=None))
    words: dict[str, Any] = {"dy": 20, "fontSize": FONT_SIZE, "color": _ink(dark)}
    left = base.mark_text(align="left", **words).encode(
        x=alt.X("low:Q", scale=scale, axis=None), text="low_text:N"
    )
    right = base.mark_text(align="right", **words).encode(
        x=alt.X("high:Q", scale=scale, axis=None), text="high_text:N"
    )
    return alt.layer(band, mark, left, right)


def contributions(labels: Sequence[str], dollars: Sequence[float], *, dark: bool = False) -> Chart:
    """What each of n >= 1 inputs adds to the price or takes from it, dollars, in that order."""
    figures = pd.DataFrame({"label": list(labels), "dollars": list(dollars)})
    figures["effect"] = ["raises" if each >= 0 else "lowers" for each in dollars]
    figures["text"] = [wording.signed_dollars(each) for each in dollars]
    least, most = min(0.0, *dollars), max(0.0, *dollars)
    room = FIGURE_ROOM * max(most - least, 1.0)
    domain = [least - (room if least < 0 else 0), most + (room if most > 0 else 0)]
    base = alt.Chart(figures, height=30 * len(figures)).encode(
        y=alt.Y(
            "label:N",
            sort=None,
            axis=alt.Axis(
                title=None, labelLimit=190, ticks=False, domain=False, labelColor=_ink(dark),
                labelFontSize=FONT_SIZE,
            ),
        ),
        x=alt.X("dollars:Q", scale=alt.Scale(domain=domain, nice=False), axis=None),
        tooltip=[
            alt.Tooltip("label:N", title="Because of"),
            alt.Tooltip("text:N", title="Adds"),
        ],
    )  # fmt: skip
    bars = base.mark_bar(height=18, cornerRadius=2).encode(
        color=alt.Color(
            "effect:N",
            scale=alt.Scale(domain=["raises", "lowers"], range=[RAISES, LOWERS]),
            legend=None,
        )
    )
    above = base.transform_filter("datum.dollars >= 0").mark_text(
        align="left", dx=5, color=_ink(dark), fontSize=FONT_SIZE
    )
    below = base.transform_filter("datum.dollars < 0").mark_text(
        align="right", dx=-5, color=_ink(dark), fontSize=FONT_SIZE
    )
    zero = alt.Chart(figures).mark_rule(color=MUTED).encode(x=alt.XDatum(0, axis=None))
    return alt.layer(bars, zero, above.encode(text="text:N"), below.encode(text="text:N"))
