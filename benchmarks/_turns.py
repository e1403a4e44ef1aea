"""Two checkouts measured by turns: a machine drifts by more than they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Of the other checkout's speed.
TARGET = 0.97


@dataclass(frozen=True)
class Speed:
    """One figure, a value for each turn of the other checkout and of this one.

    faster_when: "higher" for rates, "lower" for times.
    """

    name: str
    other: Sequence[float]
    this: Sequence[float]
    faster_when: str = "lower"

    @property
    def ratio(self) -> float:
        """This checkout's speed over the other's: the median over the turns."""
        ratios = np.divide(self.this, self.other)
        return float(np.median(ratios if self.faster_when == "higher" else 1.0 / ratios))

    @property
    def met(self) -> bool:
        return self.ratio >= TARGET


def by_turns(
    measure_other: Callable[[], Mapping[str, float]],
    measure_this: Callable[[], Mapping[str, float]],
    turns: int,
    rates: frozenset[str] = frozenset(),
) -> list[Speed]:
    """The figures of both, in the order A B B A …: who comes first in a turn changes.

    rates: the figures of which more is faster.
    """
    other: list[Mapping[str, float]] = []
    this: list[Mapping[str, float]] = []
    for turn in range(turns):
        pair = [(measure_other, other), (measure_this, this)]
        for measure, values in pair if turn % 2 == 0 else reversed(pair):
            values.append(measure())
    return [
        Speed(
            name,
            [values[name] for values in other],
            [values[name] for values in this],
            "higher" if name in rates else "lower",
        )
        for name in this[0]
    ]


def print_speeds(speeds: Sequence[Speed]) -> None:
    """The table; ratios that miss their target are named."""
    print(f"{'median of the turns':42}{'against':>12}{'this':>12}{'speed':>9}{'target':>9}")
    for speed in speeds:
        verdict = "" if speed.met else "   MISSED"
        print(
            f"{speed.name:42}{np.median(speed.other):>12,.3f}{np.median(speed.this):>12,.3f}"
            f"{speed.ratio:>9.3f}{f'≥ {TARGET}':>9}{verdict}"
        )
