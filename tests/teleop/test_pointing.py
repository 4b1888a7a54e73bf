"""Laws of pointing: a finger that stays marks a place once, and one that wanders marks none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.teleop.bench import CountedClock, Director
from tests.teleop.hand_shapes import FPS, bent, nobody, shaped

from demoloop.cli.benches import SupervisedBench
from demoloop.cli.robots import Opened
from demoloop.datasets import DatasetWriter, open_dataset
from demoloop.robot import Action, CameraSpec, Marks, Observation
from demoloop.robot.arms.so101 import ARM, SO101
from demoloop.robot.safety import Supervised
from demoloop.teleop.by_hand import ByHand
from demoloop.teleop.hand import HandDevice
from demoloop.teleop.hand_state import INDEX_TIP, HandState
from demoloop.teleop.pointing import Cursor, Point
from demoloop.teleop.session import Session
from demoloop.teleop.stage import Plan

MARKS = Marks(("object", "place"), "front")
SPEC = replace(SO101, cameras=(CameraSpec("front", 32, 48),))
PLAN = Plan("Sort.", 1, 60.0, ("hand",), countdown_s=0.0)


def pointing(number: int, x: float = 0.5, y: float = 0.5) -> HandState:
    return bent((0, 1, 1, 1), 0.0, number, at=(x, y))


def tip_of(state: HandState) -> Point:
    assert state.landmarks is not None
    return state.landmarks[INDEX_TIP]


def test_a_finger_that_stays_marks_once() -> None:
    cursor = Cursor("direct")
    marks = [cursor.watch(pointing(n), n / FPS) for n in range(60)]
    said = [(n, mark) for n, mark in enumerate(marks) if mark is not None]
    assert said == [(18, pytest.approx(tip_of(pointing(0))))]


def test_a_finger_that_wanders_marks_nothing() -> None:
    cursor = Cursor("direct")
    assert not any(cursor.watch(pointing(n, 0.2 + 0.005 * n), n / FPS) for n in range(100))
    assert cursor.at is not None and cursor.progress < 1


def test_the_cursor_moves_as_in_a_mirror_and_reaches_every_corner() -> None:
    for x, y, corner in ((0.1, 0.35, (1.0, 0.0)), (0.9, 1.3, (0.0, 1.0))):
        cursor = Cursor()
        cursor.watch(pointing(0, x, y), 0.0)
        assert cursor.at == corner
    cursor = Cursor()
    cursor.watch(pointing(0, 0.4), 0.0)
    before = cursor.at
    cursor.watch(pointing(1, 0.5), 1 / FPS)
    assert before is not None and cursor.at is not None and cursor.at[0] < before[0]


def test_who_points_again_marks_again() -> None:
    cursor, marks = Cursor(), 0
    for n in range(90):
        state = nobody(n) if 30 <= n < 40 else pointing(n)
        marks += cursor.watch(state, n / FPS) is not None
    assert marks == 2


@pytest.mark.parametrize("shape", ["open_palm", "fist", "victory", "thumb_up"])
def test_other_shapes_point_at_nothing(shape: str) -> None:
    cursor = Cursor()
    assert not any(cursor.watch(shaped(shape, n), n / FPS) for n in range(40))
    assert cursor.at is None


class Standing:
    """An arm that is where it was sent."""

    spec = SPEC

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.reset()

    def reset(self) -> None:
        self.at = np.array(ARM.home, np.float32)

    def observe(self) -> Observation:
        time = self._now()
        images = {"front": np.zeros((32, 48, 3), np.uint8)}
        proprioception = np.concatenate([self.at, np.zeros_like(self.at)])
        return Observation(time, proprioception, images, {"front": time})

    def act(self, action: Action) -> Action:
        self.at = action
        return action

    def close(self) -> None: ...


class Desk:
    """An arm on a desk whose person points: `look(tick)` is what their webcam sees."""

    def __init__(self, look: Callable[[int], HandState], says: dict[int, str]) -> None:
        """Stores; `says`: tick -> words."""
        self.tick, self._says = 0, says
        self.clock = CountedClock(self._nap)
        self.by_hand = ByHand(HandDevice(lambda: look(self.tick)), ARM)

    def _nap(self) -> None:
        self.tick += 1
        if self.tick in self._says:
            self.director.say(self._says[self.tick])

    @contextmanager
    def _bench(self) -> Iterator[SupervisedBench]:
        with Supervised(Standing(self.clock.now)) as arm:
            arm.arm()
            yield SupervisedBench(Opened(arm, arm), MARKS)

    def record(self, root: Path) -> SupervisedBench:
        with self._bench() as bench, DatasetWriter(root, SPEC, marks=MARKS) as writer:
            session = Session(
                bench, lambda _: nullcontext(self.by_hand), PLAN, writer=writer, clock=self.clock
            )
            self.director = Director(session, ready=["", "", ""], review=["keep"])
            session.run()
        return bench


def at(x: float, y: float) -> Point:
    """Where a finger must be before the webcam to point at this place of another picture."""
    tip = tip_of(pointing(0))
    return 0.5 + (1 - (0.2 + 0.6 * x)) - tip[0], 0.5 + (0.2 + 0.6 * y) - tip[1]


def test_what_a_finger_stays_on_is_the_goal_of_the_next_episode(tmp_path: Path) -> None:
    def look(tick: int) -> HandState:
        if tick % 40 < 10:
            return nobody(tick)
        return pointing(tick, *at(0.25, 0.75) if tick < 40 else at(0.5, 0.25))

    desk = Desk(look, {80: "start", 100: "stop"})
    desk.record(tmp_path)
    episode = open_dataset(tmp_path).episode(0)
    assert episode.goal is not None
    np.testing.assert_allclose(episode.goal, [[0.25, 0.75], [0.5, 0.25]], atol=1e-3)
    assert any("hand in " in what for _, what in episode.events)
    aims = [progress.aim for progress in desk.director.told]
    assert [aim for n, aim in enumerate(aims) if aim != aims[n - 1] or n == 0] == [
        "object", "place", "object",
    ]  # fmt: skip


def test_who_says_what_they_aim_at_points_at_that(tmp_path: Path) -> None:
    desk = Desk(lambda tick: pointing(tick, *at(0.25, 0.75)), {2: "aim:place", 60: "finish"})
    assert desk.record(tmp_path).pointed == {"place": pytest.approx((0.25, 0.75), abs=1e-3)}


@pytest.mark.parametrize(
    "says", [{5: "engage"}, {1: "mark:object 0 0 front, mark:place 1 1 front, start"}]
)
def test_a_stretched_finger_that_works_marks_nothing(says: dict[int, str], tmp_path: Path) -> None:
    desk = Desk(lambda tick: pointing(tick, *at(0.25, 0.75)), says | {60: "stop", 65: "finish"})
    pointed = desk.record(tmp_path).pointed
    assert pointed == ({} if 5 in says else {"object": (0.0, 0.0), "place": (1.0, 1.0)})
    assert desk.director.problems == []
