"""Laws of a run that others look on at: they may hold it, and never delay it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest

from demoloop.deploy.chunks import ActionChunk
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.io_desk import IO_DIED, IoDesk
from demoloop.deploy.local_line import Line
from demoloop.deploy.motion import Motion
from demoloop.deploy.note_line import NoteLine
from demoloop.deploy.notes import (
    FromGuard,
    FromIo,
    Order,
    Pulse,
    Reader,
    Reply,
    Status,
    Verb,
)
from demoloop.deploy.relaxation import RELAXED_SHARE, Relaxation
from demoloop.deploy.run import run_remote
from demoloop.deploy.server import PolicyServer
from demoloop.deploy.standing import Standing
from demoloop.deploy.wire import decode
from demoloop.robot import Action, Observation, RobotSpec

Serving = Callable[..., AbstractContextManager[PolicyServer]]


class Desk:
    """Both ends of a desk, the io process's in our hands; ticks of the run are its clock."""

    def __init__(self, *, needs_operator: bool = False) -> None:
        kind = socket.SOCK_SEQPACKET
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        self.guard: NoteLine[FromIo] = NoteLine(ours, Reader(FromIo))
        self.io: NoteLine[FromGuard] = NoteLine(theirs, Reader(FromGuard))
        self.pictures, self.their_pictures = map(Line, socket.socketpair(socket.AF_UNIX, kind))
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.standing = Standing(needs_operator=needs_operator)
        self.overseer = IoDesk(self.guard, self.pictures, self.standing, self._hear)
        self.heard: list[Any] = []

    def _hear(self, event: str, session: int = 0, **details: Any) -> None:
        self.events.append((event, details))

    def order(self, verb: Verb) -> None:
        self.io.send(Order(1, verb, "ann"))

    def read(self) -> list[Any]:
        self.heard += self.io.receive()
        return self.heard

    def close(self) -> None:
        for line in (self.guard, self.io, self.pictures, self.their_pictures):
            line.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.close()


@pytest.fixture
def connected(serving: Serving, still: Any, spec: RobotSpec) -> Iterator[tuple[RemotePolicy, Any]]:
    with serving(still) as server, RemotePolicy(server.endpoint, spec) as policy:
        yield policy, still


def is_still(robot: Any, since: int) -> bool:
    return bool(np.ptp(np.array(robot.sent[since:]), axis=0).max() == 0)


def test_orders_hold_stop_reset_and_go_steer_the_arm(
    connected: tuple[RemotePolicy, Any], robot: Any, desk: Desk
) -> None:
    """Each order is given once the one before is seen to have come true."""
    policy, _ = connected
    plan: list[tuple[Verb, str]] = [
        ("hold", "holding"), ("go", "running"), ("stop", "stopped"), ("go", "stopped"),
        ("reset", "holding"), ("go", "running"),
    ]  # fmt: skip
    stages: list[tuple[str, int]] = []  # state, ticks before it
    at, is_given = 0, False

    def on_step(observation: Observation, action: Action) -> None:
        nonlocal at, is_given
        desk.io.send(Pulse())
        if at == len(plan):
            return
        verb, state = plan[at]
        status = [note for note in desk.read() if isinstance(note, Reply)]
        if not is_given and (at or len(robot.sent) > 30):
            desk.order(verb)
            is_given = True
        elif len(status) > at and robot_state(policy, desk) == state:
            stages.append((state, len(robot.sent)))
            at, is_given = at + 1, False

    run_remote(
        robot, policy, num_episodes=1, max_steps=3000, on_step=on_step, overseer=desk.overseer,
        has_succeeded=lambda: at == len(plan),
    )  # fmt: skip
    assert [state for state, _ in stages] == [state for _, state in plan]
    replies = [note for note in desk.read() if isinstance(note, Reply)]
    assert [reply.is_done for reply in replies] == [True, True, True, False, True, True]
    assert [reply.mode for reply in replies] == ["hold", "go", "stopped", "stopped", "hold", "go"]
    assert [event for event, _ in desk.events] == ["order"] * 6
    assert {details["who"] for _, details in desk.events} == {"ann"}


