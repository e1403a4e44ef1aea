"""Requests of the same moment are answered in one pass, and none spoils another."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from realtor_serving.valuation.micro_batcher import MOST, MicroBatcher


class Halves:
    """Halves even numbers; odd ones fail, and with them whatever they are asked with."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.passes.append(list(numbers))
        if odd := [number for number in numbers if number % 2]:
            raise ValueError(f"odd: {odd}")
        return [number // 2 for number in numbers]


async def gathered(*asked: Coroutine[Any, Any, int]) -> list[int | BaseException]:
    return await asyncio.gather(*asked, return_exceptions=True)


def test_concurrent_homes_are_valued_in_one_pass() -> None:
    halves = Halves()

    async def ask() -> list[int | BaseException]:
        together: MicroBatcher[int, int] = MicroBatcher(halves)
        first = await gathered(*(together.ask(2 * number) for number in range(10)))
        return first + await gathered(together.ask(100))

    assert asyncio.run(ask()) == [*range(10), 50]
    assert halves.passes == [[2 * number for number in range(10)], [100]]


def test_a_pass_has_no_more_than_its_most() -> None:
    halves = Halves()
    count = 2 * MOST + 1

    async def ask() -> list[int | BaseException]:
        together: MicroBatcher[int, int] = MicroBatcher(halves)
        return await gathered(*(together.ask(2 * number) for number in range(count)))

    assert asyncio.run(ask()) == list(range(count))
    assert [len(each) for each in halves.passes] == [MOST, MOST, 1]


def test_failing_home_fails_alone() -> None:
    async def ask() -> list[int | BaseException]:
        together: MicroBatcher[int, int] = MicroBatcher(Halves())
        return await gathered(*(together.ask(number) for number in (2, 3, 4)))

    two, three, four = asyncio.run(ask())

    assert (two, four) == (1, 2)
    assert isinstance(three, ValueError)
    with pytest.raises(ValueError, match=r"odd: \[3\]"):
        raise three


def test_cancelled_request_does_not_delay_others() -> None:
    async def ask() -> int:
        together: MicroBatcher[int, int] = MicroBatcher(Halves())
        gone = asyncio.create_task(together.ask(2))
        stays = asyncio.create_task(together.ask(4))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(ask()) == 2
