"""Laws of the watchdog: real processes, a real pseudo-terminal, and somebody who dies or hangs."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.robot.safety.simulated import Cell

from demoloop.robot import RobotError
from demoloop.robot.safety import SafetyError, Watchdog
from demoloop.robot.safety import watchdog as watchdog_module

pytestmark = pytest.mark.realtime

OWNER = Path(__file__).with_name("owner_of_arm.py")
PATIENCE_S = 20.0  # of a test, on a machine that does other things


class Line:
    """A serial port, and the servos' end of it."""

    def __init__(self) -> None:
        self.servos, self._port = pty.openpty()
        tty.setraw(self._port)
        self.path = os.ttyname(self._port)

    def heard(self, until: bytes, seconds: float = PATIENCE_S) -> bytes:
        """Returns what came up to `until`."""
        got, deadline = b"", time.monotonic() + seconds
        while until not in got:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.servos], [], [], max(0.0, left))
            assert ready, f"{until!r} did not come, only {got!r}"
            got += os.read(self.servos, 4096)
        return got

    def is_quiet(self, seconds: float) -> bool:
        return not select.select([self.servos], [], [], seconds)[0]

    def close(self) -> None:
        for descriptor in (self.servos, self._port):
            with suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


@pytest.fixture
def owner(line: Line) -> Iterator[subprocess.Popen[str]]:
    """A program with torque on and a watchdog that watches."""
    process = subprocess.Popen(
        [sys.executable, str(OWNER), line.path],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")},
    )
    assert process.stdout is not None
    process.watchdog_pid = int(process.stdout.readline())  # type: ignore[attr-defined]
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} goes on"
        time.sleep(0.01)


def test_a_killed_program_leaves_an_arm_that_holds_softly_and_then_lets_go(
    line: Line, owner: subprocess.Popen[str]
) -> None:
    owner.kill()
    words = line.heard(b"off;")
    assert words.startswith(b"soften;soften;")
    assert words.endswith(b"soften;off;")
    words += line.heard(b"off;off;off;")  # often: nobody knows what was lost
    wait_for_end(owner.watchdog_pid)  # type: ignore[attr-defined]


def test_a_program_that_is_stopped_counts_as_dead_and_hears_of_it_when_it_goes_on(
    line: Line, owner: subprocess.Popen[str]
) -> None:
    owner.send_signal(signal.SIGSTOP)
    assert line.heard(b"off;").startswith(b"soften;")
    owner.send_signal(signal.SIGCONT)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "missed heartbeats and has let the arm go\n"


def test_heartbeats_keep_it_quiet(line: Line, owner: subprocess.Popen[str]) -> None:
    assert owner.poll() is None
    # Not a claim about time: a heartbeat that is late on a busy machine is one that is missing.
    quiet = line.is_quiet(1.0)
    if not quiet:
        assert line.heard(b";").startswith(b"soften;")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_does_not_end_it_before_it_has_let_go(
    line: Line, owner: subprocess.Popen[str], number: int
) -> None:
    pid: int = owner.watchdog_pid  # type: ignore[attr-defined]
    os.kill(pid, number)
    owner.kill()
    line.heard(b"off;")
    wait_for_end(pid)


def test_ctrl_c_in_the_terminal_is_not_for_it(owner: subprocess.Popen[str]) -> None:
    pid: int = owner.watchdog_pid  # type: ignore[attr-defined]
    assert os.getpgid(pid) != os.getpgid(owner.pid)


