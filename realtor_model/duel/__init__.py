"""Challenger against champion on the same listings: criteria with figures, and what follows.

Each criterion is an effect size; where chance could pass for an effect, it must be significant as
well, so that neither thin tests nor long lists of segments reject an honest model.

The promotion trap: a champion that never learned prices as high as some of these is at its best on
the homes it knows, for it can't value them too high; a challenger that learned more is rightly a
little worse there and far better on the whole. Where more than `DuelPolicy.max_foreign_share` of
the prices lie outside the champion's range, comparisons by segment, of width and of stability
report their figures and hold nothing against the challenger.

A smaller trap: homes cut at a price have a long lower tail, so that models of squared error lie 6
to 8 % low at the median, while a champion that knows half of the market has errors both ways that
happen to cancel. So a far better challenger (`far_better`) is asked for a rougher level, and of
the homes that move only that they are not valued worse.
"""

from realtor_model.duel.duel_policy import Criterion, DuelPolicy
from realtor_model.duel.judgement import duel, verdict

__all__ = ["Criterion", "DuelPolicy", "duel", "verdict"]
