"""What is asked of a challenger alone: honesty, ranges that hold, and sound behaviour."""

import numpy as np

from realtor_model.duel import behaviour
from realtor_model.duel.duel_policy import Criterion, DuelPolicy
from realtor_model.duel.model_comparison import ModelComparison, mean_width
from realtor_model.evaluation import leak_canary as canary
from realtor_model.evaluation.metrics import regression_metrics
from realtor_model.evaluation.scored_listings import ScoredListings, fifths
from realtor_model.features import Columns
from realtor_model.valuation.intervals import RANGE
from realtor_model.valuation.valuation_model import ValuationModel


def leak_canary(after: ScoredListings) -> Criterion:
    metrics = regression_metrics(after.price, after.predicted)
    suspicious = canary.too_good(metrics)
    words = (
        f"the median error is {metrics['mdape']:.1%} and R2 of log price {metrics['r2_log']:.2f}"
        f" on {len(after.price):,} listings, "
    )
    if suspicious:
        words += f"too good to be true: {'; '.join(suspicious)}; look for a leak"
    else:
        words += f"no better than honest models get (R2 up to {canary.MAX_MODEL_R2_LOG})"
    return Criterion("leak_canary", not suspicious, words, metrics)


def coverage(
    after: ScoredListings, meeting: ModelComparison | None, policy: DuelPolicy
) -> Criterion:
    held, bands = float(after.covered.mean()), fifths(after.predicted)
    error = 2.6 * np.sqrt(RANGE * (1.0 - RANGE) / len(after.price))
    low, high = policy.coverage[0] - error, policy.coverage[1] + error
    shares = [
        (float(after.covered[rows].mean()), 2.6 * np.sqrt(RANGE * (1 - RANGE) / rows.sum()))
        for rows in (bands == band for band in np.unique(bands.astype(str)))
    ]
    worst, allowance = min(shares, key=lambda share: share[0] + share[1])
    passed = low <= held <= high and worst + allowance >= policy.min_band_coverage
    words = (
        f"the 80 % ranges hold {held:.1%} of the prices (limits {low:.1%} to {high:.1%}) and "
        f"{worst:.1%} in the worst fifth of the estimate (limit "
        f"{policy.min_band_coverage - allowance:.1%})"
    )
    figures = {
        "after": held, "low": float(low), "high": float(high), "after_worst_fifth": worst,
        "worst_fifth_low": float(policy.min_band_coverage - allowance),
        "after_width": mean_width(after),
    }  # fmt: skip
    if meeting is not None:
        before, own = mean_width(meeting.before), float(meeting.before.covered.mean())
        change = figures["after_width"] / before - 1.0
        figures |= {"before": own, "before_width": before, "width_change": change}
        asked = own >= policy.coverage[0] and not meeting.trap
        wider = change > policy.max_width_increase
        passed &= not (asked and wider)
        words += (
            f"; their mean width relative to the estimate {before:.0%} → "
            f"{figures['after_width']:.0%} ({change:+.0%}, limit {policy.max_width_increase:+.0%})"
        )
        if wider and not asked:
            words += (
                f"; {meeting.trap.removesuffix('; ')}"
                if meeting.trap
                else f", not asked: the champion's own ranges hold {own:.1%}"
            )
    return Criterion("coverage", bool(passed), words, figures)


def monotone(challenger: ValuationModel, columns: Columns, policy: DuelPolicy) -> Criterion:
    share = behaviour.share_lower_when_larger(challenger, columns, drop=policy.max_drop)
    words = (
        f"{share:.1%} of the homes are valued lower by more than {policy.max_drop:.0%} when a "
        f"fifth larger (limit {policy.max_dropped:.0%})"
    )
    return Criterion("monotone", share <= policy.max_dropped, words, {"share": share})


def unknown_and_missing(challenger: ValuationModel, columns: Columns) -> Criterion:
    unfit = behaviour.unfit_valuations(challenger, columns)
    told = ", ".join(f"{what} ({homes} homes)" for what, homes in unfit.items())
    words = (
        f"no valuation that serves with {told}"
        if unfit
        else "homes in unknown places, and with each input missing, have a valuation and a range"
    )
    return Criterion("unknown_and_missing", not unfit, words, {"unfit": float(sum(unfit.values()))})


def golden_homes(challenger: ValuationModel, policy: DuelPolicy) -> Criterion:
    strange = behaviour.strange_golden_homes(challenger, drop=policy.max_golden_drop)
    homes = len(behaviour.GOLDEN_HOMES)
    words = (
        "; ".join(strange)
        or f"all {homes} golden homes, from rural to dear, are valued plausibly, and no lower when "
        "a half larger"
    )
    return Criterion(
        "golden_homes",
        not strange,
        words,
        {"homes": float(homes), "strange": float(len(strange))},
    )
