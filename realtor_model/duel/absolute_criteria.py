"""Gates that a challenger must pass for itself: honest, servable, sound ranges and behaviour."""

import numpy as np

from realtor_model import sampling
from realtor_model.duel import behaviour
from realtor_model.duel.gate import Answer, DuelContext, Gate
from realtor_model.duel.model_comparison import ModelComparison, mean_width
from realtor_model.evaluation.leak_canary import too_good
from realtor_model.evaluation.metrics import regression_metrics
from realtor_model.valuation.intervals import RANGE


def leak_canary(duel: DuelContext) -> Answer:
    policy, listings = duel.policy, duel.listings
    metrics = regression_metrics(listings.price, listings.predicted)
    suspicious = too_good(metrics, max_r2_log=policy.max_r2_log, min_mdape=policy.min_mdape)
    words = (
        f"the median error is {metrics['mdape']:.1%} and R2 of log price {metrics['r2_log']:.2f}"
        f" on {len(listings.price):,} listings, "
    )
    if suspicious:
        words += f"too good to be true: {'; '.join(suspicious)}; look for a leak"
    else:
        words += f"no better than honest models get (R2 up to {policy.max_r2_log})"
    return Answer(not suspicious, words, metrics)


def serving(duel: DuelContext) -> Answer:
    trial, limit = duel.service_trial, duel.policy.max_difference_dollars
    if trial.problem:
        return Answer(False, f"the service cannot load the bundle: {trial.problem}")
    return Answer(
        trial.largest_difference <= limit,
        f"loaded in {trial.load_seconds:.1f} s; over {trial.homes} homes valued one by one the "
        f"largest difference from the model's own values is ${trial.largest_difference:.4f} "
        f"(limit ${limit})",
        {
            "homes": trial.homes,
            "largest_difference": trial.largest_difference,
            "limit": limit,
            "load_seconds": trial.load_seconds,
        },
    )


def latency(duel: DuelContext) -> Answer:
    trial, limit = duel.service_trial, duel.policy.max_median_milliseconds
    if trial.problem:
        return Answer(False, "not measured: the service cannot load the bundle")
    median = trial.median_milliseconds
    return Answer(
        median <= limit,
        f"one home takes {median:.1f} ms in the median (limit {limit:.0f})",
        {"median_milliseconds": median, "limit": limit},
    )


def bundle_size(duel: DuelContext) -> Answer:
    size, limit = duel.service_trial.megabytes, duel.policy.max_megabytes
    return Answer(
        size <= limit,
        f"the bundle has {size:,.0f} MB (limit {limit:,.0f})",
        {"megabytes": size, "limit": limit},
    )


def unknown_and_missing(duel: DuelContext) -> Answer:
    unfit = behaviour.unfit_valuations(duel.challenger, duel.listings.columns)
    variants = ", ".join(f"{variant} ({homes} homes)" for variant, homes in unfit.items())
    words = (
        f"no usable valuation with {variants}"
        if unfit
        else "homes in unknown places, and with each input missing, have a valuation and a range"
    )
    return Answer(not unfit, words, {"unfit": float(sum(unfit.values()))})


def golden_homes(duel: DuelContext) -> Answer:
    strange = behaviour.strange_golden_homes(duel.challenger, drop=duel.policy.max_golden_drop)
    homes = len(behaviour.GOLDEN_HOMES)
    words = "; ".join(strange) or (
        f"all {homes} golden homes, from rural to expensive, have plausible values, and no lower "
        "ones when a half larger"
    )
    return Answer(not strange, words, {"homes": float(homes), "strange": float(len(strange))})


def monotone(duel: DuelContext) -> Answer:
    policy = duel.policy
    share = behaviour.share_lower_when_larger(
        duel.challenger, duel.listings.columns, drop=policy.max_drop
    )
    words = (
        f"{share:.1%} of the homes are valued lower by more than {policy.max_drop:.0%} when a "
        f"fifth larger (limit {policy.max_dropped:.0%})"
    )
    return Answer(share <= policy.max_dropped, words, {"share": share})