def robot_state(policy: RemotePolicy, desk: Desk) -> str:
    """What the newest status or answer says."""
    for note in reversed(desk.heard):
        if isinstance(note, Reply | Status):
            return note.state
    return ""


def test_stopped_arm_rests_whatever_the_policy_answers(
    connected: tuple[RemotePolicy, Any], robot: Any, desk: Desk
) -> None:
    policy, still = connected
    still.offset = 0.1

    def on_step(observation: Observation, action: Action) -> None:
        desk.io.send(Pulse())
        if len(robot.sent) == 40:
            desk.order("stop")

    run_remote(
        robot, policy, num_episodes=1, max_steps=300, on_step=on_step, overseer=desk.overseer
    )
    # Braking takes at most v / a = 0.2 s, ten ticks, after the two it took to hear.
    assert not is_still(robot, 20)
    assert is_still(robot, 40 + 15)
    num_asked = len(still.seen)
    assert num_asked < 100  # nor is the policy asked any more


def test_arm_comes_to_rest_and_the_run_ends_when_the_io_process_has_died(
    connected: tuple[RemotePolicy, Any], robot: Any, desk: Desk
) -> None:
    policy, still = connected
    still.offset = 0.1

    def on_step(observation: Observation, action: Action) -> None:
        if len(robot.sent) == 40:
            desk.io.close()

    report = run_remote(
        robot, policy, num_episodes=5, max_steps=1500, on_step=on_step, overseer=desk.overseer
    )
    assert len(report.episodes) == 1
    assert report.episodes[0].num_steps in (40, 41)
    assert desk.standing.ban == IO_DIED
    steps = np.abs(np.diff(np.array(robot.sent[38:]), axis=0))
    assert np.all(steps[-1] <= steps[0] + 1e-6)
    assert np.abs(steps[-1]).max() < 0.01  # the last of the braking


def test_episode_begins_with_the_operators_word_and_not_before(
    connected: tuple[RemotePolicy, Any], robot: Any
) -> None:
    desk = Desk(needs_operator=True)
    policy, _ = connected
    resets: list[str] = []
    looks = 0
    look = desk.overseer.look

    def counted(*what: Any) -> None:
        nonlocal looks
        looks += 1
        if looks == 5:
            assert resets == []
            desk.io.send(Pulse("ann"))
            desk.order("go")
        elif looks > 5:
            desk.io.send(Pulse("ann"))
        look(*what)

    desk.overseer.look = counted  # type: ignore[method-assign]
    robot.reset = lambda: resets.append("reset")
    report = run_remote(robot, policy, num_episodes=1, max_steps=10, overseer=desk.overseer)
    assert report.episodes[0].num_steps == 10
    assert resets == ["reset"]
    desk.close()


def test_looking_on_never_waits_for_a_process_that_hangs(
    connected: tuple[RemotePolicy, Any], robot: Any, desk: Desk
) -> None:
    """Nobody reads a note or a picture, nor sends a pulse: every tick is made, the arm holds."""
    policy, _ = connected
    desk.io.send(Pulse(is_watched=True))
    report = run_remote(robot, policy, num_episodes=1, max_steps=200, overseer=desk.overseer)
    assert report.episodes[0].num_steps == 200
    reasons = {stretch.reason for stretch in report.episodes[0].timeline}
    assert any("io process shows no sign of life" in reason for reason in reasons)


