"""One valuation: price, range, confidence, and how it compares with the zip."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from realtor_ui import formatting, service_cache
from realtor_ui.charts import maps, valuation_charts
from realtor_ui.client import ServiceError
from realtor_ui.formatting import escape_dollars
from realtor_ui.layout import is_dark, show_chart, show_error
from realtor_ui.market_texts import MarketTexts
from realtor_ui.message_texts import message_text
from realtor_ui.responses import ComparableSales, ExplainedValuation, Valuation

# Half the height of the smallest map in degrees, and the fewest zips on one.
MAP_DEGREES, FEWEST_ZIPS = 0.7, 25
# A median of fewer listings says too little to show.
FEWEST_LISTINGS = 5


def show_price(t: MarketTexts, valuation: Valuation, home: Mapping[str, Any]) -> None:
    """Show the estimate, its range as a bar, and the warnings."""
    st.metric(
        t("value.price", day=formatting.date_text(t, valuation.as_of)),
        formatting.money(t, valuation.price),
        help=t.define("avm"),
    )
    colour = formatting.CONFIDENCE_COLOURS[valuation.confidence]
    facts = [f":{colour}-badge[{t.named('confidence', valuation.confidence)}]"]
    size = t.info.value_of(home, "living_area") if t.rates_are_per_area else None
    if size:
        facts.append(t("value.per_sqft", rate=formatting.money(t, valuation.price / size)))
    facts.append(t("value.version", version=valuation.model.version))
    st.markdown(escape_dollars(" · ".join(facts)), help=t.define("confidence"))
    show_chart(
        t,
        valuation_charts.range_bar(
            t, valuation.low, valuation.price, valuation.high, dark=is_dark()
        ),
        t(
            "value.range",
            low=formatting.money(t, valuation.low),
            high=formatting.money(t, valuation.high),
            share=formatting.share_of_homes(t, valuation.coverage),
        ),
    )
    st.caption(
        escape_dollars(
            t(
                "value.range",
                share=formatting.share_of_homes(t, valuation.coverage),
                low=formatting.money(t, valuation.low),
                high=formatting.money(t, valuation.high),
            )
        ),
        help=t.define("range"),
    )
    if (zip_code := t.info.value_of(home, "zip_code")) and size:
        _beside_the_zip(t, valuation, str(zip_code), valuation.price / size)
    for warning in valuation.coded_warnings:
        st.warning(escape_dollars(message_text(t, warning)), icon=":material/info:")


def _beside_the_zip(t: MarketTexts, valuation: Valuation, zip_code: str, rate: float) -> None:
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
                rate=formatting.money(t, rate),
                share=formatting.difference(t, rate / typical - 1),
                zip=zip_code,
                typical=formatting.money(t, typical),
                low=formatting.money(t, statistics.price_per_sqft_p25 or typical),
                high=formatting.money(t, statistics.price_per_sqft_p75 or typical),
                listings=f"{statistics.listings:,}",
            )
        )
    )


def show_map(
    t: MarketTexts,
    answer: ExplainedValuation,
    home: Mapping[str, Any],
    sales: ComparableSales | None,
) -> None:
    """Show the home and its comparables on a map of zips."""
    version = answer.valuation.model.version
    try:
        zips, at = service_cache.zip_table(version), service_cache.locate(t.info, home)
    except ServiceError as problem:
        show_error(problem)
        return
    if at is None:
        st.caption(t("map.nowhere"))
        return
    itself = "_itself" if t.info.market.has_coordinates else ""
    here = pd.DataFrame(
        {"latitude": [at[0]], "longitude": [at[1]], "name": [t(f"map.home{itself}")]}
    )
    sold = _sales(t, sales)
    states = {t.info.value_of(home, "state"), *sold["state"]} - {None}
    if not states:
        own_zip = zips["zip_code"] == t.info.value_of(home, "zip_code")
        states = set(zips.loc[own_zip, "state"])
    ground = _around(zips, zips["state"].isin(states), at, sold)
    show_chart(
        t, maps.neighbourhood_map(t, ground, here, sold, dark=is_dark()), t(f"map.caption{itself}")
    )
    st.caption(t(f"map.caption{itself}"))


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


def _sales(t: MarketTexts, sales: ComparableSales | None) -> pd.DataFrame:
    rows = []
    for number, each in enumerate(sales.comparables if sales else (), 1):
        at = service_cache.locate(t.info, each.home)
        if at is not None:
            rows.append(
                {
                    "latitude": at[0],
                    "longitude": at[1],
                    "number": str(number),
                    "price": each.price,
                    "state": t.info.value_of(each.home, "state"),
                    "name": t("comps.number", n=number)
                    + f": {formatting.place_name(t, each.home, 'city', 'zip_code')}",
                }
            )
    columns = ["latitude", "longitude", "number", "price", "state", "name"]
    frame = pd.DataFrame(rows, columns=columns)
    # Sales in one zip share a point, which shows all their numbers.
    return frame.groupby(["latitude", "longitude"], as_index=False).agg(
        {"number": ", ".join, "price": "median", "state": "first", "name": "; ".join}
    )
