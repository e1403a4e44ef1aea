"""What if: the estimate for other values of one input."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from realtor_ui import formatting, service_cache
from realtor_ui.charts import valuation_charts
from realtor_ui.client import ServiceError
from realtor_ui.formatting import escape_dollars
from realtor_ui.layout import is_dark, show_error
from realtor_ui.responses import ExplainedValuation, ModelInfo
from realtor_ui.sections.home_form import INPUTS
from realtor_ui.texts import Texts

STEPS = 25
MOST_PLACES = 15
# Usual values, for the curve; the allowed ranges are much wider.
USUAL = {"house_size": (500, 6_000), "acre_lot": (0.05, 5.0), "bed": (1, 8), "bath": (1, 6)}
# Homes are valued for a sale now, so these inputs have no effect.
WITHOUT_EFFECT = ("status", "prev_sold_date", "street")


def show(t: Texts, info: ModelInfo, answer: ExplainedValuation, home: Mapping[str, Any]) -> None:
    """Show the estimate for other values of the input that the reader chooses."""
    name = st.selectbox(
        t("whatif.which"), [each for each in INPUTS if each not in WITHOUT_EFFECT],
        index=3, format_func=lambda each: t.named("input", each), key="what_if",
    )  # fmt: skip
    st.caption(t("whatif.no_effect"))
    try:
        if name in USUAL:
            _curve(t, info, answer, home, name)
        elif name == "brokered_by":
            _broker(t, info, answer, home)
        else:
            _places(t, info, answer, home, name)
    except ServiceError as problem:
        show_error(problem)


def grid(name: str, now: float | None) -> list[float]:
    """At most `STEPS` values over the usual range, widened to the home's own value."""
    low, high = USUAL[name]
    if now is not None:
        low, high = min(low, now), max(high, now)
    if name in ("bed", "bath"):
        return [float(each) for each in range(int(low), int(min(high, low + STEPS)) + 1)]
    step = (high - low) / (STEPS - 1)
    digits = 2 if name == "acre_lot" else 0
    return sorted({round(low + step * each, digits) for each in range(STEPS)})


def _curve(
    t: Texts, info: ModelInfo, answer: ExplainedValuation, home: Mapping[str, Any], name: str
) -> None:
    now = home.get(name)
    values = grid(name, now)
    homes = [dict(home) | {name: each if name == "acre_lot" else int(each)} for each in values]
    results = service_cache.valuations(info.version, homes).results
    curve = pd.DataFrame(
        [
            {"value": tried, "price": each.valuation.price}
            for tried, each in zip(values, results, strict=True)
            if each.valuation
        ]
    )
    here = None if now is None else (float(now), answer.valuation.price)
    st.altair_chart(
        valuation_charts.what_if_curve(t, t(f"form.{name}"), curve, here, dark=is_dark()),
        width="stretch", alt=t("whatif.chart", input=t.named("input", name)),
    )  # fmt: skip
    st.caption(t("whatif.chart", input=t.named("input", name)))


def _places(
    t: Texts, info: ModelInfo, answer: ExplainedValuation, home: Mapping[str, Any], name: str
) -> None:
    state, city = home.get("state"), home.get("city")
    places = service_cache.places(
        info.version, None if name == "state" else state, city if name == "zip_code" else None
    )
    known = {"state": places.states, "city": places.cities, "zip_code": places.zip_codes}[name]
    now = home.get(name)
    names = [str(getattr(each, name)) for each in known[:MOST_PLACES]]
    if now is not None and now not in names:
        names = [now, *names]
    # Smaller places of the home would contradict the one that is tried.
    rest = {
        "state": {k: v for k, v in home.items() if k not in ("city", "zip_code")},
        "city": {k: v for k, v in home.items() if k != "zip_code"},
        "zip_code": dict(home),
    }[name]
    if not names:
        st.info(t("whatif.no_places"))
        return
    results = service_cache.valuations(
        info.version, [rest | {name: each} for each in names]
    ).results
    prices = pd.DataFrame(
        [
            {"name": tried, "price": each.valuation.price}
            for tried, each in zip(names, results, strict=True)
            if each.valuation
        ]
    ).sort_values("price", ascending=False)
    st.altair_chart(
        valuation_charts.place_prices(t, prices, now, dark=is_dark()),
        width="stretch",
        alt=t("whatif.places", input=t.named("input", name)),
    )
    st.caption(t("whatif.places", input=t.named("input", name)))


def _broker(t: Texts, info: ModelInfo, answer: ExplainedValuation, home: Mapping[str, Any]) -> None:
    allowed = info.inputs["brokered_by"]
    broker = st.number_input(
        t("form.brokered_by"), min_value=int(allowed.low or 0), max_value=int(allowed.high or 0),
        value=int(home.get("brokered_by") or 0), step=1, key="what_if_broker",
    )  # fmt: skip
    (result,) = service_cache.valuations(
        info.version, [dict(home) | {"brokered_by": broker}]
    ).results
    if result.valuation is not None:
        change = result.valuation.price - answer.valuation.price
        st.markdown(
            escape_dollars(
                t(
                    "whatif.price",
                    price=formatting.dollars(result.valuation.price),
                    change=formatting.signed_dollars(change),
                )
            )
        )
