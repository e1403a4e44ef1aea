"""Charts of model versions: metrics, errors, importance, drift, and lines over time."""

import altair as alt
import numpy as np
import pandas as pd

from realtor_ui.charts.chart_style import (
    LOWERS,
    MUTED,
    RAISES,
    SCALE,
    Chart,
    grid_colour,
    label_axis,
    legend,
    number_axis,
    text_colour,
    tooltip,
)
from realtor_ui.texts import Texts

# Smallest PSI of a band, its label, its color, and the color of text on it.
_DARK, _LIGHT = "#14191c", "#ffffff"
DRIFT = (
    (0.0, "< 0.1", "#a9cfe3", _DARK), (0.1, "0.1 \N{EN DASH} 0.25", "#4f9dc0", _DARK),
    (0.25, "0.25 \N{EN DASH} 0.5", "#e3c567", _DARK), (0.5, "0.5 \N{EN DASH} 1", "#e08e45", _DARK),
    (1.0, "≥ 1", "#a83a25", _LIGHT),
)  # fmt: skip


def metric_by_version(
    texts: Texts, frame: pd.DataFrame, title: str, form: str, *, dark: bool = False
) -> Chart:
    """One figure of every version. frame: version, figure, decision (in words), champion (bool)."""
    base = alt.Chart(frame, height=240).encode(
        x=alt.X("version:N", sort=None, axis=label_axis(dark, labelAngle=0)),
        y=alt.Y(
            "figure:Q", axis=number_axis(dark, title, form), scale=alt.Scale(zero=False, padding=20)
        ),
        tooltip=[
            tooltip("version:N", texts("models.version")), tooltip("figure:Q", title, form),
            tooltip("decision:N", texts("models.decision")),
        ],
    )  # fmt: skip
    line = base.mark_line(color=grid_colour(dark), strokeWidth=2)
    points = base.mark_point(filled=True, size=130, opacity=1).encode(
        shape=alt.Shape("decision:N", legend=legend(dark)),
        color=alt.Color("decision:N", scale=alt.Scale(range=[RAISES, LOWERS, MUTED])),
    )
    ring = base.transform_filter("datum.champion").mark_point(
        size=420, strokeWidth=2, color=text_colour(dark), opacity=1
    )
    return alt.layer(line, points, ring)


def importance_change(
    texts: Texts, frame: pd.DataFrame, before: str, after: str, *, dark: bool = False
) -> Chart:
    """Mean |SHAP| of each input in two champions. frame: label, before, after (log price)."""
    long = frame.melt("label", ["before", "after"], "when", "weight")
    long["when"] = long["when"].map({"before": before, "after": after})
    base = alt.Chart(long, height=28 * len(frame) + 110).encode(
        y=alt.Y("label:N", sort=None, axis=label_axis(dark)),
        x=alt.X("weight:Q", axis=number_axis(dark, texts("models.weight"), "~f")),
    )
    line = base.mark_line(color=grid_colour(dark), strokeWidth=4).encode(detail="label:N")
    dots = base.mark_point(filled=True, size=110, opacity=1).encode(
        color=alt.Color(
            "when:N", scale=alt.Scale(domain=[before, after], range=[MUTED, RAISES]),
            legend=legend(dark),
        ),
        tooltip=[tooltip("label:N", " "), tooltip("when:N", " "),
                 tooltip("weight:Q", texts("models.weight"), ".3f")],
    )  # fmt: skip
    return alt.layer(line, dots)


def segment_errors(
    texts: Texts, frame: pd.DataFrame, overall: float, *, dark: bool = False
) -> Chart:
    """Median error of each segment beside that of all homes. frame: segment, mdape, n."""
    base = alt.Chart(frame, height=26 * len(frame) + 90).encode(
        y=alt.Y("segment:N", sort=None, axis=label_axis(dark)),
        x=alt.X("mdape:Q", axis=number_axis(dark, texts("models.mdape"), ".0%")),
        tooltip=[
            tooltip("segment:N", " "), tooltip("mdape:Q", texts("models.mdape"), ".1%"),
            tooltip("n:Q", texts("market.homes"), ","),
        ],
    )  # fmt: skip
    rule = (
        alt.Chart(pd.DataFrame({"overall": [overall]}))
        .mark_rule(color=LOWERS, strokeDash=[5, 4], strokeWidth=2)
        .encode(x="overall:Q", tooltip=[tooltip("overall:Q", texts("models.all_homes"), ".1%")])
    )
    return alt.layer(base.mark_bar(height=14, cornerRadius=2, color=RAISES), rule)


