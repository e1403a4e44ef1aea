"""Whether a new batch is worth a training: how the champion does on it, the limits, the reason."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.features import Columns
from realtor_model.json_values import json_value
from realtor_model.listing import TARGET
from realtor_model.messages import CodedMessage, message
from realtor_model.retraining import drift
from realtor_model.retraining.column_relations import detect_broken_relations
from realtor_model.valuation.valuation_model import ValuationModel

Floats = NDArray[np.float64]

# What drift is measured by, as its messages name it.
PSI, WASSERSTEIN = "PSI", "Wasserstein distance"
_PLACES = ("state", "city", "zip_code")
_SEGMENTS_REPORTED = 5
# Prices over the champion's estimates that are this many times higher or lower in one state than
# elsewhere are wrong: real places differ less, even ones that the champion never learned.
_STATE_ROWS, _STATE_FACTOR = 50, 3.0
# A champion that learned homes up to $300,000 sees prices above that at 1.5 to 2.5 times its
# estimates.
_BATCH_FACTOR = 6.0


@dataclass(frozen=True)
class Evidence:
    """How the champion does on one arriving batch. Shares and errors are fractions.

    n: rows of the batch that are new to us; where it is 0 the figures of the rows are NaN.
    error, expected_error: median absolute percentage error on them, and on the champion's own test
        split when it was trained.
    worst_psi, worst_wasserstein, with their features: the inputs that drifted farthest (`drift`);
        cities and zips are left out: with thousands of thin categories PSI measures the size of the
        sample. target_psi: of the price.
    unseen_share, unseen_feature: share of the known values of state, city or zip that training
        never had; of the column that exceeds its usual share most.
    usual_unseen_share: what it is in other rows of the training's market (`drift.compare`): thin
        training has seen few of the country's zips, which is not a reason to train on this batch.
    null_rate_change, null_rate_feature: largest change of a share of missing values, either way. A
        column that the champion's market lacks was missing in all of its train rows.
    above_range, below_range: share of prices above and below those of the training.
    worst_segments: the states and price bands that drifted farthest (`drift.compare_segments`).
    suspicions: signs of broken data rather than of a changed market.
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
    suspicions: list[CodedMessage]
    new_rows: int
    champion_rows: int
    age_days: float
    usual_unseen_share: float = 0.0


