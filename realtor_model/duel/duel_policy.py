"""What is asked of a challenger: a criterion's answer, and the limits."""

from dataclasses import dataclass, field


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
    far_better: fall of the mean absolute error of log price, relative, from which a challenger is
        far better.
    median_ratio, newest_median_ratio: where the level of the estimates may lie; far_median_ratio:
        of both, for a far better challenger.
    max_prb, prd: vertical equity (IAAO, Standard on Ratio Studies, 2013).
    max_equity_increase: how much worse than the champion's a level or equity outside of its limits
        may be.
    max_segment_points, max_segment_increase: of the median error of a segment of min_group rows, in
        points and relative; both must be passed, and by more than chance (99 %).
    coverage: which share the 80 % ranges may hold; min_band_coverage: in each fifth of the
        estimate. 2.6 standard errors of the sample are allowed on top.
    max_width_increase: of the mean relative width of the ranges; asked where the champion's own
        ranges hold what they promise: narrow ranges that do not are no merit.
    max_drop, max_dropped: share of homes that may be valued lower by more than max_drop when a
        fifth larger; forests are not monotone, and waver by 1 or 2 %.
    max_golden_drop: of a golden home, a half larger; forests of homes cut at a price lost 6 %.
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
    far_better: float = 0.05
    far_median_ratio: tuple[float, float] = (0.90, 1.10)
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
    max_golden_drop: float = 0.10
    max_move: float = 0.25
    max_moved: float = 0.05
    max_foreign_share: float = 0.05