def test_a_lock_on_the_port_does_not_keep_it_away(line: Line) -> None:
    holder = os.open(line.path, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    watchdog = Watchdog(line.path, b"soften;", b"off;", silence_s=0.05, hold_s=0.05)
    watchdog.start()
    watchdog.beat(True)
    line.heard(b"off;")
    watchdog.stop()
    os.close(holder)


def test_without_torque_silence_means_nothing(line: Line) -> None:
    watchdog = Watchdog(line.path, b"soften;", b"off;", silence_s=0.05)
    watchdog.start()
    watchdog.beat(True)
    watchdog.beat(False)
    assert line.is_quiet(0.4)
    pid = watchdog.pid
    watchdog.stop()
    assert pid is not None
    wait_for_end(pid)
    assert line.is_quiet(0.1)


def test_stopping_it_while_torque_is_on_lets_the_arm_go(line: Line) -> None:
    watchdog = Watchdog(line.path, b"soften;", b"off;", silence_s=60.0, hold_s=0.1)
    watchdog.start()
    watchdog.beat(True)
    watchdog.stop()
    assert line.heard(b"off;").startswith(b"soften;")


def test_an_estop_that_the_program_does_not_serve_is_served_from_here(line: Line) -> None:
    watchdog = Watchdog(line.path, b"soften;", b"off;", silence_s=60.0)
    watchdog.start()
    watchdog.beat(True)
    watchdog.press()
    assert line.heard(b";").startswith(b"off;")  # no holding softly
    watchdog.stop()


def test_beats_of_a_program_that_still_drives_do_not_take_an_estop_back(line: Line) -> None:
    watchdog = Watchdog(line.path, b"soften;", b"off;", silence_s=60.0)
    watchdog.start()
    watchdog.beat(True)
    watchdog.press()
    watchdog.beat(True)
    assert line.heard(b";").startswith(b"off;")
    watchdog.stop()


def test_an_estop_that_the_program_has_served_is_not_served_again(line: Line) -> None:
    watchdog = Watchdog(line.path, b"soften;", b"off;", silence_s=60.0)
    watchdog.start()
    watchdog.beat(True)
    watchdog.press()
    watchdog.beat(False)
    assert line.is_quiet(0.3)
    watchdog.stop()


def test_a_watchdog_that_died_is_noticed(line: Line) -> None:
    watchdog = Watchdog(line.path, b"soften;", b"off;")
    watchdog.start()
    assert watchdog.beat(False) == ""
    assert watchdog.pid is not None
    os.kill(watchdog.pid, signal.SIGKILL)
    wait_for_end(watchdog.pid)
    deadline = time.monotonic() + PATIENCE_S
    while watchdog.beat(True) != "died":
        assert time.monotonic() < deadline
    watchdog.stop()


def test_a_watchdog_that_hangs_is_noticed(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog_module, "_DEAF_S", 0.2)
    watchdog = Watchdog(line.path, b"soften;", b"off;")
    watchdog.start()
    assert watchdog.pid is not None
    os.kill(watchdog.pid, signal.SIGSTOP)
    deadline = time.monotonic() + PATIENCE_S
    while watchdog.beat(False) != "does not answer":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(watchdog.pid, signal.SIGKILL)
    watchdog.stop()


def test_a_port_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    watchdog = Watchdog(str(tmp_path / "ttyACM0"), b"", b"")
    with pytest.raises(RobotError, match=r"the watchdog of .*ttyACM0 did not start"):
        watchdog.start()
    assert watchdog.beat(True) == "is not running"


def test_it_imports_next_to_nothing() -> None:
    code = (
        "import sys, runpy; sys.modules['demoloop'] = None;"
        f"runpy.run_path({watchdog_module.__file__!r}); print('numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "False", done.stderr


class Watched:
    """A watchdog that writes down what it is told."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.trouble = ""

    def start(self) -> None:
        self.words.append("start")

    def beat(self, is_torque_on: bool) -> str:
        self.words.append("on" if is_torque_on else "off")
        return self.trouble

    def press(self) -> None:
        self.words.append("press")

    def stop(self) -> None:
        self.words.append("stop")


def test_every_cycle_beats_and_torque_is_said_to_be_off_only_when_it_is() -> None:
    watched = Watched()
    cell = Cell(watchdog=watched).running()
    watched.words.clear()
    cell.drive(cell.here(), 0.5)
    assert watched.words == ["on"] * 50
    cell.arm.refuses_off = {"gripper": 5}
    cell.robot.estop("key")
    assert watched.words[-2:] == ["press", "on"]
    cell.drive_none(0.1)
    assert watched.words[-1] == "off"
    cell.robot.close()
    assert watched.words[-2:] == ["off", "stop"]


def test_a_watchdog_in_trouble_is_a_fault() -> None:
    watched = Watched()
    cell = Cell(watchdog=watched).running()
    watched.trouble = "died"
    with pytest.raises(SafetyError, match=r"the watchdog died; see why, then reset_fault\(\)"):
        cell.drive(cell.here(), 0.1)
    assert cell.robot.fault is not None
    assert cell.robot.fault.kind == "watchdog"


def test_the_watchdog_hears_of_torque_before_it_is_on() -> None:
    watched = Watched()
    cell = Cell(watchdog=watched).at_rest()
    heard: list[str] = []
    enable = cell.arm.enable_torque

    def note() -> None:
        heard.extend(watched.words[-1:])
        enable()

    cell.arm.enable_torque = note  # type: ignore[method-assign]
    cell.robot.arm()
    assert heard == ["on"]
