"""Market: prices and sizes by state, city and zip in the training data."""

import pandas as pd
import streamlit as st

from realtor_ui import service_cache
from realtor_ui.charts import maps, place_charts
from realtor_ui.charts.place_measures import MEASURES, measures_of
from realtor_ui.client import NotThere, ServiceError
from realtor_ui.formatting import date_text
from realtor_ui.layout import (
    administrator_note,
    current_texts,
    is_dark,
    model_texts,
    require_model,
    show_chart,
    show_error,
)
from realtor_ui.market_texts import MarketTexts
from realtor_ui.responses import By

SHOWN = 20
FIRST = next(iter(MEASURES))


def main() -> None:
    """The page."""
    t = current_texts()
    st.title(t("market.title"))
    info = require_model()
    if info is None:
        return
    t = model_texts(info)
    st.markdown(t("market.intro", day=date_text(t, info.as_of)))
    try:
        with st.spinner(t("wait.market")):
            by, state, city = _where(t)
            frame = service_cache.market_table(info.version, by, state, city)
            zips = service_cache.zip_table(info.version)
    except NotThere:
        st.info(t("market.unknown"), icon=":material/search_off:")
        return
    except ServiceError as problem:
        show_error(problem)
        return
    measure = st.segmented_control(
        t("market.measure"), measures_of(t), default=FIRST, required=True, key="measure",
        format_func=lambda each: t(f"market.{each}"),
    )  # fmt: skip
    if frame.empty:
        st.info(t("market.none"), icon=":material/search_off:")
        return
    _figures(t, frame, zips, measure or FIRST, state, city)
    _volumes(t)


def _where(t: MarketTexts) -> tuple[By, str | None, str | None]:
    """The level to show: states, the cities of one, or the zips of a city.

    A market without states is shown by its cities, or else its zips.
    """
    has_states, has_cities = (t.info.name_of(role) is not None for role in ("state", "city"))
    below: By = "city" if has_cities else "zip"
    if not has_states:
        return below, None, None
    left, right = st.columns(2)
    states = sorted(service_cache.market_table(t.info.version, "state", None, None)["name"])
    state = left.selectbox(
        t.label("state"), states, index=None, placeholder=t("market.all_states"), key="m_state"
    )
    city = None
    if state and has_cities:
        cities = sorted(service_cache.market_table(t.info.version, "city", state, None)["name"])
        city = right.selectbox(
            t.label("city"), cities, index=None, placeholder=t("market.all_cities"), key="m_city"
        )
    return ("zip" if city else below if state else "state"), state, city


def spreads_of(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The places with most listings, by median: name, listings and the quantiles of `measure`."""
    names = {column: name for name, column in MEASURES[measure].quantiles.items()}
    figures = frame[["name", "listings", *names]].rename(columns=names).dropna(subset=["median"])
    return figures.head(SHOWN).sort_values("median", ascending=False)


def _figures(
    t: MarketTexts,
    frame: pd.DataFrame,
    zips: pd.DataFrame,
    measure: str,
    state: str | None,
    city: str | None,
) -> None:
    total = st.columns(3)
    total[0].metric(t("market.places"), f"{len(frame):,}")
    total[1].metric(t("market.listings"), f"{int(frame['listings'].sum()):,}")
    total[2].metric(t("market.sold"), f"{int(frame['sold'].sum()):,}")
    spreads = spreads_of(frame, measure)
    if spreads.empty:
        st.info(t("market.no_sizes"), icon=":material/search_off:")
        return
    left, right = st.columns(2, gap="large")
    with left:
        help_text = t.define("price_per_sqft") if measure == "median_price_per_sqft" else None
        st.subheader(t(f"market.{measure}"), help=help_text)
        about = t("market.spread") if "p10" in spreads else t("market.half")
        show_chart(t, place_charts.quantile_ranges(t, spreads, measure, dark=is_dark()), about)
        st.caption(about)
    with right:
        st.subheader(t(f"market.where_{measure}"))
        ground = zips if state is None else zips[zips["state"] == state]
        if city is not None:
            ground = ground[ground["city"] == city]
        show_chart(
            t,
            maps.measure_map(t, ground, measure, dark=is_dark(), whole=state is None),
            t("market.map_caption"),
        )
        st.caption(t("market.map_caption"))
        st.subheader(t("market.sizes"))
        show_chart(
            t,
            place_charts.horizontal_bars(
                frame.head(12), "name", "listings", t("market.listings"), dark=is_dark()
            ),
            t("market.sizes"),
        )
    with st.expander(t("market.all")):
        currency = t.always["currency"]
        titles = {
            "name": " ", "listings": t("market.listings"), "sold": t("market.sold"),
            "median_price": f"{t('market.median_price')} ({currency})",
            "price_p25": f"{t('market.p25')} ({currency})",
            "price_p75": f"{t('market.p75')} ({currency})",
            "median_price_per_sqft": f"{t('market.median_price_per_sqft')} ({currency})",
            "median_house_size": t("market.median_house_size"),
            "median_acre_lot": t("market.median_acre_lot"),
        }  # fmt: skip
        without = MEASURES.keys() - set(measures_of(t))
        titles = {name: title for name, title in titles.items() if name not in without}
        shown = frame[list(titles)].round(dict.fromkeys(titles, 0) | {"median_acre_lot": 2})
        figures = st.column_config.NumberColumn(format="localized")
        st.dataframe(
            shown.rename(columns=titles), hide_index=True,
            column_config={title: figures for name, title in titles.items() if name != "name"},
        )  # fmt: skip


def _volumes(t: MarketTexts) -> None:
    st.subheader(t("market.volume"), help=t.define("batch"))
    try:
        history = service_cache.history()
    except NotThere:
        st.caption(t("market.no_history"))
        administrator_note("error.history_help")
        return
    except ServiceError as problem:
        show_error(problem)
        return
    frame = pd.DataFrame(
        [
            {"name": each.name, "inserted": each.inserted, "other": each.received - each.inserted}
            for each in history.batches
        ],
        columns=["name", "inserted", "other"],
    )
    show_chart(t, place_charts.batch_volumes(t, frame, dark=is_dark()), t("market.volume"))


main()
