"""Charts of one valuation: its range, its reasons, what would change it."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import altair as alt
import pandas as pd

from realtor_ui import formatting
from realtor_ui.charts.chart_style import (
    DOLLARS,
    FONT_SIZE,
    LOWERS,
    MUTED,
    RAISES,
    Chart,
    grid_colour,
    label_axis,
    legend,
    number_axis,
    text_colour,
    tooltip,
    two_colours,
)
from realtor_ui.texts import Texts

# Room for a figure beside the longest bar, as a share of all bars, on the narrowest screen.
FIGURE_ROOM = 0.75


class Reason(NamedTuple):
    """The effect of one reason on the price, dollars."""

    label: str
    dollars: float


def range_bar(texts: Texts, low: float, price: float, high: float, *, dark: bool = False) -> Chart:
    """The estimate within its range, dollars."""
    figures = pd.DataFrame({"low": [low], "price": [price], "high": [high]})
    for name in ("low", "high"):
        figures[f"{name}_text"] = figures[name].map(partial(formatting.money, texts))
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    base = alt.Chart(figures, height=70).encode(
        tooltip=[
            tooltip("low:Q", texts("value.low"), DOLLARS),
            tooltip("price:Q", texts("value.estimate"), DOLLARS),
            tooltip("high:Q", texts("value.high"), DOLLARS),
        ]
    )
    band = base.mark_bar(height=16, cornerRadius=8, color=RAISES, opacity=0.45, yOffset=-12).encode(
        x=alt.X("low:Q", scale=scale, axis=None), x2="high:Q"
    )
    mark = base.mark_tick(
        thickness=5, size=32, color=text_colour(dark), opacity=1, yOffset=-12, cornerRadius=2
    ).encode(x=alt.X("price:Q", scale=scale, axis=None))
    words: dict[str, Any] = {"dy": 20, "fontSize": FONT_SIZE, "color": text_colour(dark)}
    left = base.mark_text(align="left", **words).encode(
        x=alt.X("low:Q", scale=scale, axis=None), text="low_text:N"
    )
    right = base.mark_text(align="right", **words).encode(
        x=alt.X("high:Q", scale=scale, axis=None), text="high_text:N"
    )
    return alt.layer(band, mark, left, right)


def waterfall(
    texts: Texts, base: float, reasons: Sequence[Reason], price: float, *, dark: bool = False
) -> Chart:
    """From the model's `base` step by step to the `price`: `reasons` in their order, dollars.

    What `reasons` leave out is one step more, so that the steps always lead to the price.
    """
    rest = price - base - sum(reason.dollars for reason in reasons)
    steps = list(reasons)
    if abs(rest) >= 1:
        steps.append(Reason(texts("why.rest"), rest))
    rows = [
        {"label": texts("why.start"), "from": 0.0, "to": base, "effect": "total",
         "text": formatting.money(texts, base), "dollars": base}
    ]  # fmt: skip
    at = base
    for step in steps:
        rows.append(
            {"label": step.label, "from": at, "to": at + step.dollars,
             "effect": "raises" if step.dollars >= 0 else "lowers",
             "text": formatting.signed_money(texts, step.dollars), "dollars": step.dollars}
        )  # fmt: skip
        at += step.dollars
    rows.append({"label": texts("value.estimate"), "from": 0.0, "to": price, "effect": "total",
                 "text": formatting.money(texts, price), "dollars": price})  # fmt: skip
    figures = pd.DataFrame(rows)
    figures["right"] = figures[["from", "to"]].max(axis=1)
    moves = figures[figures["effect"] != "total"]
    ends = [base, price, *moves["from"], *moves["to"]]
    spread = max(max(ends) - min(ends), 1.0)
    domain = [min(ends) - 0.08 * spread, max(ends) + FIGURE_ROOM * spread]
    # Bars of totals begin at the left edge: the axis shows the steps, not the way from zero.
    figures.loc[figures["effect"] == "total", "from"] = domain[0]
    x = alt.Scale(domain=domain, nice=False, zero=False)
    base_chart = alt.Chart(figures, height=26 * len(figures)).encode(
        y=alt.Y("label:N", sort=None, axis=label_axis(dark)),
        tooltip=[tooltip("label:N", texts("why.because")), tooltip("text:N", texts("why.adds"))],
    )
    bars = base_chart.mark_bar(height=16, cornerRadius=2).encode(
        x=alt.X("from:Q", scale=x, axis=None),
        x2="to:Q",
        color=alt.Color(
            "effect:N",
            scale=alt.Scale(domain=["raises", "lowers", "total"], range=[RAISES, LOWERS, MUTED]),
            legend=None,
        ),
    )
    words = base_chart.mark_text(
        align="left", dx=5, color=text_colour(dark), fontSize=FONT_SIZE
    ).encode(x=alt.X("right:Q", scale=x, axis=None), text="text:N")
    return alt.layer(bars, words)


def force_plot(
    texts: Texts, base: float, reasons: Sequence[Reason], price: float, *, dark: bool = False
) -> Chart:
    """Force plot: reasons that raise and lower the price meet at it, dollars."""
    rows = []
    for effect, sign in (("raises", -1), ("lowers", 1)):
        at = price
        for reason in sorted(reasons, key=lambda each: -abs(each.dollars)):
            if (reason.dollars >= 0) == (effect == "raises") and reason.dollars:
                to = at + sign * abs(reason.dollars)
                rows.append(
                    {"label": reason.label, "effect": texts(f"why.{effect}"),
                     "left": min(at, to), "right": max(at, to),
                     "text": formatting.signed_money(texts, reason.dollars)}
                )  # fmt: skip
                at = to
    figures = pd.DataFrame(rows, columns=["label", "effect", "left", "right", "text"])
    # A bar tells its name when there is room for some of it.
    width = figures["right"] - figures["left"]
    figures["name"] = [label.partition(":")[0] for label in figures["label"]]
    figures["name"] = figures["name"].where(width > 0.25 * width.sum(), "")
    figures["middle"] = (figures["left"] + figures["right"]) / 2
    scale = alt.Scale(nice=False, zero=False, padding=8)
    axis = number_axis(dark)
    bars = (
        alt.Chart(figures, height=190)
        .mark_bar(height=34, stroke="white" if not dark else "#14191c", strokeWidth=1)
        .encode(
            x=alt.X("left:Q", scale=scale, axis=axis),
            x2="right:Q",
            y=alt.value(48),
            color=two_colours(
                "effect:N",
                [texts("why.raises"), texts("why.lowers")],
                legend(dark),
            ),
            tooltip=[
                tooltip("label:N", texts("why.because")),
                tooltip("text:N", texts("why.adds")),
            ],
        )
    )
    names = (
        alt.Chart(figures)
        .mark_text(color="white", fontSize=11, limit=88)
        .encode(x=alt.X("middle:Q", scale=scale, axis=axis), y=alt.value(48), text="name:N")
    )
    ends = pd.DataFrame(
        {
            "at": [base, price],
            "text": [
                f"{texts('why.start')} {formatting.money(texts, base)}",
                f"{texts('value.estimate')} {formatting.money(texts, price)}",
            ],
        }
    )
    marks = (
        alt.Chart(ends)
        .mark_rule(color=text_colour(dark), strokeDash=[4, 3])
        .encode(x=alt.X("at:Q", scale=scale, axis=axis), tooltip=[tooltip("text:N", " ")])
    )
    # Each stands on its side of its mark's line, one above the other: they never meet.
    end_labels = [
        alt.Chart(ends.iloc[[i]])
        .mark_text(align="left" if ends["at"][i] <= ends["at"].mean() else "right",
                   dx=4 if ends["at"][i] <= ends["at"].mean() else -4,
                   color=text_colour(dark), fontSize=FONT_SIZE - 1)
        .encode(x=alt.X("at:Q", scale=scale, axis=axis), y=alt.value(82 + 16 * i), text="text:N")
        for i in range(2)
    ]  # fmt: skip
    return alt.layer(bars, names, marks, *end_labels)


def what_if_curve(
    texts: Texts,
    label: str,
    curve: pd.DataFrame,
    now: tuple[float, float] | None,
    *,
    form: str = ",~f",
    dark: bool = False,
) -> Chart:
    """The price for each value of one input, and the home as it is.

    curve: value, price. form: of the values on the axis.
    """
    base = alt.Chart(curve, height=240).encode(
        x=alt.X("value:Q", axis=number_axis(dark, label, form), scale=alt.Scale(zero=False)),
        y=alt.Y("price:Q", axis=number_axis(dark), scale=alt.Scale(zero=False)),
        tooltip=[
            tooltip("value:Q", label, form if form == "d" else ",.4~g"),
            tooltip("price:Q", texts("value.estimate"), DOLLARS),
        ],
    )
    layers: list[alt.Chart] = [
        base.mark_line(color=RAISES, strokeWidth=2.5, interpolate="step-after"),
        base.mark_point(color=RAISES, filled=True, size=28),
    ]
    if now is not None:
        here = pd.DataFrame({"value": [now[0]], "price": [now[1]]})
        layers.append(
            alt.Chart(here)
            .mark_point(size=160, filled=True, color=LOWERS, stroke=text_colour(dark))
            .encode(x="value:Q", y="price:Q")
        )
    return alt.layer(*layers)


def place_prices(
    texts: Texts, prices: pd.DataFrame, now: str | None, *, dark: bool = False
) -> Chart:
    """The price of one home in each of n places, by name; the one it is in stands out."""
    figures = prices.assign(here=["here" if name == now else "there" for name in prices["name"]])
    figures["text"] = figures["price"].map(partial(formatting.money, texts))
    top = float(figures["price"].max())
    scale = alt.Scale(domain=[0, top * (1 + FIGURE_ROOM)], nice=False)
    base = alt.Chart(figures, height=26 * len(figures)).encode(
        y=alt.Y("name:N", sort=None, axis=label_axis(dark)),
        x=alt.X("price:Q", scale=scale, axis=None),
        tooltip=[tooltip("name:N", " "), tooltip("text:N", texts("value.estimate"))],
    )
    bars = base.mark_bar(height=16, cornerRadius=2).encode(
        color=two_colours("here:N", ["there", "here"])
    )
    words = base.mark_text(align="left", dx=5, color=text_colour(dark), fontSize=FONT_SIZE)
    return alt.layer(bars, words.encode(text="text:N"))


def price_differences(texts: Texts, reasons: Sequence[Reason], *, dark: bool = False) -> Chart:
    """Where the difference between two prices comes from, dollars, by input."""
    figures = pd.DataFrame(reasons, columns=["label", "dollars"])
    figures["effect"] = ["raises" if each >= 0 else "lowers" for each in figures["dollars"]]
    figures["text"] = figures["dollars"].map(partial(formatting.signed_money, texts))
    least, most = min(0.0, *figures["dollars"]), max(0.0, *figures["dollars"])
    room = FIGURE_ROOM * max(most - least, 1.0)
    domain = [least - (room if least < 0 else 0), most + (room if most > 0 else 0)]
    base = alt.Chart(figures, height=26 * len(figures)).encode(
        y=alt.Y("label:N", sort=None, axis=label_axis(dark)),
        x=alt.X("dollars:Q", scale=alt.Scale(domain=domain, nice=False), axis=None),
        tooltip=[tooltip("label:N", texts("why.because")), tooltip("text:N", texts("why.adds"))],
    )
    bars = base.mark_bar(height=16, cornerRadius=2).encode(
        color=two_colours("effect:N", ["raises", "lowers"])
    )
    words: dict[str, Any] = {"color": text_colour(dark), "fontSize": FONT_SIZE}
    above = base.transform_filter("datum.dollars >= 0").mark_text(align="left", dx=5, **words)
    below = base.transform_filter("datum.dollars < 0").mark_text(align="right", dx=-5, **words)
    zero = (
        alt.Chart(pd.DataFrame({"at": [0.0]}))
        .mark_rule(color=grid_colour(dark))
        .encode(x=alt.X("at:Q", scale=alt.Scale(domain=domain, nice=False), axis=None))
    )
    return alt.layer(bars, zero, above.encode(text="text:N"), below.encode(text="text:N"))
