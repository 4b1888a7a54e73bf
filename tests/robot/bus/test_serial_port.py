"""Laws of the serial port, on real pseudo-terminals. They keep no time: only its order counts."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from demoloop.robot.bus import serial_port
from demoloop.robot.bus.serial_port import SerialPort
from demoloop.robot.errors import Disconnected, RobotError


@pytest.fixture
def line() -> Iterator[tuple[int, str]]:
    """The servos' end of a pseudo-terminal, and the path of the other."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    yield master, path
    for fd in (master, slave):
        with suppress(OSError):
            os.close(fd)


def soon() -> float:
    return time.monotonic() + 5.0


def test_bytes_go_both_ways_unchanged(line: tuple[int, str]) -> None:
    master, path = line
    port = SerialPort(path)
    port.open()
    every = bytes(range(256))  # none of them means anything to the terminal
    port.write(every)
    assert os.read(master, 1000) == every
    os.write(master, every)
    found = b""
    while len(found) < 256:
        found += port.read(soon())
    assert found == every
    port.close()


@pytest.mark.parametrize("baud", [1_000_000, 115_200, 57_600])
def test_the_usual_rates_are_set(line: tuple[int, str], baud: int) -> None:
    master, path = line
    port = SerialPort(path, baud)
    port.open()
    assert termios.tcgetattr(master)[5] == getattr(termios, f"B{baud}")
    port.close()


@pytest.mark.skipif(sys.platform != "linux", reason="termios2 is Linux's")
def test_any_other_rate_is_set_too(line: tuple[int, str]) -> None:
    master, path = line
    port = SerialPort(path, 250_000)
    port.open()
    raw = fcntl.ioctl(master, 0x802C542A, bytes(44))  # TCGETS2: the rates are its last two words
    assert struct.unpack("2I", raw[-8:]) == (250_000, 250_000)
    port.close()


def test_reading_ends_at_its_deadline_with_nothing(line: tuple[int, str]) -> None:
    port = SerialPort(line[1])
    port.open()
    before = time.monotonic()
    assert port.read(before + 0.02) == b""
    assert time.monotonic() >= before + 0.02
    port.close()


def test_settings_that_another_program_left_do_not_look_like_a_pulled_plug(
    line: tuple[int, str],
) -> None:
    fd = os.open(line[1], os.O_RDWR | os.O_NOCTTY)
    settings = termios.tcgetattr(fd)
    settings[6][termios.VMIN] = 0  # as pyserial does
    termios.tcsetattr(fd, termios.TCSANOW, settings)
    port = SerialPort(line[1])
    port.open()
    assert port.read(time.monotonic()) == b""
    port.close()
    os.close(fd)


def test_what_is_there_is_read_even_after_the_deadline(line: tuple[int, str]) -> None:
    port = SerialPort(line[1])
    port.open()
    os.write(line[0], b"late")
    assert port.read(time.monotonic() - 1.0) == b"late"
    port.close()


def test_a_pulled_plug_is_seen_while_reading_and_while_writing() -> None:
    for word in ("read", "write"):
        master, slave = pty.openpty()
        port = SerialPort(os.ttyname(slave))
        port.open()
        os.close(slave)
        os.close(master)
        with pytest.raises(Disconnected, match=r"gone.*connect again"):
            port.read(soon()) if word == "read" else port.write(b"x")
        port.close()
        port.close()


def test_a_port_has_one_owner_and_the_other_is_told_who(line: tuple[int, str]) -> None:
    code = (
        "import sys\nfrom demoloop.robot.bus.serial_port import SerialPort\n"
        "SerialPort(sys.argv[1]).open()\nprint('open', flush=True)\nsys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, line[1]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")},
    )
    try:
        assert owner.stdout is not None and owner.stdout.readline() == b"open\n"
        with pytest.raises(RobotError, match=f"in use by .*process {owner.pid}"):
            SerialPort(line[1]).open()
    finally:
        owner.kill()
        owner.wait()
    port = SerialPort(line[1])
    port.open()  # it ended, and did not have to clean up
    port.close()


def test_a_missing_port_lists_those_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ttyACM7").touch()
    monkeypatch.setattr(serial_port, "PORTS", (str(tmp_path / "ttyACM*"),))
    with pytest.raises(RobotError, match=r"no port /dev/nowhere; there are .*ttyACM7"):
        SerialPort("/dev/nowhere").open()
    monkeypatch.setattr(serial_port, "PORTS", ())
    with pytest.raises(RobotError, match="no serial port is plugged in"):
        SerialPort("/dev/nowhere").open()


def test_no_permission_names_the_group_and_the_rule(tmp_path: Path) -> None:
    path = tmp_path / "port"
    path.touch()
    path.chmod(0o000)
    # Root may open anything: somebody else tries.
    code = (
        "import os, sys\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "from demoloop.robot.bus.serial_port import _open\n"
        "try: _open(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    for folder in (tmp_path, *tmp_path.parents[:3]):
        with suppress(OSError):
            folder.chmod(folder.stat().st_mode | 0o055)
    said = subprocess.run(
        [sys.executable, "-c", "import demoloop.robot.bus.serial_port\n" + code, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")},
        check=False,
    )
    assert "RobotError" in said.stdout and "belongs to group" in said.stdout, said.stderr
    assert "usermod -aG" in said.stdout and "udev rule" in said.stdout


def test_a_file_is_no_serial_port(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(RobotError, match="no serial port that can do 1000000 baud"):
        SerialPort(path).open()


def test_a_port_that_was_never_opened_is_not_there() -> None:
    with pytest.raises(Disconnected, match="not open"):
        SerialPort("/dev/null").write(b"x")
