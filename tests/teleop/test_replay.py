"""Laws of playing an episode again: gently to its beginning, then as it was, at any rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.teleop.driven import Driver
from tests.teleop.hands import BLIND, MIDDLE

from demoloop.datasets import Episode
from demoloop.teleop.errors import TeleopError
from demoloop.teleop.replay import Replay
from demoloop.teleop.takeover import HANDOVER_SPEED

STEPS = 50
TIMES = 7.0 + np.arange(STEPS) / 25


@pytest.fixture
def episode() -> Episode:
    actions = MIDDLE + 0.3 * np.sin(np.arange(STEPS)[:, None] / 8 + np.arange(6)) / 2
    return Episode(
        task="t",
        time=TIMES,
        proprioception=np.zeros((STEPS, 12), np.float32),
        actions=actions.astype(np.float32),
        images={},
        image_times={},
    )


@pytest.mark.parametrize("dt", [0.01, 0.04, 0.05])
def test_it_goes_gently_to_the_beginning_and_then_plays_at_the_pace_it_had(
    episode: Episode, dt: float
) -> None:
    replay = Replay(episode, BLIND)
    driver = Driver(replay, (MIDDLE - 0.4).astype(np.float64), dt)
    assert driver.joints == pytest.approx(MIDDLE - 0.4, abs=1e-6)
    while replay.status:
        before = driver.joints
        driver.step()
        assert np.abs(driver.joints - before).max() <= HANDOVER_SPEED * dt + 1e-6
    assert driver.joints == pytest.approx(episode.actions[0], abs=1e-6)
    for count in range(1, round(TIMES[-1] - TIMES[0]) * 10):
        driver.step()
        at = TIMES[0] + count * dt
        expected = [np.interp(at, TIMES, column) for column in episode.actions.T]
        assert driver.joints == pytest.approx(expected, abs=1e-5)


def test_at_its_end_it_is_over_and_stays(episode: Episode) -> None:
    replay = Replay(episode, BLIND)
    driver = Driver(replay, episode.actions[0])
    driver.step(STEPS + 3)
    assert replay.is_over
    assert driver.step(3) == pytest.approx(episode.actions[-1], abs=1e-6)
    replay.reset()
    assert not replay.is_over


def test_a_loop_that_was_held_up_makes_up_for_nothing(episode: Episode) -> None:
    driver = Driver(Replay(episode, BLIND), episode.actions[0])
    driver.step()
    before = driver.joints
    driver.time += 60
    assert np.abs(driver.step() - before).max() < 0.1


def test_what_cannot_be_played_is_refused(episode: Episode) -> None:
    with pytest.raises(TeleopError, match=r"shape \(50, 5\)"):
        Replay(replace(episode, actions=episode.actions[:, :5]), BLIND)
    with pytest.raises(TeleopError, match="do not rise"):
        Replay(replace(episode, time=TIMES[::-1]), BLIND)
    broken = episode.actions.copy()
    broken[3, 2] = np.nan
    with pytest.raises(TeleopError, match="no numbers"):
        Replay(replace(episode, actions=broken), BLIND)
