"""What all pages share: the language, the sidebar, and how errors are told."""

import streamlit as st

from realtor_ui import formatting
from realtor_ui.app_settings import app_settings
from realtor_ui.client import InvalidProperty, NoModel, NotAllowed, ServiceError
from realtor_ui.responses import ModelInfo
from realtor_ui.service_cache import REFRESH_SECONDS, model_info
from realtor_ui.texts import LANGUAGES, Texts, catalogue

LANGUAGE = "lang"


def is_dark() -> bool:
    """Whether the page is drawn on dark."""
    return bool(st.context.theme.type == "dark")


def current_texts() -> Texts:
    """What the app says, in the language that was chosen, or asked for, or the browser's."""
    if st.session_state.get(LANGUAGE) not in LANGUAGES:
        asked = st.query_params.get(LANGUAGE) or (st.context.locale or "")[:2]
        st.session_state[LANGUAGE] = asked if asked in LANGUAGES else next(iter(LANGUAGES))
    return catalogue(st.session_state[LANGUAGE])


def escape_dollars(words: str) -> str:
    """Text for Streamlit's Markdown."""
    return formatting.escape_dollars(words)


def sidebar() -> None:
    """Service status, model in production, what this is, links, and the language."""
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
    st.markdown(f"**{t('sidebar.version', version=info.version, stage=stage)}**")
    facts = [
        t(
            "sidebar.trained",
            kind=t.named("candidate", info.candidate),
            age=formatting.age_text(t, info.trained_at),
            day=formatting.date_text(t, info.trained_at),
        ),
        t("sidebar.learned", rows=f"{info.train_rows:,}", day=info.as_of),
    ]
    if (test := info.metrics.get("test")) and "mdape" in test:
        facts.append(t("sidebar.error", share=f"{test['mdape']:.0%}"))
    st.caption("  \n".join(facts))


def show_error(problem: ServiceError) -> None:
    """Say what went wrong and what to do about it."""
    t = current_texts()
    if isinstance(problem, InvalidProperty):
        lines = [
            f"**{t.named('input', each.field)}**: {formatting.said(t, each.message)}"
            if each.field
            else formatting.said(t, each.message)
            for each in problem.problems
        ]
        st.warning(escape_dollars("\n\n".join(lines)), icon=":material/edit:")
    elif isinstance(problem, NoModel):
        st.info(t(problem.key), icon=":material/hourglass_empty:")
    elif isinstance(problem, NotAllowed):
        st.error(t(problem.key, detail=problem.detail), icon=":material/lock:")
    else:
        words = t(problem.key, detail=problem.detail, url=app_settings().service_url)
        st.error(f"{words} {t('error.what_to_do')}", icon=":material/cloud_off:")


def require_model() -> ModelInfo | None:
    """The model to work with; without one, says why and waits until there is one."""
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
