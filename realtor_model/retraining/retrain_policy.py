"""Is a new batch worth a training? What the champion meets in it, the limits, and the reason."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.features import MEASURES, Columns
from realtor_model.listing import TARGET
from realtor_model.retraining import drift
from realtor_model.valuation.valuation_model import ValuationModel

Floats = NDArray[np.float64]

_PLACES = ("state", "city", "zip_code")
_SEGMENTS_TOLD = 5
# Prices of a state that are so many times what they are elsewhere, against the champion's
# estimates, were not paid there: places differ less, even from those never learned.
_STATE_ROWS, _STATE_FACTOR = 50, 3.0
# A champion of homes up to $300,000 meets those from there up at 1.5 to 2.5 times its estimates.
_BATCH_FACTOR = 6.0


@dataclass(frozen=True)
class Evidence:
    """What the champion meets in one arriving batch. Shares and errors are fractions.

    n: rows of the batch that are new to us; where it is 0 the figures of the rows are NaN.
    error, expected_error: median absolute percentage error on them, and on the champion's own test
        split when it was trained.
    worst_psi, worst_wasserstein, with their features: the inputs that drifted farthest (`drift`);
        cities and zips are left out: with thousands of thin categories PSI measures the size of the
        sample. target_psi: of the price.
    unseen_share, unseen_feature: share of the known values of state, city or zip that training
        never had, of the one that exceeds most what is usual.
    usual_unseen_share: what it is in other rows of the training's market (`drift.compare`): thin
        training has seen few of the country's zips, and that is no reason to train on this batch.
    null_rate_change, null_rate_feature: largest change of a share of missing values, either way.
    above_range, below_range: share of prices above and below those of the training.
    worst_segments: the states and price bands that drifted farthest (`drift.compare_segments`).
    suspicions: in words, what speaks for broken data rather than for a changed market.
    new_rows: rows unseen by the champion over all batches, this one included.
    champion_rows, age_days: rows the champion was trained on, and days since.
    """

    n: int
    error: float
    expected_error: float
    worst_psi: float
    worst_psi_feature: str
    worst_wasserstein: float
    worst_wasserstein_feature: str
    target_psi: float
    unseen_share: float
    unseen_feature: str
    null_rate_change: float
    null_rate_feature: str
    above_range: float
    below_range: float
    worst_segments: list[dict[str, Any]]
    suspicions: list[str]
    new_rows: int
    champion_rows: int
    age_days: float
    usual_unseen_share: float = 0.0


@dataclass(frozen=True)
class RetrainDecision:
    """decision: "train", "skip" or "hold"; the rule that settled it; the reason in words; JSON.

    figures: of the evidence, the policy under "policy", and the names of the limits that were
    passed under "rules": with them the reason can be told in another language.
    """

    decision: str
    rule: str
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RetrainPolicy:
    """When new rows are worth a training: effect sizes, never p-values.

    max_error_ratio: median error on the batch over that on the champion's own test split.
    max_psi: of an input or of the price; by convention .10 is worth a look and .25 worth acting.
    max_wasserstein: of an input, in standard deviations of its logarithm. Samples of one market
        differ by .06 to .14 (160 rows or more), batches cut by size or price by .55 to 2.4.
    max_unseen_share: of zips, cities or states never seen, above what is usual.
    max_null_rate_change: of any column, either way.
    max_outside_range: share of prices outside those of the training, which trees can't follow.
    max_new_rows: unseen rows over the rows that the champion was trained on.
    max_age_days: markets move a few percent in a quarter.
    """

    max_error_ratio: float = 1.25
    max_psi: float = 0.25
    max_wasserstein: float = 0.25
    max_unseen_share: float = 0.05
    max_null_rate_change: float = 0.1
    max_outside_range: float = 0.05
    max_new_rows: float = 0.2
    max_age_days: float = 90.0

    def decide(self, evidence: Evidence | None, batch: str) -> RetrainDecision:
        """Train, skip or hold on `batch` (its name in the reason); evidence None: no champion."""
        if evidence is None:
            return RetrainDecision(
                "train",
                "first model",
                f"There is no model in Production yet: batch {batch} trains the first one.",
                {"policy": asdict(self)},
            )
        figures = _jsonable(asdict(evidence)) | {"policy": asdict(self)}
        if evidence.n == 0:
            reason = f"Batch {batch} brings nothing new: all of its rows were here already."
            return RetrainDecision("skip", "nothing new", reason, figures)
        if evidence.suspicions:
            reason = (
                f"Batch {batch} looks broken, and nothing is trained on it before somebody has "
                f"looked: {'; '.join(evidence.suspicions)}."
            )
            return RetrainDecision("hold", "suspect data", reason, figures)
        passed = self._passed(evidence, batch)
        if not passed:
            reason = (
                f"No limit is passed. {_error(evidence, batch)}; "
                f"the largest drift is that of {evidence.worst_psi_feature}, PSI "
                f"{evidence.worst_psi:.2f}; {_percent(evidence.unseen_share)} of its rows name a "
                f"{_words(evidence.unseen_feature)} never seen in training; "
                f"{evidence.new_rows:,} new rows on top of {evidence.champion_rows:,}; "
                f"the champion is {evidence.age_days:.0f} days old."
            )
            return RetrainDecision("skip", "no reason to train", reason, figures)
        rules = {name for name, _ in passed}
        figures["rules"] = [name for name, _ in passed]
        told = "; ".join(words for _, words in passed)
        if rules <= {"volume", "age"}:
            subject = {1: passed[0][0].capitalize(), 2: "Volume and age"}[len(rules)]
            verb = "is the only reason" if len(rules) == 1 else "are the only reasons"
            told = f"{subject} {verb}: {told}. {_error(evidence, batch)}"
        elif "error" not in rules:
            told = f"Batch {batch}: {told}"
        return RetrainDecision("train", passed[0][0], f"{told}.", figures)

    def _passed(self, evidence: Evidence, batch: str) -> list[tuple[str, str]]:
        """(rule, words) of every limit that is passed, the weightiest rule first."""
        found = []
        if evidence.error > self.max_error_ratio * evidence.expected_error:
            found.append(("error", _error(evidence, batch)))
        outside = evidence.above_range + evidence.below_range
        if outside > self.max_outside_range:
            found.append(("price range", _outside(evidence)))
        if drifted := self._drifted(evidence):
            found.append(("drift", drifted))
        if evidence.unseen_share > self._most_unseen(evidence):
            name = _words(evidence.unseen_feature)
            usual = evidence.usual_unseen_share
            told = f"{_percent(usual)} are usual, limit" if usual else "limit"
            found.append(
                (
                    "unseen categories",
                    f"{_percent(evidence.unseen_share)} of its rows name a {name} never seen in "
                    f"training ({told} {_percent(self._most_unseen(evidence))})",
                )
            )
        if abs(evidence.null_rate_change) > self.max_null_rate_change:
            found.append(
                (
                    "missing values",
                    f"{evidence.null_rate_feature} is missing "
                    f"{abs(evidence.null_rate_change) * 100:.0f} points "
                    f"{'more' if evidence.null_rate_change > 0 else 'less'} often than in training "
                    f"(limit {self.max_null_rate_change * 100:.0f})",
                )
            )
        if evidence.new_rows > self.max_new_rows * evidence.champion_rows:
            found.append(
                (
                    "volume",
                    f"{evidence.new_rows:,} new rows on top of {evidence.champion_rows:,} "
                    f"(limit {_percent(self.max_new_rows)})",
                )
            )
        if evidence.age_days > self.max_age_days:
            found.append(
                (
                    "age",
                    f"the champion is {evidence.age_days:.0f} days old "
                    f"(limit {self.max_age_days:.0f})",
                )
            )
        return found

    def _most_unseen(self, evidence: Evidence) -> float:
        return evidence.usual_unseen_share + self.max_unseen_share

    def _drifted(self, evidence: Evidence) -> str:
        moved: dict[str, list[str]] = {}
        for feature, psi in (
            (evidence.worst_psi_feature, evidence.worst_psi),
            (TARGET, evidence.target_psi),
        ):
            if psi > self.max_psi:
                moved[feature] = [f"PSI {psi:.2f} (limit {self.max_psi:g})"]
        if evidence.worst_wasserstein > self.max_wasserstein:
            moved.setdefault(evidence.worst_wasserstein_feature, []).append(
                f"by {evidence.worst_wasserstein:.2f} standard deviations "
                f"(limit {self.max_wasserstein:g})"
            )
        return "; ".join(
            f"{feature} has drifted: {' and '.join(told)}" for feature, told in moved.items()
        )


def gather(
    model: ValuationModel, columns: Columns, price: Floats, *, new_rows: int, age_days: float
) -> Evidence:
    """Meet the champion with the rows (n,) of an arriving batch that are new; price in dollars.

    Args:
        model: the champion; its metadata has the metrics of its test split and `train_rows`.
        new_rows: rows unseen by it over all batches, this one included.
        age_days: since it was trained.
    """
    expected = float(model.metadata["metrics"]["test"]["mdape"])
    rows = int(model.metadata["train_rows"])
    if not len(price):
        nan = math.nan
        return Evidence(
            0, nan, expected, nan, "", nan, "", nan, nan, "", nan, "", nan, nan, [], [],
            new_rows, rows, age_days,
        )  # fmt: skip
    predicted = model.predict(columns)
    report = drift.compare(model.profile, columns, price).set_index("feature")
    drift_of = report["psi"]
    psi = drift_of.drop([TARGET, "city", "zip_code"])
    wasserstein = report.loc[list(MEASURES), "wasserstein"]
    unseen, usual = (
        report.loc[list(_PLACES), name] for name in ("unseen_share", "usual_unseen_share")
    )
    newest = str((unseen - usual).idxmax())
    nulls = report["null_rate_change"]
    changed = str(nulls.abs().idxmax())
    low, high = model.price_range
    segments = drift.compare_segments(model.profile, columns, price)
    # Rounding of the logarithm must not put the highest price above itself.
    above, below = price > high * (1 + 1e-9), price < low * (1 - 1e-9)
    return Evidence(
        n=len(price),
        error=float(np.median(np.abs(predicted / price - 1.0))),
        expected_error=expected,
        worst_psi=float(psi.max()),
        worst_psi_feature=str(psi.idxmax()),
        worst_wasserstein=float(wasserstein.max()),
        worst_wasserstein_feature=str(wasserstein.idxmax()),
        target_psi=float(drift_of[TARGET]),
        unseen_share=float(unseen[newest]),
        unseen_feature=newest,
        null_rate_change=float(nulls[changed]),
        null_rate_feature=changed,
        above_range=float(above.mean()),
        below_range=float(below.mean()),
        worst_segments=[
            {str(name): value for name, value in line.items()}
            for line in segments.nlargest(_SEGMENTS_TOLD, "psi").to_dict("records")
        ],
        suspicions=[
            *drift.detect_broken_relations(model.profile, columns, price),
            *_implausible(columns["state"], price / predicted),
        ],
        new_rows=new_rows,
        champion_rows=rows,
        age_days=age_days,
        usual_unseen_share=float(usual[newest]),
    )


def _implausible(state: NDArray[Any], ratio: Floats) -> list[str]:
    """In words, where prices (n,) over the champion's estimates are beyond belief."""
    level = float(np.median(ratio))
    if not 1.0 / _BATCH_FACTOR <= level <= _BATCH_FACTOR:
        return [f"its prices are {_times(level)} the champion's estimates"]
    texts = []
    code, names = pd.factorize(state, sort=True)
    for i, name in enumerate(names):
        here = code == i
        if here.sum() < _STATE_ROWS or here.all():
            continue
        there, elsewhere = float(np.median(ratio[here])), float(np.median(ratio[~here]))
        if not 1.0 / _STATE_FACTOR <= there / elsewhere <= _STATE_FACTOR:
            texts.append(
                f"prices in {name} are {_times(there)} the champion's estimates, "
                f"{_times(elsewhere)} elsewhere"
            )
    return texts


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times"


def _error(evidence: Evidence, batch: str) -> str:
    return (
        f"The median error on batch {batch} is {_percent(evidence.error)}, was "
        f"{_percent(evidence.expected_error)} on the champion's own test split"
    )


def _outside(evidence: Evidence) -> str:
    sides = {"above": evidence.above_range, "below": evidence.below_range}
    parts = [
        f"{_percent(share)} of its prices lie {side}" for side, share in sides.items() if share
    ]
    return f"{' and '.join(parts)} the range seen in training"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %" if share < 0.095 else f"{share * 100:.0f} %"


def _jsonable(value: Any) -> Any:
    """`value` with NaN, which JSON lacks, as None."""
    if isinstance(value, dict):
        return {name: _jsonable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value
