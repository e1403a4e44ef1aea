"""Quality of one version: ratio study, coverage of its ranges, error by segment."""

import pandas as pd
import streamlit as st

from realtor_ui import formatting
from realtor_ui.charts import model_charts as charts
from realtor_ui.formatting import escape_dollars
from realtor_ui.layout import is_dark, show_chart
from realtor_ui.responses import Version
from realtor_ui.texts import Texts

# International Association of Assessing Officers, Standard on Ratio Studies (2013), table 1-3 and
# section 5.6: acceptable values for single-family homes.
STANDARDS = {
    "median_ratio": (0.90, 1.10), "cod": (5.0, 15.0), "prd": (0.98, 1.03), "prb": (-0.05, 0.05),
}  # fmt: skip
FIFTHS = "fifth of the estimate"
MOST_SEGMENTS = 25


def show(t: Texts, version: Version, promised: float) -> None:
    """Show ratio study, coverage and segments of a version."""
    st.subheader(t("models.ratio"))
    _ratio_study(t, version)
    segments = pd.DataFrame(version.segments)
    if segments.empty:
        st.caption(t("models.no_segments"))
        return
    left, right = st.columns(2, gap="large")
    fifths = segments[segments["by"] == FIFTHS].sort_values("segment")
    with left:
        st.subheader(t("models.calibration"), help=t.define("range", "coverage"))
        show_chart(
            t,
            charts.calibration(t, fifths, promised, dark=is_dark()),
            t("models.calibration_caption", share=f"{promised:.0%}"),
        )
        st.caption(t("models.calibration_caption", share=f"{promised:.0%}"))
    with right:
        st.subheader(t("models.segments"), help=t.define("mdape", "land"))
        by = st.selectbox(
            t("models.segments_by"), list(dict.fromkeys(segments["by"])), key="segments_by",
            format_func=lambda each: t.named("by", each),
        )  # fmt: skip
        shown = segments[segments["by"] == by].sort_values("mdape", ascending=False)
        shown = shown.assign(
            segment=[formatting.segment_name(t, str(by), each) for each in shown["segment"]]
        )
        overall = version.test.get("mdape") or float(shown["mdape"].median())
        show_chart(
            t,
            charts.segment_errors(t, shown.head(MOST_SEGMENTS), overall, dark=is_dark()),
            t("models.segments"),
        )


def _ratio_study(t: Texts, version: Version) -> None:
    # The standard is for sale prices. Before there are sales, asking prices are used.
    sales = version.test.get("sold_n")
    of = "sold_" if sales else ""
    for place, (name, (low, high)) in zip(st.columns(4), STANDARDS.items(), strict=True):
        value = version.test.get(f"{of}{name}")
        if value is None:
            continue
        digits = 1 if name == "cod" else 3
        with place:
            st.metric(t(f"models.{name}"), f"{value:.{digits}f}", help=t.define(name))
            ends = [version.test.get(f"{of}{name}_{end}") for end in ("low", "high")]
            interval = (
                f"{ends[0]:.{digits}f} … {ends[1]:.{digits}f}"
                if ends[0] is not None and ends[1] is not None
                else ""
            )
            good = low <= value <= high
            colour, verdict = ("green", "in_standard") if good else ("orange", "outside_standard")
            st.markdown(
                escape_dollars(f":{colour}-badge[{t(f'models.{verdict}')}]  \n:small[{interval}]")
            )
    whose = t("models.ratio_sales", n=f"{sales:,.0f}") if sales else t("models.ratio_asked")
    st.caption(f"{whose} {t('models.ratio_caption')}")
