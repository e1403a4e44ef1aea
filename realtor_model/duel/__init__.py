"""Challenger against champion on the same listings: gates with figures, and the verdict.

Each criterion is an effect size; where chance could pass for an effect, it must be significant as
well, so that neither thin tests nor long lists of segments reject an honest model.

The out-of-range exemption: a champion that never learned prices as high as some of these is at its
best on the homes it knows, since it can't value them too high. A challenger that learned more is
rightly a little worse there and far better on the whole. Where more than
`DuelPolicy.max_foreign_share` of the prices lie outside the champion's training range, comparisons
by segment, of width and of stability report their figures and hold nothing against the challenger.

A far better challenger (`ModelComparison.far_better`) gets wider limits of level: homes cut at a
price have a long lower tail, so that models of squared error lie 6 to 8 % low at the median, while
the errors of a champion that knows half of the market happen to cancel. Of the homes that move, it
must only not value them worse.
"""

from realtor_model.duel.duel_policy import DuelPolicy
from realtor_model.duel.gate import Criterion, DuelContext, Gate, ServiceTrial
from realtor_model.duel.judgement import Verdict, duel, verdict

__all__ = [
    "Criterion",
    "DuelContext",
    "DuelPolicy",
    "Gate",
    "ServiceTrial",
    "Verdict",
    "duel",
    "verdict",
]
