"""Challenger against champion on the same listings: criteria with figures, and what follows.

Each criterion is an effect size; where chance could pass for an effect, it must be significant as
well, so that neither thin tests nor long lists of segments reject an honest model.

The promotion trap: a champion that never learned prices as high as some of these is at its best on
the homes it knows, for it can't value them too high; a challenger that learned more is rightly a
little worse there and far better on the whole. Where more than `DuelPolicy.max_foreign_share` of
the prices lie outside the champion's range, comparisons by segment, of width and of stability
report their figures and hold nothing against the challenger.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model import behaviour, canary
from realtor_model.bundle import ValuationModel
from realtor_model.evaluation import paired_comparison, ratio_study, regression_metrics
from realtor_model.features import Columns, take
from realtor_model.intervals import RANGE
from realtor_model.study import Judged, fifths, newest_month, zip_income

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_ROWS = 50_000
_RESAMPLES = 1_000
# Ratio studies are dearer than means, and the ends of their intervals need not be as exact.
_RATIO_RESAMPLES = 200
_WORST_TOLD = 3


@dataclass(frozen=True)
class Criterion:
    """One question to a challenger: passed or not, a sentence with figures and limit, figures."""

    name: str
    passed: bool
    words: str
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DuelPolicy:
    """When a challenger takes over. Shares and errors are fractions.

    min_improvement: least fall of the mean absolute error of log price, relative to the champion's.
    max_rmse_increase: of RMSE in dollars, relative to the champion's.
    min_group: rows from which a group of sales is compared (`sold`: min_sold).
    max_sold_increase: of the mean absolute error of log price on sold rows, relative.
    median_ratio, newest_median_ratio: where the level of the estimates may lie.
    max_prb, prd: vertical equity (IAAO, Standard on Ratio Studies, 2013); or no worse than the
        champion's by more than max_equity_increase.
    max_segment_points, max_segment_increase: of the median error of a segment of min_group rows, in
        points and relative; both must be passed, and by more than chance (99 %).
    coverage: which share the 80 % ranges may hold; min_band_coverage: in each fifth of the
        estimate. 2.6 standard errors of the sample are allowed on top.
    max_width_increase: of the mean relative width of the ranges; asked where the champion's own
        ranges hold what they promise: narrow ranges that do not are no merit.
    max_drop, max_dropped: share of homes that may be valued lower by more than max_drop when a
        fifth larger; forests are not monotone, and waver by 1 or 2 %.
    max_golden_drop: of a golden home, a half larger; a forest of a few hundred homes wavers so.
    max_move, max_moved: share of homes whose value may move by more than max_move.
    max_foreign_share: share of prices outside the champion's range from which the trap is feared.
    """

    min_improvement: float = 0.01
    max_rmse_increase: float = 0.01
    min_group: int = 100
    min_sold: int = 300
    max_sold_increase: float = 0.02
    median_ratio: tuple[float, float] = (0.97, 1.03)
    newest_median_ratio: tuple[float, float] = (0.95, 1.05)
    max_prb: float = 0.05
    prd: tuple[float, float] = (0.98, 1.03)
    max_equity_increase: float = 0.01
    max_segment_points: float = 0.02
    max_segment_increase: float = 0.10
    coverage: tuple[float, float] = (0.77, 0.83)
    min_band_coverage: float = 0.72
    max_width_increase: float = 0.10
    max_drop: float = 0.02
    max_dropped: float = 0.05
    max_golden_drop: float = 0.05
    max_move: float = 0.25
    max_moved: float = 0.05
    max_foreign_share: float = 0.05


def duel(
    challenger: ValuationModel,
    champion: ValuationModel | None,
    columns: Columns,
    price: Floats,
    as_of: date,
    policy: DuelPolicy,
) -> list[Criterion]:
    """The criteria in the order in which they are judged; without a champion the absolute ones.

    Args:
        columns, price: n listings that neither model learned from, as listed; dollars. Of more than
            50,000 as many are drawn at random.
        as_of: the date that the data speaks for.

    Raises:
        ValueError: no rows, or a price that is not positive.
    """
    if len(price) > MOST_ROWS:
        chosen = np.random.default_rng(0).permutation(len(price))[:MOST_ROWS]
        columns, price = take(columns, chosen), price[chosen]
    after = Judged.by(challenger, columns, price)
    absolute = [
        _monotone(challenger, columns, policy),
        _unknown_and_missing(challenger, columns),
        _golden_homes(challenger, policy),
    ]
    if champion is None:
        return [_leak_canary(after), _coverage(after, None, policy), *absolute]
    meeting = _Meeting(after, Judged.by(champion, columns, price), champion.price_range, policy)
    return [
        _leak_canary(after),
        _accuracy(meeting),
        _rmse(meeting),
        _sold_and_newest(meeting, as_of),
        _median_ratio(meeting, as_of),
        _vertical_equity(meeting),
        _segments(meeting),
        _coverage(after, meeting, policy),
        *absolute,
        _stability(meeting),
    ]


def verdict(criteria: list[Criterion], has_champion: bool) -> tuple[str, str, str]:
    """Decision ("promoted" or "rejected"), the rule that settled it, and the reason in words."""
    failed = [criterion for criterion in criteria if not criterion.passed]
    if failed:
        told = " ".join(_sentence(criterion.words) for criterion in failed)
        if [criterion.name for criterion in failed] == ["accuracy"]:
            told = f"Not clearly more accurate: {failed[0].words}."
        return "rejected", failed[0].name, told
    words = {criterion.name: criterion.words for criterion in criteria}
    if not has_champion:
        return (
            "promoted",
            "first model",
            "There was no model in Production; the first one becomes the baseline, having passed "
            f"all {len(criteria)} criteria. {_sentence(words['leak_canary'])} "
            f"{_sentence(words['coverage'])}",
        )
    return (
        "promoted",
        "clearly better",
        f"Clearly more accurate: {words['accuracy']}. {_sentence(words['rmse'])} "
        f"All {len(criteria)} criteria are passed.",
    )


@dataclass(frozen=True)
class _Meeting:
    """Challenger (`after`) and champion (`before`) on the same n listings."""

    after: Judged
    before: Judged
    champion_range: tuple[float, float]
    policy: DuelPolicy

    @property
    def price(self) -> Floats:
        return self.after.price

    @cached_property
    def closer(self) -> Floats:
        """|log error| of the challenger less the champion's (n,): below 0 it is closer."""
        return _log_error(self.after) - _log_error(self.before)

    @cached_property
    def foreign(self) -> float:
        """Share of the prices that lie outside those that the champion learned from."""
        low, high = self.champion_range
        # Rounding of the logarithm must not put the highest price above itself.
        outside = (self.price < low * (1 - 1e-9)) | (self.price > high * (1 + 1e-9))
        return float(outside.mean())

    @property
    def trap(self) -> str:
        """Why comparisons by home hold nothing against the challenger; "" where they do."""
        if self.foreign <= self.policy.max_foreign_share:
            return ""
        low, high = self.champion_range
        return (
            f"{self.foreign:.0%} of these prices lie outside what the champion learned "
            f"(${low:,.0f} to ${high:,.0f}), where it can't be right: this is no reason against "
            "the challenger; "
        )

    def interval(self, rows: Mask, level: float) -> tuple[float, float]:
        """Bootstrap interval (percentile method) of the mean of `closer` over `rows`."""
        values = self.closer[rows]
        generator = np.random.default_rng(0)
        means = [
            values[generator.integers(0, len(values), len(values))].mean()
            for _ in range(_RESAMPLES)
        ]
        low, high = np.quantile(means, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        return float(low), float(high)


def _leak_canary(after: Judged) -> Criterion:
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


def _accuracy(meeting: _Meeting) -> Criterion:
    compared = paired_comparison(
        meeting.price, meeting.before.predicted, meeting.after.predicted, resamples=_RESAMPLES
    )
    before, after = compared.champion, compared.challenger
    change = after["mae_log"] / before["mae_log"] - 1.0 if before["mae_log"] else 0.0
    words = (
        f"median error {before['mdape']:.1%} → {after['mdape']:.1%}, mean absolute error of log "
        f"price {before['mae_log']:.4f} → {after['mae_log']:.4f} ({change:+.1%}, limit "
        f"{-meeting.policy.min_improvement:+.0%}; 95 % interval of the difference "
        f"{compared.low:+.4f} to {compared.high:+.4f}) on the same {compared.n:,} listings"
    )
    figures = {
        **{f"before_{name}": value for name, value in before.items()},
        **{f"after_{name}": value for name, value in after.items()},
        "change": change,
        "difference": compared.difference,
        "low": compared.low,
        "high": compared.high,
    }
    passed = compared.high < 0.0 and change <= -meeting.policy.min_improvement
    return Criterion("accuracy", passed, words, figures)


def _rmse(meeting: _Meeting) -> Criterion:
    before, after = (
        regression_metrics(judged.price, judged.predicted)["rmse"]
        for judged in (meeting.before, meeting.after)
    )
    change = after / before - 1.0 if before else 0.0
    limit = meeting.policy.max_rmse_increase
    words = f"RMSE ${before:,.0f} → ${after:,.0f} ({change:+.1%}, limit {limit:+.0%})"
    figures = {"before": before, "after": after, "change": change}
    return Criterion("rmse", change <= limit, words, figures)


def _sold_and_newest(meeting: _Meeting, as_of: date) -> Criterion:
    policy = meeting.policy
    groups = {
        "sold": meeting.after.columns["status"] == "sold",
        "newest": newest_month(meeting.after.columns, as_of),
    }
    names = {"sold": "sold homes", "newest": "the newest 30 days of sales"}
    texts: list[str] = []
    figures: dict[str, float] = {}
    for group, rows in groups.items():
        n = int(rows.sum())
        figures[f"{group}_n"] = float(n)
        if n < policy.min_group:
            texts.append(f"{names[group]}: {n}, too few to compare")
            continue
        for when, judged in (("before", meeting.before), ("after", meeting.after)):
            told = regression_metrics(judged.price[rows], judged.predicted[rows])
            figures |= {f"{group}_{when}_{name}": told[name] for name in ("mdape", "mae_log")}
        texts.append(
            f"median error of {n:,} {names[group]} {figures[f'{group}_before_mdape']:.1%} → "
            f"{figures[f'{group}_after_mdape']:.1%}"
        )
    passed = True
    if groups["sold"].sum() >= policy.min_sold:
        change = figures["sold_after_mae_log"] / figures["sold_before_mae_log"] - 1.0
        low, high = meeting.interval(groups["sold"], 0.95)
        figures |= {"sold_change": change, "sold_low": low, "sold_high": high}
        passed = not (change > policy.max_sold_increase and low > 0.0)
        texts[0] += (
            f", mean absolute error of log price {change:+.1%} (limit "
            f"{policy.max_sold_increase:+.0%}; 95 % interval of the difference {low:+.4f} to "
            f"{high:+.4f})"
        )
    return Criterion("sold_and_newest", passed, "; ".join(texts), figures)


def _median_ratio(meeting: _Meeting, as_of: date) -> Criterion:
    policy = meeting.policy
    everything = np.ones(len(meeting.price), bool)
    groups = {
        "": (everything, policy.median_ratio),
        "newest ": (newest_month(meeting.after.columns, as_of), policy.newest_median_ratio),
    }
    passed, texts = True, []
    figures: dict[str, float] = {}
    for group, (rows, (low, high)) in groups.items():
        if rows.sum() < (policy.min_group if group else 1):
            continue
        before, after = (
            judged.predicted[rows] / judged.price[rows]
            for judged in (meeting.before, meeting.after)
        )
        was, now = float(np.median(before)), float(np.median(after))
        # Few homes put a median here or there by chance.
        margin = 1.96 * _error_of_median(after)
        passed &= (low <= now + margin and now - margin <= high) or abs(now - 1) <= abs(was - 1)
        key = group.strip() or "all"
        figures |= {f"{key}_before": was, f"{key}_after": now, f"{key}_margin": margin}
        of = "of the newest 30 days of sales " if group else ""
        texts.append(
            f"median ratio of estimate and price {of}{was:.3f} → {now:.3f} ± {margin:.3f} "
            f"(limits {low:g} to {high:g}, or no further from 1 than before)"
        )
    return Criterion("median_ratio", passed, "; ".join(texts), figures)


def _vertical_equity(meeting: _Meeting) -> Criterion:
    policy = meeting.policy
    before, after = (
        ratio_study(meeting.price, judged.predicted) for judged in (meeting.before, meeting.after)
    )
    low, high = policy.prd
    worse = {
        "prb": abs(after["prb"]) > policy.max_prb
        and abs(after["prb"]) > abs(before["prb"]) + policy.max_equity_increase,
        "prd": not low <= after["prd"] <= high
        and abs(after["prd"] - 1) > abs(before["prd"] - 1) + policy.max_equity_increase,
    }
    figures = {f"before_{name}": before[name] for name in worse}
    figures |= {f"after_{name}": after[name] for name in worse}
    words = (
        f"PRB {before['prb']:+.3f} → {after['prb']:+.3f} (limit ±{policy.max_prb:g}, or "
        f"{policy.max_equity_increase:g} more than before), PRD {before['prd']:.3f} → "
        f"{after['prd']:.3f} (limits {low:g} to {high:g}, or {policy.max_equity_increase:g} "
        "further from 1 than before)"
    )
    if any(worse.values()):
        # One dear home moves both by that much: by chance is not worse.
        increases = _equity_increases(meeting)
        worse = {name: worse[name] and increases[name] > 0.0 for name in worse}
        figures |= {f"{name}_increase_low": value for name, value in increases.items()}
        words += (
            f"; the increase of |PRB| is at least {increases['prb']:+.3f} and of |PRD - 1| "
            f"{increases['prd']:+.3f} (lower ends of 95 % intervals; above 0 is no chance)"
        )
    return Criterion("vertical_equity", not any(worse.values()), words, figures)


def _equity_increases(meeting: _Meeting) -> dict[str, float]:
    """Lower ends of the 95 % bootstrap intervals of the increase of |PRB| and |PRD - 1|."""
    generator = np.random.default_rng(0)
    n, increases = len(meeting.price), []
    for _ in range(_RATIO_RESAMPLES):
        drawn = generator.integers(0, n, n)
        before, after = (
            ratio_study(meeting.price[drawn], judged.predicted[drawn])
            for judged in (meeting.before, meeting.after)
        )
        increases.append(
            (
                abs(after["prb"]) - abs(before["prb"]),
                abs(after["prd"] - 1) - abs(before["prd"] - 1),
            )
        )
    prb, prd = np.quantile(increases, 0.025, axis=0)
    return {"prb": float(prb), "prd": float(prd)}


def _segments(meeting: _Meeting) -> Criterion:
    policy = meeting.policy
    compared, worse = 0, []
    for name, rows in _labelled(meeting):
        if rows.sum() < policy.min_group:
            continue
        compared += 1
        was, now = (
            float(np.median(np.abs(judged.predicted[rows] / judged.price[rows] - 1.0)))
            for judged in (meeting.before, meeting.after)
        )
        materially = now - was > max(policy.max_segment_points, policy.max_segment_increase * was)
        if materially and meeting.interval(rows, 0.99)[0] > 0.0:
            worse.append((now - was, f"{name} {was:.1%} → {now:.1%} ({int(rows.sum()):,} homes)"))
    worse.sort(reverse=True)
    told = ", ".join(text for _, text in worse[:_WORST_TOLD])
    words = (
        f"{len(worse)} of {compared} segments became worse in median error by more than "
        f"{policy.max_segment_points * 100:.0f} points and {policy.max_segment_increase:.0%} "
        f"(99 % sure){': ' if told else ''}{told}"
    )
    figures = {"compared": float(compared), "worse": float(len(worse)), "foreign": meeting.foreign}
    figures["worst_points"] = max((points for points, _ in worse), default=0.0)
    passed = not worse or bool(meeting.trap)
    return Criterion("segments", passed, (meeting.trap if worse else "") + words, figures)


def _labelled(meeting: _Meeting) -> Iterator[tuple[str, Mask]]:
    """Name and rows (n,) of each segment. Bands are of both estimates: neither model chooses."""
    columns = meeting.after.columns
    between = np.sqrt(meeting.before.predicted * meeting.after.predicted)
    for by, labels in (
        ("", columns["state"]),
        ("fifth of the estimate ", fifths(between)),
        ("fifth of the zip's income ", fifths(zip_income(columns))),
        ("", columns["status"]),
    ):
        code, names = pd.factorize(labels, sort=True)
        for i, name in enumerate(names):
            yield f"{by}{name}", code == i


def _coverage(after: Judged, meeting: _Meeting | None, policy: DuelPolicy) -> Criterion:
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
    figures = {"after": held, "after_worst_fifth": worst, "after_width": _width(after)}
    if meeting is not None:
        before, own = _width(meeting.before), float(meeting.before.covered.mean())
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


def _monotone(challenger: ValuationModel, columns: Columns, policy: DuelPolicy) -> Criterion:
    share = behaviour.share_lower_when_larger(challenger, columns, drop=policy.max_drop)
    words = (
        f"{share:.1%} of the homes are valued lower by more than {policy.max_drop:.0%} when a "
        f"fifth larger (limit {policy.max_dropped:.0%})"
    )
    return Criterion("monotone", share <= policy.max_dropped, words, {"share": share})


def _unknown_and_missing(challenger: ValuationModel, columns: Columns) -> Criterion:
    unfit = behaviour.unfit_valuations(challenger, columns)
    told = ", ".join(f"{what} ({homes} homes)" for what, homes in unfit.items())
    words = (
        f"no valuation that serves with {told}"
        if unfit
        else "homes in unknown places, and with each input missing, have a valuation and a range"
    )
    return Criterion("unknown_and_missing", not unfit, words, {"unfit": float(sum(unfit.values()))})


def _golden_homes(challenger: ValuationModel, policy: DuelPolicy) -> Criterion:
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


def _stability(meeting: _Meeting) -> Criterion:
    policy = meeting.policy
    moved = np.abs(meeting.after.predicted / meeting.before.predicted - 1.0) > policy.max_move
    share = float(moved.mean())
    words = (
        f"{share:.1%} of the homes move by more than {policy.max_move:.0%} (limit "
        f"{policy.max_moved:.0%})"
    )
    figures = {"moved": share}
    passed = share <= policy.max_moved
    if not passed:
        low, high = meeting.interval(moved, 0.95)
        figures |= {"movers_difference": float(meeting.closer[moved].mean()), "movers_high": high}
        closer = high < 0.0
        words += (
            f", and those are {'' if closer else 'not '}valued closer than before (mean absolute "
            f"error of log price {figures['movers_difference']:+.4f}, 95 % interval {low:+.4f} to "
            f"{high:+.4f})"
        )
        passed = closer or bool(meeting.trap)
        if not closer:
            words = meeting.trap + words
    return Criterion("stability", passed, words, figures)


def _log_error(judged: Judged) -> Floats:
    error: Floats = np.abs(np.log(judged.predicted) - np.log(judged.price))
    return error


def _width(judged: Judged) -> float:
    return float(np.mean((judged.high - judged.low) / judged.predicted))


def _error_of_median(values: Floats) -> float:
    """Standard error of the median (n,), from the order statistics around it, as of a normal."""
    n = len(values)
    step = 0.5 / np.sqrt(n)
    low, high = np.quantile(values, [max(0.0, 0.5 - step), min(1.0, 0.5 + step)])
    return float(high - low) / 2.0


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