def coverage(duel: DuelContext) -> Answer:
    policy, listings = duel.policy, duel.listings
    share, bands = float(listings.covered.mean()), sampling.quintiles(listings.predicted)
    error = policy.coverage_errors * np.sqrt(RANGE * (1.0 - RANGE) / len(listings.price))
    low, high = policy.coverage[0] - error, policy.coverage[1] + error
    shares = [
        (
            float(listings.covered[rows].mean()),
            policy.coverage_errors * np.sqrt(RANGE * (1 - RANGE) / rows.sum()),
        )
        for rows in (bands == band for band in np.unique(bands.astype(str)))
    ]
    worst, allowance = min(shares, key=lambda band: band[0] + band[1])
    passed = low <= share <= high and worst + allowance >= policy.min_band_coverage
    words = (
        f"the 80 % ranges hold {share:.1%} of the prices (limits {low:.1%} to {high:.1%}) and "
        f"{worst:.1%} in the worst fifth of the estimate (limit "
        f"{policy.min_band_coverage - allowance:.1%})"
    )
    figures = {
        "after": share, "low": float(low), "high": float(high), "after_worst_fifth": worst,
        "worst_fifth_low": float(policy.min_band_coverage - allowance),
        "after_width": mean_width(listings),
    }  # fmt: skip
    if duel.comparison is not None:
        width = _width(duel.comparison, figures["after_width"])
        passed &= width.passed
        words += f"; {width.words}"
        figures |= width.figures
    return Answer(bool(passed), words, figures)


def _width(comparison: ModelComparison, after: float) -> Answer:
    """Whether the challenger's ranges, `after` wide, are not much wider than the champion's."""
    policy = comparison.policy
    before, share = mean_width(comparison.before), float(comparison.before.covered.mean())
    change = after / before - 1.0
    exemption = comparison.out_of_range_exemption
    asked = share >= policy.coverage[0] and not exemption
    wider = change > policy.max_width_increase
    words = (
        f"their mean width relative to the estimate {before:.0%} → {after:.0%} ({change:+.0%}, "
        f"limit {policy.max_width_increase:+.0%})"
    )
    if wider and exemption:
        words += f"; {exemption.removesuffix('; ')}"
    elif wider and not asked:
        words += f", not asked: the champion's own ranges hold {share:.1%}"
    figures = {"before": share, "before_width": before, "width_change": change}
    return Answer(not (asked and wider), words, figures)


GATES = (
    Gate(
        "leak_canary",
        "The challenger is not better than an honest model can be.",
        ("max_r2_log", "min_mdape"),
        leak_canary,
    ),
    Gate(
        "serving",
        "The service's own code loads the bundle and values homes one by one as the model itself "
        "does.",
        ("trial_homes", "max_difference_dollars"),
        serving,
        of_service=True,
    ),
    Gate(
        "latency",
        "The service values one home fast enough.",
        ("max_median_milliseconds",),
        latency,
        of_service=True,
    ),
    Gate(
        "bundle_size",
        "The bundle is small enough for the service.",
        ("max_megabytes",),
        bundle_size,
        of_service=True,
    ),
    Gate(
        "unknown_and_missing",
        "Homes in unknown places and with missing inputs are valued.",
        (),
        unknown_and_missing,
    ),
    Gate(
        "golden_homes",
        "Ordinary homes of well-known places get plausible values.",
        ("max_golden_drop",),
        golden_homes,
    ),
    Gate("monotone", "A larger home is not valued lower.", ("max_drop", "max_dropped"), monotone),
    Gate(
        "coverage",
        "Ranges hold as many prices as they promise, in each fifth of the estimate.",
        ("coverage", "coverage_errors", "min_band_coverage", "max_width_increase"),
        coverage,
    ),
)
