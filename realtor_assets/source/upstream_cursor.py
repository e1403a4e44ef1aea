"""Which batches the upstream still owes us, derived from the history of our calls.

The upstream moves its cursor at the call: an answer that is lost on its way, or with the process
that was reading it, is lost until the cursor is rewound to batch 0. After a lost call the cursor is
in one of two places; the next answer shows in which.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

# Where the cursor is after the end of data: behind every batch.
_AFTER_ALL = 2**31

Outcome = Literal["landed", "end of data", "failed", "lost"]


@dataclass(frozen=True)
class Call:
    """One call to the upstream and what became of it.

    Attributes:
        outcome: "landed": the answer is safe. "end of data". "failed": refused before the cursor
            could move. "lost": it may have moved.
        batch: number of the batch that was landed.
        usable: False when the batch that was landed was refused as a whole.
        rewind: a call that sets the cursor back to batch 0; "landed" when it was answered.
    """

    outcome: Outcome
    batch: int | None = None
    usable: bool = True
    rewind: bool = False


@dataclass
class Position:
    """What is known after the calls so far.

    Attributes:
        held: numbers of the batches that are landed and usable.
        missing: numbers that were skipped, and that a rewind may bring.
        unobtainable: numbers that did not come although no call was lost since a rewind, or
            that were refused twice.
        low, high: the lowest and the highest number that the next answer can have.
        perhaps_after_all: a rewind from the end of data was lost, so the next answer may also be
            the end of data.
    """

    held: set[int] = field(default_factory=set)
    missing: set[int] = field(default_factory=set)
    unobtainable: set[int] = field(default_factory=set)
    low: int = 0
    high: int = 0
    perhaps_after_all: bool = False
    _rewound: bool = False
    _refused: set[int] = field(default_factory=set)

    @property
    def must_rewind(self) -> bool:
        """Whether only a rewind can bring what is missing."""
        return bool(self.missing) and min(self.missing) < self.low

    def note(self, call: Call) -> None:
        """Take one more call into account."""
        if call.outcome == "failed":
            return
        if call.rewind:
            self._rewind_requested(answered=call.outcome == "landed")
        elif call.outcome == "lost":
            self._may_have_advanced()
        elif call.outcome == "end of data":
            self._end()
        else:
            assert call.batch is not None
            self._landed(call.batch, call.usable)

    def _rewind_requested(self, answered: bool) -> None:
        if answered or self.high == _AFTER_ALL:
            # What lies behind all batches cannot be counted up to.
            self.perhaps_after_all = not answered
            self.high = 0
        self.low = 0
        self._rewound = self._rewound or answered

    def _may_have_advanced(self) -> None:
        if self.high != _AFTER_ALL:
            while self.high in self.unobtainable:
                self.high += 1
            self.high += 1

    def _landed(self, batch: int, usable: bool) -> None:
        self.perhaps_after_all = False
        if batch < self.low:
            # The upstream has started again by itself.
            self.low = self.high = 0
        certain = self._rewound and self.low == self.high
        self._skipped(range(self.low, batch), certain)
        if usable:
            self.held.add(batch)
            self.missing.discard(batch)
            self.unobtainable.discard(batch)
        else:
            self._skipped([batch], certain=batch in self._refused)
            self._refused.add(batch)
        self.low = self.high = batch + 1

    def _end(self) -> None:
        self._skipped(range(self.low, self.high), certain=False)
        if self.low == self.high and not self.perhaps_after_all:
            self.missing = {batch for batch in self.missing if batch < self.low}
        self.perhaps_after_all = False
        self.low = self.high = _AFTER_ALL

    def _skipped(self, batches: Iterable[int], certain: bool) -> None:
        new = set(batches) - self.held - self.unobtainable
        if certain:
            self.missing -= new
            self.unobtainable |= new
        else:
            self.missing |= new


def position(history: Iterable[Call]) -> Position:
    """The position after `history`, oldest call first."""
    reached = Position()
    for call in history:
        reached.note(call)
    return reached
