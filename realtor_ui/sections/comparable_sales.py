"""Comparable sales beside the home, adjusted line by line; each can be replaced by the next."""

import pandas as pd
import streamlit as st

from realtor_ui import formatting
from realtor_ui.formatting import escape_dollars
from realtor_ui.market_texts import MarketTexts
from realtor_ui.responses import Comparable, ComparableSales, ExplainedValuation

EXCLUDED = "excluded_sales"
# Inputs of these roles make a listing a sale; one line, the date of sale, stands for both.
_SALE = ("sale_date", "status")


def excluded() -> tuple[str, ...]:
    """The ids of the sales that were replaced."""
    return tuple(st.session_state.get(EXCLUDED, ()))


def show(t: MarketTexts, answer: ExplainedValuation, sales: ComparableSales) -> None:
    """The table, and a button for each sale to replace it."""
    if not sales.comparables:
        st.info(t("comps.none"), icon=":material/search_off:")
        _bring_back(t)
        return
    price = answer.valuation.price
    if sales.indicated_price is not None:
        st.markdown(
            escape_dollars(
                t(
                    "comps.indicated",
                    price=formatting.money(t, sales.indicated_price),
                    share=formatting.difference(t, sales.indicated_price / price - 1),
                )
            )
        )
    st.table(table(t, answer, sales), border="horizontal")
    st.caption(
        t("comps.explained", n=f"{sales.sales_within:,}", miles=f"{sales.radius_miles:g}"),
        help=t.define("comparable", "similarity", "adjustment"),
    )
    with st.container(horizontal=True):
        for number, each in enumerate(sales.comparables, 1):
            st.button(
                t("comps.replace", n=number), key=f"replace_{each.id}", on_click=_exclude,
                args=(each.id,), icon=":material/swap_horiz:",
            )  # fmt: skip
        _bring_back(t)


def table(t: MarketTexts, answer: ExplainedValuation, sales: ComparableSales) -> pd.DataFrame:
    """A column for the home and for each sale; a line for each figure and each input.

    An input's line tells its stars, its value, and what the difference is worth; that of the day of
    the sale tells what time has done since: so a column adds up.
    """
    stars = formatting.stars({each.input: each.dollars for each in answer.contributions})
    order = sorted(stars, key=lambda name: -stars[name])
    home = {each.input: each.value for each in answer.contributions}
    of_sale = [name for role in _SALE if (name := t.info.name_of(role)) is not None]
    order = [name for name in order if name not in of_sale]
    lines = [
        t("comps.sold_for"), t("comps.adjusted"), t("comps.adjustments"), t("comps.sold_on"),
        t("comps.distance"), t("comps.similarity"),
        *(f"{t.named('input', name)} {'★' * stars[name]}" for name in order),
    ]  # fmt: skip
    nothing = formatting.NO_VALUE
    columns = {
        t("comps.home"): [
            nothing,
            escape_dollars(f"**{formatting.money(t, answer.valuation.price)}**"),
            *([nothing] * 4),
            *(escape_dollars(formatting.input_value(t, name, home[name])) for name in order),
        ]
    }
    for number, sale in enumerate(sales.comparables, 1):
        columns[t("comps.number", n=number)] = [
            escape_dollars(formatting.money(t, sale.price)),
            escape_dollars(f"**{formatting.money(t, sale.adjusted_price)}**"),
            f"{sale.net_adjustment:+.0%} / {sale.gross_adjustment:.0%}",
            escape_dollars(_line(t, sale, formatting.date_text(t, sale.sold_on), *of_sale)),
            t("comps.miles", miles=f"{sale.miles:,.1f}"),
            f"{sale.similarity:.0%}",
            *(
                escape_dollars(
                    _line(t, sale, formatting.input_value(t, name, sale.home.get(name)), name)
                )
                for name in order
            ),
        ]
    return pd.DataFrame(columns, index=pd.Index(lines))


def _line(t: MarketTexts, sale: Comparable, text: str, *names: str) -> str:
    """`text`, followed by the sum of the adjustments of `names` in dollars."""
    worth = sum(each.dollars for each in sale.adjustments if each.input in names)
    return f"{text} ({formatting.signed_money(t, worth)})" if abs(worth) >= 1 else text


def _exclude(sale: str) -> None:
    st.session_state[EXCLUDED] = [*excluded(), sale]


def _bring_back(t: MarketTexts) -> None:
    if gone := excluded():
        st.button(
            t("comps.bring_back", n=len(gone)), key="bring_back", icon=":material/undo:",
            on_click=lambda: st.session_state.pop(EXCLUDED, None),
        )  # fmt: skip
