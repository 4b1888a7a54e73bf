"""Laws of the world behind the servos: gravity, walls, and the same arm as in simulation."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from demoloop.robot import RobotError
from demoloop.robot.arms import koch, so101, viperx_300s
from demoloop.robot.arms.arm_model import ArmModel
from demoloop.robot.emulator.chain import TICK_S
from demoloop.robot.emulator.config import LineConfig, ServoConfig, build_chain
from demoloop.robot.emulator.emulator import line_of
from demoloop.robot.emulator.feetech_servo import FeetechServo
from demoloop.robot.emulator.motor import STS3215, Shaft
from demoloop.robot.emulator.physics import World

TORQUE, P, LIMIT = 40, 21, 48

# A bar of 0.2 kg at 0.2 m: 0.39 N m when level; a wall stands where it has turned by 1 rad.
BAR = """
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.002" integrator="implicitfast"/>
  <default>
    <joint damping="0.608" frictionloss="0.052" armature="0.028"/>
    <position kp="17.8" forcerange="-1.9 1.9" inheritrange="1"/>
  </default>
  <worldbody>
    <body name="a">
      <joint name="a/bar" axis="0 -1 0" range="-3 3"/>
      <geom type="capsule" fromto="0 0 0 0.4 0 0" size="0.01" mass="0.2"/>
    </body>
    <body name="b" pos="0 1 0">
      <joint name="b/bar" axis="0 -1 0" range="-3 3"/>
      <geom type="capsule" fromto="0 0 0 0.4 0 0" size="0.01" mass="0.2"/>
    </body>
    <geom type="box" size="0.02 0.1 0.02" pos="0.2 0 0.335"/>
  </worldbody>
  <actuator><position joint="a/bar"/><position joint="b/bar"/></actuator>
