"""The gates of the duel, in the order in which they are asked: the first that fails is the rule.

To add one, write its question and its line into `absolute_criteria` or `relative_criteria`, and its
limit into `DuelPolicy`. Checks, tables and logs follow; the app's texts want a title
(`criterion.<name>`) and a sentence (`gate_result.<name>`) in each language.
"""

from realtor_model.duel import absolute_criteria, relative_criteria
from realtor_model.duel.gate import Gate

GATES: tuple[Gate, ...] = (*absolute_criteria.GATES, *relative_criteria.GATES)
