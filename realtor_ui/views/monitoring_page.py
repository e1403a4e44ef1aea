"""Monitoring: live metrics of the service, drift by batch and decisions on batches."""

from collections import deque
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from realtor_ui import formatting, service_cache, service_metrics
from realtor_ui.app_settings import app_settings
from realtor_ui.charts import model_charts as charts
from realtor_ui.charts import place_charts
from realtor_ui.client import NotThere, NotTheService, ServiceError
from realtor_ui.layout import (
    administrator_note,
    current_texts,
    is_dark,
    model_texts,
    require_model,
    show_chart,
    show_error,
)
from realtor_ui.responses import History
from realtor_ui.sections import decision_history
from realtor_ui.texts import Texts

EVERY_SECONDS = 5
MAX_SNAPSHOTS = 120
SNAPSHOTS = "metrics_snapshots"
MOST_BATCHES = 12
# Pixels of the drift chart: the labels to the left, and one column of cells.
LABELS_WIDTH, BATCH_WIDTH = 110, 64


def main() -> None:
    """The page."""
    t = current_texts()
    st.title(t("monitoring.title"))
    st.markdown(t("monitoring.intro"))
    if links := app_settings().links:
        with st.container(horizontal=True):
            for name, url in links.items():
                label = f"{t('monitoring.links')} {name}"
                st.link_button(label, url, icon=":material/open_in_new:")
    info = require_model()
    if info is None:
        return
    t = model_texts(info)
    st.subheader(t("monitoring.live"))
    _live(t)
    try:
        with st.spinner(t("wait.history")):
            history = service_cache.history()
    except NotThere:
        st.info(t("market.no_history"), icon=":material/history:")
        administrator_note("error.history_help")
        return
    except ServiceError as problem:
        show_error(problem)
        return
    _drift(t, history)
    st.subheader(t("monitoring.decisions"), help=t.define("batch", "champion"))
    decision_history.show_batch_decisions(t, history)


@st.fragment(run_every=EVERY_SECONDS)
def _live(t: Texts) -> None:
    snapshots: deque[service_metrics.MetricsSnapshot] = st.session_state.setdefault(
        SNAPSHOTS, deque(maxlen=MAX_SNAPSHOTS)
    )
    try:
        now = service_metrics.parse_metrics(
            service_cache.service_client().metrics(), datetime.now(UTC)
        )
    except ServiceError as problem:
        show_error(problem)
        return
    except ValueError:
        show_error(NotTheService())
        return
    if not now.seconds and not now.prices:
        st.info(t("monitoring.no_metrics"))
        return
    if not snapshots or (now.at - snapshots[-1].at).total_seconds() >= 1:
        snapshots.append(now)
    median, slow = (service_metrics.histogram_quantile(now.seconds, share) for share in (0.5, 0.95))
    places = st.columns(5)
    places[0].metric(t("monitoring.requests"), f"{now.total_requests:,.0f}")
    places[1].metric(t("monitoring.valued"), f"{sum(now.valued.values()):,.0f}")
    places[2].metric(t("monitoring.latency"), _milliseconds(median))
    places[3].metric(t("monitoring.slow"), _milliseconds(slow))
    places[4].metric(t("monitoring.errors"), f"{now.errors:,.0f}")
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{t('monitoring.rate')}**")
        _rates(t, snapshots)
    with right:
        st.markdown(f"**{t('monitoring.predictions')}**")
        _prices(t, now)


def _milliseconds(seconds: float | None) -> str:
    return formatting.NO_VALUE if seconds is None else f"{1_000 * seconds:,.0f} ms"


def _rates(t: Texts, snapshots: "deque[service_metrics.MetricsSnapshot]") -> None:
    if len(snapshots) < 2:
        st.caption(t("monitoring.wait", seconds=EVERY_SECONDS))
        return
    pairs = list(zip(list(snapshots), list(snapshots)[1:], strict=False))
    rates = pd.DataFrame(
        [
            {
                "at": after.at,
                "name": t("monitoring.per_second"),
                "figure": service_metrics.request_rate(before, after),
            }
            for before, after in pairs
        ]
    )
    show_chart(
        t,
        charts.time_series(rates, t("monitoring.per_second"), ".2~f", dark=is_dark(), height=170),
        t("monitoring.rate"),
    )
    times = [
        {"at": after.at, "name": t(f"monitoring.{name}"), "figure": 1_000 * seconds}
        for before, after in pairs
        for came in [service_metrics.bucket_increase(before.seconds, after.seconds)]
        for name, share in (("median", 0.5), ("p95", 0.95))
        if (seconds := service_metrics.histogram_quantile(came, share)) is not None
    ]
    if not times:
        st.caption(t("monitoring.quiet"))
        return
    show_chart(
        t,
        charts.time_series(
            pd.DataFrame(times), t("monitoring.milliseconds"), ",.0f", dark=is_dark(), height=220
        ),
        t("monitoring.latency"),
    )


def _prices(t: Texts, now: service_metrics.MetricsSnapshot) -> None:
    frame = pd.DataFrame(service_metrics.bucket_counts(now.prices), columns=["low", "high", "n"])
    if frame["n"].sum() == 0:
        st.caption(t("monitoring.no_predictions"))
        return
    show_chart(
        t,
        place_charts.price_histogram(t, frame, dark=is_dark(), field="many.prices"),
        t("monitoring.predictions"),
    )
    versions = ", ".join(
        f"{t('models.version')} {name}: {count:,.0f}" for name, count in sorted(now.valued.items())
    )
    st.caption(f"{t('monitoring.valued')} {t('monitoring.of_version')}: {versions}")


def _drift(t: Texts, history: History) -> None:
    st.subheader(t("monitoring.drift"), help=t.define("drift", "psi"))
    rows = [
        {"batch": batch.name, "label": t.named("input", each.feature), "psi": each.psi}
        for batch in history.batches[-MOST_BATCHES:]
        for each in batch.drift
        if each.psi is not None
    ]
    if not rows:
        st.caption(t("monitoring.no_drift"))
        return
    frame = pd.DataFrame(rows)
    # The largest width: on a narrower page the cells shrink, so that no batch is cut off.
    show_chart(
        t,
        charts.drift_heatmap(t, frame, dark=is_dark()),
        t("monitoring.drift_caption"),
        width=LABELS_WIDTH + BATCH_WIDTH * frame["batch"].nunique(),
    )
    st.caption(t("monitoring.drift_caption"))


main()
