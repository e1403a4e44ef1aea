"""What all charts share: colours that any eye can tell apart, sizes, and ink."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart | alt.VConcatChart

# Blue and orange: distinct with any kind of color vision, on light and on dark.
RAISES, LOWERS = "#3b82b5", "#c9662a"
MUTED = "#8a949a"
DOLLARS = "$,.0f"
SHORT_DOLLARS = "$.2~s"
FONT_SIZE = 13
MOST_TICKS = 6
SEQUENCE = ["#3b82b5", "#c9662a", "#6b9a45", "#8e6bb0", "#a8862c", "#5aa7a0"]
# Perceived lightness rises evenly, so that it can be read without colours, too.
SCALE = ["#1d3557", "#2b6a99", "#4f9dc0", "#9bbf8f", "#e3c567", "#e08e45"]
# The dark end of it would not be seen on dark.
SCALE_ON_DARK = ["#4d679c", "#3f86b8", "#5fb4d6", "#9bbf8f", "#e3c567", "#e08e45"]


def text_colour(dark: bool) -> str:
    """The colour of text."""
    return "#e8ebe9" if dark else "#1c2326"


def grid_colour(dark: bool) -> str:
    """What lies behind: places that are not meant, grid lines."""
    return "#39444a" if dark else "#d4d8d3"


def label_axis(dark: bool, **more: Any) -> alt.Axis:
    """An axis of names, without lines."""
    return alt.Axis(
        title=None, labelLimit=215, labelOverlap=False, ticks=False, domain=False,
        # Streamlit's theme would move the first label away from its row.
        labelFlush=False, labelColor=text_colour(dark),
        labelFontSize=FONT_SIZE, grid=False, **more,
    )  # fmt: skip


def legend(dark: bool, **more: Any) -> alt.Legend:
    """A legend above the chart, whose words are not cut."""
    return alt.Legend(title=None, orient="top", labelColor=text_colour(dark), labelLimit=0, **more)


def dollar_ticks(low: float, high: float) -> list[float]:
    """At most `MOST_TICKS` round amounts between two, or else both, for a logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        ticks = [each for each in ticks if low <= each <= high]
        if len(ticks) <= MOST_TICKS:
            break
    return ticks or [low, high]


def number_axis(
    dark: bool, title: str | None = None, form: str = SHORT_DOLLARS, **more: Any
) -> alt.Axis:
    """An axis of figures."""
    return alt.Axis(
        title=title,
        format=form,
        labelColor=text_colour(dark),
        titleColor=text_colour(dark),
        gridColor=grid_colour(dark),
        ticks=False,
        domain=False,
        tickCount=5,
        labelFontSize=FONT_SIZE - 1,
        **more,
    )


def tooltip(field: str, title: str, form: str = "") -> alt.Tooltip:
    """A line of a tooltip."""
    return alt.Tooltip(field, title=title, format=form or alt.Undefined)


def in_currency(chart: Chart, sign: str) -> Chart:
    """The chart with `sign` before its amounts, where their formats say "$"."""
    if sign == "$":
        return chart
    number = alt.NumberLocale(decimal=".", thousands=",", grouping=[3], currency=[sign, ""])
    drawn: Chart = chart.configure(locale=alt.Locale(number=number))
    return drawn


def two_colours(field: str, domain: Sequence[str], legend: alt.Legend | None = None) -> alt.Color:
    """Blue for the first of `domain`, orange for the second."""
    return alt.Color(
        field, scale=alt.Scale(domain=list(domain), range=[RAISES, LOWERS]), legend=legend
    )
