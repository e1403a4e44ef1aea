"""Differences between two champions: importance of inputs, segments, example homes."""

import pandas as pd
import streamlit as st

from realtor_ui import formatting
from realtor_ui.charts import model_charts as charts
from realtor_ui.layout import is_dark
from realtor_ui.responses import History
from realtor_ui.texts import Texts

MOST_SEGMENTS = 12


def show(t: Texts, history: History) -> None:
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
        st.altair_chart(
            charts.importance_change(t, importance, before, after, dark=is_dark()), width="stretch",
            alt=t("models.importance"),
        )  # fmt: skip
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
                    t("comps.where"): f"{row.get('city') or ''}, {row.get('state') or ''}",
                    t("input.house_size"): formatting.input_value(
                        t, "house_size", row.get("house_size")
                    ),
                    t("input.bed"): formatting.input_value(t, "bed", row.get("bed")),
                    t("models.listed"): formatting.dollars(row["price"]),
                    t("models.before"): formatting.dollars(row["before"]),
                    t("models.after"): formatting.dollars(row["after"]),
                    t("models.moved_by"): f"{row['change']:+.1f} %",
                }
                for row in change.homes
            ]
        ),
        hide_index=True,
    )