def calibration(texts: Texts, frame: pd.DataFrame, promised: float, *, dark: bool = False) -> Chart:
    """Prices within their range, by fifth of the estimate. frame: segment, coverage (shares)."""
    base = alt.Chart(frame, height=220).encode(
        x=alt.X("segment:N", sort=None, axis=label_axis(dark, labelAngle=0)),
        tooltip=[tooltip("segment:N", texts("models.fifth")),
                 tooltip("coverage:Q", texts("models.coverage"), ".1%")],
    )  # fmt: skip
    y = alt.Y(
        "coverage:Q", axis=number_axis(dark, texts("models.coverage"), ".0%"),
        scale=alt.Scale(domain=[0, 1]),
    )  # fmt: skip
    rule = (
        alt.Chart(pd.DataFrame({"promised": [promised]}))
        .mark_rule(color=LOWERS, strokeDash=[5, 4], strokeWidth=2)
        .encode(y="promised:Q", tooltip=[tooltip("promised:Q", texts("models.promised"), ".0%")])
    )
    return alt.layer(base.mark_bar(width={"band": 0.6}, color=RAISES).encode(y=y), rule)


def drift_heatmap(texts: Texts, frame: pd.DataFrame, *, dark: bool = False) -> Chart:
    """PSI of each feature in each batch. frame: batch, label, psi; below 0.1 is stable."""
    at = np.digitize(frame["psi"], [least for least, *_ in DRIFT[1:]])
    frame = frame.assign(band=[DRIFT[i][1] for i in at], ink=[DRIFT[i][3] for i in at])
    base = alt.Chart(frame, height=26 * frame["label"].nunique() + 120).encode(
        x=alt.X("batch:N", sort=None, axis=label_axis(dark, labelAngle=0, orient="top")),
        y=alt.Y("label:N", sort=None, axis=label_axis(dark)),
        tooltip=[tooltip("batch:N", texts("market.batch")), tooltip("label:N", " "),
                 tooltip("psi:Q", "PSI", ".3f")],
    )  # fmt: skip
    cells = base.mark_rect(stroke=grid_colour(dark)).encode(
        color=alt.Color(
            "band:N",
            scale=alt.Scale(domain=[each[1] for each in DRIFT], range=[each[2] for each in DRIFT]),
            # At the bottom, where it takes no width from the cells on a phone.
            legend=alt.Legend(
                title="PSI",
                orient="bottom",
                columns=3,
                labelColor=text_colour(dark),
                titleColor=text_colour(dark),
                symbolType="square",
                symbolStrokeWidth=0,
            ),
        )
    )
    words = base.mark_text(fontSize=12)
    words = words.encode(text=alt.Text("psi:Q", format=".2f"), color=alt.Color("ink:N", scale=None))
    return alt.layer(cells, words)


def time_series(
    frame: pd.DataFrame, title: str, form: str, *, dark: bool = False, height: int = 200
) -> Chart:
    """Lines over time. frame: at (UTC), name, figure."""
    several = frame["name"].nunique() > 1
    # Without a scale from zero, a line of zeros would be drawn in the middle.
    top = max(1.0, 1.1 * float(frame["figure"].max()))
    chart: alt.Chart = (
        alt.Chart(frame, height=height)
        .mark_line(point=True, strokeWidth=2)
        .encode(
            x=alt.X("at:T", axis=number_axis(dark, form="%H:%M:%S")),
            y=alt.Y("figure:Q", axis=number_axis(dark, title, form),
                    scale=alt.Scale(domain=[0, top], nice=False)),
            color=alt.Color(
                "name:N", scale=alt.Scale(range=[RAISES, LOWERS, SCALE[3], MUTED]),
                legend=legend(dark) if several else None,
            ),
            tooltip=[tooltip("at:T", " ", "%H:%M:%S"), tooltip("name:N", " "),
                     tooltip("figure:Q", title, form)],
        )
    )  # fmt: skip
    return chart
