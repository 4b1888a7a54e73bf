"""Laws of the e-stop: from any thread, signal or socket, in any state, within one word."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
import time
from pathlib import Path

import pytest
from tests.robot.safety.simulated import Cell, SimulatedArm

from demoloop.robot import RobotError
from demoloop.robot.safety import SafetyError
from demoloop.robot.safety.estop import EstopSocket, estop_on_signal, press


@pytest.mark.parametrize("before", ["at_rest", "armed", "running"])
def test_torque_is_off_within_20_ms_in_every_state(before: str) -> None:
    cell = getattr(Cell(), before)()
    start = cell.clock.now()
    assert cell.robot.estop("key")
    assert cell.clock.now() - start <= 0.02
    assert not cell.arm.torque.any()
    assert cell.robot.state == "FAULT"
    assert cell.robot.fault is not None
    assert cell.robot.fault.kind == "e-stop"
    assert "e-stop (key): torque off; look at the arm, then reset_fault()" in cell.sentences()


def test_it_needs_no_connection_and_is_not_forgotten() -> None:
    cell = Cell()
    cell.robot.estop("panel")
    cell.robot.connect()
    assert cell.robot.state == "FAULT"
    cell.robot.reset_fault()
    assert cell.robot.state == "IDLE"


def test_it_reaches_every_live_servo_though_others_are_silent() -> None:
    cell = Cell().running()
    cell.arm.silent = ("shoulder_lift",)
    assert not cell.robot.estop("key")
    assert cell.arm.torque.tolist() == [0, 1, 0, 0, 0, 0]
    assert "shoulder_lift did not confirm that torque is off" in cell.sentences()
    cell.arm.silent = ()
    cell.tick()
    assert not cell.arm.torque.any()


def test_it_works_in_a_fault_and_twice() -> None:
    cell = Cell().running()
    cell.look(1.0)
    assert cell.arm.torque.all()
    assert cell.robot.estop("key")
    cell.arm.torque[0] = 1.0  # somebody else
    assert cell.robot.estop("key")
    assert not cell.arm.torque.any()


class SlowArm(SimulatedArm):
    """Calls somebody in the middle of a word."""

    interrupt = staticmethod(lambda: None)

    def _speak(self, word: str, seconds: float) -> None:
        super()._speak(word, seconds)
        if word == "act":
            self.in_word = True
            self.interrupt()
            self.in_word = False


def slow_cell() -> Cell:
    cell = Cell()
    cell.arm.__class__ = SlowArm
    return cell.running()


def test_a_signal_in_the_middle_of_a_word_waits_for_its_end_and_no_longer() -> None:
    cell = slow_cell()
    during: list[bool] = []

    def raise_signal() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        during.append(bool(cell.arm.torque.all()))

    with estop_on_signal(cell.robot.estop, signal.SIGUSR1):
        cell.arm.interrupt = raise_signal  # type: ignore[attr-defined]
        cell.tick(cell.here())
    assert during == [True]  # not into the word of another
    assert not cell.arm.torque.any()
    assert "e-stop (SIGUSR1)" in cell.sentences()


def test_a_thread_that_finds_the_arm_busy_leaves_it_to_the_owner() -> None:
    cell = slow_cell()

    def press_elsewhere() -> None:
        thread = threading.Thread(target=cell.robot.estop, args=("thread",))
        thread.start()
        thread.join()

    cell.arm.interrupt = press_elsewhere  # type: ignore[attr-defined]
    cell.tick(cell.here())
    assert not cell.arm.torque.any()
    assert "e-stop (thread)" in cell.sentences()


def test_no_press_is_lost_beside_a_busy_loop() -> None:
    for _ in range(30):
        cell = Cell().running()
        here = cell.here()
        go = threading.Event()

        def press_soon(cell: Cell = cell, go: threading.Event = go) -> None:
            go.wait()
            cell.robot.estop("thread")

        thread = threading.Thread(target=press_soon)
        thread.start()
        go.set()
        with pytest.raises(SafetyError, match="e-stop"):
            for _ in range(10**6):
                cell.tick(here)
        thread.join()
        assert not cell.arm.torque.any()


def test_a_signal_stops_an_arm_that_nobody_speaks_to() -> None:
    cell = Cell().armed()
    with estop_on_signal(cell.robot.estop, signal.SIGUSR1):
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0)
    assert not cell.arm.torque.any()
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_an_owner_that_was_interrupted_for_ever_does_not_keep_the_arm_from_closing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("demoloop.robot.safety.owner._PATIENCE_S", 0.05)
    cell = Cell().armed()
    cell.robot._owner._lock.acquire()
    cell.robot.close()
    assert not cell.arm.torque.any() and cell.arm.closed


def test_the_socket_stops_the_arm_and_says_that_torque_is_off(tmp_path: Path) -> None:
    cell = Cell().running()
    with EstopSocket(tmp_path / "estop", cell.robot.estop):
        assert stat.S_IMODE((tmp_path / "estop").stat().st_mode) == 0o600
        assert press(tmp_path / "estop", "panel") == "torque off"
        assert not cell.arm.torque.any()
    assert "e-stop (panel)" in cell.sentences()
    assert not (tmp_path / "estop").exists()


def test_the_socket_says_so_when_a_joint_does_not_confirm(tmp_path: Path) -> None:
    cell = Cell().running()
    cell.arm.silent = ("gripper",)
    with EstopSocket(tmp_path / "estop", cell.robot.estop):
        assert press(tmp_path / "estop", "panel") == "not confirmed: cut the power"


def test_whatever_comes_to_the_socket_stops_the_arm(tmp_path: Path) -> None:
    for data in (b"", b"\xff\x00" * 40, b"x" * 5000):
        cell = Cell().running()
        with (
            EstopSocket(tmp_path / "estop", cell.robot.estop),
            socket.socket(socket.AF_UNIX) as line,
        ):
            line.connect(str(tmp_path / "estop"))
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
            line.settimeout(10.0)
            assert line.recv(100) == b"torque off"
        assert not cell.arm.torque.any()


def test_a_caller_who_says_nothing_blocks_nobody_else(tmp_path: Path) -> None:
    cell = Cell().running()
    with (
        EstopSocket(tmp_path / "estop", cell.robot.estop),
        socket.socket(socket.AF_UNIX) as mute,
    ):
        mute.connect(str(tmp_path / "estop"))
        assert press(tmp_path / "estop") == "torque off"


def test_a_socket_left_by_a_kill_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "estop"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    cell = Cell()
    with (
        EstopSocket(path, cell.robot.estop),
        pytest.raises(RobotError, match="is in use: another program listens"),
        EstopSocket(path, cell.robot.estop),
    ):
        pass
    path.write_text("a file")
    with pytest.raises(RobotError, match="is no socket"), EstopSocket(path, cell.robot.estop):
        pass
    assert path.read_text() == "a file"


def test_pressing_where_nobody_listens_says_so(tmp_path: Path) -> None:
    with pytest.raises(RobotError, match=r"nobody listens at .*; cut the power"):
        press(tmp_path / "nothing")
