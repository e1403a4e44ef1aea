"""One valuation: price, range, confidence, and how it compares with the zip."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from realtor_ui import formatting, service_cache
from realtor_ui.charts import maps, valuation_charts
from realtor_ui.client import ServiceError
from realtor_ui.formatting import escape_dollars
from realtor_ui.layout import is_dark, show_error
from realtor_ui.message_texts import message_text
from realtor_ui.responses import ComparableSales, ExplainedValuation, Valuation
from realtor_ui.texts import Texts

# Half the height of the smallest map in degrees, and the fewest zips on one.
MAP_DEGREES, FEWEST_ZIPS = 0.7, 25
# A median of fewer listings says too little to show.
FEWEST_LISTINGS = 5


def show_price(t: Texts, valuation: Valuation, home: Mapping[str, Any]) -> None:
    """Show the estimate, its range as a bar, and the warnings."""
    st.metric(
        t("value.price", day=formatting.date_text(t, valuation.as_of)),
        formatting.dollars(valuation.price),
        help=t.define("avm"),
    )
    colour = formatting.CONFIDENCE_COLOURS[valuation.confidence]
    facts = [f":{colour}-badge[{t.named('confidence', valuation.confidence)}]"]
    if size := home.get("house_size"):
        facts.append(t("value.per_sqft", rate=formatting.dollars(valuation.price / size)))
    facts.append(t("value.version", version=valuation.model.version))
    st.markdown(escape_dollars(" · ".join(facts)), help=t.define("confidence"))
    st.altair_chart(
        valuation_charts.range_bar(
            t, valuation.low, valuation.price, valuation.high, dark=is_dark()
        ),
        width="stretch",
        alt=t(
            "value.range",
            low=formatting.dollars(valuation.low),
            high=formatting.dollars(valuation.high),
            share=formatting.share_of_homes(t, valuation.coverage),
        ),
    )
    st.caption(
        escape_dollars(
            t(
                "value.range",
                share=formatting.share_of_homes(t, valuation.coverage),
                low=formatting.dollars(valuation.low),
                high=formatting.dollars(valuation.high),
            )
        ),
        help=t.define("range"),
    )
    if (zip_code := home.get("zip_code")) and home.get("house_size"):
        _beside_the_zip(t, valuation, str(zip_code), valuation.price / home["house_size"])
    for warning in valuation.coded_warnings:
        st.warning(escape_dollars(message_text(t, warning)), icon=":material/info:")


def _beside_the_zip(t: Texts, valuation: Valuation, zip_code: str, rate: float) -> None:
    try:
        statistics = service_cache.zip_statistics(valuation.model.version, zip_code)
    except ServiceError:
        # The comparison is optional.
        return
    if (
        statistics is None
        or statistics.median_price_per_sqft is None
        or statistics.listings < FEWEST_LISTINGS
    ):
        return
    typical = statistics.median_price_per_sqft
    st.markdown(
        escape_dollars(
            t(
                "value.beside_zip",
                rate=formatting.dollars(rate),
                share=formatting.difference(t, rate / typical - 1),
                zip=zip_code,
                typical=formatting.dollars(typical),
                low=formatting.dollars(statistics.price_per_sqft_p25 or typical),
                high=formatting.dollars(statistics.price_per_sqft_p75 or typical),
                listings=f"{statistics.listings:,}",
            )
        )
    )


def show_map(
    t: Texts, answer: ExplainedValuation, home: Mapping[str, Any], sales: ComparableSales | None
) -> None:
    """Show the home and its comparables on a map of zips."""
    version = answer.valuation.model.version
    try:
        zips, at = service_cache.zip_table(version), service_cache.locate(version, home)
    except ServiceError as problem:
        show_error(problem)
        return
    if at is None:
        st.caption(t("map.nowhere"))
        return
    here = pd.DataFrame({"latitude": [at[0]], "longitude": [at[1]], "name": [t("map.home")]})
    sold = _sales(t, version, sales)
    states = {home.get("state"), *sold["state"]} - {None}
    if not states:
        states = set(zips.loc[zips["zip_code"] == home.get("zip_code"), "state"])
    ground = _around(zips, zips["state"].isin(states), at, sold)
    st.altair_chart(maps.neighbourhood_map(t, ground, here, sold, dark=is_dark()), width="stretch",
                    alt=t("map.caption"))  # fmt: skip
    st.caption(t("map.caption"))


def _around(
    zips: pd.DataFrame, in_states: "pd.Series[bool]", at: tuple[float, float], sold: pd.DataFrame
) -> pd.DataFrame:
    """The zips near a home and its comparables, or of their states if there are few."""
    away = [MAP_DEGREES]
    for axis, centre in zip(("latitude", "longitude"), at, strict=True):
        away += (1.2 * (sold[axis].astype(float) - centre).abs()).tolist()
    near = (zips["latitude"] - at[0]).abs().le(max(away)) & (
        (zips["longitude"] - at[1]).abs().le(1.3 * max(away))
    )
    return zips[near] if near.sum() >= FEWEST_ZIPS else zips[in_states]


def _sales(t: Texts, version: str, sales: ComparableSales | None) -> pd.DataFrame:
    rows = []
    for number, each in enumerate(sales.comparables if sales else (), 1):
        at = service_cache.locate(version, each.home)
        if at is not None:
            rows.append(
                {
                    "latitude": at[0],
                    "longitude": at[1],
                    "number": str(number),
                    "price": each.price,
                    "state": each.home.get("state"),
                    "name": t("comps.number", n=number)
                    + f": {each.home.get('city') or ''} {each.home.get('zip_code') or ''}",
                }
            )
    columns = ["latitude", "longitude", "number", "price", "state", "name"]
    frame = pd.DataFrame(rows, columns=columns)
    # Sales in one zip share a point, which shows all their numbers.
    return frame.groupby(["latitude", "longitude"], as_index=False).agg(
        {"number": ", ".join, "price": "median", "state": "first", "name": "; ".join}
    )
