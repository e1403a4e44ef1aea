"""Why this price: all reasons, and the difference between two homes by reason."""

from typing import Any

import streamlit as st

from realtor_ui import formatting, service_cache
from realtor_ui.charts import valuation_charts
from realtor_ui.charts.valuation_charts import Reason
from realtor_ui.client import ServiceError
from realtor_ui.formatting import escape_dollars
from realtor_ui.layout import (
    current_texts,
    is_dark,
    model_texts,
    require_model,
    show_chart,
    show_error,
)
from realtor_ui.market_texts import MarketTexts
from realtor_ui.responses import ExplainedValuation, ModelInfo
from realtor_ui.sections import price_reasons
from realtor_ui.sections.home_form import home_form

HOME, OTHER = "home", "other_home"


def main() -> None:
    """The page."""
    st.title(current_texts()("why.title"))
    info = require_model()
    if info is None:
        return
    t = model_texts(info)
    start = _known(info, HOME)
    first, second = st.columns(2, gap="large")
    try:
        with first:
            st.subheader(t("why.first"))
            with st.expander(_name(t, start) or t("form.how"), expanded=not start):
                entered = home_form(t, "why_", start)
                if st.button(t("form.value"), key="why_value", type="primary", width="stretch"):
                    st.session_state[HOME] = start = entered
        with second:
            st.subheader(t("why.second"))
            other = _other(t, start)
    except ServiceError as problem:
        show_error(problem)
        return
    if not start:
        st.info(t("why.nothing"), icon=":material/arrow_back:")
        return
    answers = [_ask(info, home) for home in (start, other) if home]
    for place, answer, home in zip((first, second), answers, (start, other), strict=False):
        if answer is not None:
            with place:
                st.metric(_name(t, home or {}), formatting.money(t, answer.valuation.price))
    explained = [answer for answer in answers if answer is not None]
    if len(explained) == 2:
        _difference(t, *explained)
    if answers[0] is not None:
        _reasons(t, answers[0])


def _known(info: ModelInfo, key: str) -> dict[str, Any]:
    """The home in the session state, without inputs of a market that was served before."""
    home = st.session_state.get(key) or {}
    return {name: value for name, value in home.items() if name in info.inputs}


def _other(t: MarketTexts, start: dict[str, Any]) -> dict[str, Any] | None:
    if not st.toggle(t("why.compare"), key="compare", disabled=not start):
        return None
    other = _known(t.info, OTHER) or start
    with st.expander(_name(t, other), expanded=True):
        entered = home_form(t, "other_", other)
    st.session_state[OTHER] = entered
    return entered


def _name(t: MarketTexts, home: dict[str, Any]) -> str:
    """A short name of a home: its size and its place."""
    size, city, state, zip_code = (
        t.info.value_of(home, role) for role in ("living_area", "city", "state", "zip_code")
    )
    parts = [
        formatting.input_value(t, "house_size", size) if size else "",
        ", ".join(str(each) for each in (city, state) if each),
        str(zip_code or ""),
    ]
    if not any(parts[1:]):
        parts.append(formatting.place_name(t, home))
    return " · ".join(part for part in parts if part)


def _ask(info: ModelInfo, home: dict[str, Any]) -> ExplainedValuation | None:
    try:
        with st.spinner(current_texts()("wait.value")):
            return service_cache.explanation(info.version, home)
    except ServiceError as problem:
        show_error(problem)
        return None


def _difference(t: MarketTexts, first: ExplainedValuation, second: ExplainedValuation) -> None:
    one, two = ({each.input: each for each in home.contributions} for home in (first, second))
    between = sorted(
        (Reason(t.named("input", name), two[name].dollars - one[name].dollars) for name in one),
        key=lambda reason: -abs(reason.dollars),
    )
    changed = [
        f"{t.named('input', name)}: {formatting.input_value(t, name, one[name].value)} → "
        f"{formatting.input_value(t, name, two[name].value)}"
        for name in one
        if one[name].value != two[name].value
    ]
    between = [
        reason for reason in between if abs(reason.dollars) >= price_reasons.NEGLIGIBLE_DOLLARS
    ]
    if not between:
        st.info(t("why.same"))
        return
    total = second.valuation.price - first.valuation.price
    st.markdown(
        escape_dollars(t("why.difference", price=f"**{formatting.signed_money(t, total)}**"))
    )
    st.caption(escape_dollars(" · ".join(changed)))
    show_chart(
        t, valuation_charts.price_differences(t, between, dark=is_dark()), t("why.difference_chart")
    )


def _reasons(t: MarketTexts, answer: ExplainedValuation) -> None:
    kinds = {"by_feature": price_reasons.by_feature, "by_input": price_reasons.by_input}
    kind = st.segmented_control(
        t("why.by"), list(kinds), default="by_feature", required=True,
        format_func=lambda each: t(f"why.{each}"), key="reasons_by",
    )  # fmt: skip
    steps = kinds[kind or "by_feature"](t, answer)
    base, price = answer.base_price, answer.valuation.price
    st.markdown(
        escape_dollars(
            t("why.from_base", base=formatting.money(t, base), price=formatting.money(t, price))
        )
    )
    show_chart(t, valuation_charts.waterfall(t, base, steps, price, dark=is_dark()), t("why.chart"))
    st.subheader(t("why.force"))
    every = price_reasons.by_input(t, answer)
    show_chart(
        t, valuation_charts.force_plot(t, base, every, price, dark=is_dark()), t("why.force_chart")
    )
    st.subheader(t("why.table"), help=t.define("shap"))
    money = {t("why.adds_dollars"): st.column_config.NumberColumn(format="localized")}
    table = price_reasons.inputs_table if kind == "by_input" else price_reasons.features_table
    st.dataframe(table(t, answer), hide_index=True, column_config=money)


main()
