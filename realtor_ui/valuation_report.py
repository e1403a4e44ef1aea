"""A valuation as one HTML page that loads nothing from elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from realtor_ui import formatting
from realtor_ui.charts.valuation_charts import Reason
from realtor_ui.market_texts import MarketTexts
from realtor_ui.message_texts import message_text
from realtor_ui.responses import ComparableSales, ExplainedValuation

_STYLE = """
@page { size: A4; margin: 14mm }
body { font: 14px/1.45 system-ui, sans-serif; color: #1c2326; background: #fff; margin: 2rem auto;
       max-width: 800px; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.05rem; margin: 1.4rem 0 .4rem }
.price { font-size: 2.6rem; font-weight: 650; margin: .2rem 0 }
.quiet { color: #5a666c } table { border-collapse: collapse; width: 100%; font-size: 12.5px }
th, td { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid #d4d8d3 }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.track { background: #cfe0ec; height: 14px; border-radius: 7px; position: relative;
         margin: .5rem 0 }
.track b { position: absolute; width: 4px; height: 26px; top: -6px; background: #1c2326 }
.ends { display: flex; justify-content: space-between } .bar { height: 10px; border-radius: 2px }
"""


def to_html(
    t: MarketTexts,
    answer: ExplainedValuation,
    home: Mapping[str, Any],
    reasons: Sequence[Reason],
    sales: ComparableSales | None,
    made_at: datetime,
) -> str:
    """The page as HTML. Everything that was entered or received is escaped."""
    valuation = answer.valuation
    base, price = formatting.money(t, answer.base_price), formatting.money(t, valuation.price)
    as_of = formatting.date_text(t, valuation.as_of)
    made = t(
        "report.made",
        day=formatting.date_text(t, made_at),
        version=valuation.model.version,
        kind=t.named("candidate", valuation.model.candidate),
    )
    at = 100 * (valuation.price - valuation.low) / max(valuation.high - valuation.low, 1.0)
    entered = [
        (t.named("input", name), formatting.input_value(t, name, value))
        for name, value in home.items()
    ]
    warnings = "".join(
        f"<p>{escape(message_text(t, each))}</p>" for each in valuation.coded_warnings
    )
    parts = [
        f"<h1>{escape(t('report.title'))}</h1>",
        f"<p class=quiet>{escape(t('value.price', day=as_of))}</p>",
        f"<p class=price>{escape(price)}</p>",
        f'<div class=track><b style="left:{at:.1f}%"></b></div>',
        f"<p class=ends><span>{formatting.money(t, valuation.low)}</span>"
        f"<span>{formatting.money(t, valuation.high)}</span></p>",
        f"<p>{escape(t.named('confidence', valuation.confidence))}. "
        + escape(
            t(
                "value.range",
                share=formatting.share_of_homes(t, valuation.coverage),
                low=formatting.money(t, valuation.low),
                high=formatting.money(t, valuation.high),
            )
        )
        + "</p>",
        warnings,
        f"<h2>{escape(t('report.home'))}</h2>",
        _table((), ((escape(label), escape(value)) for label, value in entered)),
        f"<h2>{escape(t('why.heading'))}</h2>",
        f"<p>{escape(t('why.from_base', base=base, price=price))}</p>",
        _bars(t, reasons),
    ]
    if sales is not None and sales.comparables:
        parts += [f"<h2>{escape(t('comps.heading'))}</h2>", _sales(t, sales)]
    parts += [
        f"<p class=quiet>{escape(blindness(t))}</p>",
        f"<p class=quiet>{escape(made)}</p>",
    ]
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="{t.language}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(t("report.title"))}'
        f"</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )


def blindness(t: MarketTexts) -> str:
    """What the model does not know of a home. A market's own columns may say more about it."""
    adds = any(column.role == "input" for column in t.info.inputs.values())
    return t("value.blind_added" if adds else "value.blind")


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = "".join(
        "<tr>" + "".join(f"<td{' class=n' if i else ''}>{cell}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )  # fmt: skip
    return f"<table>{f'<tr>{titles}</tr>' if titles else ''}{lines}</table>"


def _bars(t: MarketTexts, reasons: Sequence[Reason]) -> str:
    most = max((abs(reason.dollars) for reason in reasons), default=1.0)
    return _table(
        (),
        (
            (
                escape(reason.label),
                f'<div class=bar style="width:{max(1, 180 * abs(reason.dollars) / most):.0f}px;'
                f'background:{"#3b82b5" if reason.dollars >= 0 else "#c9662a"}"></div>',
                escape(formatting.signed_money(t, reason.dollars)),
            )
            for reason in reasons
        ),
    )


def _sales(t: MarketTexts, sales: ComparableSales) -> str:
    head = (
        "", t("comps.where"), t("comps.sold_for"), t("comps.adjusted"), t("comps.sold_on"),
        t("comps.distance"),
    )  # fmt: skip
    rows = (
        (
            str(number),
            escape(formatting.place_name(t, each.home, "city", "zip_code")),
            formatting.money(t, each.price),
            formatting.money(t, each.adjusted_price),
            escape(formatting.date_text(t, each.sold_on)),
            escape(t("comps.miles", miles=f"{each.miles:,.1f}")),
        )
        for number, each in enumerate(sales.comparables, 1)
    )
    return _table(head, rows)
