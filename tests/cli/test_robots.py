"""Laws of `--robot`: what is opened, what is recorded, and what a wrong name is told."""

from __future__ import annotations

import os
import pty
import re
import socket
import sys
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from tests.teleop.web.wire import Wire

from demoloop.__main__ import main
from demoloop.cli.attended import Attended
from demoloop.cli.keyboard import ENTER, Keyboard
from demoloop.cli.panel_options import PanelOptions
from demoloop.cli.record import Options
from demoloop.cli.record_panel import record_by_hand
from demoloop.cli.robots import open_emulated, open_leader, open_real
from demoloop.cli.station import find_station
from demoloop.datasets import DatasetWriter, open_dataset
from demoloop.robot import RobotError
from demoloop.robot.arms import ArmModel
from demoloop.robot.arms.so101 import ARM
from demoloop.robot.calibration import Calibration, JointCalibration, save_calibration
from demoloop.robot.cameras import CameraSetup, Capture
from demoloop.robot.cameras.fake import FakeUVC
from demoloop.robot.emulator.emulator import Emulator, emulated_arm
from demoloop.robot.safety.watchdog import SILENCE_S

pytestmark = pytest.mark.realtime

CAMERAS = "front=emulated:front,wrist=emulated:wrist"


def measured(arm: ArmModel, *, offset: int = 0) -> Calibration:
    """What a calibration of an arm that is built as planned finds."""
    joints = tuple(
        JointCalibration(
            joint.name,
            joint.id,
            joint.model,
            joint.scale.to_tick(guide.first.position),
            joint.scale.to_tick(guide.second.position),
            offset,
        )
        for joint, guide in zip(arm.servos.joints, arm.guides, strict=True)
    )
    return Calibration(arm.spec.name, "test", joints)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An arm that, to the program, is at a port like any other, with two cameras."""
    import mujoco

    from demoloop.sim.make import find_task
    from demoloop.sim.world import build_model

    world = tmp_path_factory.mktemp("desk") / "world.mjb"
    mujoco.mj_saveModel(build_model(find_task("pick_place").mjcf), str(world), None)
    with emulated_arm(ARM, world) as emulator:
        yield emulator


def torques(emulator: Emulator) -> list[bool]:
    return [servo.has_torque for servo in emulator.control.state().lines["arm"]]


def test_an_arm_at_a_port_is_armed_and_brought_to_rest_in_the_end(
    desk: Emulator, tmp_path: Path
) -> None:
    file = tmp_path / "so101.json"
    save_calibration(file, measured(ARM))
    with open_real(f"so101:{desk.port}", CAMERAS, file, opens=desk.opens) as opened:
        assert all(torques(desk))
        assert opened.calibration is not None
        assert opened.calibration.event.startswith("calibration so101 ")
        assert opened.succeeded() is None
        assert set(opened.robot.observe().images) == {"front", "wrist"}
        with opened.held():
            pass
        assert opened.supervised.state == "ARMED"
    assert not any(torques(desk))


def test_an_arm_that_waits_for_its_run_keeps_its_torque_and_gets_it_back_after_a_stop(
    desk: Emulator, tmp_path: Path
) -> None:
    file = tmp_path / "so101.json"
    save_calibration(file, measured(ARM))
    opening = open_real(f"so101:{desk.port}", CAMERAS, file, opens=desk.opens)
    with opening as opened, Attended(opened) as robot:
        until = time.monotonic() + 4 * SILENCE_S
        while time.monotonic() < until:
            assert all(torques(desk))
        robot.reset()  # and its watchdog, which acts after SILENCE_S, has nothing to complain of
        robot.estop("test")
        opened.supervised.estop("test", wait_s=5.0)
        assert not any(torques(desk))
        robot.rest()
        robot.reset_fault()
        assert all(torques(desk))
        assert opened.supervised.state == "ARMED"


def test_a_homing_offset_written_since_the_calibration_is_refused(
    desk: Emulator, tmp_path: Path
) -> None:
    file = tmp_path / "so101.json"
    save_calibration(file, measured(ARM, offset=7))
    opening = open_real(f"so101:{desk.port}", CAMERAS, file, opens=desk.opens)
    with pytest.raises(RobotError, match="homing offset 0 into servo 1, which had 7"), opening:
        pass
    assert not any(torques(desk))


@pytest.mark.parametrize(
    ("robot", "cameras", "sentence"),
    [
        ("so101", CAMERAS, "names no arm and its port"),
        ("so9:/dev/ttyACM0", CAMERAS, "there is no arm 'so9'"),
        ("so101:/dev/nothing", CAMERAS, "/dev/nothing"),
    ],
)
def test_what_cannot_be_opened_is_said_in_a_sentence(
    robot: str, cameras: str, sentence: str
) -> None:
    with pytest.raises(RobotError, match=sentence), open_real(robot, cameras):
        pass


def test_cameras_that_are_not_named_are_asked_for(desk: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "so101.json"
    save_calibration(file, measured(ARM))
    opening = open_real(f"so101:{desk.port}", "", file)
    with pytest.raises(RobotError, match="cameras front, wrist, but none are given"), opening:
        pass


def test_an_arm_without_a_calibration_is_told_how_to_get_one(
    desk: Emulator, tmp_path: Path
) -> None:
    opening = open_real(f"so101:{desk.port}", CAMERAS, tmp_path / "none.json")
    with pytest.raises(RobotError, match="demoloop calibrate"), opening:
        pass


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("record --out d --robot koch:emulated", "so101:emulated"),
        ("record --out d --robot so101:emulated --task juggle", "no task 'juggle'"),
        ("record --out d --robot so101:/dev/nothing", "--leader so101_leader:/dev/ttyACM1"),
        ("record --out d --robot so101:emulated --randomize", "simulated worlds only"),
        ("evaluate --robot so101:/dev/ttyACM0", "take one of them"),
        ("evaluate --robot so101:emulated --seed 10000", "not for judging"),
        ("takeover none.onnx --out d", "none.onnx"),
    ],
)
def test_a_wrong_word_is_a_sentence_and_exit_code_2(
    words: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    assert sentence in capsys.readouterr().err


def test_the_expert_records_at_the_emulated_arm(tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    assert main(["record", "--robot", "so101:emulated", "--out", str(out), "--episodes", "1"]) == 0
    episode = open_dataset(out).episode(0)
    assert episode.success
    assert episode.seed is not None and episode.seed >= 10_000
    assert np.ptp(episode.actions, axis=0).max() > 0.3  # it moved


def when_there(person: Callable[[], None]) -> None:
    """Tries again until there is a panel."""
    end = time.monotonic() + 30
    while True:
        try:
            return person()
        except aiohttp.ClientConnectorError:
            assert time.monotonic() < end
            time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_an_arm_at_a_port_is_led_and_its_episode_says_how_it_was_calibrated(
    desk: Emulator, tmp_path: Path
) -> None:
    file, out = tmp_path / "so101.json", tmp_path / "dataset"
    save_calibration(file, measured(ARM))
    port = free_port()
    options = Options(
        out, f"so101:{desk.port}", "leader", "so101_leader:emulated", CAMERAS, file,
        max_seconds=2.0, episodes=1, countdown_s=0.0, panel=PanelOptions(port, browser=False),
    )  # fmt: skip
    webcams = {"front": FakeUVC(), "wrist": FakeUVC()}

    def person() -> None:
        with Wire(f"http://127.0.0.1:{port}") as page:
            try:
                page.send(type="task", text="Fold yourself.")
                page.until_phase("ready")
                page.command("start")
                page.until_phase("review")
                page.command("keep")
                page.until_phase("finished")
            finally:
                page.command("finish")  # so that a test that fails ends

    hand: list[Future[None]] = []
    with DatasetWriter(out, ARM.spec) as writer, ThreadPoolExecutor(1) as pool:

        def opens(setup: CameraSetup) -> Capture:
            if not hand:
                hand.append(pool.submit(when_there, person))
            return webcams[setup.name].opens(setup)

        finding = find_station(
            options.robot, options.task, cameras=CAMERAS, calibration=file, opens=opens
        )
        with finding as station:
            record_by_hand(options, station, writer, count())
        hand[0].result()
    episode = open_dataset(out).episode(0)
    assert episode.task == "Fold yourself."
    assert episode.success is None
    (step, noted) = episode.events[0]
    calibration, front, wrist = noted.split("; ")
    assert (step, calibration) == (0, measured(ARM).event)
    assert re.fullmatch(r"camera front exposure=\d+(\.\d+)? white_balance=4600", front)
    assert wrist.startswith("camera wrist exposure=")
    way = np.abs(episode.actions[-1] - np.array(ARM.rest))
    assert way.max() < np.abs(episode.actions[0] - np.array(ARM.rest)).max()  # towards its leader
    assert not any(torques(desk))


def test_an_emulated_leader_can_be_read() -> None:
    with open_leader("so101_leader:emulated") as leader:
        assert np.isfinite(leader.observe().proprioception).all()


def test_an_emulated_robot_is_held_while_nobody_commands_it() -> None:
    with open_emulated("so101:emulated", "pick_place", [0]) as opened, opened.held():
        pass
    assert opened.supervised.state == "DISCONNECTED"


def test_keys_come_without_enter_and_the_terminal_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hand, terminal = pty.openpty()
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        before = termios.tcgetattr(terminal)
        with Keyboard() as keyboard:
            assert keyboard.pressed() == ""
            os.write(hand, b"tg\r")
            heard = ""
            while len(heard) < 3:
                heard += keyboard.pressed(1.0)
            assert heard == "tg" + ENTER
            os.write(hand, b"xr")
            assert keyboard.choose("?", "kr") == "r"
        assert termios.tcgetattr(terminal) == before
    os.close(hand)
