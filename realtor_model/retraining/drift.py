"""How far new rows are from the rows a model was trained on: effect sizes, never p-values.

At 100,000 rows every test of equality fails; what counts is how far things moved.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.features import MEASURES, Columns
from realtor_model.listing import TARGET, US_LISTINGS, Kind, ListingContract
from realtor_model.listing.place_keys import city_key, state_key
from realtor_model.retraining.column_relations import relations

Floats = NDArray[np.float64]

PREDICTION = "prediction"
# The categories of every market.
CATEGORIES = ("status", "city", "state", "zip_code")
_KEY_OF: Mapping[str, Callable[[str], str]] = {"city": city_key, "state": state_key}
BINS = 10
TOP_CATEGORIES = 200
# A share below this counts as this: the PSI of an empty bin would be infinite.
SMALLEST_SHARE = 1e-4

ABOVE, BELOW = "above the range", "below the range"
# A segment of fewer train rows has no shape to compare with, one of fewer new rows none to compare.
SEGMENT_ROWS, COMPARED_ROWS = 300, 100
_BANDS = 5
_PERCENTILES, _SEGMENT_PERCENTILES = 99, 19


def profile(
    columns: Columns,
    price: Floats | None = None,
    predictions: Floats | None = None,
    contract: ListingContract = US_LISTINGS,
) -> dict[str, Any]:
    """The distributions of rows (n,), as JSON: the reference of `compare`.

    Bed, bath, lot and house size, price, predictions (dollars), and the numbers and booleans that
    the market adds: decile edges and shares, percentiles. Status, state, city, zip, and the
    categories that the market adds: shares of the 200 most frequent, all that occur, and
    the share of known values that occur once: about as many of new rows will be unseen (Good,
    Biometrika 40, 1953). Both: null rate. Ids are left out, and dates, which move
    with time itself.

    `segments`: the same of the numbers, more coarsely, for each state of 300 rows or more and each
    fifth of the price; `price_edges`: what parts the fifths, both ends included. `pairs`: which
    columns go with one another (`column_relations.relations`).
    """
    measures, categories = _described(contract)
    numbers = _numbers(measures, columns, price, predictions)
    features: dict[str, Any] = {
        name: {"kind": "number", **_describe(values, _PERCENTILES)}
        for name, values in numbers.items()
    }
    for name in categories:
        shares, null_rate = _category_shares(columns[name])
        features[name] = {
            "kind": "category",
            "shares": shares.head(TOP_CATEGORIES).to_dict(),
            "categories": sorted(shares.index),
            "singletons": _singletons(columns[name]),
            "null_rate": null_rate,
        }
    edges = []
    if price is not None and len(price):
        edges = np.unique(np.quantile(price, np.arange(_BANDS + 1) / _BANDS)).tolist()
    segments = [
        {
            "by": by,
            "segment": segment,
            "rows": len(rows),
            "features": {
                name: _rounded(_describe(values[rows], _SEGMENT_PERCENTILES))
                for name, values in _numbers(measures, columns, price, None).items()
            },
        }
        for by, segment, rows in _segments(columns, price, edges)
        if len(rows) >= SEGMENT_ROWS
    ]
    return {
        "rows": len(columns["status"]),
        "features": features,
        "price_edges": edges,
        "segments": segments,
        "pairs": relations(columns, price, measures[len(MEASURES) :]),
    }


def compare(
    reference: dict[str, Any],
    columns: Columns,
    price: Floats | None = None,
    predictions: Floats | None = None,
) -> pd.DataFrame:
    """Rows (n,) against a `profile`; one line for each feature that both have.

    Columns:
        feature.
        psi: population stability index, sum of (p - q) * ln(p / q) over deciles of the reference,
            or over its 200 most frequent categories and all others; by convention 0.10 is worth a
            look and 0.25 worth acting.
        wasserstein: mean distance of the percentiles of sign(value) log(1 + |value|), in standard
            deviations of the reference; NaN for categories.
        null_rate_change: new less old share of missing values.
        unseen_share: share of the known values that the reference never had; NaN for numbers.
        usual_unseen_share: what it would be in other rows of the same market; NaN for numbers, 0
            where the profile lacks it.
    """
    rows = []
    described = reference["features"]
    for name, values in _numbers(_names(described, "number"), columns, price, predictions).items():
        if name in described:
            rows.append({"feature": name, **_compare_numbers(described[name], values)})
    rows += [
        {
            "feature": name,
            **_compare_categories(described[name], columns[name], _KEY_OF.get(name, str)),
        }
        for name in _names(described, "category")
    ]
    return pd.DataFrame(rows)


def compare_segments(reference: dict[str, Any], columns: Columns, price: Floats) -> pd.DataFrame:
    """Rows (n,) against a `profile`, within each state and each fifth of the training's price.

    A whole batch can differ because its homes are of other states or more expensive; a segment
    shows whether homes of one kind have changed. Segments of 100 rows or more.

    Columns: by ("state" or "price band"), segment, n, feature, psi, wasserstein (as `compare`).
    Prices that training never had are the segments "above the range" and "below the range": one
    line each, feature "price", psi and wasserstein NaN. A profile without segments gives no line.
    """
    known = {(each["by"], each["segment"]): each for each in reference.get("segments", [])}
    numbers = _numbers(_names(reference["features"], "number"), columns, price, None)
    lines = []
    for by, segment, rows in _segments(columns, price, reference.get("price_edges", [])):
        line = {"by": by, "segment": segment, "n": len(rows)}
        if len(rows) < COMPARED_ROWS:
            continue
        if segment in (ABOVE, BELOW):
            lines.append(line | {"feature": TARGET, "psi": np.nan, "wasserstein": np.nan})
        for name, was in known.get((by, segment), {"features": {}})["features"].items():
            moved = _compare_numbers(was, numbers[name][rows])
            lines.append(
                line | {"feature": name, "psi": moved["psi"], "wasserstein": moved["wasserstein"]}
            )
    table = pd.DataFrame(lines, columns=["by", "segment", "n", "feature", "psi", "wasserstein"])
    return table.astype({"n": np.int64, "psi": np.float64, "wasserstein": np.float64})


def _segments(
    columns: Columns, price: Floats | None, edges: list[float]
) -> list[tuple[str, str, NDArray[np.intp]]]:
    """(by, segment, positions of its rows): the states, and the bands between `edges`."""
    code, states = pd.factorize(columns["state"], sort=True)
    segments = [("state", str(name), np.flatnonzero(code == i)) for i, name in enumerate(states)]
    if price is not None and len(edges) > 1:
        # A price on an inner edge belongs to the band above it, the highest to the last band.
        band = np.searchsorted(edges[1:-1], price, side="right") + 1
        band = np.where(price < edges[0], 0, np.where(price > edges[-1], len(edges), band))
        between = [f"${low:,.0f} to ${high:,.0f}" for low, high in pairwise(edges)]
        for position, name in enumerate([BELOW, *between, ABOVE]):
            segments.append(("price band", name, np.flatnonzero(band == position)))
    return segments


def _describe(values: Floats, percentiles: int) -> dict[str, Any]:
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if known.size else known
    logs = _logs(known)
    return {
        "edges": edges.tolist(),
        "shares": _bin_shares(known, edges).tolist(),
        "log_percentiles": np.quantile(logs, _levels(percentiles)).tolist() if known.size else [],
        "log_deviation": float(logs.std()) if known.size else 0.0,
        "null_rate": 1.0 - known.size / max(len(values), 1),
    }


def _rounded(described: dict[str, Any]) -> dict[str, Any]:
    """`described` with 5 digits, but for edges: values are counted, and equal ones must stay so."""
    return {
        name: value
        if name == "edges"
        else [float(f"{each:.5g}") for each in value]
        if isinstance(value, list)
        else float(f"{value:.5g}")
        for name, value in described.items()
    }


def _levels(percentiles: int) -> Floats:
    return np.arange(1, percentiles + 1) / (percentiles + 1)


def _compare_numbers(was: dict[str, Any], values: Floats) -> dict[str, float]:
    known = values[~np.isnan(values)]
    psi = wasserstein = 0.0
    if known.size and was["log_percentiles"]:
        psi = _psi(np.array(was["shares"]), _bin_shares(known, np.array(was["edges"])))
        then = np.array(was["log_percentiles"])
        moved = np.quantile(_logs(known), _levels(len(then))) - then
        wasserstein = float(np.mean(np.abs(moved)) / (was["log_deviation"] or 1.0))
    return {
        "psi": psi,
        "wasserstein": wasserstein,
        "null_rate_change": 1.0 - known.size / max(len(values), 1) - was["null_rate"],
        "unseen_share": float("nan"),
        "usual_unseen_share": float("nan"),
    }


def _compare_categories(
    was: dict[str, Any], values: NDArray[Any], key: Callable[[str], str]
) -> dict[str, float]:
    """The comparison of categories by their `key`: a spelling of a known place is no new one."""
    spelled, null_rate = _category_shares(values)
    shares = spelled.groupby(key).sum()
    top = pd.Series(was["shares"], dtype=np.float64).groupby(key).sum()
    known = set(map(key, was["categories"]))
    psi = 0.0
    if len(shares) and len(top):
        now = shares.reindex(top.index, fill_value=0.0).to_numpy()
        psi = _psi(_with_others(top.to_numpy()), _with_others(now))
    return {
        "psi": psi,
        "wasserstein": float("nan"),
        "null_rate_change": null_rate - was["null_rate"],
        "unseen_share": float(shares[~shares.index.isin(known)].sum()),
        "usual_unseen_share": float(was.get("singletons", 0.0)),
    }


def _described(contract: ListingContract) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys of the numbers and of the categories that a profile describes."""
    numbers = [c.key for c in contract.extras if c.kind not in (Kind.CATEGORY, Kind.DATE)]
    categories = [column.key for column in contract.extras if column.kind is Kind.CATEGORY]
    return (*MEASURES, *numbers), (*CATEGORIES, *categories)


