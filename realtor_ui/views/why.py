"""Why this price: every reason for it, and where the difference between two homes comes from."""

from typing import Any

import streamlit as st

from realtor_ui import asking, wording
from realtor_ui.answers import ExplainedValuation, ModelInfo
from realtor_ui.charts import value
from realtor_ui.charts.value import Reason
from realtor_ui.client import ServiceError
from realtor_ui.parts import dark, ready, say, tell, texts
from realtor_ui.sections import reasons
from realtor_ui.sections.form import home_form

HOME, OTHER = "home", "other_home"


def main() -> None:
    """The page."""
    t = texts()
    st.title(t("why.title"))
    info = ready()
    if info is None:
        return
    start: dict[str, Any] = st.session_state.get(HOME) or {}
    first, second = st.columns(2, gap="large")
    try:
        with first:
            st.subheader(t("why.first"))
            with st.expander(_name(start) or t("form.how"), expanded=not start):
                entered = home_form(t, info, "why_", start)
                if st.button(t("form.value"), key="why_value", type="primary", width="stretch"):
                    st.session_state[HOME] = start = entered
        with second:
            st.subheader(t("why.second"))
            other = _other(info, start)
    except ServiceError as problem:
        tell(problem)
        return
    if not start:
        st.info(t("why.nothing"), icon=":material/arrow_back:")
        return
    answers = [_ask(info, home) for home in (start, other) if home]
    for place, answer, home in zip((first, second), answers, (start, other), strict=False):
        if answer is not None:
            with place:
                st.metric(_name(home or {}), wording.dollars(answer.valuation.price))
    told = [answer for answer in answers if answer is not None]
    if len(told) == 2:
        _difference(*told)
    if answers[0] is not None:
        _reasons(answers[0])


def _other(info: ModelInfo, start: dict[str, Any]) -> dict[str, Any] | None:
    t = texts()
    if not st.toggle(t("why.compare"), key="compare", disabled=not start):
        return None
    with st.expander(_name(st.session_state.get(OTHER) or start), expanded=True):
        entered = home_form(t, info, "other_", st.session_state.get(OTHER) or start)
    st.session_state[OTHER] = entered
    return entered


def _name(home: dict[str, Any]) -> str:
    """What tells a home apart: its size and its place."""
    t = texts()
    parts = [
        wording.entered(t, "house_size", home["house_size"]) if home.get("house_size") else "",
        ", ".join(str(home[key]) for key in ("city", "state") if home.get(key)),
        str(home.get("zip_code") or ""),
    ]
    return " · ".join(part for part in parts if part)


def _ask(info: ModelInfo, home: dict[str, Any]) -> ExplainedValuation | None:
    try:
        with st.spinner(texts()("wait.value")):
            return asking.explained(info.version, home)
    except ServiceError as problem:
        tell(problem)
        return None


def _difference(first: ExplainedValuation, second: ExplainedValuation) -> None:
    t = texts()
    one, two = ({each.input: each for each in told.contributions} for told in (first, second))
    between = sorted(
        (Reason(t.named("input", name), two[name].dollars - one[name].dollars) for name in one),
        key=lambda reason: -abs(reason.dollars),
    )
    changed = [
        f"{t.named('input', name)}: {wording.entered(t, name, one[name].value)} → "
        f"{wording.entered(t, name, two[name].value)}"
        for name in one
        if one[name].value != two[name].value
    ]
    between = [reason for reason in between if abs(reason.dollars) >= reasons.NEGLIGIBLE_DOLLARS]
    if not between:
        st.info(t("why.same"))
        return
    total = second.valuation.price - first.valuation.price
    st.markdown(say(t("why.difference", price=f"**{wording.signed_dollars(total)}**")))
    st.caption(say(" · ".join(changed)))
    st.altair_chart(value.differences(t, between, dark=dark()), width="stretch",
                    alt=t("why.difference_chart"))  # fmt: skip


def _reasons(answer: ExplainedValuation) -> None:
    t = texts()
    told = answer.valuation
    kinds = {"by_feature": reasons.by_feature, "by_input": reasons.by_input}
    kind = st.segmented_control(
        t("why.by"), list(kinds), default="by_feature", required=True,
        format_func=lambda each: t(f"why.{each}"), key="reasons_by",
    )  # fmt: skip
    steps = kinds[kind or "by_feature"](t, answer)
    base, price = answer.base_price, told.price
    st.markdown(say(t("why.from_base", base=wording.dollars(base), price=wording.dollars(price))))
    st.altair_chart(
        value.waterfall(t, base, steps, price, dark=dark()), width="stretch", alt=t("why.chart")
    )
    st.subheader(t("why.force"))
    every = reasons.by_input(t, answer)
    st.altair_chart(
        value.force(t, base, every, price, dark=dark()), width="stretch", alt=t("why.force_chart")
    )
    st.subheader(t("why.table"))
    money = {t("why.adds_dollars"): st.column_config.NumberColumn(format="localized")}
    table = reasons.inputs_table if kind == "by_input" else reasons.features_table
    st.dataframe(table(t, answer), hide_index=True, column_config=money)


main()
