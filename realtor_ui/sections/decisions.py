"""Why a version was promoted or not, criterion by criterion; and who was in production when."""

import pandas as pd
import streamlit as st

from realtor_ui import wording
from realtor_ui.answers import History, Version
from realtor_ui.parts import say
from realtor_ui.texts import Texts


def show(t: Texts, told: History, version: Version) -> None:
    """The decision on a version: its reason in words, and each criterion with its figures."""
    decision = told.decision_on(version.version)
    if decision is None:
        st.info(t("models.no_decision"))
        return
    st.subheader(t("models.why", decision=t.named("decision", decision.decision)))
    when = wording.day(t, decision.decided_at)
    met = decision.champion_version
    met_words = t("models.met", champion=met, day=when) if met else t("models.met_nobody", day=when)
    st.markdown(say(f"{decision.reason}  \n:small[{met_words} {t('models.their_words')}]"))
    if not decision.criteria:
        return
    with st.expander(t("models.criteria"), expanded=True):
        first_failed = next((each.name for each in decision.criteria if not each.passed), None)
        for each in decision.criteria:
            icon, colour = ("check_circle", "green") if each.passed else ("cancel", "red")
            outcome = "passed" if each.passed else "failed"
            if each.name == first_failed and decision.decision == "rejected":
                outcome = "first_failed"
            st.markdown(
                say(
                    f":{colour}[:material/{icon}:] **{t.named('criterion', each.name)}** "
                    f"({t(f'models.{outcome}')}). {each.words[:1].upper()}{each.words[1:]}"
                )
            )


def releases(t: Texts, told: History) -> None:
    """Every move of the alias, the newest first."""
    st.subheader(t("models.releases"))
    st.dataframe(
        pd.DataFrame(
            [
                {
                    t("models.when"): f"{each.begun_at:%Y-%m-%d %H:%M}",
                    t("models.from_to"): (
                        f"{each.replaced or wording.NOTHING} → {each.model_version}"
                    ),
                    t("models.action"): t.named("decision", each.action),
                    t("models.reason"): each.reason,
                }
                for each in reversed(told.releases)
            ]
        ),
        hide_index=True,
    )


def batches(t: Texts, told: History) -> None:
    """What was decided of each batch, the newest first."""
    rows = [
        {
            t("market.batch"): batch.name,
            t("models.when"): f"{each.decided_at:%Y-%m-%d %H:%M}",
            t("models.decision"): t.named("decision", each.decision),
            t("models.rule"): each.rule,
            t("monitoring.champion"): each.champion_version or wording.NOTHING,
            t("monitoring.received"): batch.received,
            t("monitoring.inserted"): batch.inserted,
            t("models.reason"): each.reason,
        }
        for batch in reversed(told.batches)
        for each in reversed(batch.decisions)
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True)
    st.caption(t("models.their_words"))
    if newest := next((batch for batch in reversed(told.batches) if batch.decisions), None):
        st.info(
            say(f"**{t('market.batch')} {newest.name}**: {newest.decisions[-1].reason}"),
            icon=":material/psychology:",
        )
