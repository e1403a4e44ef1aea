"""The model card: what a version is, how good, for whom, and what it cannot see. Markdown."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from realtor_model.features import features_of
from realtor_model.valuation.valuation_model import ValuationModel

_INTENDED = """\
Estimates of what a US home would sell for now, with a range, for people who look at many homes:
buyers, sellers, assessors, lenders at the stage of triage. It is not an appraisal, and no ground
on its own for a loan, a tax bill or an eviction."""
_LIMITS = """\
- It cannot see condition, age, renovation, view, parking, schools, or the street: listings do not
  have them. A home that differs in these from its neighbourhood is valued like its neighbourhood.
- Most train rows are asking prices. Status is a feature, and homes are valued as sold, but the
  asking side is where most of its knowledge comes from.
- It speaks for the date below. Prices move; ranges are calibrated on the same months as the model.
- Census figures are five-year estimates for 2018 to 2022, published in December 2023: later than
  the sales they stand beside. REALTOR_FEATURES_LEFT_OUT=home_value (or
  home_value,census) trains without them.
- It knows the share of no race. Income, education and tenure of a zip go with race all the same:
  the fairness tables show for whom it errs."""


def model_card(
    model: ValuationModel,
    figures: Mapping[str, float],
    segments: pd.DataFrame,
    fairness: pd.DataFrame,
    *,
    split: str,
) -> str:
    """The model card, Markdown.

    Args:
        model: the model.
        figures: of `scored_listings.summary` on `split`.
        segments: of `scored_listings.segments`.
        fairness: of `scored_listings.fairness`.
        split: name of the split that it was judged on.
    """
    facts = model.metadata
    names = set(model.encoder.feature_names)
    groups = [
        f"- **{group}**: {', '.join(name for name in members if name in names)}"
        for group, members in features_of(model.contract).groups.items()
        if names & set(members)
    ]
    rows: list[tuple[str, Any]] = [
        ("candidate", model.candidate),
        ("data version", facts.get("data_version", "")),
        ("data up to", facts.get("as_of", "")),
        ("upstream batches", facts.get("batches", "")),
        ("train rows", f"{facts['train_rows']:,}"),
        ("trained at", facts.get("trained_at", "")),
        ("prices learned from", "${:,.0f} to ${:,.0f}".format(*model.price_range)),
    ]
    shown = [
        ("homes judged", f"{figures['n']:,.0f}"),
        ("median error", f"{figures['mdape']:.1%}"),
        ("within 10 % / 20 %", f"{figures['within_10']:.1%} / {figures['within_20']:.1%}"),
        ("R2 in dollars / of log price", f"{figures['r2']:.3f} / {figures['r2_log']:.3f}"),
        ("RMSE / MAE", f"${figures['rmse']:,.0f} / ${figures['mae']:,.0f}"),
        *(
            (
                name,
                f"{figures[key]:.3f} ({figures[f'{key}_low']:.3f} to {figures[f'{key}_high']:.3f})",
            )
            for name, key in (
                ("median ratio", "median_ratio"),
                ("COD", "cod"),
                ("PRD", "prd"),
                ("PRB", "prb"),
            )
        ),
        ("inside the 80 % range", f"{figures['coverage']:.1%}"),
        *(
            (f"median error, {name}", f"{figures[f'{key}_mdape']:.1%}")
            for name, key in (("sold homes", "sold"), ("newest month of sales", "newest_month"))
            if f"{key}_mdape" in figures
        ),
    ]
    return "\n\n".join(
        [
            "# Model card: realtor-price",
            f"## What it is\n\n{_table(rows)}",
            f"## Intended use\n\n{_INTENDED}",
            f"## What it cannot do\n\n{_LIMITS}",
            f"## How good it is, on the {split} split\n\n{_table(shown)}",
            f"## By segment (30 homes or more)\n\n{_markdown(segments)}",
            f"## Fairness: for audit only\n\n{_markdown(fairness)}",
            "## Features\n\n" + "\n".join(groups),
            "Coordinates: GeoNames, CC BY 4.0. Census: American Community Survey, public domain.\n",
        ]
    )


def _table(rows: list[tuple[str, Any]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _markdown(frame: pd.DataFrame) -> str:
    """A Markdown table without a further dependency."""
    head = ["by", "segment", "n", "mdape", "within_20", "median_ratio", "cod", "prb", "coverage"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in frame[head].to_dict("records"):
        cells = [
            f"{v:,.3f}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else v
            for v in row.values()
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
