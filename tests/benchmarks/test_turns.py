"""Two checkouts by turns: the order, and what the ratio says."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks._turns import by_turns


def test_who_is_first_in_a_turn_changes() -> None:
    order: list[str] = []

    def measure(name: str) -> Callable[[], dict[str, float]]:
        return lambda: {"ms": float(order.append(name) is None)}

    by_turns(measure("other"), measure("this"), 3)
    assert order == ["other", "this", "this", "other", "other", "this"]


def test_speed_is_above_one_when_times_fall_and_rates_rise() -> None:
    speeds = by_turns(
        lambda: {"ms": 2.0, "answers/s": 100.0, "slower": 1.0},
        lambda: {"ms": 1.0, "answers/s": 200.0, "slower": 1.04},
        2,
        frozenset({"answers/s"}),
    )
    assert [speed.ratio for speed in speeds[:2]] == [2.0, 2.0]
    assert [speed.met for speed in speeds] == [True, True, False]
