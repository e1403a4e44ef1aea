"""Value a home: the form, the estimate, its reasons and comparable sales."""

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from realtor_ui import service_cache, valuation_report
from realtor_ui.charts import valuation_charts
from realtor_ui.client import NotThere, ServiceError
from realtor_ui.formatting import escape_dollars, money
from realtor_ui.layout import (
    LANGUAGE,
    current_texts,
    is_dark,
    model_texts,
    require_model,
    show_chart,
    show_error,
)
from realtor_ui.market_texts import MarketTexts
from realtor_ui.responses import ComparableSales, ExplainedValuation, ModelInfo
from realtor_ui.sections import comparable_sales, price_reasons, valuation_result, what_if
from realtor_ui.sections.home_form import from_url, home_form, to_url

# Session state: the home that was valued last, shared by the pages.
HOME = "home"


def main() -> None:
    """The page."""
    st.title(current_texts()("value.title"))
    info = require_model()
    if info is None:
        return
    t = model_texts(info)
    start = st.session_state.get(HOME) or from_url(st.query_params, info)
    left, right = st.columns([5, 7], gap="large")
    with left:
        try:
            entered = home_form(t, "in_", start)
        except ServiceError as problem:
            show_error(problem)
            return
        if st.button(t("form.value"), type="primary", width="stretch"):
            st.session_state[HOME] = entered
            st.session_state.pop(comparable_sales.EXCLUDED, None)
        elif HOME not in st.session_state and start:
            st.session_state[HOME] = start
    with right:
        # A home of a market that was served before may have inputs that this one lacks.
        home = {
            name: value
            for name, value in st.session_state.get(HOME, {}).items()
            if name in info.inputs
        }
        if not home:
            st.info(t("form.how"), icon=":material/arrow_back:")
            return
        if _effective(entered, info) != _effective(home, info):
            st.caption(t("form.changed"))
        answer = _ask(info, home)
        if answer is None:
            return
        st.query_params.from_dict(to_url(home, info) | {LANGUAGE: t.language})
        sales = _sales(info, home)
        valuation_result.show_price(t, answer.valuation, home)
        st.caption(valuation_report.blindness(t))
        _take_away(t, answer, home, sales)
    _reasons(t, answer, home, sales)
    st.subheader(t("comps.heading"))
    if sales is None:
        st.info(t("comps.unknown"), icon=":material/search_off:")
    else:
        comparable_sales.show(t, answer, sales)
    _features(t, answer, home)


def _effective(home: dict[str, Any], info: ModelInfo) -> dict[str, Any]:
    """The inputs of a home that change its value."""
    return {name: value for name, value in home.items() if info.inputs[name].moves_estimate}


def _ask(info: ModelInfo, home: dict[str, Any]) -> ExplainedValuation | None:
    try:
        with st.spinner(current_texts()("wait.value")):
            return service_cache.explanation(info.version, home)
    except ServiceError as problem:
        show_error(problem)
        return None


def _sales(info: ModelInfo, home: dict[str, Any]) -> ComparableSales | None:
    """The comparable sales, or None if the model has none; other errors are shown."""
    try:
        with st.spinner(current_texts()("wait.comps")):
            return service_cache.comparable_sales(info.version, home, comparable_sales.excluded())
    except NotThere:
        return None
    except ServiceError as problem:
        show_error(problem)
        return None


def _take_away(
    t: MarketTexts,
    answer: ExplainedValuation,
    home: dict[str, Any],
    sales: ComparableSales | None,
) -> None:
    now = datetime.now(UTC)
    page = valuation_report.to_html(t, answer, home, price_reasons.by_input(t, answer), sales, now)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            t("report.download"), page, f"valuation-{now:%Y-%m-%d}.html", "text/html",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
        st.caption(t("report.share"))


def _reasons(
    t: MarketTexts,
    answer: ExplainedValuation,
    home: dict[str, Any],
    sales: ComparableSales | None,
) -> None:
    why, where = st.columns([7, 5], gap="large")
    with why:
        st.subheader(t("why.heading"))
        base, price = money(t, answer.base_price), money(t, answer.valuation.price)
        st.markdown(escape_dollars(t("why.from_base", base=base, price=price)))
        steps = price_reasons.by_input(t, answer)
        show_chart(
            t,
            valuation_charts.waterfall(
                t, answer.base_price, steps, answer.valuation.price, dark=is_dark()
            ),
            t("why.chart"),
        )
    with where:
        st.subheader(t("map.heading"))
        valuation_result.show_map(t, answer, home, sales)


def _features(t: MarketTexts, answer: ExplainedValuation, home: dict[str, Any]) -> None:
    with st.expander(t("whatif.heading")):
        what_if.show(t, answer, home)
    with st.expander(t("why.all_features", n=len(answer.features))):
        st.caption(t("why.derived"))
        localized = st.column_config.NumberColumn(format="localized")
        st.dataframe(
            price_reasons.features_table(t, answer), hide_index=True,
            column_config={t("why.adds_dollars"): localized},
        )  # fmt: skip


main()