@dataclass(frozen=True)
class RetrainDecision:
    """What is done about a batch, and why.

    decision: "train", "skip" or "hold". rule: what settled it. reason: in English. figures: of
    the evidence, as JSON, with the policy under "policy" and the rules whose limits were exceeded
    under "rules". details: code, params and message of each limit that was exceeded, of each
    suspicion, or of what else settled it.
    """

    decision: str
    rule: str
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)
    details: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class RetrainPolicy:
    """When new rows are worth a training: effect sizes, never p-values.

    What holds a batch back are not these limits but `Evidence.suspicions`: prices far from the
    champion's estimates (`_implausible`), and relations between columns that are lost
    (`column_relations`).

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
            first = message("first_model", batch=batch)
            return decision_of("train", "first model", first, figures={"policy": asdict(self)})
        figures = json_value(_plain(evidence)) | {"policy": asdict(self)}
        if evidence.n == 0:
            nothing = message("nothing_new", batch=batch)
            return decision_of("skip", "nothing new", nothing, figures=figures)
        if evidence.suspicions:
            suspect = message("suspect_data", batch=batch)
            return decision_of(
                "hold", "suspect data", suspect, *evidence.suspicions, figures=figures
            )
        exceeded = self._exceeded(evidence, batch)
        if not exceeded:
            calm = self._no_reason(evidence, batch)
            return decision_of("skip", "no reason to train", calm, figures=figures)
        rules = list(dict.fromkeys(rule for rule, _ in exceeded))
        figures["rules"] = rules
        messages = [coded for _, coded in exceeded]
        reason = " ".join(coded.text for coded in messages)
        if set(rules) <= {"volume", "age"}:
            subject = {1: rules[0].capitalize(), 2: "Volume and age"}[len(rules)]
            verb = "is the only reason" if len(rules) == 1 else "are the only reasons"
            reason = f"{subject} {verb}: {reason} {self._error(evidence, batch).text}"
        elif "error" not in rules:
            reason = f"Batch {batch}: {reason}"
        details = [coded.to_dict() for coded in messages]
        return RetrainDecision("train", rules[0], reason, figures, details)

    def _exceeded(self, evidence: Evidence, batch: str) -> list[tuple[str, CodedMessage]]:
        """(rule, message) of every limit that is exceeded, the weightiest rule first."""
        exceeded: list[tuple[str, CodedMessage]] = []
        if evidence.error > self.max_error_ratio * evidence.expected_error:
            exceeded.append(("error", self._error(evidence, batch)))
        if evidence.above_range + evidence.below_range > self.max_outside_range:
            outside = message(
                "price_range",
                above=evidence.above_range,
                below=evidence.below_range,
                limit=self.max_outside_range,
            )
            exceeded.append(("price range", outside))
        exceeded += [("drift", drifted) for drifted in self._drifted(evidence)]
        most_unseen = evidence.usual_unseen_share + self.max_unseen_share
        if evidence.unseen_share > most_unseen:
            unseen = message(
                "unseen_categories",
                input=evidence.unseen_feature,
                share=evidence.unseen_share,
                usual=evidence.usual_unseen_share,
                limit=most_unseen,
            )
            exceeded.append(("unseen categories", unseen))
        if abs(evidence.null_rate_change) > self.max_null_rate_change:
            missing = message(
                "missing_values",
                input=evidence.null_rate_feature,
                points=100.0 * evidence.null_rate_change,
                limit=100.0 * self.max_null_rate_change,
            )
            exceeded.append(("missing values", missing))
        if evidence.new_rows > self.max_new_rows * evidence.champion_rows:
            volume = message(
                "volume",
                new_rows=evidence.new_rows,
                champion_rows=evidence.champion_rows,
                limit=self.max_new_rows,
            )
            exceeded.append(("volume", volume))
        if evidence.age_days > self.max_age_days:
            exceeded.append(
                ("age", message("age", days=evidence.age_days, limit=self.max_age_days))
            )
        return exceeded

    def _error(self, evidence: Evidence, batch: str) -> CodedMessage:
        return message(
            "error",
            batch=batch,
            error=evidence.error,
            expected_error=evidence.expected_error,
            limit=self.max_error_ratio,
        )

    def _drifted(self, evidence: Evidence) -> list[CodedMessage]:
        moved = [
            (evidence.worst_psi_feature, PSI, evidence.worst_psi, self.max_psi),
            (TARGET, PSI, evidence.target_psi, self.max_psi),
            (
                evidence.worst_wasserstein_feature,
                WASSERSTEIN,
                evidence.worst_wasserstein,
                self.max_wasserstein,
            ),
        ]
        return [
            message("drift", feature=feature, measure=measure, value=value, limit=limit)
            for feature, measure, value, limit in dict.fromkeys(moved)
            if value > limit
        ]

    def _no_reason(self, evidence: Evidence, batch: str) -> CodedMessage:
        return message(
            "no_reason_to_train",
            batch=batch,
            error=evidence.error,
            expected_error=evidence.expected_error,
            feature=evidence.worst_psi_feature,
            psi=evidence.worst_psi,
            unseen_share=evidence.unseen_share,
            input=evidence.unseen_feature,
            new_rows=evidence.new_rows,
            champion_rows=evidence.champion_rows,
            days=evidence.age_days,
        )


def decision_of(
    decision: str, rule: str, *messages: CodedMessage, figures: dict[str, Any] | None = None
) -> RetrainDecision:
    """A decision whose reason is these messages, one sentence after the other."""
    reason = " ".join(coded.text for coded in messages)
    return RetrainDecision(
        decision, rule, reason, figures or {}, [coded.to_dict() for coded in messages]
    )


def gather(
    model: ValuationModel, columns: Columns, price: Floats, *, new_rows: int, age_days: float
) -> Evidence:
    """How the champion does on the rows of an arriving batch that are new.

    Args:
        model: the champion; its metadata has the metrics of its test split and `train_rows`.
        columns: the inputs of the n rows, each (n,); n may be 0.
        price: dollars, shape (n,), all positive.
        new_rows: rows unseen by the champion over all batches, this one included.
        age_days: days since it was trained.
    """
    expected = float(model.metadata["metrics"]["test"]["mdape"])
    rows = int(model.metadata["train_rows"])
    if not len(price):
        nan = math.nan
        return Evidence(
            0, nan, expected, nan, "", nan, "", nan, nan, "", nan, "", nan, nan, [], [],
            new_rows, rows, age_days,
        )  # fmt: skip
    columns = model.contract.completed(columns)
    predicted = model.predict(columns)
    report = drift.compare(model.profile, columns, price).set_index("feature")
    drift_of = report["psi"]
    psi = drift_of.drop([TARGET, "city", "zip_code"])
    wasserstein = report["wasserstein"].drop(TARGET).dropna()
    unseen, usual = (
        report.loc[list(_PLACES), name] for name in ("unseen_share", "usual_unseen_share")
    )
    newest = str((unseen - usual).idxmax())
    nulls = pd.concat([report["null_rate_change"], _declared_since(model, columns)])
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
            for line in segments.nlargest(_SEGMENTS_REPORTED, "psi").to_dict("records")
        ],
        suspicions=[
            *detect_broken_relations(model.profile, columns, price),
            *_implausible(columns["state"], price / predicted),
        ],
        new_rows=new_rows,
        champion_rows=rows,
        age_days=age_days,
        usual_unseen_share=float(usual[newest]),
    )


def _declared_since(model: ValuationModel, columns: Columns) -> "pd.Series[float]":
    """Change of the share of missing values of each column that the champion's market lacks."""
    keys = [key for key in columns if key not in model.contract.keys]
    return pd.Series({key: pd.isna(columns[key]).mean() - 1.0 for key in keys}, dtype=np.float64)


def _implausible(state: NDArray[Any], ratio: Floats) -> list[CodedMessage]:
    """Where prices over the champion's estimates (n,) are beyond belief: overall, or in a state."""
    level = float(np.median(ratio))
    if not 1.0 / _BATCH_FACTOR <= level <= _BATCH_FACTOR:
        return [message("prices_off_level", ratio=level)]
    suspicions = []
    code, names = pd.factorize(state, sort=True)
    for i, name in enumerate(names):
        here = code == i
        if here.sum() < _STATE_ROWS or here.all():
            continue
        there, elsewhere = float(np.median(ratio[here])), float(np.median(ratio[~here]))
        if not 1.0 / _STATE_FACTOR <= there / elsewhere <= _STATE_FACTOR:
            suspicions.append(
                message("state_prices_off_level", state=str(name), ratio=there, elsewhere=elsewhere)
            )
    return suspicions


def _plain(evidence: Evidence) -> dict[str, Any]:
    """`evidence` as a dictionary, its suspicions as English sentences."""
    return asdict(replace(evidence, suspicions=[])) | {
        "suspicions": [suspicion.text for suspicion in evidence.suspicions]
    }
