"""Value many homes from a file: match its columns, value its rows, report its errors."""

import hashlib
import time
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from realtor_ui import formatting, service_cache, upload
from realtor_ui.app_settings import app_settings
from realtor_ui.charts import maps, place_charts
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
from realtor_ui.responses import ModelInfo

# Session state: the estimates so far, for one file, matching and model.
VALUED = "valued_file"
MONEY = ("estimated_price", "estimated_low", "estimated_high")
SHOWN_ROWS, SHOWN_ERRORS, BINS = 200, 500, 30


def main() -> None:
    """The page."""
    t = current_texts()
    st.title(t("many.title"))
    st.markdown(t("many.intro"))
    info = require_model()
    if info is None:
        return
    t = model_texts(info)
    file = st.file_uploader(t("many.upload"), type=list(upload.SUFFIXES))
    st.caption(t("many.needed", rows=f"{app_settings().max_upload_rows:,}"))
    if file is None:
        st.download_button(
            t("many.example"), upload.example_file(info), "homes.csv", "text/csv",
            icon=":material/download:", on_click="ignore",
        )  # fmt: skip
        return
    content = file.getvalue()
    try:
        frame = _read(file.name, content)
    except upload.UnreadableFile as problem:
        why = t(problem.key, **problem.values)
        st.error(t("many.unreadable", why=why), icon=":material/broken_image:")
        return
    most = app_settings().max_upload_rows
    if frame.empty:
        st.error(t("many.empty"), icon=":material/broken_image:")
        return
    if len(frame) > most:
        st.error(t("many.too_many", rows=f"{len(frame):,}", most=f"{most:,}"))
        return
    st.subheader(t("many.preview", rows=f"{len(frame):,}"))
    st.dataframe(frame.head(8), hide_index=True)
    matched = _matching(t, list(frame.columns))
    if lacking := upload.missing_columns(matched, info):
        for words in lacking:
            st.warning(t(words), icon=":material/rule:")
        return
    digest = hashlib.sha256(content).hexdigest()
    key_of_file = (digest, tuple(matched.items()), info.version)
    progress_so_far: dict[str, Any] = st.session_state.get(VALUED, {})
    if progress_so_far.get("key") != key_of_file:
        progress_so_far = {"key": key_of_file, "parts": [], "done": 0, "seconds": 0.0}
    if st.button(t("many.start", rows=f"{len(frame):,}"), type="primary",
                 disabled=progress_so_far["done"] == len(frame)):  # fmt: skip
        st.session_state[VALUED] = progress_so_far
        _value(t, frame, matched, progress_so_far)
    if progress_so_far["parts"]:
        _results(t, frame, matched, progress_so_far)


@st.cache_data(max_entries=2, show_spinner=False)
def _read(name: str, content: bytes) -> pd.DataFrame:
    return upload.read_table(name, content)


def _matching(t: MarketTexts, columns: list[str]) -> dict[str, str | None]:
    """Input → column, as suggested or as the person chose."""
    suggested = upload.match_columns(columns, t.info.inputs)
    with st.expander(t("many.match"), expanded=bool(upload.missing_columns(suggested, t.info))):
        st.caption(t("many.matched"))
        places = st.columns(3)
        return {
            name: places[i % 3].selectbox(
                t.label(name), columns, key=f"match_{name}_{hash(tuple(columns))}",
                index=None if (column := suggested[name]) is None else columns.index(column),
                placeholder=t("many.not_in_file"),
            )
            for i, name in enumerate(t.info.inputs)
        }  # fmt: skip


def _value(
    t: MarketTexts,
    frame: pd.DataFrame,
    matched: dict[str, str | None],
    progress_so_far: dict[str, Any],
) -> None:
    """Value the remaining rows with a progress bar; finished rows are kept if the service fails."""
    total = len(frame)
    bar = st.progress(progress_so_far["done"] / total)
    began, before, first = time.monotonic(), progress_so_far["seconds"], progress_so_far["done"]
    try:
        for progress in upload.value_rows(
            frame,
            matched,
            t.info.inputs,
            service_cache.service_client().predict_table,
            progress_so_far["done"],
        ):
            progress_so_far["parts"].append(progress.valued)
            progress_so_far["done"] = progress.done
            passed = time.monotonic() - began
            progress_so_far["seconds"] = before + passed
            rate = (progress.done - first) / max(passed, 1e-6)
            bar.progress(
                progress.done / total,
                t(
                    "many.progress",
                    done=f"{progress.done:,}",
                    rows=f"{total:,}",
                    rate=f"{rate:,.0f}",
                ),
            )
    except ServiceError as problem:
        show_error(problem)
        st.info(t("many.stopped", done=f"{progress_so_far['done']:,}"))
    else:
        bar.empty()


