"""Value a home: what a person knows about it in, the estimate and its reasons out."""

from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from realtor_ui import charts, wording
from realtor_ui.client import (
    AllowedInput,
    ExplainedValuation,
    FieldProblem,
    InvalidProperty,
    ModelInfo,
    ServiceError,
)
from realtor_ui.parts import client, dark, model_info, tell, wait_for_service

SHOWN_REASONS = 8
NEGLIGIBLE_DOLLARS = 1.0
# Where the last answer and the home it is for are kept while the person goes on.
VALUED = "valued"
FIRST_SALE = date(1900, 1, 1)


def main() -> None:
    """The page."""
    st.title("Value a home")
    try:
        info = model_info()
    except ServiceError as problem:
        tell(problem)
        wait_for_service()
        return
    left, right = st.columns([5, 7], gap="large")
    with left:
        home = _form(info)
    with right:
        if home is not None:
            _ask(home)
        if VALUED in st.session_state:
            _result(*st.session_state[VALUED])
        elif home is None:
            st.info(
                "Fill in what you know and press **Value this home**. A state or a zip code is "
                "needed, and one of living area, lot size and bedrooms; all else makes the "
                "estimate better.",
                icon=":material/arrow_back:",
            )


def _form(info: ModelInfo) -> dict[str, Any] | None:
    """What was entered when the button was pressed; None before."""
    allowed = info.inputs
    with st.form("home", border=False):
        home: dict[str, Any] = {
            "state": st.selectbox(
                wording.LABELS["state"], wording.STATES, index=None, placeholder="Choose a state"
            )
        }
        city, zip_code = st.columns([3, 2])
        home["city"] = city.text_input(wording.LABELS["city"], max_chars=80) or None
        home["zip_code"] = zip_code.text_input(wording.LABELS["zip_code"], max_chars=10) or None
        size, lot = st.columns(2)
        with size:
            home["house_size"] = _whole("house_size", allowed, "sq ft", step=50)
        with lot:
            home["acre_lot"] = st.number_input(
                f"{wording.LABELS['acre_lot']} (acres)",
                min_value=allowed["acre_lot"].low,
                max_value=allowed["acre_lot"].high,
                value=None,
                step=0.05,
                format="%0.2f",
            )
        bed, bath = st.columns(2)
        with bed:
            home["bed"] = _whole("bed", allowed)
        with bath:
            home["bath"] = _whole("bath", allowed)
        with st.expander("More, if you know it"):
            home["status"] = st.selectbox(
                wording.LABELS["status"],
                allowed["status"].choices or list(wording.STATUSES),
                format_func=lambda status: wording.STATUSES.get(status, status),
                help="The estimate is for a sale, whatever the listing says.",
            )
            last_sale = st.date_input(
                wording.LABELS["prev_sold_date"], value=None, min_value=FIRST_SALE
            )
            home["prev_sold_date"] = last_sale.isoformat() if last_sale else None
            home["brokered_by"] = _whole("brokered_by", allowed, "id")
            home["street"] = _whole("street", allowed, "id")
        pressed = st.form_submit_button("Value this home", type="primary", width="stretch")
    if not pressed:
        return None
    return {name: value for name, value in home.items() if value is not None}


def _whole(
    name: str, allowed: dict[str, AllowedInput], unit: str = "", step: int = 1
) -> int | None:
    """An optional whole number within the range that the service accepts."""
    low, high = allowed[name].low, allowed[name].high
    label = f"{wording.LABELS[name]} ({unit})" if unit else wording.LABELS[name]
    return st.number_input(
        label,
        min_value=None if low is None else int(low),
        max_value=None if high is None else int(high),
        value=None,
        step=step,
    )


def _ask(home: dict[str, Any]) -> None:
    """Get the valuation of `home` and keep it, or say why there is none."""
    st.session_state.pop(VALUED, None)
    try:
        with st.spinner("Valuing this home"):
            answer = client().explain(home)
    except InvalidProperty as refusal:
        st.warning("\n\n".join(map(_in_words, refusal.problems)), icon=":material/edit:")
    except ServiceError as problem:
        tell(problem)
    else:
        st.session_state[VALUED] = (answer, home)


def _in_words(problem: FieldProblem) -> str:
    label = wording.LABELS.get(problem.field, problem.field)
    message = problem.message
    for name in sorted(wording.LABELS, key=len, reverse=True):
        message = message.replace(name, wording.LABELS[name].lower())
    return f"**{label}**: {message}" if label else f"{message[:1].upper()}{message[1:]}"


def _result(answer: ExplainedValuation, home: dict[str, Any]) -> None:
    value = answer.valuation
    st.metric(f"Estimated price, as sold · data to {value.as_of}", wording.dollars(value.price))
    grade, colour = wording.CONFIDENCE[value.confidence]
    facts = [f":{colour}-badge[{grade}]"]
    if size := home.get("house_size"):
        facts.append(f"**{wording.dollars(value.price / size)}** per sq ft")
    facts.append(f"model version {value.model.version}")
    st.markdown(_text(" · ".join(facts)))
    st.altair_chart(
        charts.range_bar(value.low, value.price, value.high, dark=dark()), width="stretch"
    )
    low, high = wording.dollars(value.low), wording.dollars(value.high)
    st.caption(
        _text(f"{value.coverage:.0%} of homes sell within a range made like this: {low} to {high}.")
    )
    for warning in value.warnings:
        st.warning(f"{warning[:1].upper()}{warning[1:]}.", icon=":material/info:")
    _reasons(answer)
    st.caption(
        "An estimate, not an appraisal: the model has not seen the home. Condition, renovation, "
        "view and noise are not in its data."
    )


def _reasons(answer: ExplainedValuation) -> None:
    st.subheader("Why this price")
    reasons = [each for each in answer.contributions if abs(each.dollars) >= NEGLIGIBLE_DOLLARS]
    labels = [
        f"{wording.LABELS.get(each.input, each.input)}: {wording.entered(each.input, each.value)}"
        for each in reasons
    ]
    base, price = wording.dollars(answer.base_price), wording.dollars(answer.valuation.price)
    st.markdown(_text(f"The model's average home is worth {base}. From there to {price}:"))
    if not reasons:
        return
    shown = slice(0, SHOWN_REASONS)
    st.altair_chart(
        charts.contributions(labels[shown], [each.dollars for each in reasons[shown]], dark=dark()),
        width="stretch",
    )
    with st.expander("All reasons as a table"):
        table = pd.DataFrame(
            {
                "Input": [wording.LABELS.get(each.input, each.input) for each in reasons],
                "Entered": [wording.entered(each.input, each.value) for each in reasons],
                "Adds": [each.dollars for each in reasons],
            }
        )
        st.dataframe(
            table,
            hide_index=True,
            column_config={"Adds": st.column_config.NumberColumn(format="dollar")},
        )


def _text(words: str) -> str:
    """Markdown in which dollar signs are dollars: between two of them would be a formula."""
    return words.replace("$", r"\$")


main()
