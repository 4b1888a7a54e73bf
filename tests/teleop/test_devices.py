"""Laws of every device that is driven through inputs, and what each says of its own."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest
from tests.teleop.driven import DT, Driver, Hand

from demoloop.robot.arms import ARMS
from demoloop.teleop.cartesian import MAX_SPEED, Cartesian
from demoloop.teleop.devices import TELEOPERATORS
from demoloop.teleop.errors import TeleopError
from demoloop.teleop.gamepad import GamepadState
from demoloop.teleop.inputs import STALE_AFTER_S, Inputs
from demoloop.teleop.keyboard import FINE_SPEED, KEYS, MAX_HELD, SPEED, KeyboardState
from demoloop.teleop.phone import TILT_FULL, PhoneState
from demoloop.teleop.spacemouse import SpaceMouseReader, SpaceMouseState

SO101 = ARMS["so101"]
HOME = np.array(SO101.home)


class Clock:
    time = 50.0

    def __call__(self) -> float:
        return self.time


def pad(*axes: float, **buttons: float) -> GamepadState:
    values = [0.0] * 17
    for name, value in buttons.items():
        values[int(name[1:])] = value
    return GamepadState((*axes, *[0.0] * (4 - len(axes))), tuple(values))


def phone(**said: object) -> PhoneState:
    return msgspec.convert({"is_held": True, **said}, PhoneState)


def turned_phone(x: float, y: float, z: float, roll: float = 0.0) -> PhoneState:
    return phone(pose=(x, y, z, math.cos(roll / 2), 0.0, 0.0, -math.sin(roll / 2)))


# Device -> states: the first is only taken hold of, the second moves the arm forward.
FORWARD: dict[str, tuple[object, object]] = {
    "keyboard": (KeyboardState(), KeyboardState(("KeyW",))),
    "gamepad": (pad(), pad(0.0, -0.9)),
    "phone": (phone(drag=(0.0, 0.0)), phone(drag=(0.0, -120.0))),
    "spacemouse": (SpaceMouseState(), SpaceMouseState(way=(0.7, 0, 0))),
}
NAMES = sorted(set(TELEOPERATORS) & set(FORWARD))


@dataclass
class Bench:
    """An arm and a person who says the same until they say something else."""

    device: str
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.inputs = Inputs(self.clock)
        self.agent: Cartesian = TELEOPERATORS[self.device](self.inputs, SO101)
        self.driver = Driver(self.agent, HOME)
        self.hand = Hand(SO101)

    def say(self, state: object, steps: int = 1) -> np.ndarray:
        """Returns how the hand moved (3,) [m]."""
        before = self.hand(self.driver.joints)
        for _ in range(steps):
            self.inputs.put(self.device, state)
            self.driver.step()
            self.clock.time += DT
        return self.hand(self.driver.joints) - before


def test_every_device_has_its_laws_tested() -> None:
    assert set(TELEOPERATORS) - set(FORWARD) <= {"hand"}  # which has tests of its own


@pytest.mark.parametrize("name", NAMES)
def test_forward_is_forward(name: str) -> None:
    bench, (held, moved) = Bench(name), FORWARD[name]
    bench.say(held, 2)
    way = bench.say(moved, 10)
    assert way[0] > 0.02
    assert np.abs(way[1:]).max() < 0.003


@pytest.mark.parametrize("name", NAMES)
def test_beginning_and_taking_hold_move_nothing(name: str) -> None:
    bench, (held, _) = Bench(name), FORWARD[name]
    elsewhere = HOME.copy()
    elsewhere[:2] += 0.3
    bench.agent.begin(elsewhere.astype(np.float32))
    bench.driver.joints = elsewhere
    bench.say(held, 3)
    assert bench.driver.joints == pytest.approx(elsewhere, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_whoever_falls_silent_has_let_go(name: str) -> None:
    bench, (held, moved) = Bench(name), FORWARD[name]
    bench.say(held)
    bench.say(moved, 5)
    bench.clock.time += STALE_AFTER_S
    stopped = bench.driver.step()
    np.testing.assert_array_equal(bench.driver.step(5), stopped)
    assert bench.agent.state == "idle"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_said_moves_nothing(name: str) -> None:
    bench = Bench(name)
    assert bench.driver.step(5) == pytest.approx(HOME, abs=1e-6)
    bench.say(object(), 3)
    assert bench.driver.joints == pytest.approx(HOME, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_reset_forgets_and_limits_are_kept(name: str) -> None:
    bench, (held, moved) = Bench(name), FORWARD[name]
    bench.say(held)
    for _ in range(30):
        before = bench.agent.target
        bench.say(moved)
        assert np.linalg.norm(bench.agent.target - before) <= MAX_SPEED * DT + 1e-9
    bench.agent.reset()
    bench.driver.joints = HOME
    bench.say(held, 2)
    assert bench.driver.joints == pytest.approx(HOME, abs=1e-6)


def test_fine_is_finer_and_diagonal_is_both() -> None:
    bench = Bench("keyboard")
    bench.say(KeyboardState(("KeyW", "KeyA")), 5)  # up to speed
    way = bench.say(KeyboardState(("KeyW", "KeyA")), 5)
    assert way[:2] == pytest.approx(np.full(2, SPEED * 5 * DT), rel=0.1)
    bench.say(KeyboardState(("KeyD", "ShiftLeft")), 5)
    way = bench.say(KeyboardState(("KeyD", "ShiftLeft")), 5)
    assert way[1] == pytest.approx(-FINE_SPEED * 5 * DT, rel=0.1)


@pytest.mark.parametrize("code", [key.code for key in KEYS if key.moves])
def test_each_key_of_the_table_moves_the_arm_and_its_opposite_undoes_it(code: str) -> None:
    bench = Bench("keyboard")
    bench.say(KeyboardState(("KeyW", "KeyE")), 15)  # to where there is room
    start = bench.driver.joints
    bench.say(KeyboardState((code,)), 4)
    assert np.abs(bench.driver.joints - start).max() > 0.01
    key = next(key for key in KEYS if key.code == code)
    opposite = next(
        other.code
        for other in KEYS
        if (other.moves, other.axis) == (key.moves, key.axis) and other.sign == -key.sign
    )
    bench.say(KeyboardState((code, opposite)), 10)  # comes to rest
    rest = bench.driver.joints
    bench.say(KeyboardState((code, opposite)), 3)
    assert bench.driver.joints == pytest.approx(rest, abs=1e-6)


def test_a_digit_and_an_arrow_jog_one_joint() -> None:
    bench = Bench("keyboard")
    bench.say(KeyboardState(("Digit1", "ArrowUp")), 10)
    assert (bench.driver.joints - HOME)[0] > 0.2
    assert (bench.driver.joints - HOME)[1:] == pytest.approx(np.zeros(5), abs=1e-6)
    bench.say(KeyboardState(("Digit6", "ArrowDown")), 10)
    assert (bench.driver.joints - HOME)[-1] < -0.2
    bench.say(KeyboardState(("Digit7", "ArrowUp")), 3)  # this arm has six


def test_a_stick_that_is_worn_stands_still_and_triggers_grip() -> None:
    bench = Bench("gamepad")
    bench.say(pad(0.1, -0.1, 0.05, 0.05), 5)
    assert bench.driver.joints == pytest.approx(HOME, abs=1e-6)
    bench.say(pad(b7=1.0), 5)
    assert bench.driver.joints[-1] < HOME[-1] - 0.2
    bench.say(pad(b6=1.0), 10)
    assert bench.driver.joints[-1] > HOME[-1]


def test_a_stick_pushed_nearly_straight_goes_as_it_is_pushed() -> None:
    bench = Bench("gamepad")
    bench.say(pad(-0.1, -0.9), 5)
    way = bench.say(pad(-0.1, -0.9), 5)
    assert way[1] / way[0] == pytest.approx(1 / 9, abs=0.03)


def test_a_pad_of_another_mapping_is_said_and_moves_nothing() -> None:
    bench = Bench("gamepad")
    bench.say(GamepadState((0.0, -1.0), (1.0,)), 3)
    assert bench.driver.joints == pytest.approx(HOME, abs=1e-6)
    assert "standard mapping" in bench.agent.status


def test_a_new_touch_moves_nothing_even_if_letting_go_was_not_seen() -> None:
    bench = Bench("phone")
    bench.say(phone(touch=1, drag=(0.0, 0.0)), 2)
    bench.say(phone(touch=1, drag=(0.0, -200.0)), 20)
    there = bench.driver.joints
    bench.say(phone(touch=2, drag=(0.0, 0.0)), 5)
    assert bench.driver.joints == pytest.approx(there, abs=1e-6)


def test_tilting_a_phone_lifts_the_arm_and_rolls_it() -> None:
    bench = Bench("phone")
    bench.say(phone(drag=(0, 0), tilt=(40.0, 0.0, 7.0)), 2)
    way = bench.say(phone(drag=(0, 0), tilt=(40.0 + TILT_FULL, 30.0, 9.0)), 20)
    assert way[2] > 0.06
    assert abs(bench.driver.joints - HOME)[4] == pytest.approx(np.pi / 6, abs=0.05)


def test_a_phone_with_a_pose_is_followed_and_rolled() -> None:
    bench = Bench("phone")
    bench.say(turned_phone(1.0, 1.0, 1.0, roll=3.0), 2)
    way = bench.say(turned_phone(1.0 - 0.05, 1.0 + 0.04, 1.0 - 0.06, roll=3.4), 20)
    assert way == pytest.approx([0.06, 0.05, 0.04], abs=2e-3)
    assert abs(bench.driver.joints - HOME)[4] == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize(
    ("kind", "nonsense"),
    [
        (KeyboardState, {"held": ["KeyW"] * (MAX_HELD + 1)}),
        (KeyboardState, {"held": ["K" * 100]}),
        (KeyboardState, {"held": "KeyW"}),
        (KeyboardState, {"held": [7]}),
        (KeyboardState, {"keys": []}),
        (GamepadState, {"axes": [float("nan")]}),
        (GamepadState, {"axes": [1e9]}),
        (GamepadState, {"buttons": [-1.0]}),
        (GamepadState, {"axes": [0.0] * 1000}),
        (PhoneState, {"drag": [float("inf"), 0.0]}),
        (PhoneState, {"drag": [0.0]}),
        (PhoneState, {"tilt": [float("nan"), 0.0, 0.0]}),
        (PhoneState, {"pose": [0, 0, 0, 0, 0, 0, 0]}),
        (PhoneState, {"opening": 2.0}),
        (PhoneState, {"is_held": "yes"}),
        (SpaceMouseState, {"way": [0.0, float("nan"), 0.0]}),
    ],
)
def test_nonsense_is_refused_in_one_sentence(kind: type, nonsense: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.convert(nonsense, kind)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) > 10


@dataclass
class Reports:
    """Stands for pyspacemouse's state: as of the last report."""

    t: float = -1.0
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0
    buttons: list[int] = field(default_factory=lambda: [0, 0])


