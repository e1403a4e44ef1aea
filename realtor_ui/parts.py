"""What all pages share: the client, the sidebar, and how errors are told."""

from datetime import UTC

import streamlit as st

from realtor_ui import wording
from realtor_ui.client import ModelInfo, NoModel, ServiceClient, ServiceError
from realtor_ui.settings import settings

REFRESH_SECONDS = 10


def dark() -> bool:
    """Whether the page is drawn on dark."""
    return bool(st.context.theme.type == "dark")


@st.cache_resource
def client() -> ServiceClient:
    """The client that all sessions share."""
    config = settings()
    return ServiceClient(config.service_url, timeout_seconds=config.timeout_seconds)


@st.cache_data(ttl=REFRESH_SECONDS, show_spinner=False)
def model_info() -> ModelInfo:
    """The model in production, asked for again after some seconds. Raises `ServiceError`."""
    return client().model_info()


def sidebar() -> None:
    """Service status, model in production, and what this is."""
    with st.sidebar:
        st.markdown("### Realtor")
        st.caption(
            "Estimates what a US home would sell for, from what a person knows about it. The model "
            "learns from listings as they arrive, and only a better one replaces it."
        )
        _status()


@st.fragment(run_every=REFRESH_SECONDS)
def _status() -> None:
    try:
        info = model_info()
    except NoModel:
        st.badge("Service up, no model yet", icon=":material/hourglass_empty:", color="orange")
        return
    except ServiceError:
        st.badge("Service does not answer", icon=":material/error:", color="red")
        return
    st.badge("Service up", icon=":material/check_circle:", color="green")
    trained = info.trained_at if info.trained_at.tzinfo else info.trained_at.replace(tzinfo=UTC)
    kind = wording.CANDIDATES.get(info.candidate, info.candidate)
    st.markdown(f"**Model version {info.version}** ({info.stage})")
    facts = [
        f"{kind[:1].upper()}{kind[1:]}, trained {wording.age(trained)}, on {trained:%-d %B %Y}",
        f"{info.train_rows:,} listings, data to {info.as_of}",
    ]
    if (test := info.metrics.get("test")) and "mdape" in test:
        facts.append(f"Half of its estimates are within {test['mdape']:.0%} of the price")
    st.caption("  \n".join(facts))


def tell(problem: ServiceError) -> None:
    """Say what went wrong and what to do about it."""
    if isinstance(problem, NoModel):
        st.info(
            "**There is no model yet.** The service runs, but nothing has been trained and put "
            "into production. Start a training (`realtor train`, or the train job in Dagster); "
            "this page works as soon as it is done.",
            icon=":material/hourglass_empty:",
        )
    else:
        st.error(
            f"**{problem}** Nothing you entered is lost. Check that the platform is up "
            "(`realtor status`), then try again.",
            icon=":material/cloud_off:",
        )


@st.fragment(run_every=REFRESH_SECONDS / 2)
def wait_for_service() -> None:
    """Look again every few seconds, and show the page as soon as the service answers."""
    try:
        model_info()
    except ServiceError:
        st.caption("Looking again every few seconds.")
    else:
        st.rerun()
