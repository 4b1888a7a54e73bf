"""Laws of setting ids: one servo at a time, and never two with one id."""

from __future__ import annotations

import re

import pytest
from tests.robot.calibration.bench import Bench, built_arm, new_servo

from demoloop.robot import RobotError
from demoloop.robot.arms import ARMS, ArmModel
from demoloop.robot.calibration.ids import Found, IdSetting
from demoloop.robot.calibration.servos import Servos
from demoloop.robot.emulator.dynamixel_servo import DynamixelServo
from demoloop.robot.emulator.feetech_servo import FeetechServo
from demoloop.robot.emulator.motor import FreeShaft

SO101, KOCH = ARMS["so101"], ARMS["koch"]
FEW = range(12)  # ids to look at, where looking at all is not the point


@pytest.fixture(params=["so101", "koch", "viperx_300s"])
def arm(request: pytest.FixtureRequest) -> ArmModel:
    return ARMS[request.param]


@pytest.fixture
def bench(arm: ArmModel) -> Bench:
    return Bench(arm.servos.bus)


def table(servo: FeetechServo | DynamixelServo) -> dict[str, int]:
    """What lasts in a servo once its power was off and on."""
    servo.restart()
    return {name: servo.memory[name] for name in ("id", "baud")}


def test_new_servos_get_the_ids_of_the_arm_and_keep_them(arm: ArmModel, bench: Bench) -> None:
    setting, servos = IdSetting(arm, bench.make_bus), []
    for name in setting.ids:
        servo = new_servo(arm, name)
        bench.plug_in([servo])
        setting.give(name, setting.find(FEW))
        servos.append(servo)
    code = {"feetech": 0, "dynamixel": 3}[arm.servos.bus]
    assert [table(servo) for servo in servos] == [
        {"id": servo_id, "baud": code} for servo_id in setting.ids.values()
    ]


def test_arm_whose_servos_got_their_ids_is_complete(arm: ArmModel, bench: Bench) -> None:
    setting, servos = IdSetting(arm, bench.make_bus), []
    for name in setting.ids:
        servos.append(new_servo(arm, name))
        bench.plug_in(servos[-1:])
        setting.give(name, setting.find(FEW))
    bench.plug_in(servos)
    bus = bench.make_bus(arm.servos.baud)
    assert [it.id for it in Servos(arm, bus).reports()] == list(setting.ids.values())


def test_servo_of_any_id_and_baud_rate_is_found(arm: ArmModel, bench: Bench) -> None:
    servo = new_servo(arm, next(iter(IdSetting(arm, bench.make_bus).ids)), baud=115_200)
    servo.memory["id"] = 217
    bench.plug_in([servo])
    found = IdSetting(arm, bench.make_bus).find()
    assert (found.id, found.baud) == (217, 115_200)


def test_no_servo_is_not_guessed_at(arm: ArmModel, bench: Bench) -> None:
    with pytest.raises(RobotError, match="no servo answers at any baud rate; plug in exactly one"):
        IdSetting(arm, bench.make_bus).find(FEW)


def test_two_servos_of_different_ids_are_refused(arm: ArmModel, bench: Bench) -> None:
    bench.plug_in(built_arm(arm)[:2])
    with pytest.raises(RobotError, match=re.escape("2 servos answer (1 at 1000000 baud, 2 at")):
        IdSetting(arm, bench.make_bus).find(FEW)


@pytest.mark.parametrize("seed", range(10))
def test_two_servos_of_one_id_are_refused_and_left_alone(
    arm: ArmModel, bench: Bench, seed: int
) -> None:
    name = next(iter(IdSetting(arm, bench.make_bus).ids))
    servos = [new_servo(arm, name, at=1.0 + 0.7 * i + 0.01 * seed) for i in range(2)]
    bench.plug_in(servos)
    with pytest.raises(RobotError, match="two servos share that id"):
        IdSetting(arm, bench.make_bus).find(FEW)
    assert [table(servo)["id"] for servo in servos] == [1, 1]


