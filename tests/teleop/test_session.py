"""Laws of the recording session: what is recorded, what moves when, and that nothing is lost."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.teleop.bench import (
    SPEC,
    STEP,
    CountedClock,
    Director,
    StickBench,
    opens_push,
)

from demoloop.datasets import DatasetError, DatasetWriter, open_dataset
from demoloop.robot import Action, Observation
from demoloop.teleop.session import Session
from demoloop.teleop.stage import Plan

PLAN = Plan("Push.", 3, 2.0, ("push", "shove", "broken"), countdown_s=0.5)
STEPS = round(PLAN.max_seconds * SPEC.control_hz)


class Scene:
    """One session with a stick, directed, recording into a folder."""

    def __init__(self, root: Path | None, plan: Plan = PLAN, looks: int = 1, **more: Any) -> None:
        self.clock = CountedClock()
        self.bench = StickBench(self.clock.now, looks)
        self.root, self.plan, self.more = root, plan, more
        self.director: Director

    def run(self, after: dict[int, str] | None = None, **lines: list[str]) -> Session:
        """Runs the session; `after`: step -> what is said then."""
        if self.root is None:
            return self._run(None, after, lines)
        with DatasetWriter(self.root, SPEC) as writer:
            return self._run(writer, after, lines)

    def _run(
        self, writer: DatasetWriter | None, after: dict[int, str] | None, lines: Any
    ) -> Session:
        session = Session(
            self.bench, opens_push, self.plan, writer=writer, clock=self.clock, **self.more
        )
        self.director = Director(session, **lines)
        self.director.after = after or {}
        session.run()
        return session


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "data")


def lengths(scene: Scene) -> list[int]:
    assert scene.root is not None
    with suppress(DatasetError):  # there is none
        return [episode.length for episode in open_dataset(scene.root).episodes]
    return []


def test_what_is_sent_between_start_and_stop_is_an_episode(scene: Scene) -> None:
    scene.run({10: "stop"}, ready=["start"], review=["keep"])
    episode = open_dataset(scene.root or Path()).episode(0)
    np.testing.assert_array_equal(episode.actions, np.array(scene.bench.stick.sent))
    assert len(episode) == 10
    assert (episode.task, episode.success, episode.seed) == ("Push.", None, 10_001)
    before = ["moving", "ready", "countdown", "recording", "review", "moving", "ready"]
    assert scene.director.phases == [*before, "finished"]
    assert scene.director.thumbnails == [1]


@pytest.mark.parametrize(
    ("word", "kept", "success", "verdict", "is_again"),
    [
        ("keep", 1, None, "kept", False),
        ("success", 1, True, "success", False),
        ("failure", 1, False, "failure", False),
        ("discard", 0, None, "discarded", False),
        ("redo", 0, None, "discarded", True),
    ],
)
def test_a_word_says_what_becomes_of_a_recording(
    scene: Scene, word: str, kept: int, success: bool | None, verdict: str, is_again: bool
) -> None:
    session = scene.run(ready=["start"], review=[word])
    assert lengths(scene) == [STEPS] * kept
    assert [shown.verdict for shown in session.results] == [verdict]
    assert session.results[0].success is success
    assert scene.bench.prepared == [False, is_again]
    assert not any((scene.root or Path()).glob("demoloop/open/*"))


def test_physics_ends_and_judges_an_episode_that_a_person_keeps(scene: Scene) -> None:
    scene.bench.solved_after = 7
    scene.run(ready=["start"], review=["keep"])
    assert lengths(scene) == [7]
    assert open_dataset(scene.root or Path()).episodes[0].success is True


def test_a_session_ends_by_itself_when_there_is_enough(scene: Scene) -> None:
    scene.run({5: "keep"}, ready=["start"], review=[""])
    assert len(lengths(scene)) == 1  # said once, while it was recorded
    scene.run(ready=["start"] * 9, review=["keep"] * 9)
    assert len(lengths(scene)) == 3
    assert scene.director.phases[-1] == "finished"


def test_an_arm_that_practised_is_brought_back_before_it_is_recorded(scene: Scene) -> None:
    ticks = 0

    def nap() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 10:
            assert not scene.bench.stick.sent  # nothing moves before somebody engages
            scene.director.say("engage")
        if ticks == 40:
            assert scene.bench.stick.at[0] > 0.6
            scene.director.say("start")

    scene.clock = CountedClock(nap)
    scene.run({5: "stop"}, ready=["note:hello"], review=["keep"])
    episode = open_dataset(scene.root or Path()).episode(0)
    assert episode.proprioception[0, 0] == 0.5
    assert scene.bench.prepared == [False, True, False]
    assert len(episode) == 5


def test_a_released_arm_stays_and_goes_on_from_there(scene: Scene) -> None:
    scene.run({10: "release", 20: "engage", 30: "stop"}, ready=["start"], review=["keep"])
    steps = np.diff(open_dataset(scene.root or Path()).episode(0).actions[:, 0])
    assert (steps[:9] > 0).all() and (steps[10:19] == 0).all() and (steps[20:] > 0).all()
    assert np.abs(steps).max() <= 1.01 * STEP


def test_an_arm_that_lags_behind_is_held_where_it_was_sent_and_not_where_it_was_going(
    scene: Scene,
) -> None:
    scene.bench.stick.most = 0.55  # slower than the person, as a supervisor makes an arm
    scene.bench.stick.on_act = lambda count: setattr(
        scene.bench.stick, "most", 3.0 if count > 15 else 0.55
    )
    scene.run({10: "release", 20: "engage", 30: "stop"}, ready=["start"], review=["keep"])
    where = open_dataset(scene.root or Path()).episode(0).actions[:, 0]
    assert set(where[10:20].tolist()) == {np.float32(0.55)}
    assert np.abs(np.diff(where)).max() <= 1.01 * STEP


def test_whoever_leaves_ends_the_recording_and_it_waits_for_a_verdict(scene: Scene) -> None:
    scene.run({8: "left"}, ready=["start"], review=["success"])
    assert lengths(scene) == [8]
    assert scene.bench.num_held >= 3


def test_a_stop_by_emergency_ends_all_motion_and_the_recording_waits(scene: Scene) -> None:
    scene.run({6: "estop"}, ready=["start"], fault=["reset"], review=["keep"])
    phases = scene.director.phases
    assert phases[phases.index("recording") :][:3] == ["recording", "fault", "review"]
    assert scene.director.problems == ["stick stopped: test"]
    assert len(scene.bench.stick.sent) == 6
    assert lengths(scene) == [6]


@pytest.mark.parametrize(("word", "verdict"), [("reset", "success"), ("finish", "kept")])
def test_who_has_lost_sight_of_the_robot_is_heard_all_the_same(
    scene: Scene, word: str, verdict: str
) -> None:
    stick = scene.bench.stick
    stick.on_act = lambda count: setattr(stick, "gone", "unplugged" if count == 6 else "")
    session = scene.run({}, ready=["start"], fault=[word], review=["success"])
    assert scene.director.problems == ["unplugged"]
    assert lengths(scene) == [6]
    assert [shown.verdict for shown in session.results] == [verdict]


def test_a_fault_that_is_not_reset_moves_nothing_and_loses_nothing(scene: Scene) -> None:
    scene.run({6: "estop"}, ready=["start"], fault=["start, engage, redo, home, stop, finish"])
    assert len(scene.bench.stick.sent) == 6
    assert lengths(scene) == [6]
    assert not any(look.is_engaged for look in scene.director.looks if look.phase == "fault")


@pytest.mark.parametrize("word", ["finish", "finish, discard"])
def test_finishing_keeps_what_is_being_recorded(scene: Scene, word: str) -> None:
    scene.run({9: word}, ready=["start"])
    assert lengths(scene) == [9]


def test_an_interrupt_in_the_middle_keeps_what_was_recorded(scene: Scene) -> None:
    def interrupt(count: int) -> None:
        if count == 12:
            raise KeyboardInterrupt

    scene.bench.stick.on_act = interrupt
    with pytest.raises(KeyboardInterrupt):
        scene.run(ready=["start"])
    assert lengths(scene) == [11]


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Lets the system refuse files beyond a size, as a full disk would."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_is_said_and_what_was_written_is_kept(scene: Scene) -> None:
    scene.plan = replace(PLAN, max_seconds=60.0)
    root = scene.root or Path()

    def fill(count: int) -> None:
        # As soon as the log of the steps is as large as files may be from now on.
        if count == 60:
            log = next((root / "demoloop" / "open").glob("*/steps.log"))
            limit[0].__enter__() if log.exists() else None

    limit = [files_up_to(4000)]
    scene.bench.stick.on_act = fill
    try:
        scene.run(ready=["start"])
    finally:
        limit[0].__exit__(None, None, None)
    assert any("the disk is full" in problem for problem in scene.director.problems)
    with DatasetWriter(root, SPEC):
        pass
    assert len(lengths(scene)) == 1
    assert 30 <= lengths(scene)[0] < 1200


def test_a_page_that_is_shown_more_often_sees_each_action_twice_and_records_it_once(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path / "data", looks=2)
    scene.run({10: "stop"}, ready=["start"], review=["keep"])
    episode = open_dataset(tmp_path / "data").episode(0)
    sent = np.array(scene.bench.stick.sent)
    np.testing.assert_array_equal(sent[::2][: len(episode)], episode.actions)
    np.testing.assert_array_equal(sent[: len(sent) // 2 * 2 : 2], sent[1::2])
    np.testing.assert_allclose(np.diff(episode.time), 1 / SPEC.control_hz)
    assert len([look for look in scene.director.looks if look.phase == "recording"]) >= 19


def test_devices_are_changed_between_recordings_only_and_a_missing_one_is_said(
    scene: Scene,
) -> None:
    scene.run(
        {5: "agent:shove", 9: "stop"},
        ready=["agent:broken, agent:shove, agent:nonsense, start"],
        review=["keep"],
    )
    problems = " ".join(scene.director.problems)
    assert "broken is not plugged in" in problems or "no 'nonsense' here" in problems
    assert "stop the recording before" in problems
    assert scene.director.told[-1].agent == "shove"


def test_what_a_person_notes_and_says_is_recorded_with_its_step(scene: Scene) -> None:
    scene.run({4: "note:the cube slipped", 7: "stop"}, ready=["start"], review=["keep"])
    events = open_dataset(scene.root or Path()).episode(0).events
    assert (4, "panel: note the cube slipped") in events
    assert any("panel: stop" in what for _, what in events)


def test_where_physics_judges_each_seed_counts_once(tmp_path: Path) -> None:
    scene = Scene(None, replace(PLAN, judges=True))
    scene.bench.solved_after = 10
    session = scene.run(ready=["start"] * 3)
    assert [shown.seed for shown in session.results] == [10_001, 10_002, 10_003]
    assert all(shown.success for shown in session.results)
    assert scene.bench.prepared == [False] * 3


class Backwards:
    """A policy that pulls where a person pushes."""

    def reset(self) -> None: ...

    def decide(self, observation: Observation) -> Action:
        return observation.proprioception[:2] - np.array([STEP, 0], np.float32)


def test_a_person_takes_over_from_a_policy_and_it_is_recorded_who_decided(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path / "data", policy=Backwards())
    scene.run({10: "take", 20: "give_back"}, ready=["start"], review=["keep"])
    episode = open_dataset(tmp_path / "data").episode(0)
    assert episode.is_takeover is not None
    assert np.flatnonzero(episode.is_takeover).tolist() == list(range(10, 20))
    steps = np.diff(episode.actions[:, 0])
    assert (steps[:9] < 0).all() and (steps[11:19] > 0).all()
    assert np.abs(steps).max() <= 1.5 * STEP  # nobody leaps
