"""Gates that a challenger must pass beside the champion, both on the same listings."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model import sampling
from realtor_model.duel.gate import Answer, DuelContext, Gate
from realtor_model.duel.model_comparison import Mask, ModelComparison
from realtor_model.evaluation.metrics import paired_comparison, ratio_study, regression_metrics
from realtor_model.evaluation.scored_listings import newest_month, zip_income

Floats = NDArray[np.float64]

_SEGMENTS_NAMED = 3


def accuracy(duel: DuelContext) -> Answer:
    comparison = duel.beside_champion
    compared = paired_comparison(
        comparison.price,
        comparison.before.predicted,
        comparison.after.predicted,
        resamples=duel.policy.resamples,
    )
    before, after = compared.champion, compared.challenger
    change = after["mae_log"] / before["mae_log"] - 1.0 if before["mae_log"] else 0.0
    words = (
        f"median error {before['mdape']:.1%} → {after['mdape']:.1%}, mean absolute error of log "
        f"price {before['mae_log']:.4f} → {after['mae_log']:.4f} ({change:+.1%}, limit "
        f"{-duel.policy.min_improvement:+.0%}; 95 % interval of the difference "
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
    passed = compared.high < 0.0 and change <= -duel.policy.min_improvement
    return Answer(passed, words, figures)


def rmse(duel: DuelContext) -> Answer:
    comparison = duel.beside_champion
    before, after = (
        regression_metrics(judged.price, judged.predicted)["rmse"]
        for judged in (comparison.before, comparison.after)
    )
    change = after / before - 1.0 if before else 0.0
    limit = duel.policy.max_rmse_increase
    words = f"RMSE ${before:,.0f} → ${after:,.0f} ({change:+.1%}, limit {limit:+.0%})"
    figures = {"before": before, "after": after, "change": change}
    return Answer(change <= limit, words, figures)


def sold_and_newest(duel: DuelContext) -> Answer:
    comparison, policy = duel.beside_champion, duel.policy
    groups = {
        "sold": comparison.after.columns["status"] == "sold",
        "newest": newest_month(comparison.after.columns, duel.as_of),
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
        for when, judged in (("before", comparison.before), ("after", comparison.after)):
            errors = regression_metrics(judged.price[rows], judged.predicted[rows])
            figures |= {f"{group}_{when}_{name}": errors[name] for name in ("mdape", "mae_log")}
        texts.append(
            f"median error of {n:,} {names[group]} {figures[f'{group}_before_mdape']:.1%} → "
            f"{figures[f'{group}_after_mdape']:.1%}"
        )
    passed = True
    if groups["sold"].sum() >= policy.min_sold:
        change = figures["sold_after_mae_log"] / figures["sold_before_mae_log"] - 1.0
        low, high = comparison.interval(groups["sold"], policy.confidence)
        figures |= {"sold_change": change, "sold_low": low, "sold_high": high}
        passed = not (change > policy.max_sold_increase and low > 0.0)
        texts[0] += (
            f", mean absolute error of log price {change:+.1%} (limit "
            f"{policy.max_sold_increase:+.0%}; 95 % interval of the difference {low:+.4f} to "
            f"{high:+.4f})"
        )
    return Answer(passed, "; ".join(texts), figures)


def median_ratio(duel: DuelContext) -> Answer:
    comparison, policy = duel.beside_champion, duel.policy
    everything = np.ones(len(comparison.price), bool)
    groups = {
        "": (everything, policy.median_ratio),
        "newest ": (newest_month(comparison.after.columns, duel.as_of), policy.newest_median_ratio),
    }
    passed, texts = True, []
    figures: dict[str, float] = {}
    for group, (rows, (low, high)) in groups.items():
        if rows.sum() < (policy.min_group if group else 1):
            continue
        before, after = (
            judged.predicted[rows] / judged.price[rows]
            for judged in (comparison.before, comparison.after)
        )
        was, now = float(np.median(before)), float(np.median(after))
        # Few homes put a median here or there by chance.
        margin = policy.median_errors * _error_of_median(after)
        if comparison.far_better:
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
            f"(limits {low:g} to {high:g}{', as it is far more accurate' * comparison.far_better}, "
            f"or {policy.max_equity_increase:g} further from 1 than before)"
        )
    return Answer(passed, "; ".join(texts), figures)


def vertical_equity(duel: DuelContext) -> Answer:
    comparison, policy = duel.beside_champion, duel.policy
    before, after = (
        ratio_study(comparison.price, judged.predicted)
        for judged in (comparison.before, comparison.after)
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
        # PRD and PRB react to single outliers: a difference must be significant in the bootstrap.
        increases = _equity_increases(comparison)
        worse = {name: worse[name] and increases[name] > 0.0 for name in worse}
        figures |= {f"{name}_increase_low": value for name, value in increases.items()}
        words += (
            f"; the increase of |PRB| is at least {increases['prb']:+.3f} and of |PRD - 1| "
            f"{increases['prd']:+.3f} (lower ends of 95 % intervals; above 0 is more than chance)"
        )
    return Answer(not any(worse.values()), words, figures)


def _equity_increases(comparison: ModelComparison) -> dict[str, float]:
    """Lower ends of the 95 % bootstrap intervals of the increase of |PRB| and |PRD - 1|."""
    increases = []
    for rows in sampling.resamples(len(comparison.price), comparison.policy.ratio_resamples):
        before, after = (
            ratio_study(comparison.price[rows], judged.predicted[rows])
            for judged in (comparison.before, comparison.after)
        )
        increases.append(
            (
                abs(after["prb"]) - abs(before["prb"]),
                abs(after["prd"] - 1) - abs(before["prd"] - 1),
            )
        )
    prb, prd = np.quantile(increases, sampling.TAILS_95[0], axis=0)
    return {"prb": float(prb), "prd": float(prd)}


def segments(duel: DuelContext) -> Answer:
    comparison, policy = duel.beside_champion, duel.policy
    compared, worse = 0, []
    for name, rows in _labelled(comparison):
        if rows.sum() < policy.min_group:
            continue
        compared += 1
        was, now = (
            float(np.median(np.abs(judged.predicted[rows] / judged.price[rows] - 1.0)))
            for judged in (comparison.before, comparison.after)
        )
        materially = now - was > max(policy.max_segment_points, policy.max_segment_increase * was)
        if materially and comparison.interval(rows, policy.segment_confidence)[0] > 0.0:
            worse.append((now - was, f"{name} {was:.1%} → {now:.1%} ({int(rows.sum()):,} homes)"))
    worse.sort(reverse=True)
    named = ", ".join(text for _, text in worse[:_SEGMENTS_NAMED])
    words = (
        f"{len(worse)} of {compared} segments became worse in median error by more than "
        f"{policy.max_segment_points * 100:.0f} points and {policy.max_segment_increase:.0%} "
        f"(99 % sure){': ' if named else ''}{named}"
    )
    exemption = comparison.out_of_range_exemption
    figures = {
        "compared": float(compared),
        "worse": float(len(worse)),
        "foreign": comparison.share_outside_training_range,
    }
    figures["worst_points"] = max((points for points, _ in worse), default=0.0)
    passed = not worse or bool(exemption)
    return Answer(passed, (exemption if worse else "") + words, figures)


def _labelled(comparison: ModelComparison) -> Iterator[tuple[str, Mask]]:
    """Name and rows (n,) of each segment.

    Bands are of the geometric mean of both estimates, so that they favour neither model.
    """
    columns = comparison.after.columns
    between = np.sqrt(comparison.before.predicted * comparison.after.predicted)
    for by, labels in (
        ("", columns["state"]),
        ("fifth of the estimate ", sampling.quintiles(between)),
        ("fifth of the zip's income ", sampling.quintiles(zip_income(columns))),
        ("", columns["status"]),
    ):
        code, names = pd.factorize(labels, sort=True)
        for i, name in enumerate(names):
            yield f"{by}{name}", code == i


def stability(duel: DuelContext) -> Answer:
    comparison, policy = duel.beside_champion, duel.policy
    moved = np.abs(comparison.after.predicted / comparison.before.predicted - 1.0) > policy.max_move
    share = float(moved.mean())
    words = (
        f"{share:.1%} of the homes move by more than {policy.max_move:.0%} (limit "
        f"{policy.max_moved:.0%})"
    )
    figures = {"moved": share}
    passed = share <= policy.max_moved
    if not passed:
        exemption = comparison.out_of_range_exemption
        low, high = comparison.interval(moved, policy.confidence)
        figures |= {
            "movers_difference": float(comparison.closer[moved].mean()),
            "movers_high": high,
        }
        closer = high < 0.0
        words += (
            f", and those are {'' if closer else 'not clearly '}valued closer than before (mean "
            f"absolute error of log price {figures['movers_difference']:+.4f}, 95 % interval "
            f"{low:+.4f} to {high:+.4f})"
        )
        passed = closer or bool(exemption) or (comparison.far_better and low <= 0.0)
        if not closer:
            words = exemption + words
    return Answer(passed, words, figures)


def _error_of_median(values: Floats) -> float:
    """Standard error of the median (n,), from the order statistics around it, as of a normal."""
    n = len(values)
    step = 0.5 / np.sqrt(n)
    low, high = np.quantile(values, [max(0.0, 0.5 - step), min(1.0, 0.5 + step)])
    return float(high - low) / 2.0


GATES = (
    Gate(
        "accuracy",
        "Closer to the price on the same homes, by more than chance.",
        ("min_improvement", "resamples"),
        accuracy,
        relative=True,
    ),
    Gate(
        "rmse",
        "The gain is not bought with a few homes that are wildly wrong.",
        ("max_rmse_increase",),
        rmse,
        relative=True,
    ),
    Gate(
        "sold_and_newest",
        "Sold homes are not valued worse; the newest month of sales is shown beside them.",
        ("min_group", "min_sold", "max_sold_increase", "confidence"),
        sold_and_newest,
        relative=True,
    ),
    Gate(
        "median_ratio",
        "The level of the estimates is right.",
        ("median_ratio", "newest_median_ratio", "far_better", "far_median_ratio", "median_errors"),
        median_ratio,
        relative=True,
    ),
    Gate(
        "vertical_equity",
        "Expensive and cheap homes are valued alike (PRB, PRD).",
        ("max_prb", "prd", "max_equity_increase", "ratio_resamples"),
        vertical_equity,
        relative=True,
    ),
    Gate(
        "segments",
        "No state, price band, income fifth or status is materially worse.",
        (
            "max_segment_points",
            "max_segment_increase",
            "segment_confidence",
            "min_group",
            "max_foreign_share",
        ),
        segments,
        relative=True,
    ),
    Gate(
        "stability",
        "Few homes change their value by more than a quarter, or they are valued closer.",
        ("max_move", "max_moved", "max_foreign_share"),
        stability,
        relative=True,
    ),
)
