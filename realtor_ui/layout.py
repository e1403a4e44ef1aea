"""The parts that all pages share: language, sidebar and error messages."""

from collections.abc import Mapping
from typing import Literal

import streamlit as st

from realtor_ui import formatting
from realtor_ui.app_settings import app_settings
from realtor_ui.charts.chart_style import Chart, in_currency
from realtor_ui.client import (
    InvalidInput,
    NoModel,
    NotAllowed,
    NotTheService,
    ServiceDown,
    ServiceError,
)
from realtor_ui.formatting import escape_dollars
from realtor_ui.market_texts import MarketTexts
from realtor_ui.message_texts import message_text
from realtor_ui.responses import ModelInfo
from realtor_ui.service_cache import REFRESH_SECONDS, model_info
from realtor_ui.texts import FALLBACK, LANGUAGES, Texts, catalogue

LANGUAGE = "lang"
# Errors that an administrator can do something about, and the text that says what.
_HELP: Mapping[type[ServiceError], str] = {
    NoModel: "error.no_model_help",
    NotAllowed: "error.not_allowed_help",
    NotTheService: "error.stranger_help",
    ServiceDown: "error.down_help",
}


def is_dark() -> bool:
    """Whether the browser shows the dark theme."""
    return bool(st.context.theme.type == "dark")


def current_texts() -> Texts:
    """The texts in the chosen language, or else that of the address, or else the browser's."""
    if st.session_state.get(LANGUAGE) not in LANGUAGES:
        asked = st.query_params.get(LANGUAGE) or (st.context.locale or "")[:2]
        st.session_state[LANGUAGE] = asked if asked in LANGUAGES else next(iter(LANGUAGES))
    return catalogue(st.session_state[LANGUAGE])


def model_texts(info: ModelInfo) -> MarketTexts:
    """The current texts, with the words of the served model's market."""
    return MarketTexts(current_texts(), info)


def show_chart(
    t: Texts, chart: Chart, about: str, width: int | Literal["stretch"] = "stretch"
) -> None:
    """Show a chart with its amounts in the currency of the market; `about` describes it."""
    st.altair_chart(in_currency(chart, t.always["money"]), width=width, alt=about)


def sidebar() -> None:
    """Language, status of the service, model in production, a description and links."""
    t = current_texts()
    with st.sidebar:
        st.segmented_control(
            t("sidebar.language"), list(LANGUAGES), key=LANGUAGE, format_func=LANGUAGES.__getitem__,
            required=True, label_visibility="collapsed",
        )  # fmt: skip
        _status()
        st.caption(t("sidebar.about"))
        if links := app_settings().links:
            st.markdown(" · ".join(f"[{name}]({url})" for name, url in links.items()))


@st.fragment(run_every=REFRESH_SECONDS)
def _status() -> None:
    t = current_texts()
    try:
        info = model_info()
    except NoModel:
        st.badge(t("sidebar.no_model"), icon=":material/hourglass_empty:", color="orange")
        return
    except NotAllowed:
        st.badge(t("sidebar.not_allowed"), icon=":material/lock:", color="red")
        return
    except ServiceError:
        st.badge(t("sidebar.down"), icon=":material/error:", color="red")
        return
    st.badge(t("sidebar.up"), icon=":material/check_circle:", color="green")
    stage = t.named("stage", info.stage)
    title = info.market.title.get(t.language) or info.market.title.get(FALLBACK, "")
    st.markdown(f"**{t('sidebar.version', version=info.version, stage=stage)}**")
    facts = [
        *([t("sidebar.market", title=title)] if title else []),
        t(
            "sidebar.trained",
            kind=t.named("candidate", info.candidate),
            age=formatting.age_text(t, info.trained_at),
            day=formatting.date_text(t, info.trained_at),
        ),
        t("sidebar.learned", rows=f"{info.train_rows:,}", day=formatting.date_text(t, info.as_of)),
    ]
    if (test := info.metrics.get("test")) and "mdape" in test:
        facts.append(t("sidebar.error", share=f"{test['mdape']:.0%}"))
    st.caption("  \n".join(facts))


def show_error(problem: ServiceError) -> None:
    """What went wrong and what to do about it; addresses and settings are for administrators."""
    t = current_texts()
    if isinstance(problem, InvalidInput):
        lines = [message_text(_served_texts(), message) for message in problem.problems]
        st.warning(escape_dollars("\n\n".join(lines)), icon=":material/edit:")
        return
    detail = message_text(t, problem.refusal) if problem.refusal else ""
    text = t(problem.key, detail=detail)
    if isinstance(problem, NoModel):
        st.info(text, icon=":material/hourglass_empty:")
    elif isinstance(problem, NotAllowed):
        st.error(text, icon=":material/lock:")
    else:
        st.error(f"{text} {t('error.nothing_lost')}", icon=":material/cloud_off:")
    help_key = _HELP.get(type(problem))
    if help_key is not None:
        administrator_note(help_key)


def _served_texts() -> Texts:
    """The texts with the words of the served market, if the service tells them."""
    try:
        return model_texts(model_info())
    except ServiceError:
        return current_texts()


def administrator_note(key: str) -> None:
    """A closed section with the text `key`: settings and commands, which visitors need not see."""
    t = current_texts()
    with st.expander(t("error.for_administrators")):
        st.markdown(t(key, url=app_settings().service_url))


def require_model() -> ModelInfo | None:
    """The model in production; without one, shows why, and reruns once there is one."""
    try:
        with st.spinner(current_texts()("wait.service"), show_time=False):
            return model_info()
    except ServiceError as problem:
        show_error(problem)
        _wait_for_service()
        return None


@st.fragment(run_every=REFRESH_SECONDS / 2)
def _wait_for_service() -> None:
    try:
        model_info()
    except ServiceError:
        st.caption(current_texts()("wait.again"))
    else:
        st.rerun()
