"""Signals that end `realtor up`: each interrupts, and none interrupts the cleaning up."""

import os
import signal

import pytest

from realtor_local.signals import ENDING, ends_interrupt, uninterrupted


@pytest.mark.parametrize("ending", ENDING)
def test_each_ending_signal_interrupts(ending: signal.Signals) -> None:
    before = signal.getsignal(ending)

    with pytest.raises(KeyboardInterrupt), ends_interrupt():
        os.kill(os.getpid(), ending)
        signal.pause()

    assert signal.getsignal(ending) == before


@pytest.mark.parametrize("ending", ENDING)
def test_no_ending_signal_interrupts_the_cleaning_up(ending: signal.Signals) -> None:
    before = signal.getsignal(ending)
    cleaned = False

    with ends_interrupt(), uninterrupted():
        os.kill(os.getpid(), ending)
        cleaned = True

    assert cleaned
    assert signal.getsignal(ending) == before