</mujoco>
"""


class Bars:
    """Two servos, each with a bar, in one world on one clock."""

    def __init__(self, folder: Path) -> None:
        path = folder / "bars.xml"
        path.write_text(BAR)
        self.world = World(path)
        configs = tuple(ServoConfig(i, joint=f"{name}/bar") for i, name in ((1, "a"), (2, "b")))
        shafts: dict[int, Shaft] = {c.id: self.world.shaft(c, STS3215) for c in configs}
        self.chain = build_chain(LineConfig("arm", "feetech", "", configs), shafts)
        self.world.start_at(0.0)
        self.now = 0.0

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += TICK_S
            self.chain.advance(self.now)
            self.world.advance(self.now)

    def servo(self, number: int = 0) -> FeetechServo:
        servo: FeetechServo = self.chain.servos[number]
        return servo

    def hold(self, number: int = 0, tick: int = 2048) -> None:
        self.servo(number).write(TORQUE, bytes([1, 0, tick & 0xFF, tick >> 8]))

    def angle(self, number: int = 0) -> float:
        return float(self.world.data.qpos[number])


@pytest.fixture
def bars(tmp_path: Path) -> Bars:
    return Bars(tmp_path)


def test_without_torque_it_falls(bars: Bars) -> None:
    bars.wait(1.0)
    assert bars.angle() < -1.0
    assert bars.servo().present_tick < 2048 - 600


def test_with_torque_it_droops_as_much_as_its_stiffness_lets_it(bars: Bars) -> None:
    bars.hold()
    bars.wait(2.0)
    torque = 0.2 * 0.2 * 9.81 * np.cos(bars.angle())
    assert -bars.angle() == pytest.approx(torque / 17.8, abs=0.004)  # friction: 0.052 / 17.8
    # The duty that holds it: 0.166 P per rad.
    assert bars.servo().motor.duty == pytest.approx(0.166 * 32 * -bars.angle(), abs=0.01)


def test_half_the_gain_droops_twice_as_much(bars: Bars) -> None:
    bars.servo(1).write(P, bytes([16]))
    bars.hold(0)
    bars.hold(1)
    bars.wait(2.0)
    assert bars.angle(1) / bars.angle(0) == pytest.approx(2.0, abs=0.25)


def test_a_torque_limit_below_the_load_lets_it_sink(bars: Bars) -> None:
    bars.servo().write(LIMIT, (100).to_bytes(2, "little"))  # 10 % of 1.9 N m; it weighs 0.39
    bars.hold()
    bars.wait(2.0)
    assert bars.angle() < -0.3


@pytest.mark.parametrize(("duty", "rises"), [(300, True), (100, False)])
def test_with_a_duty_it_pushes_and_holds_no_position(bars: Bars, duty: int, rises: bool) -> None:
    bars.servo(1).write(33, b"\2")  # PWM: 0.57 or 0.19 N m against the 0.39 of the bar
    bars.servo(1).write(44, duty.to_bytes(2, "little"))
    bars.servo(1).write(TORQUE, b"\1")
    bars.wait(3.0)
    assert bars.angle(1) > 0.4 if rises else bars.angle(1) < -0.4


def test_switching_off_while_held_lets_it_fall_at_once(bars: Bars) -> None:
    bars.hold()
    bars.wait(1.0)
    bars.servo().write(TORQUE, b"\0")
    bars.wait(0.5)
    assert bars.angle() < -0.5


def test_a_wall_is_felt_in_load_and_current(bars: Bars) -> None:
    for number in (0, 1):
        bars.hold(number, 2048 + 900)  # 1.38 rad; the wall of bar a stands at 1
    bars.wait(1.5)  # not yet the two seconds after which it protects itself
    assert bars.angle(0) == pytest.approx(0.95, abs=0.1)
    assert bars.angle(1) > 1.35
    assert bars.servo(0).motor.duty > 0.9 > 0.4 > bars.servo(1).motor.duty
    assert bars.servo(0).motor.current > 2.0 > 1.0 > bars.servo(1).motor.current


def test_pushing_a_wall_warms_the_motor_up(bars: Bars) -> None:
    bars.servo().write(LIMIT, (700).to_bytes(2, "little"))
    bars.hold(0, 2048 + 900)
    bars.wait(10.0)
    assert bars.servo().motor.temperature > 30
    assert bars.servo(1).motor.temperature == pytest.approx(25, abs=0.1)


def test_a_blocked_joint_stays_whatever_pulls(bars: Bars) -> None:
    bars.servo().motor.shaft.block(True)
    bars.wait(0.5)
    bars.hold(0, 2600)
    bars.wait(1.0)
    assert abs(bars.angle()) < 0.02
    bars.servo().motor.shaft.block(False)
    bars.wait(1.0)
    assert bars.angle() > 0.5


def test_a_placed_world_stays_where_servos_hold_it(bars: Bars) -> None:
    for number in (0, 1):
        bars.hold(number)
    bars.world.place([0.5, -0.5])
    for servo in bars.chain.servos:
        servo.stay()
    bars.wait(1.0)
    assert [bars.angle(0), bars.angle(1)] == pytest.approx([0.5, -0.5], abs=0.04)


@pytest.mark.parametrize("qpos", [[0.0], [0.0, float("nan")]])
def test_a_place_that_is_none_is_refused(bars: Bars, qpos: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        bars.world.place(qpos)


def test_a_hand_leads_a_joint_that_is_off_and_lets_go(bars: Bars) -> None:
    bars.world.drag({"a/bar": 0.8})
    bars.wait(1.5)
    assert bars.angle() == pytest.approx(0.8, abs=0.05)
    bars.world.drag({})
    bars.wait(1.5)
    assert bars.angle() < -0.5


def test_a_push_moves_what_servos_hold_and_ends_with_the_next(bars: Bars) -> None:
    bars.hold()
    bars.wait(1.0)
    before = bars.angle()
    bars.world.push({"a/bar": 1.0})
    bars.wait(1.0)
    assert bars.angle() > before + 0.03
    bars.world.push({})
    bars.wait(1.0)
    assert bars.angle() == pytest.approx(before, abs=0.005)


def test_time_that_was_slept_through_is_skipped(bars: Bars) -> None:
    bars.world.advance(100.0)
    assert bars.world.data.time == pytest.approx(0.1, abs=0.003)


def test_a_joint_that_is_not_there_is_named(bars: Bars) -> None:
    with pytest.raises(RobotError, match=r"no joint 'elbow'.*a/bar"):
        bars.world.shaft(ServoConfig(1, joint="elbow"), STS3215)


ARMS = {"so101": so101.ARM, "koch": koch.ARM, "viperx_300s": viperx_300s.ARM}


def emulated(arm: ArmModel) -> tuple[World, list[Shaft]]:
    world = World(arm.mjcf)
    shafts: list[Shaft] = [world.shaft(servo, STS3215) for servo in line_of(arm).servos]
    world.start_at(0.0)
    return world, shafts


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_begins_folded_and_its_ticks_say_so(name: str) -> None:
    arm = ARMS[name]
    _, shafts = emulated(arm)
    ids = [servo.id for servo in line_of(arm).servos]
    for joint, rest in zip(arm.servos.joints, arm.rest, strict=True):
        position = shafts[ids.index(joint.id)].position
        assert type(position) is float  # numpy's do not pass the control channel
        tick = position * 4096 / (2 * np.pi)
        assert joint.scale.to_joint(tick) == pytest.approx(rest, abs=1e-6)


def test_an_emulated_so101_moves_as_the_simulated_one() -> None:
    """The same targets, through registers here and as `ctrl` there, from the same pose."""
    arm = so101.ARM
    world = World(arm.mjcf)
    line = line_of(arm)
    chain = build_chain(line, {s.id: world.shaft(s, STS3215) for s in line.servos})
    world.start_at(0.0)
    plain = mujoco.MjModel.from_xml_path(str(arm.mjcf))
    data = mujoco.MjData(plain)
    data.qpos[:] = world.data.qpos
    data.ctrl[:] = data.qpos
    for servo in chain.servos:
        servo.write(TORQUE, b"\1")
    targets = np.array(data.qpos)
    rng = np.random.default_rng(0)
    worst = 0.0
    steps_per_act = round(0.04 / plain.opt.timestep)
    for act in range(100):
        targets[:5] += rng.uniform(-0.05, 0.06, 5)
        for joint, servo, target in zip(arm.servos.joints[:5], chain.servos, targets, strict=False):
            servo.write(42, joint.scale.to_tick(float(target)).to_bytes(2, "little"))
        data.ctrl[:] = targets
        for _ in range(steps_per_act):
            mujoco.mj_step(plain, data)
        for tick in range(20):
            now = act * 0.04 + (tick + 1) * TICK_S
            chain.advance(now)
            world.advance(now)
        worst = max(worst, float(np.abs(world.data.qpos - data.qpos).max()))
    # A tick is 0.0015 rad, and the set-point of a servo travels (5.2 rad/s) where `ctrl` leaps.
    assert worst < 0.02
