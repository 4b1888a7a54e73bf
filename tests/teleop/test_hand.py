"""Laws of the hand as a device: what it measures, and that it never makes an arm leap."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from tests.teleop.hand_shapes import (
    FPS,
    HEIGHT,
    WIDTH,
    bent,
    clip_states,
    nobody,
    pan_and_zoom,
    recorded,
    shaped,
    state_of,
)
from tests.teleop.hands import look

from demoloop.robot.arms.so101 import ARM
from demoloop.teleop import TeleopError
from demoloop.teleop.cartesian import Cartesian
from demoloop.teleop.hand import NOT_MET, HandDevice
from demoloop.teleop.hand_path import DEPTH_DEAD_M, DEPTH_GAIN, HandPath
from demoloop.teleop.hand_pose import FOCAL, HandPose, measure
from demoloop.teleop.hand_state import PALM, HandState, Vector
from demoloop.teleop.motion import Motion
from demoloop.teleop.person import Person


class Watched:
    """A hand device and what it is shown."""

    def __init__(self, **how: object) -> None:
        self.state: HandState | None = None
        self.device = HandDevice(lambda: self.state, **how)  # type: ignore[arg-type]
        self.time = 0.0

    def show(self, state: HandState | None) -> Motion:
        self.state = state
        self.time += 1 / FPS
        return self.device.read(self.time)

    def show_all(self, states: Iterable[HandState]) -> Motion:
        """Shows one after the other; returns what the last one meant."""
        return [self.show(state) for state in states][-1]


def panned() -> list[HandState]:
    flat, world = recorded("panned")
    return [state_of(*pair, number) for number, pair in enumerate(zip(flat, world, strict=True))]


def followed(states: Iterable[HandState]) -> Vector:
    """Where an engaged hand goes, (n, 3) m."""
    watched = Watched()
    watched.device.engage()
    positions = [watched.show(state).position for state in states]
    return np.array([np.zeros(3) if p is None else p for p in positions])


def truth() -> Vector:
    """Where the hand was made to go (n, 3): away, to the left and up as a mirror shows it."""
    shift, zoom = pan_and_zoom()
    flat, _ = recorded("clip")
    middle = flat[300, list(PALM)].mean(axis=0) * (WIDTH, HEIGHT)
    about = np.array([360.0, 190.0])
    pixels = (middle - about) * zoom[:, None] + about + shift - (WIDTH / 2, HEIGHT / 2)
    depth = 0.7 / zoom
    across = pixels / (FOCAL * WIDTH) * depth[:, None]
    return np.stack([depth, -across[:, 0], -across[:, 1]], axis=1)


@pytest.mark.parametrize(("axis", "least"), [(0, 0.95), (1, 0.99), (2, 0.99)])
def test_known_pan_and_zoom_of_a_filmed_hand_are_found(axis: int, least: float) -> None:
    assert np.corrcoef(truth()[:, axis], followed(panned())[:, axis])[0, 1] >= least


@pytest.mark.parametrize("axis", [1, 2])
def test_filtering_is_late_by_at_most_two_pictures(axis: int) -> None:
    wanted, found = truth()[20:-20, axis], followed(panned())[:, axis]
    late = [np.corrcoef(wanted, found[20 + k : len(found) - 20 + k])[0, 1] for k in range(8)]
    assert int(np.argmax(late)) <= 2


def test_a_still_hand_stands_still() -> None:
    rng = np.random.default_rng(0)
    flat, world = recorded("clip")
    shaken = 1.6e-3 / 0.7 * FOCAL * WIDTH / np.sqrt(2)  # px: the jitter of real still hands
    states = [
        state_of(flat[300] + rng.normal(0, shaken, 2) / (WIDTH, HEIGHT), world[300], n)
        for n in range(150)
    ]
    across = followed(states)[30:, 1:]
    assert np.diff(across, axis=0).std(axis=0).max() < 2e-3


def test_moving_fingers_move_the_arm_little() -> None:
    depth = [measure(state, Person()).depth for state in clip_states()]
    moved = followed(clip_states())
    assert np.std(depth) > 0.04  # what they look like
    assert np.std(moved[:, 0]) < 0.01


def way(depth: Vector, pinch: Vector) -> Vector:
    """Where a hand in the middle of the picture goes (n, 3), camera axes, so far and so pinched."""
    path, middle = HandPath(), np.zeros(2)
    looks = zip(depth.tolist(), pinch.tolist(), strict=True)
    return np.array([path(HandPose(middle, d, 0.0, p), n / FPS) for n, (d, p) in enumerate(looks)])


def test_a_quick_pinch_that_looks_like_depth_moves_the_arm_later_and_less_at_once() -> None:
    depth = np.repeat([0.7, 0.76], [30, 6])  # the hand looks farther as it closes
    closed, still = np.repeat([1.0, 0.1], [29, 7]), np.full(36, 1.0)
    assert abs(way(depth, closed)[-2, 2]) < 0.003 < 0.01 < way(depth, still)[-2, 2]


def test_errors_of_depth_do_not_add_up() -> None:
    """Closed quickly and opened slowly, over and over: the hand is where it was."""
    once = np.concatenate([[0.7, 0.76], np.linspace(0.76, 0.7, 20)])
    pinch = np.concatenate([[1.0, 0.1], np.linspace(0.1, 1.0, 20)])
    depths, pinches = np.tile(once, 20), np.tile(pinch, 20)
    gone = way(np.append(depths, np.full(60, 0.7)), np.append(pinches, np.ones(60)))
    assert abs(gone[-1, 2]) <= DEPTH_GAIN * DEPTH_DEAD_M


def test_any_points_at_all_are_measured() -> None:
    rng = np.random.default_rng(5)
    hands = [(np.full((21, 2), 0.5), np.zeros((21, 3)))]  # all in one
    hands += [(rng.random((21, 2)), rng.normal(0, 0.1, (21, 3))) for _ in range(300)]
    poses = [measure(state_of(*points, 0), Person()) for points in hands]
    assert all(0.1 <= pose.depth <= 3.0 for pose in poses)


@pytest.mark.parametrize("view", ["opposite", "behind", "above"])
def test_views_agree_with_where_a_person_stands(view: str) -> None:
    watched = Watched(view=view)
    watched.device.engage()
    right = [bent((0, 0, 0, 0), 1, n, at=(0.5 + 0.005 * n, 0.5)) for n in range(30)]
    moved = [watched.show(state).position for state in right][-1]
    assert moved is not None
    left_of_base = {"opposite": -1, "behind": 1, "above": -1}[view]
    assert moved[1] * left_of_base > 0.05
    assert np.abs(moved[[0, 2]]).max() < 0.01


def test_a_lost_hand_releases_and_does_not_come_back_engaged() -> None:
    watched = Watched()
    watched.device.engage()
    assert watched.show_all(shaped("open_palm", number) for number in range(10)).is_engaged
    for number in range(10, 15):
        assert watched.show(nobody(number)).is_engaged
    assert not watched.show_all(nobody(number) for number in range(15, 18)).is_engaged
    assert not watched.show(shaped("pointing", 18)).is_engaged


def test_a_tracker_that_says_nothing_more_releases() -> None:
    watched = Watched()
    watched.device.engage()
    state = shaped("pointing", 0)
    said = [watched.show(state).is_engaged for _ in range(9)]
    assert said[0] and not said[-1]


def test_jumps_of_the_tracker_are_left_out() -> None:
    watched = Watched()
    watched.device.engage()
    states = [bent((0, 0, 0, 0), 1, n, at=(0.3 if n % 20 < 10 else 0.7, 0.5)) for n in range(60)]
    positions = np.array([watched.show(state).position for state in states])
    assert np.abs(np.diff(positions, axis=0)).max() < 1e-3


def test_pinch_works_the_gripper_by_the_persons_own_range() -> None:
    person = Person(pinch_closed=0.3, pinch_open=0.9)
    assert [person.opening(p) for p in (0.1, 0.3, 0.6, 0.9, 2.0)] == pytest.approx(
        [0, 0, 0.5, 1, 1]
    )
    watched = Watched(person=person)
    watched.device.engage()
    openings = [watched.show(state).opening for state in clip_states()]
    seen = [o for o in openings if o is not None]
    assert min(seen) < 0.1 and max(seen) > 0.9


def test_engaging_again_does_not_open_a_gripper_that_holds() -> None:
    watched = Watched()
    watched.device.engage()
    pinched = [bent((0.75, 0.2, 0.2, 0.2), 0.4, n) for n in range(30)]
    held = watched.show_all(pinched).opening
    assert held is not None and held < 0.6
    watched.device.release()
    for number in range(30, 60):
        watched.show(shaped("pointing", number))
    watched.device.engage()
    after = [watched.show(shaped("open_palm", n)).opening for n in range(60, 90)]
    assert after == [held] * 30
    again = [watched.show(bent((0.75, 0.2, 0.2, 0.2), 0.4, n)) for n in range(90, 120)]
    opened = [watched.show(shaped("open_palm", n)).opening for n in range(120, 150)]
    assert again[-1].opening == pytest.approx(held, abs=0.1)
    assert opened[-1] is not None and opened[-1] > 0.9


def test_an_arm_never_leaps_whatever_the_clutch_does() -> None:
    """Engaged, released, lost, back, at any pose: the target moves with the hand or not at all."""
    rng = np.random.default_rng(3)
    watched = Watched()
    agent = Cartesian(watched.device, ARM)
    at, palm, act, last = (0.5, 0.5), 0.3, 0, agent.target
    jumps = []
    for number in range(1500):
        if number % 25 == 0:
            act = int(rng.integers(5))
            if not watched.device.is_engaged or act == 2:  # unseen, the hand goes anywhere
                at, palm = (rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7)), rng.uniform(0.2, 0.5)
            if act == 0:
                watched.device.engage()
            elif act == 1:
                watched.device.release()
        elif act == 3:
            watched.device.engage()
        is_seen = act != 2
        hand = bent((0, 0, 0, 0), 1, number, at=at, palm=palm)
        watched.state = hand if is_seen else nobody(number)
        agent.decide(look(ARM.home, number / FPS))
        jumps.append(float(np.linalg.norm(agent.target - last)))
        last = agent.target
    assert max(jumps[1:]) <= 0.005  # the first look is where the arm stands


def test_raw_and_filtered_are_both_there() -> None:
    watched = Watched()
    for state in panned()[:60]:
        watched.show(state)
    assert watched.device.raw is not None and watched.device.filtered is not None


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (nobody(0, brightness=10.0), "too dark"),
        (nobody(0), "no hand"),
        (shaped("open_palm", 0, palm=0.1), "far away"),
        (shaped("open_palm", 0), ""),
        (None, "no picture"),
    ],
)
def test_what_would_help_is_said(state: HandState | None, said: str) -> None:
    watched = Watched()
    motion = watched.show(state)
    assert said in motion.status if said else not motion.status


def test_held_gestures_engage_and_are_told_once() -> None:
    watched = Watched()
    assert watched.show_all(shaped("open_palm", number) for number in range(22)).is_engaged
    assert watched.device.commands() == ["open_palm"]
    assert watched.device.commands() == []
    assert not watched.show_all(shaped("fist", number) for number in range(22, 50)).is_engaged
    assert watched.device.commands() == ["fist"]


def test_an_unknown_view_lists_the_known_ones() -> None:
    with pytest.raises(TeleopError, match="opposite, behind, above"):
        Watched(view="sideways")


def test_a_gripper_that_is_taken_over_stays_until_the_pinch_has_met_it() -> None:
    watched = Watched()
    watched.device.begin(0.43)
    watched.device.engage()
    opened = [watched.show(shaped("open_palm", n)) for n in range(20)]
    assert {motion.opening for motion in opened} == {0.43}
    assert opened[-1].status == NOT_MET
    pinched = [watched.show(bent((0.75, 0.2, 0.2, 0.2), 0.4, n)) for n in range(20, 50)]
    again = watched.show_all(shaped("open_palm", n) for n in range(50, 80))
    assert pinched[-1].opening is not None and pinched[-1].opening != 0.43
    assert not pinched[-1].status
    assert again.opening is not None and again.opening > 0.9