def _names(described: dict[str, Any], kind: str) -> list[str]:
    """The columns of a profile that are of `kind`."""
    of_price = (TARGET, PREDICTION)
    return [name for name, each in described.items()
            if each["kind"] == kind and name not in of_price]  # fmt: skip


def _numbers(
    measures: Iterable[str],
    columns: Columns,
    price: Floats | None,
    predictions: Floats | None,
) -> dict[str, Floats]:
    numbers = {name: columns[name] for name in measures}
    if price is not None:
        numbers[TARGET] = price
    if predictions is not None:
        numbers[PREDICTION] = predictions
    return numbers


def _category_shares(values: NDArray[Any]) -> tuple["pd.Series[float]", float]:
    """Shares of the known values by category, largest first; and the null rate."""
    series = pd.Series(values, dtype=object)
    counts = series.value_counts(normalize=True)
    ordered = counts.rename_axis("category").reset_index(name="share")
    ordered = ordered.sort_values(["share", "category"], ascending=[False, True])
    shares = ordered.set_index("category")["share"].astype(np.float64)
    return shares, float(series.isna().mean()) if len(series) else 0.0


def _singletons(values: NDArray[Any]) -> float:
    """Share of the known values (n,) that occur once."""
    counts = pd.Series(values, dtype=object).value_counts()
    return float((counts == 1).sum() / max(counts.sum(), 1))


def _logs(values: Floats) -> Floats:
    logs: Floats = np.sign(values) * np.log1p(np.abs(values))
    return logs


def _bin_shares(values: Floats, edges: Floats) -> Floats:
    bins = np.searchsorted(edges, values, side="right")
    return np.bincount(bins, minlength=len(edges) + 1) / max(len(values), 1)


def _with_others(shares: NDArray[Any]) -> Floats:
    return np.append(shares, max(0.0, 1.0 - float(shares.sum())))


def _psi(expected: Floats, actual: Floats) -> float:
    p = np.maximum(actual, SMALLEST_SHARE)
    q = np.maximum(expected, SMALLEST_SHARE)
    return float(np.sum((p - q) * np.log(p / q)))
