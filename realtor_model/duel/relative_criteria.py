"""What is asked of a challenger beside the champion: accuracy, level, equity, segments, moves."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model.duel.duel_policy import Criterion
from realtor_model.duel.model_comparison import RESAMPLES, Mask, ModelComparison
from realtor_model.evaluation.metrics import paired_comparison, ratio_study, regression_metrics
from realtor_model.evaluation.scored_listings import fifths, newest_month, zip_income

Floats = NDArray[np.float64]

# Ratio studies are dearer than means, and the ends of their intervals need not be as exact.
_RATIO_RESAMPLES = 200
_WORST_TOLD = 3


def accuracy(meeting: ModelComparison) -> Criterion:
    compared = paired_comparison(
        meeting.price, meeting.before.predicted, meeting.after.predicted, resamples=RESAMPLES
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
        "n": float(compared.n),
        "change": change,
        "difference": compared.difference,
        "low": compared.low,
        "high": compared.high,
    }
    passed = compared.high < 0.0 and change <= -meeting.policy.min_improvement
    return Criterion("accuracy", passed, words, figures)


def rmse(meeting: ModelComparison) -> Criterion:
    before, after = (
        regression_metrics(judged.price, judged.predicted)["rmse"]
        for judged in (meeting.before, meeting.after)
    )
    change = after / before - 1.0 if before else 0.0
    limit = meeting.policy.max_rmse_increase
    words = f"RMSE ${before:,.0f} → ${after:,.0f} ({change:+.1%}, limit {limit:+.0%})"
    figures = {"before": before, "after": after, "change": change}
    return Criterion("rmse", change <= limit, words, figures)


def sold_and_newest(meeting: ModelComparison, as_of: date) -> Criterion:
    policy = meeting.policy
    groups = {
        "sold": meeting.after.columns["status"] == "sold",
        "newest": newest_month(meeting.after.columns, as_of),
    }
    names = {"sold": "sold homes", "newest": "sales of the newest 30 days"}
    texts: list[str] = []
    figures: dict[str, float] = {}
    for group, rows in groups.items():
        n = int(rows.sum())
        figures[f"{group}_n"] = float(n)
        if n < policy.min_group:
            texts.append(f"{n} {names[group]} are too few to compare")
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


def median_ratio(meeting: ModelComparison, as_of: date) -> Criterion:
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
        if meeting.far_better:
            low, high = policy.far_median_ratio
        further = abs(now - 1) - abs(was - 1)
        passed &= (low <= now + margin and now - margin <= high) or (
            further <= policy.max_equity_increase
        )
        key = group.strip() or "all"
        figures |= {
            f"{key}_before": was, f"{key}_after": now, f"{key}_margin": margin,
            f"{key}_low": low, f"{key}_high": high,
        }  # fmt: skip
        of = "of the newest 30 days of sales " if group else ""
        texts.append(
            f"median ratio of estimate and price {of}{was:.3f} → {now:.3f} ± {margin:.3f} "
            f"(limits {low:g} to {high:g}{', for it is far more accurate' * meeting.far_better}, "
            f"or {policy.max_equity_increase:g} further from 1 than before)"
        )
    return Criterion("median_ratio", passed, "; ".join(texts), figures)


def vertical_equity(meeting: ModelComparison) -> Criterion:
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


def _equity_increases(meeting: ModelComparison) -> dict[str, float]:
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


def segments(meeting: ModelComparison) -> Criterion:
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


def _labelled(meeting: ModelComparison) -> Iterator[tuple[str, Mask]]:
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


def stability(meeting: ModelComparison) -> Criterion:
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
            f", and those are {'' if closer else 'not clearly '}valued closer than before (mean "
            f"absolute error of log price {figures['movers_difference']:+.4f}, 95 % interval "
            f"{low:+.4f} to {high:+.4f})"
        )
        passed = closer or bool(meeting.trap) or (meeting.far_better and low <= 0.0)
        if not closer:
            words = meeting.trap + words
    return Criterion("stability", passed, words, figures)


def _error_of_median(values: Floats) -> float:
    """Standard error of the median (n,), from the order statistics around it, as of a normal."""
    n = len(values)
    step = 0.5 / np.sqrt(n)
    low, high = np.quantile(values, [max(0.0, 0.5 - step), min(1.0, 0.5 + step)])
    return float(high - low) / 2.0