def test_pictures_reach_who_looks_on_and_only_then(
    connected: tuple[RemotePolicy, Any], robot: Any, desk: Desk
) -> None:
    policy, _ = connected
    num_pictures = {False: 0, True: 0}
    is_watched = False

    def on_step(observation: Observation, action: Action) -> None:
        nonlocal is_watched
        desk.io.send(Pulse(is_watched=is_watched))
        parts = desk.their_pictures.receive()
        if parts is not None:
            num_pictures[is_watched] += 1
            assert decode(parts).arrays["image.front"].shape == (9, 20, 3)
        is_watched = len(robot.sent) > 40

    run_remote(
        robot, policy, num_episodes=1, max_steps=100, on_step=on_step, overseer=desk.overseer
    )
    assert num_pictures[False] == 0
    assert num_pictures[True] >= 5


def test_stopped_motion_takes_no_chunk_until_it_may_wait(spec: RobotSpec) -> None:
    motion = Motion(spec)
    start = np.array([0.1, 0.2, 0.3], np.float32)
    motion.tick(0.0, start)
    motion.hold("stopped by ann", is_stop=True)
    chunk = ActionChunk(np.tile(start + 0.2, (50, 1)), 0.0)
    assert not motion.offer(chunk, 0.01)
    motion.tick(0.02, start)
    assert motion.state == "stopped"
    motion.wait("no chunk yet")
    assert motion.offer(chunk, 0.03)


class Clock:
    def __init__(self) -> None:
        self.time = 10.0

    def __call__(self) -> float:
        return self.time


class Limp:
    """An arm that says how its torque was limited, and gives way when it is."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec
        self.shares: list[float] = []
        self.sent: list[Action] = []
        self.positions = np.array([0.1, 0.2, 0.3], np.float32)

    def limit_torque(self, share: float) -> None:
        self.shares.append(share)

    def reset(self) -> None: ...

    def observe(self) -> Observation:
        return Observation(0.0, np.concatenate([self.positions, 0 * self.positions]), {}, {})

    def act(self, action: Action) -> Action:
        self.sent.append(action)
        return action

    def close(self) -> None: ...


def test_arm_that_holds_for_long_is_relaxed_and_goes_on_where_it_gave_way_to(
    spec: RobotSpec,
) -> None:
    clock = Clock()
    arm, motion = Limp(spec), Motion(spec)
    relaxation = Relaxation(arm, 2.0, clock)
    start = np.array([0.1, 0.2, 0.3], np.float32)
    motion.tick(clock.time, start)
    motion.hold("no sign of life")
    for clock.time in (10.0, 11.9):
        relaxation.look(motion)
    assert arm.shares == []
    clock.time = 12.0
    relaxation.look(motion)
    relaxation.look(motion)
    assert arm.shares == [RELAXED_SHARE]
    sunk = start - 0.05
    motion.wait("no chunk yet")
    relaxation.look(motion)
    assert arm.shares == [RELAXED_SHARE]  # until it moves
    motion.offer(ActionChunk(np.tile(start, (50, 1)), 12.0), 12.01)
    action = motion.tick(12.02, sunk)
    assert np.abs(action - sunk).max() < 0.001  # not back to where it was sent before
    relaxation.look(motion)
    assert arm.shares == [RELAXED_SHARE, 1.0]


def test_episode_after_a_relaxed_hold_begins_where_the_joints_are(spec: RobotSpec) -> None:
    clock = Clock()
    arm, motion = Limp(spec), Motion(spec)
    relaxation = Relaxation(arm, 1.0, clock)
    motion.hold("silence")
    relaxation.look(motion)
    clock.time = 15.0
    relaxation.look(motion)
    relaxation.recover()
    np.testing.assert_array_equal(arm.sent, [arm.positions])
    assert arm.shares == [RELAXED_SHARE, 1.0]


def test_arm_is_never_relaxed_unasked_nor_one_that_cannot_be(spec: RobotSpec, robot: Any) -> None:
    clock = Clock()
    motion = Motion(spec)
    motion.hold("silence")
    arm = Limp(spec)
    for relaxation in (
        Relaxation(arm, None, clock),
        Relaxation(robot, 1.0, clock),
    ):
        for clock.time in (10.0, 1e6):
            relaxation.look(motion)
        assert not relaxation.is_relaxed
    assert arm.shares == []