def test_servo_that_has_its_id_stays_as_it_is(arm: ArmModel, bench: Bench) -> None:
    servo = built_arm(arm)[1]
    bench.plug_in([servo])
    setting = IdSetting(arm, bench.make_bus)
    name = list(setting.ids)[1]
    assert setting.give(name, setting.find(FEW)) == f"{name}: is servo 2 already"
    assert table(servo)["id"] == 2


def test_servo_of_another_model_is_refused_before_anything_is_written() -> None:
    bench, servo = Bench("dynamixel"), DynamixelServo(1, "xl330-m288", baud=57_600)
    bench.plug_in([servo])
    setting = IdSetting(KOCH, bench.make_bus)
    with pytest.raises(RobotError, match=r"model 1200; shoulder_lift of koch takes xl430-w250"):
        setting.give("shoulder_lift", setting.find(FEW))
    assert table(servo) == {"id": 1, "baud": 1}


@pytest.mark.parametrize("num_writes", range(8))
def test_what_was_broken_off_anywhere_is_finished_by_doing_it_again(num_writes: int) -> None:
    bench, servo = Bench("dynamixel"), DynamixelServo(1, "xl330-m288", baud=57_600)
    bench.plug_in([servo])
    setting = IdSetting(KOCH, bench.make_bus)
    count, write = 0, servo.write

    def broken_off(address: int, data: bytes) -> int:
        nonlocal count
        count += 1
        if count > num_writes:
            raise KeyboardInterrupt
        return write(address, data)

    servo.write = broken_off  # type: ignore[method-assign]
    try:
        setting.give("wrist_roll", setting.find(FEW))
    except KeyboardInterrupt:
        servo.write = write  # type: ignore[method-assign]
        setting.give("wrist_roll", setting.find(FEW))
    assert table(servo) == {"id": 5, "baud": 3}


@pytest.mark.parametrize("num_writes", range(4))
def test_feetech_servo_broken_off_while_unlocked_is_locked_again(num_writes: int) -> None:
    bench, servo = Bench("feetech"), FeetechServo(1)
    bench.plug_in([servo])
    setting = IdSetting(SO101, bench.make_bus)
    count, write = 0, servo.write

    def broken_off(address: int, data: bytes) -> None:
        nonlocal count
        count += 1
        if count > num_writes:
            raise KeyboardInterrupt
        write(address, data)

    servo.write = broken_off  # type: ignore[method-assign]
    try:
        setting.give("gripper", setting.find(FEW))
    except KeyboardInterrupt:
        servo.write = write  # type: ignore[method-assign]
        setting.give("gripper", setting.find(FEW))
    assert servo.memory["lock"] == 1
    assert table(servo) == {"id": 6, "baud": 0}


def test_servo_whose_eeprom_takes_nothing_is_noticed() -> None:
    bench, servo = Bench("feetech"), FeetechServo(1)
    bench.plug_in([servo])
    write = servo.write
    servo.write = lambda address, data: None if address == 5 else write(address, data)  # type: ignore[method-assign]
    with pytest.raises(RobotError, match="the servo did not take the id 6"):
        IdSetting(SO101, bench.make_bus).give("gripper", Found(1, 1_000_000, 777))


def test_loose_servo_is_turned_to_its_middle_and_let_go(arm: ArmModel, bench: Bench) -> None:
    servo = built_arm(arm, at=1.0)[0]
    bench.plug_in([servo])
    setting = IdSetting(arm, bench.make_bus)
    setting.to_middle(next(iter(setting.ids)))
    assert abs(servo.memory["present_position"] - 2048) <= 12
    assert servo.memory["torque_enable"] == 0


def test_servo_that_cannot_turn_is_let_go_too() -> None:
    bench, servo = Bench("feetech"), FeetechServo(1, FreeShaft(1.0))
    bench.plug_in([servo])
    write = servo.write
    servo.write = lambda address, data: (
        None if (address, data) == (40, b"\1") else write(address, data)
    )  # type: ignore[method-assign]
    setting = IdSetting(SO101, bench.make_bus)
    with pytest.raises(RobotError, match="shoulder_pan does not get to its middle"):
        setting.to_middle("shoulder_pan")
    assert servo.memory["torque_enable"] == 0