class LooseCap:
    """A cap that says what the test queued, one report a read, and may be unplugged."""

    def __init__(self) -> None:
        self.state = Reports()
        self.queue: list[Mapping[str, object]] = []
        self.is_plugged, self.is_closed = True, False

    def read(self) -> Reports:
        if not self.is_plugged:
            raise OSError("no such device")
        if self.queue:
            for name, value in self.queue.pop(0).items():
                setattr(self.state, name, value)
            self.state.t += 1.0
        return self.state

    def close(self) -> None:
        self.is_closed = True


def next_of(inputs: Inputs) -> SpaceMouseState:
    """Returns the next state that is put, whatever it is."""
    inputs.release_all()
    for _ in range(1000):
        if state := inputs.latest("spacemouse", SpaceMouseState):
            return state
        threading.Event().wait(0.005)
    raise AssertionError("nothing was read in 5 s")


def test_a_spacemouse_is_read_until_nothing_waits_and_said_to_be_gone() -> None:
    inputs, cap = Inputs(), LooseCap()
    cap.queue.extend([{"x": 0.1}] * 20)
    cap.queue.extend([{"x": 0.5, "yaw": -0.25}, {"buttons": [1, 0]}])
    with SpaceMouseReader(inputs, lambda: cap):
        # All that waited was taken in at once: way and buttons come in different reports.
        assert next_of(inputs) == SpaceMouseState((0.5, 0, 0), (0, 0, -0.25), (True, False))
        agent = TELEOPERATORS["spacemouse"](inputs, SO101)
        cap.is_plugged = False
        gone = "cannot be read any more (no such device); plug it in and begin anew"
        next_of(inputs)  # one may have been under way
        assert next_of(inputs) == SpaceMouseState(problem=gone)
        driver = Driver(agent, HOME)
        assert agent.status == f"spacemouse: {gone}"
        assert driver.step(3) == pytest.approx(HOME, abs=1e-6)
    assert cap.is_closed


def test_without_the_library_a_sentence_says_what_to_install() -> None:
    with (
        pytest.raises(TeleopError, match=r"demoloop\[spacemouse\]|no SpaceMouse"),
        SpaceMouseReader(Inputs()),
    ):
        pass
