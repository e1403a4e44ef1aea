"""Decisions on versions and batches, and the history of the production alias."""

from typing import Any

import pandas as pd
import streamlit as st

from realtor_ui import decision_texts, formatting
from realtor_ui.formatting import escape_dollars
from realtor_ui.responses import History, Version
from realtor_ui.texts import Texts

# Pixels, and the number of letters in a line of that width.
REASON_WIDTH, LINE_HEIGHT, LINE_LETTERS = 310, 20, 45


def show_decision(t: Texts, history: History, version: Version) -> None:
    """Show the decision on a version: the reason, and each gate with its figures."""
    decision = history.decision_on(version.version)
    if decision is None:
        st.info(t("models.no_decision"))
        return
    st.subheader(
        t("models.why", decision=t.named("decision", decision.decision)),
        help=t.define("challenger", "champion", "duel", "gate"),
    )
    words = decision_texts.promotion_text(t, decision)
    st.markdown(
        escape_dollars(f"{words}  \n:small[{decision_texts.opponent_text(t, decision)}]"),
        help=_own(t, words, decision.reason),
    )
    policy = decision.figures.get("policy", {})
    if not decision.criteria:
        return
    with st.expander(t("models.criteria"), expanded=True):
        first_failed = next((each.name for each in decision.criteria if not each.passed), None)
        for each in decision.criteria:
            icon, colour = ("check_circle", "green") if each.passed else ("cancel", "red")
            outcome = "passed" if each.passed else "failed"
            if each.name == first_failed and decision.decision == "rejected":
                outcome = "first_failed"
            words = decision_texts.gate_result_text(t, each, policy)
            st.markdown(
                escape_dollars(
                    f":{colour}[:material/{icon}:] **{t.named('criterion', each.name)}** "
                    f"({t(f'models.{outcome}')}). {words}"
                ),
                # A failed gate names homes or segments that the figures do not.
                help=None if each.passed else _own(t, words, each.words),
            )


def show_alias_moves(t: Texts, history: History) -> None:
    """Show every move of the alias, newest first."""
    st.subheader(t("models.releases"))
    rows = [
        {
            t("models.when"): f"{each.begun_at:%Y-%m-%d %H:%M}",
            t("models.from_to"): f"{each.replaced or formatting.NO_VALUE} → {each.model_version}",
            t("models.action"): t.named("decision", each.action),
            t("models.reason"): decision_texts.alias_move_text(t, history, each),
        }
        for each in reversed(history.releases)
    ]
    _with_reasons(t, rows)


def show_batch_decisions(t: Texts, history: History) -> None:
    """Show the decisions on each batch, newest first."""
    rows = [
        {
            t("market.batch"): batch.name,
            t("models.when"): f"{each.decided_at:%Y-%m-%d %H:%M}",
            t("models.decision"): t.named("decision", each.decision),
            t("models.rule"): decision_texts.rule_name(t, each.rule),
            t("monitoring.champion"): each.champion_version or formatting.NO_VALUE,
            t("monitoring.inserted"): batch.inserted,
            t("models.reason"): decision_texts.retrain_decision_text(t, each),
        }
        for batch in reversed(history.batches)
        for each in reversed(batch.decisions)
    ]
    _with_reasons(t, rows)


def _with_reasons(t: Texts, rows: list[dict[str, Any]]) -> None:
    """Show a table whose last column is a reason of several lines."""
    column = t("models.reason")
    longest = max((len(row[column]) for row in rows), default=0)
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        # All rows have one height, enough for the longest reason.
        row_height=LINE_HEIGHT * (longest // LINE_LETTERS + 1),
        column_config={column: st.column_config.TextColumn(width=REASON_WIDTH)},
    )


def _own(t: Texts, words: str, own: str) -> str | None:
    """The stored English sentence, unless it is shown already."""
    return None if own in words else escape_dollars(f"{t('models.their_words')}: {own}")
