"""Value a home: what a person knows about it in, the estimate and its reasons out."""

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from realtor_ui import asking, report
from realtor_ui.answers import ComparableSales, ExplainedValuation, ModelInfo
from realtor_ui.charts import value
from realtor_ui.client import NotThere, ServiceError
from realtor_ui.parts import LANGUAGE, dark, ready, say, tell, texts
from realtor_ui.sections import comparables, reasons, result, whatif
from realtor_ui.sections.form import from_url, home_form, to_url
from realtor_ui.wording import dollars

# The home that was valued last, while the person goes on or looks at another page.
HOME = "home"


def main() -> None:
    """The page."""
    t = texts()
    st.title(t("value.title"))
    info = ready()
    if info is None:
        return
    start = st.session_state.get(HOME) or from_url(st.query_params)
    left, right = st.columns([5, 7], gap="large")
    with left:
        try:
            entered = home_form(t, info, "in_", start)
        except ServiceError as problem:
            tell(problem)
            return
        if st.button(t("form.value"), type="primary", width="stretch"):
            st.session_state[HOME] = entered
            st.session_state.pop(comparables.EXCLUDED, None)
        elif HOME not in st.session_state and start:
            st.session_state[HOME] = start
    with right:
        home = st.session_state.get(HOME)
        if not home:
            st.info(t("form.how"), icon=":material/arrow_back:")
            return
        if _told(entered) != _told(home):
            st.caption(t("form.changed"))
        answer = _ask(info, home)
        if answer is None:
            return
        st.query_params.from_dict(to_url(home) | {LANGUAGE: t.language})
        sales = _sales(info, home)
        result.price(t, answer.valuation, home)
        st.caption(t("value.blind"))
        _take_away(answer, home, sales)
    _reasons(answer, home, sales)
    st.subheader(t("comps.heading"))
    if sales is None:
        st.info(t("comps.unknown"), icon=":material/search_off:")
    else:
        comparables.show(t, answer, sales)
    _features(info, answer, home)


def _told(home: dict[str, Any]) -> dict[str, Any]:
    """What of a home moves its value: the listing's status, which is never empty, does not."""
    return {name: value for name, value in home.items() if name != "status"}


def _ask(info: ModelInfo, home: dict[str, Any]) -> ExplainedValuation | None:
    try:
        with st.spinner(texts()("wait.value")):
            return asking.explained(info.version, home)
    except ServiceError as problem:
        tell(problem)
        return None


def _sales(info: ModelInfo, home: dict[str, Any]) -> ComparableSales | None:
    """The comparables; None where the model carries none. Other trouble is told."""
    try:
        with st.spinner(texts()("wait.comps")):
            return asking.comparables(info.version, home, comparables.excluded())
    except NotThere:
        return None
    except ServiceError as problem:
        tell(problem)
        return None


def _take_away(
    answer: ExplainedValuation, home: dict[str, Any], sales: ComparableSales | None
) -> None:
    t = texts()
    now = datetime.now(UTC)
    page = report.html(t, answer, home, reasons.by_input(t, answer), sales, now)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            t("report.download"), page, f"valuation-{now:%Y-%m-%d}.html", "text/html",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
        st.caption(t("report.share"))


def _reasons(
    answer: ExplainedValuation, home: dict[str, Any], sales: ComparableSales | None
) -> None:
    t = texts()
    why, where = st.columns([7, 5], gap="large")
    with why:
        st.subheader(t("why.heading"))
        base, price = dollars(answer.base_price), dollars(answer.valuation.price)
        st.markdown(say(t("why.from_base", base=base, price=price)))
        steps = reasons.by_input(t, answer)
        st.altair_chart(
            value.waterfall(t, answer.base_price, steps, answer.valuation.price, dark=dark()),
            width="stretch", alt=t("why.chart"),
        )  # fmt: skip
    with where:
        st.subheader(t("map.heading"))
        result.map_of(t, answer, home, sales)


def _features(info: ModelInfo, answer: ExplainedValuation, home: dict[str, Any]) -> None:
    t = texts()
    with st.expander(t("whatif.heading")):
        whatif.show(t, info, answer, home)
    with st.expander(t("why.all_features", n=len(answer.features))):
        st.caption(t("why.derived"))
        money = st.column_config.NumberColumn(format="localized")
        st.dataframe(
            reasons.features_table(t, answer), hide_index=True,
            column_config={t("why.adds_dollars"): money},
        )  # fmt: skip


main()
