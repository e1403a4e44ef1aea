"""The results of a file: estimates beside prices, ratio statistics, downloads, charts."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st
from numpy.typing import NDArray

from realtor_model.reading import FileKind
from realtor_ui import formatting, service_cache
from realtor_ui.charts import maps, place_charts
from realtor_ui.client import ServiceError
from realtor_ui.formatting import escape_dollars
from realtor_ui.layout import is_dark, show_chart, show_error
from realtor_ui.market_texts import MarketTexts
from realtor_ui.sections.version_quality import STANDARDS
from realtor_ui.uploads.opening import OpenedFile
from realtor_ui.uploads.ratio_statistics import LEAST_HOMES, ratio_statistics
from realtor_ui.uploads.result_file import GAP, OUTSIDE, PRICE, SEPARATOR, result_table, to_file
from realtor_ui.uploads.understanding import Understanding
from realtor_ui.uploads.upload import Upload, Valuation, row_labels

MONEY = ("estimated_price", "estimated_low", "estimated_high")
SHOWN_ROWS, BINS = 200, 30
_KINDS: tuple[tuple[FileKind, str], ...] = (
    ("csv", "text/csv"), ("parquet", "application/octet-stream"),
)  # fmt: skip


def show_results(t: MarketTexts, upload: Upload, opened: OpenedFile, valuation: Valuation) -> None:
    """Show the estimates of a file."""
    estimates = valuation.estimates
    prices = _floats(estimates, "estimated_price")
    _figures(t, estimates, prices, valuation)
    _refused_by_service(t, upload, estimates, valuation.understanding)
    if np.isnan(prices).all():
        return
    _comparison(t, estimates, prices)
    st.subheader(t("many.results"))
    st.dataframe(_shown(t, upload, opened, estimates), hide_index=True, column_config=_columns(t))
    with st.container(horizontal=True):
        for kind, mime in _KINDS:
            st.download_button(
                t(f"many.download_{kind}"), partial(_file, opened, estimates, kind),
                f"valued.{kind}", mime, on_click="ignore", icon=":material/download:",
            )  # fmt: skip
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(t("many.prices"))
        chart = place_charts.price_histogram(
            t, bins(pd.Series(prices).dropna()), dark=is_dark(), field="many.prices"
        )
        show_chart(t, chart, t("many.prices"))
    with right:
        st.subheader(t("many.map"))
        _map(t, valuation.understanding, prices)


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = pc.fill_null(table.column(name), np.nan).to_numpy()
    return values


def _file(opened: OpenedFile, estimates: pa.Table, kind: FileKind) -> bytes:
    return to_file(result_table(opened, estimates), kind)


def _figures(
    t: MarketTexts,
    estimates: pa.Table,
    prices: NDArray[np.float64],
    valuation: Valuation,
) -> None:
    valued = int((~np.isnan(prices)).sum())
    refused = estimates.num_rows - estimates.column("error").null_count
    figures = st.columns(4)
    figures[0].metric(t("many.valued"), f"{valued:,}")
    figures[1].metric(t("many.refused"), f"{refused:,}")
    if valued:
        figures[2].metric(t("many.median"), formatting.money(t, float(np.nanmedian(prices))))
    figures[3].metric(t("many.speed"), f"{valuation.seconds:,.1f}")


def _refused_by_service(
    t: MarketTexts, upload: Upload, estimates: pa.Table, understanding: Understanding
) -> None:
    """Rows that were sent and came back with an error."""
    failed = np.flatnonzero(estimates.column("error").is_valid().to_numpy())
    rows = [int(row) for row in failed if int(row) not in understanding.problems]
    if not rows:
        return
    with st.expander(t("many.report", n=len(rows)), expanded=True):
        errors = estimates.column("error").take(pa.array(rows[:SHOWN_ROWS])).to_pylist()
        labels = row_labels(upload.lines, rows[:SHOWN_ROWS])
        table = pd.DataFrame({t("many.row"): labels, t("many.in_english"): errors})
        st.dataframe(table, hide_index=True)


def _comparison(t: MarketTexts, estimates: pa.Table, values: NDArray[np.float64]) -> None:
    """The prices of the file beside the estimates, and ratio statistics."""
    if PRICE not in estimates.column_names:
        return
    st.subheader(t("many.compared"), help=t.define("median_ratio", "cod", "prd"))
    outside = estimates.column(OUTSIDE)
    compared = len(outside) - outside.null_count
    if not compared:
        st.caption(t("many.no_prices"))
        return
    beyond = pc.sum(outside).as_py()
    share = t(
        "many.outside", n=f"{beyond:,}", rows=f"{compared:,}", share=f"{beyond / compared:.0%}"
    )
    st.markdown(escape_dollars(share))
    statistics = ratio_statistics(values, _floats(estimates, PRICE))
    if statistics is None:
        st.caption(t("many.few_prices", least=LEAST_HOMES))
        return
    for place, name in zip(st.columns(3), ("median_ratio", "cod", "prd"), strict=True):
        value = getattr(statistics, name)
        low, high = STANDARDS[name]
        within = low <= value <= high
        colour, verdict = ("green", "in_standard") if within else ("orange", "outside_standard")
        place.metric(t(f"models.{name}"), f"{value:.{1 if name == 'cod' else 3}f}")
        place.markdown(f":{colour}-badge[{t(f'models.{verdict}')}]")
    st.caption(t("many.ratio_caption", n=f"{statistics.homes:,}"))


def _shown(t: MarketTexts, upload: Upload, opened: OpenedFile, estimates: pa.Table) -> pd.DataFrame:
    """The first rows with estimates first: the file may have many columns of its own."""
    head = estimates.slice(0, SHOWN_ROWS)
    title = t("many.row") if upload.lines is None else t("many.line")
    shown: dict[str, Any] = {title: row_labels(upload.lines, range(head.num_rows))}
    for name in (*MONEY[:1], PRICE, GAP, OUTSIDE, *MONEY[1:]):
        if name in head.column_names:
            shown[t(f"many.column_{name}")] = head.column(name).to_pandas()
    levels = head.column("confidence").to_pylist()
    shown[t("many.column_confidence")] = [
        "" if level is None else t(f"many.confidence_{level}") for level in levels
    ]
    shown[t("many.column_warnings")] = [
        _joined(t.named("row_warning", code) for code in _codes(codes))
        for codes in head.column("warning_codes").to_pylist()
    ]
    shown[t("many.problem")] = [
        _joined(t.named("row_problem", code) for code in _codes(codes))
        for codes in head.column("error_codes").to_pylist()
    ]
    own = opened.table.slice(0, SHOWN_ROWS)
    for name, values in zip(own.column_names, own.columns, strict=True):
        shown[name if name not in shown else f"{name} (2)"] = values.to_pylist()
    return pd.DataFrame(shown)


def _codes(codes: str | None) -> list[str]:
    return codes.split(SEPARATOR) if codes else []


def _joined(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(words))


def _columns(t: MarketTexts) -> dict[str, Any]:
    money = {
        t(f"many.column_{name}"): st.column_config.NumberColumn(format="localized", step=1)
        for name in (*MONEY, PRICE)
    }
    gap = st.column_config.NumberColumn(format="%+.1f %%")
    return {**money, t(f"many.column_{GAP}"): gap}


def bins(prices: "pd.Series[float]") -> pd.DataFrame:
    """n prices in `BINS` bins of equal width on a logarithmic scale: low, high, n."""
    low, high = float(prices.min()), float(prices.max())
    # Equal prices get a bin in the middle, not at an edge.
    edges = np.geomspace(low / 1.01, high * 1.01, BINS + 1)
    counts, _ = np.histogram(prices, edges)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n": counts})


def _map(
    t: MarketTexts,
    understanding: Understanding,
    prices: NDArray[np.float64],
) -> None:
    try:
        places = _places(t, understanding, prices)
    except ServiceError as problem:
        show_error(problem)
        return
    if places.empty:
        st.caption(escape_dollars(t("many.no_map")))
        return
    whole = places["state"].nunique() != 1
    chart = maps.measure_map(t, places, "median_price", dark=is_dark(), whole=whole)
    show_chart(t, chart, t("many.map"))


def _places(
    t: MarketTexts,
    understanding: Understanding,
    prices: NDArray[np.float64],
) -> pd.DataFrame:
    """The zips of the valued homes, most homes first; or the homes, if they have coordinates."""
    assert understanding.homes is not None
    columns = understanding.homes.columns
    if "latitude" in columns and not np.isnan(columns["latitude"]).all():
        homes = pd.DataFrame(
            {
                "latitude": columns["latitude"], "longitude": columns["longitude"], "name": "",
                "state": None, "listings": 1, "median_price": prices,
            }
        )  # fmt: skip
        located: pd.DataFrame = homes.dropna(subset=["latitude", "longitude", "median_price"])
        return located
    zips = service_cache.zip_table(t.info.version)
    valued = pd.DataFrame({"zip_code": columns["zip_code"], "price": prices}).dropna()
    by_zip = valued.groupby("zip_code")["price"].agg(["size", "median"])
    by_zip = by_zip.set_axis(["listings", "median_price"], axis=1)
    known = zips.drop(columns=["listings", "median_price"])
    places = known.merge(by_zip, left_on="zip_code", right_index=True)
    return places.sort_values("listings", ascending=False)
