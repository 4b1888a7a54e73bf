"""Laws of calibrating and of giving ids, on emulated servos that a hand moves."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from demoloop.__main__ import main
from demoloop.cli.calibrate_emulated import Hand, emulated_person
from demoloop.robot.arms import ARMS
from demoloop.robot.arms.servo_map import ServoMap
from demoloop.robot.calibration import Procedure, Step, load_calibration
from demoloop.robot.calibration.store import load_progress
from demoloop.robot.emulator.config import LineConfig, ServoConfig
from demoloop.robot.emulator.emulator import Emulator, emulated_arm

pytestmark = pytest.mark.realtime

SO101 = ARMS["so101"]
# A hand presses with 6 N m against a servo's own friction: what it holds is off by a degree or two.
HAND = 0.05  # rad


def assert_is(found: ServoMap, true: ServoMap) -> None:
    """Both say the same of every joint, as well as a hand can hold it."""
    for ours, theirs, spec in zip(found.joints, true.joints, SO101.spec.joints, strict=True):
        scale = ours.scale
        for value in (spec.low, spec.high):
            off = scale.to_joint(theirs.scale.to_tick(value)) - value
            assert abs(off) < HAND, ours.name


@pytest.mark.slow
def test_emulated_arm_is_calibrated_by_one_command(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    assert main(["calibrate", "so101:emulated", "--file", str(file)]) == 0
    assert_is(load_calibration(file).servos(SO101), SO101.servos)


class Terminal:
    """`demoloop calibrate` in a process of its own, and the person before it."""

    def __init__(self, port: str, file: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "demoloop", "calibrate", f"so101:{port}"),
                *("--file", str(file), *options),
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.said: list[str] = []

    def obey(self, hand: Hand, num_steps: int) -> None:
        """Does what it says, `num_steps` times at most."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(line.strip())
            step = re.match(r"\[(\d+)/(\d+)\] (\w+): (.*), and hold it there", line)
            if step is None:
                continue
            if num_steps == 0:
                break
            num_steps -= 1
            number, total, joint, words = step.groups()
            which = "second" if int(number) % 2 == 0 else "first"
            wanted = Step(joint, which, words, int(number), int(total))
            while not hand.is_there(wanted):
                pass
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def end(self) -> int:
        """Closes its input, and returns its exit code."""
        rest, _ = self._process.communicate(timeout=60)
        self.said += rest.splitlines()
        return self._process.returncode


@pytest.mark.slow
def test_person_at_a_terminal_is_asked_told_and_can_come_back(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    turned = (replace(SO101.servos.joints[0], zero_tick=2300), *SO101.servos.joints[1:])
    joints = [replace(it, sign=-1) if it.name == "elbow_flex" else it for it in turned]
    built = replace(SO101.servos, joints=tuple(joints))
    with emulated_person(SO101, built) as (port, hand):
        first = Terminal(port, file)
        first.obey(hand, 5)  # two joints and a half
        assert first.end() == 2
        assert "--resume goes on" in first.said[-1]
        assert [joint.name for joint in load_progress(file)] == ["shoulder_pan", "shoulder_lift"]
        second = Terminal(port, file, "--resume")
        second.obey(hand, 30)
        assert second.end() == 0, second.said
        assert "2 of 6 joints are measured already" in second.said[0]
        assert any("elbow_flex counts the other way" in line for line in second.said)
        assert_is(load_calibration(file).servos(SO101), built)
        assert load_progress(file) == ()
        again = Terminal(port, file, "--joint", "wrist_flex")
        again.obey(hand, 10)  # on a busy machine a reading may be late, and it asks again
        assert again.end() == 0, again.said
        assert_is(load_calibration(file).servos(SO101), built)
        assert not any(servo.has_torque for servo in hand.state().lines["arm"])


def test_arm_that_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "so101:/dev/ttyNONE"]) == 2
    assert "there is no port /dev/ttyNONE" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["calibrate", "ids"])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("so101", "names no arm and its port; write ARM:/dev/ttyACM0"),
        ("so101:", "names no arm and its port"),
        ("so102:/dev/ttyACM0", "there is no arm 'so102'; there are so101, "),
    ],
)
def test_words_that_name_no_arm_are_one_sentence(
    verb: str, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, text]) == 2
    assert sentence in capsys.readouterr().err


def test_joint_that_is_not_calibrated_yet_cannot_be_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--joint", "elbow_flex", "--file", str(tmp_path / "none.json")]
    assert main(["calibrate", "so101:/dev/ttyNONE", *words]) == 2
    assert "there is no calibration" in capsys.readouterr().err


def one_new_servo() -> Emulator:
    """A servo as it comes out of its bag, alone on the line."""
    return Emulator([LineConfig("bag", "feetech", "bag", (ServoConfig(1),))])


def test_new_servo_gets_its_id_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with one_new_servo() as emulator:
        monkeypatch.setattr("builtins.input", lambda: "")
        assert main(["ids", f"so101:{emulator.port}", "--joint", "gripper"]) == 0
        assert [servo.id for servo in emulator.control.state().lines["bag"]] == [6]
        assert "gripper: servo 1 at 1000000 baud is servo 6" in capsys.readouterr().out
        monkeypatch.setattr("builtins.input", end_of_input)
        assert main(["ids", f"so101:{emulator.port}", "--joint", "gripper", "--resume"]) == 0
        assert "gripper: has its id" in capsys.readouterr().out


def end_of_input() -> str:
    raise EOFError


def test_ids_are_given_up_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("builtins.input", end_of_input)
    assert main(["ids", "so101:/dev/ttyNONE"]) == 2
    assert "ended before shoulder_pan got its id; --resume goes on" in capsys.readouterr().err


def test_emulated_arm_needs_no_ids(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ids", "so101:emulated"]) == 0
    assert "have their ids already" in capsys.readouterr().out


def test_doctor_says_who_and_how_every_servo_is(capsys: pytest.CaptureFixture[str]) -> None:
    with emulated_arm(SO101) as emulator:
        assert main(["doctor", "--arm", f"so101:{emulator.port}"]) == 0
        assert not any(servo.has_torque for servo in emulator.control.state().lines["arm"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:6]] == list(SO101.spec.joint_names)
    assert all("sts3215" in line and " V " in line for line in lines[:6])


def test_doctor_names_a_servo_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    five = replace(SO101.servos, joints=SO101.servos.joints[:5])
    spec = replace(SO101.spec, joints=SO101.spec.joints[:5])
    shorter = replace(SO101, servos=five, spec=spec, rest=SO101.rest[:5])
    with emulated_arm(shorter) as emulator:
        assert main(["doctor", "--arm", f"so101:{emulator.port}"]) == 2
    assert "gripper: no servo answers to id 6" in capsys.readouterr().err


def test_hand_of_the_emulator_is_stopped_by_what_stops_the_arm() -> None:
    with emulated_person(SO101) as (_, hand):
        step = Procedure(SO101).step
        assert step is not None
        while not hand.is_there(step):
            pass
        pan = hand.state().qpos[0]
    assert pan == pytest.approx(SO101.stops["shoulder_pan"][0], abs=HAND)
    assert abs(np.degrees(pan)) > 115
