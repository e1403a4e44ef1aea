"""Every limit of the duel, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DuelPolicy:
    """When a challenger takes over. Shares and errors are fractions.

    Of the test and its statistics:

    max_rows: of more test listings than this, that many are drawn at random.
    resamples: of the bootstrap of a mean; ratio_resamples: of a ratio study, which costs more and
        whose intervals need not be as exact.
    confidence: level of the intervals of single groups of homes (sold, moved);
        segment_confidence: of each segment, since many are compared. The paired comparison and the
        ratio studies have 95 % intervals (`realtor_model.evaluation.metrics`).
    coverage_errors: standard errors of the sample that are allowed on top of the limits of coverage
        (2.6: 99 %); median_errors: on top of those of the median ratio (1.96: 95 %).

    Of the challenger alone:

    max_r2_log, min_mdape: R2 of log price and median error that an honest model doesn't reach.
        Honest models of these data have an R2 of 0.6 to 0.8 and a median error above 10 %.
    trial_homes: homes that the service's own code values one by one.
    max_difference_dollars: between those values and the model's own; the service answers in cents.
    max_median_milliseconds: of one valuation by the service.
    max_megabytes: of the bundle.
    max_drop, max_dropped: share of homes that may be valued lower by more than max_drop when a
        fifth larger; forests are not monotone, and waver by 1 or 2 %.
    max_golden_drop: of a golden home that is a half larger; forests of homes cut at a price lost
        6 %.
    coverage: which share of the prices the 80 % ranges may hold; min_band_coverage: in each fifth
        of the estimate.
    max_width_increase: of the mean relative width of the ranges, relative to the champion's. Not
        asked where the champion's ranges hold fewer prices than they promise: narrow ranges count
        only if they keep their coverage.

    Beside the champion:

    min_improvement: least fall of the mean absolute error of log price, relative.
    max_rmse_increase: of RMSE in dollars, relative.
    min_group: homes from which a group of them is compared; min_sold: the same of sold homes.
    max_sold_increase: of the mean absolute error of log price on sold homes, relative.
    median_ratio, newest_median_ratio: where the level of the estimates may lie.
    far_better: fall of the mean absolute error of log price, relative, from which a challenger is
        far better; far_median_ratio: where the level of its estimates may lie.
    max_prb, prd: vertical equity (IAAO, Standard on Ratio Studies, 2013).
    max_equity_increase: how much worse than the champion's a level or equity outside of its limits
        may be.
    max_segment_points, max_segment_increase: of the median error of a segment, in points and
        relative; a segment is worse when both are passed, by more than chance.
    max_move, max_moved: share of homes whose value may move by more than max_move.
    max_foreign_share: share of prices outside the champion's training range above which comparisons
        home by home hold nothing against the challenger.
    """

    max_rows: int = 50_000
    resamples: int = 1_000
    ratio_resamples: int = 200
    confidence: float = 0.95
    segment_confidence: float = 0.99
    coverage_errors: float = 2.6
    median_errors: float = 1.96

    max_r2_log: float = 0.93
    min_mdape: float = 0.06
    trial_homes: int = 500
    max_difference_dollars: float = 0.01
    max_median_milliseconds: float = 50.0
    max_megabytes: float = 200.0
    max_drop: float = 0.02
    max_dropped: float = 0.05
    max_golden_drop: float = 0.10
    coverage: tuple[float, float] = (0.77, 0.83)
    min_band_coverage: float = 0.72
    max_width_increase: float = 0.10

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
    max_move: float = 0.25
    max_moved: float = 0.05
    max_foreign_share: float = 0.05