def _results(
    t: MarketTexts,
    frame: pd.DataFrame,
    matched: dict[str, str | None],
    progress_so_far: dict[str, Any],
) -> None:
    estimates = pd.concat(progress_so_far["parts"])
    valued = estimates["estimated_price"].notna()
    figures = st.columns(4)
    figures[0].metric(t("many.valued"), f"{int(valued.sum()):,}")
    figures[1].metric(t("many.refused"), f"{int((~valued).sum()):,}")
    if valued.any():
        median = float(estimates["estimated_price"].median())
        figures[2].metric(t("many.median"), formatting.money(t, median))
    figures[3].metric(t("many.speed"), f"{progress_so_far['seconds']:,.1f}")
    _errors(t, estimates[~valued])
    if not valued.any():
        return
    st.subheader(t("many.results"))
    results = frame.loc[estimates.index].join(estimates, rsuffix="_of_model")
    # Estimates come first: the file may have many columns of its own.
    first = [*MONEY, "confidence"]
    shown = results[first + [name for name in results if name not in first]].head(SHOWN_ROWS)
    st.dataframe(
        shown.round(dict.fromkeys(MONEY, 0)), hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(format="localized")
            for name in MONEY
        },
    )  # fmt: skip
    with st.container(horizontal=True):
        for kind, mime in (("csv", "text/csv"), ("parquet", "application/octet-stream")):
            st.download_button(
                t(f"many.download_{kind}"),
                _file(progress_so_far["key"], len(results), kind, results),
                f"valued.{kind}",
                mime,
                on_click="ignore",
                icon=":material/download:",
            )
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(t("many.prices"))
        show_chart(
            t,
            place_charts.price_histogram(
                t, bins(estimates["estimated_price"].dropna()), dark=is_dark(), field="many.prices"
            ),
            t("many.prices"),
        )
    with right:
        st.subheader(t("many.map"))
        _map(t, results, matched)


@st.cache_data(max_entries=4, show_spinner=False)
def _file(key: Any, rows: int, kind: str, _results: pd.DataFrame) -> bytes:
    return upload.to_file(_results, kind)


def _errors(t: MarketTexts, refused: pd.DataFrame) -> None:
    if refused.empty:
        st.success(t("many.all_fine"), icon=":material/check_circle:")
        return
    with st.expander(f"{t('many.report')}: {len(refused):,}", expanded=len(refused) <= 20):
        shown = refused.head(SHOWN_ERRORS)
        problems = [
            "; ".join(t.named("row_problem", code) for code in str(codes).split("; "))
            for codes in shown["error_codes"].fillna("")
        ]
        st.dataframe(
            pd.DataFrame(
                {
                    # As a spreadsheet counts: the header is row 1.
                    t("many.row"): shown.index + 2,
                    t("many.problem"): problems,
                    t("many.details"): shown["error"],
                }
            ),
            hide_index=True,
            column_config={t("many.row"): st.column_config.NumberColumn(width="small")},
        )


def bins(prices: "pd.Series[float]") -> pd.DataFrame:
    """n prices in `BINS` bins of equal width on a logarithmic scale: low, high, n."""
    low, high = float(prices.min()), float(prices.max())
    # Equal prices get a bin in the middle, not at an edge.
    edges = np.geomspace(low / 1.01, high * 1.01, BINS + 1)
    counts, _ = np.histogram(prices, edges)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n": counts})


def _map(t: MarketTexts, results: pd.DataFrame, matched: dict[str, str | None]) -> None:
    try:
        places = _places(t.info, results, matched)
    except ServiceError as problem:
        show_error(problem)
        return
    if places.empty:
        st.caption(escape_dollars(t("many.no_map")))
        return
    whole = places["state"].nunique() != 1
    chart = maps.measure_map(t, places, "median_price", dark=is_dark(), whole=whole)
    show_chart(t, chart, t("many.map"))


def _places(info: ModelInfo, results: pd.DataFrame, matched: dict[str, str | None]) -> pd.DataFrame:
    """The zips of the valued homes, most homes first; or the homes, if they have coordinates."""
    latitude, longitude, zip_code = (
        matched.get(info.name_of(role) or "") for role in ("latitude", "longitude", "zip_code")
    )
    if latitude and longitude:
        at = results[[latitude, longitude]].apply(pd.to_numeric, errors="coerce")
        homes: pd.DataFrame = at.set_axis(["latitude", "longitude"], axis=1).assign(
            name="", state=None, listings=1, median_price=results["estimated_price"]
        )
        known_homes: pd.DataFrame = homes.dropna(subset=["latitude", "longitude", "median_price"])
        return known_homes
    zips = service_cache.zip_table(info.version)
    if zip_code is None:
        return zips.head(0)
    code = results[zip_code].astype(str).str.extract(r"^(\d{1,5})", expand=False).str.zfill(5)
    by_zip = results["estimated_price"].groupby(code).agg(["size", "median"])
    by_zip = by_zip.set_axis(["listings", "median_price"], axis=1)
    known = zips.drop(columns=["listings", "median_price"])
    places = known.merge(by_zip, left_on="zip_code", right_index=True)
    return places.sort_values("listings", ascending=False)


main()
