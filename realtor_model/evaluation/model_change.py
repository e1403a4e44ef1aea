"""What a new model changes: what weighs more or less in it, which segments moved, example homes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model import sampling
from realtor_model.candidates import candidate_named
from realtor_model.evaluation.scored_listings import MIN_SEGMENT, kinds
from realtor_model.features import Columns, as_sold, take
from realtor_model.listing import CORE_KEYS, TARGET
from realtor_model.valuation.valuation_model import ValuationModel

Floats = NDArray[np.float64]

_EXAMPLES = 10
# TreeSHAP of a forest of 200 deep trees takes up to a second for a row.
_SLOW_ROWS = 60


@dataclass(frozen=True)
class Change:
    """Two models on the same homes, valued as sold.

    importance: input, before, after (mean |SHAP value| of what a person enters, in log price, over
        the same homes), weightiest now first.
    segments: by, segment, n, change (median change of value, percent), mdape_before, mdape_after
        (fractions, of the prices listed); those that moved most first; 30 homes or more.
    homes: ten examples from the one that lost most to the one that gained most: the 11 inputs,
        price (listed), before, after (dollars), change (percent).
    """

    importance: pd.DataFrame
    segments: pd.DataFrame
    homes: pd.DataFrame


def what_changed(
    before: ValuationModel,
    after: ValuationModel,
    columns: Columns,
    price: Floats,
    *,
    rows: int = 300,
    seed: int = 0,
) -> Change:
    """Compare two models on the same n listings.

    Args:
        before: the model that was replaced.
        after: the model that replaced it.
        columns: the inputs of n listings, each (n,), by preference ones that neither learned from.
        price: dollars, shape (n,).
        rows: how many of the listings are explained; 60 at most where a candidate is
            `slow_to_explain`.
        seed: of the generator that draws them.

    Raises:
        ValueError: no rows.
    """
    if not len(price):
        raise ValueError("what_changed needs listings to compare the models on")
    homes = as_sold(columns)
    was, now = before.predict(homes), after.predict(homes)
    change = 100.0 * (now / was - 1.0)
    if any(candidate_named(model.candidate).slow_to_explain for model in (before, after)):
        rows = min(rows, _SLOW_ROWS)
    drawn = sampling.draw_rows(len(price), rows, seed)
    return Change(
        importance=_importance(before, after, take(homes, drawn)),
        segments=_segments(columns, price, was, now, change),
        homes=_examples(columns, price, was, now, change),
    )


def _importance(before: ValuationModel, after: ValuationModel, homes: Columns) -> pd.DataFrame:
    weights = {}
    for when, model in (("before", before), ("after", after)):
        reasons = model.explain(homes)
        mean = np.abs(reasons.by_input_log).mean(axis=0)
        weights[when] = pd.Series(mean, index=list(reasons.inputs))
    # An input without a feature in one of the models weighs 0 there.
    table = pd.DataFrame(weights).fillna(0.0).rename_axis("input").reset_index()
    return table.sort_values(["after", "input"], ascending=[False, True], ignore_index=True)


def _segments(
    columns: Columns, price: Floats, was: Floats, now: Floats, change: Floats
) -> pd.DataFrame:
    error_before, error_after = (np.abs(value / price - 1.0) for value in (was, now))
    lines = []
    for by, segment, rows in _labelled(columns, price):
        if rows.sum() >= MIN_SEGMENT:
            lines.append(
                {
                    "by": by,
                    "segment": segment,
                    "n": int(rows.sum()),
                    "change": float(np.median(change[rows])),
                    "mdape_before": float(np.median(error_before[rows])),
                    "mdape_after": float(np.median(error_after[rows])),
                }
            )
    names = ["by", "segment", "n", "change", "mdape_before", "mdape_after"]
    table = pd.DataFrame(lines, columns=names)
    return table.sort_values("change", key=np.abs, ascending=False, ignore_index=True)


def _labelled(columns: Columns, price: Floats) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """By, name and rows (n,) of each segment."""
    labels = {
        "state": columns["state"],
        "price band": sampling.quintiles(price),
        "status": columns["status"],
        "kind": kinds(columns),
    }
    for by, values in labels.items():
        code, names = pd.factorize(values, sort=True)
        for i, name in enumerate(names):
            rows = code == i
            label = str(name)
            if by == "price band":
                label = f"${price[rows].min():,.0f} to ${price[rows].max():,.0f}"
            yield by, label, rows


def _examples(
    columns: Columns, price: Floats, was: Floats, now: Floats, change: Floats
) -> pd.DataFrame:
    """Homes with a known size at quantiles of the change; any listings where there are too few."""
    among = np.flatnonzero(kinds(columns) == "home")
    if len(among) < _EXAMPLES:
        among = np.arange(len(price))
    ordered = among[np.argsort(change[among], kind="stable")]
    at = np.unique(np.rint(np.linspace(0, len(ordered) - 1, _EXAMPLES)).astype(np.int64))
    chosen = ordered[at]
    table: dict[str, Any] = {name: columns[name][chosen] for name in CORE_KEYS if name != TARGET}
    table |= {TARGET: price[chosen], "before": was[chosen], "after": now[chosen]}
    return pd.DataFrame(table | {"change": change[chosen]})
