"""Models: every version, its metrics, the decision on it, and the changes between champions."""

from typing import Any

import pandas as pd
import streamlit as st

from realtor_ui import decision_texts, formatting, service_cache
from realtor_ui.charts import model_charts as charts
from realtor_ui.charts import place_charts
from realtor_ui.client import NotThere, ServiceError
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
from realtor_ui.responses import History, Version
from realtor_ui.sections import champion_changes, decision_history, version_quality
from realtor_ui.texts import Texts

FIGURES = {
    "mdape": ".1%", "within_20": ".1%", "mape": ".1%", "coverage": ".1%", "rmse": "$,.0f",
    "mae": "$,.0f", "r2": ".3f", "r2_log": ".3f", "cod": ".1f", "prd": ".3f", "prb": ".3f",
    "median_ratio": ".3f",
}  # fmt: skip
IN_TABLE = ("mdape", "within_20", "rmse", "mae", "r2_log", "coverage", "cod")
MOST_WEIGHTS = 15


def main() -> None:
    """The page."""
    t = current_texts()
    st.title(t("models.title"))
    st.markdown(t("models.intro"))
    info = require_model()
    if info is None:
        return
    t = model_texts(info)
    try:
        with st.spinner(t("wait.history")):
            history = service_cache.history()
    except NotThere:
        st.info(t("models.no_history"), icon=":material/history:")
        administrator_note("error.history_help")
        _current(t)
        return
    except ServiceError as problem:
        show_error(problem)
        _current(t)
        return
    if not history.versions:
        st.info(t("models.no_versions"), icon=":material/history:")
        return
    at = formatting.as_utc(history.published_at)
    st.caption(t("models.published", day=formatting.date_text(t, at), time=f"{at:%H:%M}"))
    st.dataframe(table(t, history), hide_index=True, column_config=_column_help(t))
    _over_versions(t, history)
    newest_first = [each.version for each in reversed(history.versions)]
    chosen = st.selectbox(
        t("models.look_at"), newest_first, key="look_at",
        index=newest_first.index(history.champion) if history.champion in newest_first else 0,
        format_func=lambda each: (
            f"{each} · {t('models.champion')}" if each == history.champion else each
        ),
    )  # fmt: skip
    version = next(each for each in history.versions if each.version == chosen)
    decision_history.show_decision(t, history, version)
    version_quality.show(t, version, info.coverage)
    champion_changes.show(t, history)
    decision_history.show_alias_moves(t, history)


def _decided(history: History, version: Version) -> str:
    decision = history.decision_on(version.version)
    return current_texts().named("decision", decision.decision if decision else "none")


def table(t: Texts, history: History) -> pd.DataFrame:
    """All versions, newest first, with formatted metrics."""
    rows = []
    for each in reversed(history.versions):
        decision = history.decision_on(each.version)
        row = {
            t("models.version"): each.version,
            t("models.champion"): "★" if each.version == history.champion else "",
            t("models.decision"): _decided(history, each),
            t("models.rule"): decision_texts.rule_name(t, decision.rule) if decision else "",
            t("models.kind"): t.named("candidate", each.candidate),
            t("models.trained"): f"{each.trained_at:%Y-%m-%d %H:%M}",
            t("models.batches"): ", ".join(map(str, each.batches)),
            t("models.rows"): f"{each.train_rows:,}" if each.train_rows else "",
        }
        for name in IN_TABLE:
            row[t(f"models.{name}")] = figure(t, name, each.test.get(name))
        rows.append(row)
    return pd.DataFrame(rows)


def _column_help(t: Texts) -> dict[str, Any]:
    """The glossary's definitions for columns of `table`."""
    terms = {"champion": "champion", "rule": "gate", "kind": "candidate", "batches": "batch"}
    terms |= {name: name for name in IN_TABLE if name in t.definitions}
    return {
        t(f"models.{column}"): st.column_config.Column(help=t.define(term))
        for column, term in terms.items()
    }


def figure(t: Texts, name: str, value: float | None) -> str:
    """A metric in its format, or ""."""
    if value is None:
        return ""
    form = FIGURES[name]
    return formatting.money(t, value) if form.startswith("$") else format(value, form)


def _over_versions(t: Texts, history: History) -> None:
    if len(history.versions) < 2:
        return
    name = st.selectbox(
        t("models.figure"), list(FIGURES), format_func=lambda each: t(f"models.{each}"),
        key="figure",
    )  # fmt: skip
    rows = [
        {"version": each.version, "figure": each.test[name], "decision": _decided(history, each),
         "champion": each.version == history.champion}
        for each in history.versions
        if each.test.get(name) is not None
    ]  # fmt: skip
    if rows:
        show_chart(
            t,
            charts.metric_by_version(
                t, pd.DataFrame(rows), t(f"models.{name}"), FIGURES[name], dark=is_dark()
            ),
            t("models.over_versions"),
        )
        st.caption(t("models.over_versions"))


def _current(t: MarketTexts) -> None:
    """Metrics of the model in production, from the service; shown without a history."""
    info = t.info
    st.subheader(t("models.current"))
    test = info.metrics.get("test", {})
    shown = [name for name in ("mdape", "within_20", "coverage", "cod") if name in test]
    for place, name in zip(st.columns(max(1, len(shown))), shown, strict=False):
        place.metric(
            t(f"models.{name}"),
            figure(t, name, test[name]),
            help=t.define(name) if name in t.definitions else None,
        )
    weights = sorted(info.importance.items(), key=lambda item: -item[1])[:MOST_WEIGHTS]
    frame = pd.DataFrame(weights, columns=["feature", "weight"])
    frame["name"] = [t.named("feature", name) for name in frame["feature"]]
    st.subheader(t("models.importance_now"))
    show_chart(
        t,
        place_charts.horizontal_bars(
            frame, "name", "weight", t("models.weight"), form=".3f", dark=is_dark()
        ),
        t("models.importance_now"),
    )


main()
