"""What if: the estimate for other values of one input."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from realtor_ui import formatting, service_cache
from realtor_ui.charts import valuation_charts
from realtor_ui.client import NotThere, ServiceError
from realtor_ui.formatting import escape_dollars
from realtor_ui.layout import is_dark, show_chart, show_error
from realtor_ui.market_texts import MarketTexts
from realtor_ui.responses import ExplainedValuation, Input, Value
from realtor_ui.sections.home_form import decimals, input_widget

STEPS = 25
MOST_BARS = 15
_SIZES = ("living_area", "lot_size", "bedrooms")
_PLACES = ("state", "city", "zip_code")

Home = Mapping[str, Value]


def show(t: MarketTexts, answer: ExplainedValuation, home: Home) -> None:
    """Show the estimate for other values of the input that the reader chooses."""
    inputs = t.info.inputs
    names = [name for name, column in inputs.items() if column.moves_estimate]
    sizes = [name for role in _SIZES if (name := t.info.name_of(role)) is not None]
    name = st.selectbox(
        t("whatif.which"), names, index=names.index(sizes[0]) if sizes else 0,
        format_func=t.label, key="what_if",
    )  # fmt: skip
    if without := [t.label(each) for each, column in inputs.items() if not column.moves_estimate]:
        st.caption(t("whatif.no_effect", inputs=t.joined(without, "unit.and")))
    column = inputs[name]
    try:
        if column.is_number and not column.is_id:
            _curve(t, answer, home, name)
        elif column.choices or column.type == "boolean":
            _choices(t, answer, home, name)
        elif column.role in _PLACES:
            _places(t, answer, home, name)
        else:
            _other_value(t, answer, home, name)
    except ServiceError as problem:
        show_error(problem)


def grid(column: Input, now: float | None) -> list[float]:
    """About `STEPS` values over the usual range of a number, widened to the home's own value.

    They are the multiples of its step if these are few enough, else equally spaced.
    """
    assert column.low is not None
    assert column.high is not None
    low, high = column.usual or (column.low, column.high)
    if now is not None:
        low, high = min(low, now), max(high, now)
    step = float(column.step or 1) if column.step or column.type == "integer" else None
    digits = 0 if column.type == "integer" else decimals(column)
    if step is not None and (high - low) / step <= STEPS:
        low = step * math.floor(low / step + 1e-9)
        count = math.floor((high - low) / step + 1e-9)
        values = [low + step * each for each in range(count + 1)]
    else:
        values = [low + (high - low) * each / (STEPS - 1) for each in range(STEPS)]
    rounded = {round(each, digits) for each in values}
    return sorted(each for each in rounded if column.low <= each <= column.high)


def _curve(t: MarketTexts, answer: ExplainedValuation, home: Home, name: str) -> None:
    column, now = t.inputs[name], home.get(name)
    at = None if now is None else float(now)
    values = grid(column, at)
    homes = [{name: int(each) if column.type == "integer" else each} for each in values]
    curve = _prices(t, home, values, homes, "value")
    here = None if at is None else (at, answer.valuation.price)
    about = t("whatif.chart", input=t.label(name))
    form = "d" if column.unit == formatting.YEAR else ",~f"
    chart = valuation_charts.what_if_curve(
        t, t.heading(name), curve, here, form=form, dark=is_dark()
    )
    show_chart(t, chart, about)
    st.caption(about)


def _choices(t: MarketTexts, answer: ExplainedValuation, home: Home, name: str) -> None:
    """The price for each value of a category with choices, or for yes and no."""
    values: list[Any] = [True, False] if t.inputs[name].choices is None else list(
        t.inputs[name].choices or ()
    )  # fmt: skip
    now = home.get(name)
    # The first ones, and the home's own.
    values = [each for i, each in enumerate(values) if i < MOST_BARS or each == now]
    words = [formatting.input_value(t, name, each) for each in values]
    prices = _prices(t, home, words, [{name: each} for each in values], "name")
    here = None if now is None else formatting.input_value(t, name, now)
    _bars(t, prices, here, t("whatif.choices", input=t.label(name)))


def _places(t: MarketTexts, answer: ExplainedValuation, home: Home, name: str) -> None:
    info, role = t.info, t.inputs[name].role
    state, city = info.value_of(home, "state"), info.value_of(home, "city")
    try:
        places = service_cache.places(
            info.version, None if role == "state" else state, city if role == "zip_code" else None
        )
    except NotThere:
        st.info(t("whatif.no_places"))
        return
    known = {"state": places.states, "city": places.cities, "zip_code": places.zip_codes}[role]
    now = home.get(name)
    names = [str(getattr(each, role)) for each in known[:MOST_BARS]]
    if now is not None and now not in names:
        names = [str(now), *names]
    if not names:
        st.info(t("whatif.no_places"))
        return
    # Smaller places of the home, and its coordinates, would contradict the one that is tried.
    smaller = [*_PLACES[_PLACES.index(role) + 1 :], "latitude", "longitude"]
    nowhere = {each: None for role in smaller if (each := info.name_of(role)) is not None}
    prices = _prices(t, home, names, [{**nowhere, name: each} for each in names], "name")
    here = None if now is None else str(now)
    _bars(t, prices, here, t("whatif.places", input=t.label(name)))


def _prices(
    t: MarketTexts, home: Home, tried: list[Any], changes: list[dict[str, Any]], title: str
) -> pd.DataFrame:
    """The price of the home with each of n changes. Columns: `title`, with `tried`; price."""
    homes = [
        {name: value for name, value in {**home, **change}.items() if value is not None}
        for change in changes
    ]
    results = service_cache.valuations(t.info.version, homes).results
    rows = [
        {title: each, "price": result.valuation.price}
        for each, result in zip(tried, results, strict=True)
        if result.valuation
    ]
    return pd.DataFrame(rows, columns=[title, "price"])


def _bars(t: MarketTexts, prices: pd.DataFrame, now: str | None, about: str) -> None:
    dearest_first = prices.sort_values("price", ascending=False)
    show_chart(t, valuation_charts.place_prices(t, dearest_first, now, dark=is_dark()), about)
    st.caption(about)


def _other_value(t: MarketTexts, answer: ExplainedValuation, home: Home, name: str) -> None:
    """The price for one other value, of an input whose values have neither order nor a list."""
    key = f"what_if_{name}"
    if (now := home.get(name)) is not None and t.inputs[name].type != "date":
        st.session_state.setdefault(key, now)
    value = input_widget(t, name, key, home)
    if value is None:
        return
    (result,) = service_cache.valuations(t.info.version, [{**home, name: value}]).results
    if result.valuation is not None:
        change = result.valuation.price - answer.valuation.price
        price = formatting.money(t, result.valuation.price)
        words = t("whatif.price", price=price, change=formatting.signed_money(t, change))
        st.markdown(escape_dollars(words))
