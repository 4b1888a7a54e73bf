"""Laws of the judge: an honest interval, the same verdict whoever counts, seeds kept apart."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from demoloop.cli.evaluate import ExpertAgent
from demoloop.robot import Action, Agent, Observation
from demoloop.robot.video import read_frames
from demoloop.sim import SimError, SimRobot
from demoloop.sim.emulated import EmulatedRobot
from demoloop.sim.evaluate import EpisodeResult, Evaluation, evaluate, wilson_interval
from demoloop.sim.randomize import MODERATE
from demoloop.sim.seeds import (
    EVALUATION_SEEDS,
    FIRST_TRAINING_SEED,
    VALIDATION_SEEDS,
    check_evaluation_seeds,
    check_training_seeds,
)


@dataclass(frozen=True)
class Idle:
    """Builds an agent that never moves."""

    def __call__(self, robot: SimRobot | EmulatedRobot) -> Agent:
        return _Still()


@dataclass(frozen=True)
class Killed:
    """Ends its process, as a system without memory left does."""

    def __call__(self, robot: SimRobot | EmulatedRobot) -> Agent:
        os._exit(9)


class _Still:
    def reset(self) -> None: ...

    def decide(self, observation: Observation) -> Action:
        return np.array([0, -1.15, 0.95, 1.45, 0, 0.43], np.float32)


@pytest.mark.parametrize(("successes", "total"), [(5, 10), (90, 100), (1, 7), (499, 500)])
def test_bounds_of_the_interval_are_rates_1_96_sigma_away(successes: int, total: int) -> None:
    # What defines the score interval: sigma is that of the bound, not of what was measured.
    for bound in wilson_interval(successes, total):
        sigma = math.sqrt(bound * (1 - bound) / total)
        assert abs(successes / total - bound) == pytest.approx(1.959964 * sigma, rel=1e-6)


def test_interval_of_never_and_always_has_its_closed_form() -> None:
    # z^2 / (n + z^2), with z^2 = 3.841459
    assert wilson_interval(0, 10) == pytest.approx((0.0, 3.841459 / 13.841459), abs=1e-6)
    assert wilson_interval(10, 10) == pytest.approx((10 / 13.841459, 1.0), abs=1e-6)


def test_more_successes_than_episodes_are_no_rate() -> None:
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson_interval(3, 2)


def test_verdict_does_not_depend_on_the_number_of_workers() -> None:
    seeds = range(7)
    alone = evaluate("stack", ExpertAgent(), seeds, workers=1, progress=False)
    together = evaluate("stack", ExpertAgent(), seeds, workers=2, progress=False)
    assert alone == together
    assert [episode.seed for episode in alone.episodes] == list(seeds)


def test_folder_holds_the_verdict_and_a_film_of_every_episode(tmp_path: Path) -> None:
    result = evaluate("pick_place", ExpertAgent(), [4, 2], folder=tmp_path, progress=False)
    saved = json.loads((tmp_path / "evaluation.json").read_text())
    assert saved["successes"] == result.num_successes
    assert [row["seed"] for row in saved["results"]] == [2, 4]
    for episode in result.episodes:
        assert episode.video is not None
        frames = list(read_frames(tmp_path / episode.video))
        assert len(frames) == (episode.num_steps + 1) // 2
    assert len(list(tmp_path.iterdir())) == 3


def test_randomised_worlds_are_judged_in_and_said_to_be(tmp_path: Path) -> None:
    result = evaluate(
        "stack", ExpertAgent(), [1], folder=tmp_path, video=False, randomization=MODERATE,
        progress=False,
    )  # fmt: skip
    plain = evaluate("stack", ExpertAgent(), [1], progress=False)
    # Another gain and delay of the servos: the same demonstrator takes another number of steps.
    assert result.episodes[0].num_steps != plain.episodes[0].num_steps
    assert "succeeded in randomised worlds (95 %" in result.summary()
    assert "randomised" not in plain.summary()
    saved = json.loads((tmp_path / "evaluation.json").read_text())
    assert saved["randomization"]["delay_steps"] == MODERATE.delay_steps


def test_a_worker_that_is_killed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))  # for the worker to find Killed
    with pytest.raises(SimError, match="a worker process was ended from outside"):
        evaluate("stack", Killed(), [1], workers=1, progress=False)


def test_failures_come_first_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))  # for the worker to find Idle
    result = evaluate("stack", Idle(), [0], workers=1, folder=tmp_path, progress=False)
    assert not result.episodes[0].success
    evaluate("stack", ExpertAgent(), [1], workers=1, folder=tmp_path, progress=False)
    films = sorted(path.name for path in tmp_path.glob("*.mp4"))
    assert films == ["0-failure-seed-0000.mp4", "1-success-seed-0001.mp4"]


def test_second_evaluation_replaces_the_film_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "0-failure-seed-0001.mp4").touch()
    evaluate("stack", ExpertAgent(), [1], workers=1, folder=tmp_path, progress=False)
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["1-success-seed-0001.mp4"]


def test_median_time_counts_successes_only() -> None:
    episodes = [(0, True, 2.0), (1, False, 12.0), (2, True, 4.0)]
    rows = tuple(EpisodeResult(seed, ok, int(25 * s), s, None) for seed, ok, s in episodes)
    assert Evaluation("stack", rows).median_seconds == 3.0
    assert Evaluation("stack", rows[1:2]).median_seconds is None


def test_training_seeds_differ_from_evaluation_seeds_by_construction() -> None:
    for seeds in (EVALUATION_SEEDS, VALIDATION_SEEDS):
        assert max(seeds) < FIRST_TRAINING_SEED
        for seed in (seeds[0], seeds[-1]):
            with pytest.raises(SimError, match="kept for judging"):
                check_training_seeds([seed])
    assert not set(EVALUATION_SEEDS) & set(VALIDATION_SEEDS)


@pytest.mark.parametrize("seed", [-1, FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 123])
def test_nobody_is_judged_on_a_training_seed(seed: int) -> None:
    with pytest.raises(SimError, match=f"seed {seed} is not for judging"):
        check_evaluation_seeds([0, seed])


def test_judging_on_nothing_is_refused() -> None:
    with pytest.raises(SimError, match="at least one episode"):
        evaluate("stack", ExpertAgent(), [], progress=False)


def test_unknown_task_is_answered_before_any_process_starts() -> None:
    with pytest.raises(SimError, match="there are pick_place, stack, push"):
        evaluate("stak", ExpertAgent(), [0], progress=False)


def test_an_agent_that_acts_more_often_gets_as_much_time_and_as_long_a_film(tmp_path: Path) -> None:
    lengths = {}
    for acting_hz in (25.0, 100.0):
        folder = tmp_path / str(acting_hz)
        result = evaluate(
            "pick_place", Idle(), [3], workers=1, folder=folder, acting_hz=acting_hz, progress=False
        )
        (episode,) = result.episodes
        assert (episode.num_steps, episode.seconds) == (12 * acting_hz, 12.0)
        assert episode.video is not None
        lengths[acting_hz] = sum(1 for _ in read_frames(folder / episode.video))
    assert lengths[100.0] == lengths[25.0]
