"""Laws of driving a hand through space: nothing leaps, nothing winds up, every limit is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.teleop.driven import DT, Driver, Hand, Scripted, random_poses

from demoloop.robot import RobotError
from demoloop.robot.arms import ARMS
from demoloop.teleop.cartesian import MAX_OPENING_RATE, MAX_SPEED, MAX_TURN, Cartesian
from demoloop.teleop.errors import TeleopError
from demoloop.teleop.motion import Motion, Vector
from demoloop.teleop.reach import Workspace

SO101 = ARMS["so101"]
HOME = np.array(SO101.home)
FASTEST = {name: np.array([j.max_velocity for j in arm.spec.joints]) for name, arm in ARMS.items()}
STEP = MAX_SPEED * DT + 1e-9  # m: what the target may move in one control period
EVERYWHERE = Workspace((-2.0, -2.0, -2.0), (2.0, 2.0, 2.0))


def going(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Motion:
    return Motion(is_engaged=True, velocity=np.array([x, y, z]))


def at(position: Vector) -> Motion:
    return Motion(is_engaged=True, position=np.asarray(position, np.float64))


@pytest.fixture
def device() -> Scripted:
    return Scripted()


@pytest.fixture
def cartesian(device: Scripted) -> Cartesian:
    return Cartesian(device, SO101)


@pytest.mark.parametrize("name", ARMS)
def test_neither_target_nor_joints_leap_whatever_a_hand_does(name: str) -> None:
    """Engaged, let go, lost, back, thrown about, out of reach, at any pose, limits included."""
    arm, rng = ARMS[name], np.random.default_rng(3)
    device = Scripted()
    cartesian = Cartesian(device, arm, workspace=EVERYWHERE)
    for pose in random_poses(arm, 12, seed=5):
        driver = Driver(cartesian, pose)
        for _ in range(25):
            device.motion = Motion(
                is_engaged=rng.random() < 0.7,
                position=rng.normal(0, 1.0, 3) if rng.random() < 0.5 else None,
                velocity=rng.normal(0, 0.4, 3),
                turning=rng.normal(0, 3.0, 2),
                roll=float(rng.uniform(-9, 9)) if rng.random() < 0.5 else None,
                opening=float(rng.uniform(-1, 2)) if rng.random() < 0.5 else None,
                opening_rate=float(rng.normal(0, 4)),
            )
            target, joints = cartesian.target, driver.joints
            driver.step()
            assert np.linalg.norm(cartesian.target - target) <= STEP
            assert (np.abs(driver.joints - joints) <= FASTEST[name] * DT + 1e-6).all()
            assert (driver.joints >= arm.spec.low).all()
            assert (driver.joints <= arm.spec.high).all()


@pytest.mark.parametrize("name", ARMS)
def test_engaging_releasing_and_coming_back_never_moves_the_target(name: str) -> None:
    """Where the arm is measured does not matter: it sags, and is outside its limits."""
    arm, rng = ARMS[name], np.random.default_rng(4)
    device = Scripted()
    cartesian = Cartesian(device, arm, workspace=EVERYWHERE)
    for pose in random_poses(arm, 20, seed=6):
        driver = Driver(cartesian, pose)
        driver.measured = lambda joints: joints + 0.2
        target = cartesian.target
        for is_engaged in (True, True, False, True, False, False, True):
            if not is_engaged:
                device.motion = Motion()
            elif not device.motion.is_engaged:  # the hand is somewhere else now
                device.motion = replace(at(rng.normal(0, 1, 3)), roll=float(rng.normal()))
            joints = driver.joints
            driver.step()
            assert np.linalg.norm(cartesian.target - target) < 1e-9
            assert np.abs(driver.joints - joints).max() < 1e-5


def test_a_hand_moves_the_arm_by_as_much_as_it_moves(
    device: Scripted, cartesian: Cartesian
) -> None:
    driver, hand = Driver(cartesian, HOME), Hand(SO101)
    start, way = hand(HOME), np.array([0.06, -0.05, 0.04])
    for share in np.linspace(0, 1, 40):
        device.motion = at(np.array([3.0, -2.0, 1.0]) + share * way)
        driver.step()
    driver.step(5)
    assert np.linalg.norm(hand(driver.joints) - start - way) < 1e-3


@pytest.mark.parametrize("dt", [0.01, 0.02, 0.04, 0.1])
def test_speed_does_not_depend_on_the_rate_of_the_loop(
    device: Scripted, cartesian: Cartesian, dt: float
) -> None:
    driver = Driver(cartesian, HOME, dt)
    start = cartesian.target
    device.motion = going(x=0.1)
    driver.step(round(0.6 / dt))
    assert (cartesian.target - start)[0] == pytest.approx(0.06, abs=0.1 * 0.04 / 2 + 0.1 * dt)


def test_no_speed_is_above_the_limit(device: Scripted, cartesian: Cartesian) -> None:
    driver = Driver(cartesian, HOME)
    device.motion = replace(going(x=9.0), opening_rate=50.0, turning=np.array([0.0, 50.0]))
    for _ in range(12):
        target, joints = cartesian.target, driver.joints
        driver.step()
        assert np.linalg.norm(cartesian.target - target) <= STEP
        assert abs(driver.joints - joints)[-1] <= MAX_OPENING_RATE * DT + 1e-6
        assert abs(driver.joints - joints)[4] <= (MAX_TURN + 0.05) * DT


def test_a_loop_that_was_held_up_makes_up_for_nothing(
    device: Scripted, cartesian: Cartesian
) -> None:
    driver = Driver(cartesian, HOME)
    device.motion = going(x=MAX_SPEED)
    driver.step(5)
    target = cartesian.target
    driver.time += 3.0
    driver.step()
    assert np.linalg.norm(cartesian.target - target) <= MAX_SPEED * 0.1 + 1e-9


def test_letting_go_stops_at_once(device: Scripted, cartesian: Cartesian) -> None:
    driver = Driver(cartesian, HOME)
    device.motion = going(x=0.2)
    driver.step(10)
    device.motion = Motion()
    stopped = driver.joints
    driver.step(5)
    np.testing.assert_array_equal(driver.joints, stopped)
    assert cartesian.state == "idle"


DIRECTIONS = [(1.0, 0, 0), (0, 1.0, 0), (0, 0, 1.0), (0.6, -0.6, 0.5), (-1.0, 0, 0), (0, 0, -1.0)]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", ["so101", "viperx_300s"])
def test_turned_round_after_pushing_out_of_reach_the_arm_moves_at_once(
    name: str, direction: tuple[float, float, float]
) -> None:
    arm, way = ARMS[name], np.array(direction)
    device, hand = Scripted(), Hand(arm)
    cartesian = Cartesian(device, arm)
    driver = Driver(cartesian, np.array(arm.home))
    for share in np.linspace(0, 1, 120):  # by a hand, and beyond anything
        device.motion = at(share * 2.4 * way)
        driver.step()
    stuck = hand(driver.joints)
    assert np.linalg.norm(cartesian.target - stuck) < 0.0031
    for back in range(1, 4):
        device.motion = at((2.4 - 0.006 * back) * way)
        driver.step()
    assert float((hand(driver.joints) - stuck) @ way) < -0.008


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", ["so101", "viperx_300s"])
def test_pushed_into_a_limit_the_arm_comes_to_rest(
    name: str, direction: tuple[float, float, float]
) -> None:
    arm = ARMS[name]
    device = Scripted(going(*(0.15 * np.array(direction))))
    driver = Driver(Cartesian(device, arm), np.array(arm.home))
    driver.step(180)
    joints = np.array([driver.step() for _ in range(15)])
    assert np.abs(np.diff(joints, axis=0)).max() < 0.01


def test_the_hand_stays_above_the_table_and_slides_over_it(
    device: Scripted, cartesian: Cartesian
) -> None:
    driver, hand = Driver(cartesian, HOME), Hand(SO101)
    start = hand(HOME)
    device.motion = going(x=0.1, z=-0.1)
    heights = [hand(driver.step())[2] for _ in range(40)]
    assert min(heights) > 0.007
    assert heights[-1] == pytest.approx(0.008, abs=1e-3)
    assert hand(driver.joints)[0] - start[0] > 0.12
    assert "no further" in cartesian.status


def test_from_outside_the_workspace_there_is_a_way_in_and_no_leap(device: Scripted) -> None:
    hand = Hand(SO101)
    cartesian = Cartesian(device, SO101, workspace=Workspace((0.2, -1, 0.12), (1, 1, 1)))
    driver = Driver(cartesian, HOME)  # at (0.15, 0, 0.066)
    device.motion = going(z=-0.1)
    driver.step(20)
    assert hand(driver.joints) == pytest.approx(hand(HOME), abs=1e-3)
    device.motion = going(x=0.1, z=0.1)
    driver.step(30)
    assert (hand(driver.joints)[[0, 2]] > (0.2, 0.12)).all()


def test_pitch_stays_while_the_hand_moves_about(device: Scripted, cartesian: Cartesian) -> None:
    driver, hand = Driver(cartesian, HOME), Hand(SO101)

    def pitch() -> float:
        return float(np.arcsin(hand.pose(driver.joints)[1][2, 0]))

    start = pitch()
    for way in ((0.08, 0, 0), (0, 0.1, 0), (0, 0, 0.05), (0, -0.18, 0), (0, 0, -0.06)):
        device.motion = going(*way)
        driver.step(25)
        assert pitch() == pytest.approx(start, abs=0.02)  # under way it lags a degree


def test_pitch_gives_way_where_the_wrist_ends_and_comes_back(
    device: Scripted, cartesian: Cartesian
) -> None:
    driver, hand = Driver(cartesian, HOME), Hand(SO101)
    start = hand.pose(driver.joints)[1][2, 0]
    device.motion = going(z=0.1)
    driver.step(50)
    away = hand.pose(driver.joints)[1][2, 0]
    assert hand(driver.joints)[2] - hand(HOME)[2] > 0.18
    device.motion = going(z=-0.1)
    driver.step(50)
    assert abs(away - start) > 0.1
    assert hand.pose(driver.joints)[1][2, 0] == pytest.approx(start, abs=0.02)


@pytest.mark.parametrize("axis", [0, 1])
def test_turning_turns_the_gripper_where_it_is(
    device: Scripted, cartesian: Cartesian, axis: int
) -> None:
    driver, hand = Driver(cartesian, HOME), Hand(SO101)
    device.motion = going(x=0.1, z=0.05)
    driver.step(25)  # off the limits of the wrist
    place, start = hand.pose(driver.joints)
    device.motion = Motion(is_engaged=True, turning=np.eye(2)[axis])
    driver.step(20)
    moved, turned = hand.pose(driver.joints)
    assert np.linalg.norm(moved - place) < 2e-3
    if axis == 0:
        assert turned[2, 0] - start[2, 0] > 0.2  # the tips are higher
    else:
        # Looking down, clockwise from behind is clockwise from above: x of the jaw swings to -y.
        angle = np.arctan2(*(start.T @ turned)[[2, 1], [1, 1]])
        assert angle == pytest.approx(0.76, abs=0.08)


def test_a_roll_that_passes_half_a_turn_goes_on(device: Scripted, cartesian: Cartesian) -> None:
    driver = Driver(cartesian, HOME)
    for roll in np.arange(3.0, 3.4, 0.04):
        device.motion = replace(at(np.zeros(3)), roll=float((roll + np.pi) % (2 * np.pi) - np.pi))
        driver.step()
    # Clockwise from behind is against the joint's axis, which points backwards.
    assert (driver.joints - HOME)[4] == pytest.approx(-0.36, abs=0.04)


def test_joints_are_jogged_one_by_one_and_not_into_the_table(
    device: Scripted, cartesian: Cartesian
) -> None:
    driver, hand = Driver(cartesian, HOME), Hand(SO101)
    device.motion = Motion(is_engaged=True, joints=np.array([0, 0, 0, 0, 0.5, 0]))
    driver.step(10)
    assert driver.joints - HOME == pytest.approx([0, 0, 0, 0, 0.2, 0], abs=1e-3)
    device.motion = Motion(is_engaged=True, joints=np.array([0, 0, 1.0, 0, 0, 0]))
    driver.step(30)
    assert hand(driver.joints)[2] > 0.007
    assert cartesian.target == pytest.approx(hand(driver.joints), abs=1e-6)


NONSENSE = [
    replace(going(), velocity=np.array([0.1, np.nan, 0])),
    replace(going(), velocity=np.array([0.1, 0.0])),
    replace(going(), turning=np.array([np.inf, 0])),
    at(np.array([1e12, 0, 0])),
    replace(going(), opening=float("nan")),
    replace(going(), opening_rate=float("-inf")),
    replace(going(), joints=np.zeros(3)),
    replace(going(), roll="left"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_said_and_moves_nothing(
    device: Scripted, cartesian: Cartesian, nonsense: Motion
) -> None:
    driver = Driver(cartesian, HOME)
    device.motion = going(x=0.1)
    before = driver.step(5)
    device.motion = nonsense
    np.testing.assert_array_equal(driver.step(3), before)
    assert cartesian.state == "lost"
    assert cartesian.status.startswith("script: ")
    assert "expected" in cartesian.status
    device.motion = going(x=0.1)
    assert not np.array_equal(driver.step(2), before)
    assert cartesian.status == ""


def test_a_device_that_is_gone_is_said_and_moves_nothing(
    device: Scripted, cartesian: Cartesian
) -> None:
    driver = Driver(cartesian, HOME)
    device.motion = going(x=0.1)
    before = driver.step(5)

    def gone(time: float) -> Motion:
        raise TeleopError("unplugged; plug it in again")

    device.read = gone  # type: ignore[method-assign]
    np.testing.assert_array_equal(driver.step(3), before)
    assert cartesian.status == "script: unplugged; plug it in again"


def test_reset_forgets_where_the_arm_was(device: Scripted, cartesian: Cartesian) -> None:
    Driver(cartesian, HOME)
    cartesian.reset()
    elsewhere = HOME.copy()
    elsewhere[0] = 0.5
    driver = Driver(cartesian, elsewhere)
    cartesian.reset()
    driver.step()
    assert driver.joints == pytest.approx(elsewhere, abs=1e-6)


def test_an_upside_down_workspace_is_refused() -> None:
    with pytest.raises(TeleopError, match="lowest corner to its highest"):
        Workspace((0.0, 0.0, 0.2), (1.0, 1.0, 0.1))


def test_an_arm_without_a_hand_is_refused(device: Scripted) -> None:
    bare = replace(SO101, spec=replace(SO101.spec, joints=SO101.spec.joints[:-1]))
    with pytest.raises(TeleopError, match="no gripper"):
        Cartesian(device, bare)
    with pytest.raises(RobotError, match="no site 'tcp'"):
        scene = SO101.mjcf.parents[2] / "sim" / "scene.xml"
        Cartesian(device, replace(SO101, mjcf=scene))
