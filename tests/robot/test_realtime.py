"""Laws of real time: never too soon, and whatever was taken is given back."""

from __future__ import annotations

import gc
import logging
import os
import sys

import pytest

import demoloop.robot.realtime as module
from demoloop.robot.realtime import RealtimeClock, realtime

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="SCHED_FIFO is Linux's")


def test_realtime_clock_never_wakes_before_the_deadline() -> None:
    clock = RealtimeClock()
    for _ in range(20):
        deadline = clock.now() + 0.001
        clock.sleep_until(deadline)
        assert clock.now() >= deadline


@pytest.mark.parametrize("deadline", [-5.0, 0.0])
def test_realtime_clock_accepts_a_deadline_that_has_passed(deadline: float) -> None:
    RealtimeClock().sleep_until(deadline)


def test_garbage_is_not_collected_within_and_is_again_after() -> None:
    assert gc.isenabled()
    with realtime():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@needs_linux
def test_priority_is_given_back_whatever_happens() -> None:
    before = os.sched_getscheduler(0)
    with pytest.raises(ZeroDivisionError), realtime() as granted:
        is_fifo = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
        assert is_fifo or any("SCHED_FIFO" in sentence for sentence in granted.refusals)
        raise ZeroDivisionError
    assert os.sched_getscheduler(0) == before


@needs_linux
def test_refused_priority_is_said_once_and_listed_each_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_said", set())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with realtime(priority=1000) as granted:  # there is none so high: refused everywhere
                assert any("SCHED_FIFO is refused" in sentence for sentence in granted.refusals)
                assert not granted.is_granted
    assert sum("SCHED_FIFO is refused" in text for text in caplog.messages) == 1
