"""Differences between two champions: importance of inputs, segments, example homes."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from realtor_ui import formatting
from realtor_ui.charts import model_charts as charts
from realtor_ui.layout import is_dark, show_chart
from realtor_ui.market_texts import MarketTexts
from realtor_ui.responses import History

MOST_SEGMENTS = 12


def show(t: MarketTexts, history: History) -> None:
    """Show the differences between two champions; the reader chooses which."""
    st.subheader(t("models.changes"), help=t.define("champion"))
    if not history.changes:
        st.caption(t("models.no_changes"))
        return
    newest_first = list(reversed(history.changes))
    chosen = st.selectbox(
        t("models.changes"), range(len(newest_first)), key="change", label_visibility="collapsed",
        format_func=lambda i: t(
            "models.change", before=newest_first[i].before, after=newest_first[i].after
        ),
    )  # fmt: skip
    change = newest_first[chosen or 0]
    before, after = (f"{t('models.version')} {each}" for each in (change.before, change.after))
    importance = pd.DataFrame(change.importance)
    importance["label"] = [t.named("input", name) for name in importance["input"]]
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{t('models.importance')}**", help=t.define("shap"))
        show_chart(
            t,
            charts.importance_change(t, importance, before, after, dark=is_dark()),
            t("models.importance"),
        )
    with right:
        st.markdown(f"**{t('models.moved')}**")
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        t("models.segments_by"): t.named("by", row["by"]),
                        t("models.segment"): formatting.segment_name(t, row["by"], row["segment"]),
                        t("models.moved_by"): f"{row['change']:+.1f} %",
                        t("models.error_before"): f"{row['mdape_before']:.1%}",
                        t("models.error_after"): f"{row['mdape_after']:.1%}",
                    }
                    for row in change.segments[:MOST_SEGMENTS]
                ]
            ),
            hide_index=True,
        )
    st.markdown(f"**{t('models.examples')}**")
    st.dataframe(
        pd.DataFrame(
            [
                {
                    t("comps.where"): _place(row),
                    t.label("house_size"): formatting.input_value(
                        t, "house_size", row.get("house_size")
                    ),
                    t.label("bed"): formatting.input_value(t, "bed", row.get("bed")),
                    t("models.listed"): formatting.money(t, row["price"]),
                    t("models.before"): formatting.money(t, row["before"]),
                    t("models.after"): formatting.money(t, row["after"]),
                    t("models.moved_by"): f"{row['change']:+.1f} %",
                }
                for row in change.homes
            ]
        ),
        hide_index=True,
    )


def _place(row: Mapping[str, Any]) -> str:
    """The city and the state of a home of the history, or else its zip code."""
    names = [row.get("city"), row.get("state")]
    return ", ".join(str(each) for each in names if each) or str(row.get("zip_code") or "")
