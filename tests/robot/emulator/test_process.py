"""Laws of the emulator's process: a real pseudo-terminal, real sockets, and an end that comes."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from demoloop.robot import RobotError
from demoloop.robot.arms import so101
from demoloop.robot.emulator.config import LineConfig, ServoConfig
from demoloop.robot.emulator.control import MAX_LINE
from demoloop.robot.emulator.emulator import Emulator, emulated_arm
from demoloop.robot.emulator.faults import Dead, Drop, OverTemperature
from demoloop.robot.emulator.feetech import frame

pytestmark = pytest.mark.realtime

PING, WRITE = 1, 3
PATIENCE_S = 10.0  # until something that must come has come, on a busy machine


def arm(name: str = "arm", baud: int = 1_000_000) -> LineConfig:
    servos = (ServoConfig(1), ServoConfig(2))
    return LineConfig(name, "feetech", name, servos, baud, return_delay_us=0)


class Client:
    """A program that has opened a serial port."""

    def __init__(self, path: str, speed: int = termios.B1000000, *, is_raw: bool = True) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        if is_raw:
            tty.setraw(self.fd)
        settings = termios.tcgetattr(self.fd)
        settings[4] = settings[5] = speed
        termios.tcsetattr(self.fd, termios.TCSANOW, settings)

    def say(self, data: bytes, num_bytes: int, patience_s: float = PATIENCE_S) -> bytes:
        """Returns as many bytes as are waited for, or what came until patience ended."""
        os.write(self.fd, data)
        heard, until = b"", time.monotonic() + patience_s
        while len(heard) < num_bytes and (left := until - time.monotonic()) > 0:
            if select.select([self.fd], [], [], left)[0]:
                heard += os.read(self.fd, 4096)
        return heard

    def close(self) -> None:
        os.close(self.fd)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator([arm()]) as emulator:
        yield emulator


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Client]:
    client = Client(emulator.port)
    yield client
    client.close()


def test_servos_answer_at_a_port(client: Client) -> None:
    assert client.say(frame(1, PING), 6) == frame(1, 0)


def test_a_port_can_be_opened_again_and_again(emulator: Emulator) -> None:
    for _ in range(3):
        client = Client(emulator.port)
        assert client.say(frame(1, PING), 6) == frame(1, 0)
        client.close()


def test_at_another_baud_rate_nobody_answers(emulator: Emulator) -> None:
    client = Client(emulator.port, termios.B115200)
    assert client.say(frame(1, PING), 1, patience_s=0.2) == b""
    client.close()
    client = Client(emulator.port)
    assert client.say(frame(1, PING), 6) == frame(1, 0)
    client.close()


def test_a_client_that_sets_no_more_than_the_rate_hears_no_echo(emulator: Emulator) -> None:
    client = Client(emulator.port, is_raw=False)
    assert client.say(frame(1, PING), 6) == frame(1, 0)
    client.close()


def test_a_fault_strikes_and_is_cleared(emulator: Emulator, client: Client) -> None:
    emulator.control.inject(Dead(id=1))
    assert client.say(frame(0xFE, PING), 6) == frame(2, 0)
    emulator.control.clear()
    assert client.say(frame(0xFE, PING), 12) == frame(1, 0) + frame(2, 0)


def test_a_pulled_plug_is_an_error_and_the_name_is_gone(emulator: Emulator, client: Client) -> None:
    emulator.control.unplug()
    assert not Path(emulator.port).exists()
    with pytest.raises(OSError, match="Input/output"):
        client.say(frame(1, PING), 6)


def test_a_plug_put_back_is_another_terminal_under_the_same_name(emulator: Emulator) -> None:
    client = Client(emulator.port)
    client.say(frame(1, WRITE, bytes([40, 1])), 6)
    emulator.control.unplug()
    emulator.control.replug()
    again = Client(emulator.port)
    assert again.say(frame(1, PING), 6) == frame(1, 0)
    assert emulator.control.state().lines["arm"][0].has_torque  # only the cable was pulled
    client.close()
    again.close()


def test_state_says_what_is_true(emulator: Emulator, client: Client) -> None:
    client.say(frame(1, WRITE, bytes([40, 1])), 6)
    emulator.control.inject(OverTemperature(id=2, celsius=90))
    servos = emulator.control.state().lines["arm"]
    assert [(s.id, s.has_torque, s.alarms) for s in servos] == [
        (1, True, ()),
        (2, False, ("overheat",)),
    ]
    assert servos[1].temperature == pytest.approx(25.0, abs=0.5)


def test_a_whole_arm_with_its_torque_on_can_be_told() -> None:
    with emulated_arm(so101.ARM) as emulator:
        client = Client(emulator.port)
        for servo_id in range(1, 7):
            client.say(frame(servo_id, WRITE, bytes([40, 1])), 6)
        servos = emulator.control.state().lines["arm"]
        assert [servo.joint for servo in servos] == list(so101.SO101.joint_names)
        assert all(servo.has_torque for servo in servos)
        client.close()


def test_two_lines_do_not_hear_each_other() -> None:
    with Emulator([arm("left"), arm("right")]) as emulator:
        emulator.control.inject(Drop(), line="left")
        left, right = Client(emulator.port_of("left")), Client(emulator.port_of("right"))
        assert right.say(frame(1, PING), 6) == frame(1, 0)
        assert left.say(frame(1, PING), 1, patience_s=0.1) == b""
        left.close()
        right.close()


@pytest.mark.parametrize(
    ("question", "complaint"),
    [
        (b'{"do": "fault", "fault": {"kind": "dead", "id": 77}}', "77"),
        (b'{"do": "dance"}', "dance"),
        (b"not json", "malformed"),
        (b'{"do": "place", "qpos": [0]}', "no world"),
        (b'{"do": "unplug", "line": "other"}', "other"),
    ],
)
def test_a_question_that_makes_no_sense_is_answered_so(
    emulator: Emulator, question: bytes, complaint: str
) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(str(Path(emulator.port).parent / "control"))
        client.sendall(question + b"\n")
        answer = client.recv(65_536).decode()
    assert '"ok":false' in answer and complaint in answer
    assert emulator.control.pace().time > 0  # it goes on


def test_a_question_without_end_is_hung_up_on(emulator: Emulator) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(str(Path(emulator.port).parent / "control"))
        with pytest.raises(OSError):  # reset, or a broken pipe: as it comes
            for _ in range(100):
                client.sendall(b"x" * MAX_LINE)
    assert emulator.control.pace().time > 0  # it goes on


def test_leaving_ends_the_process_and_takes_its_folder_away() -> None:
    with Emulator([arm()]) as emulator:
        pid, folder = emulator.pid, Path(emulator.port).parent
    assert not Path(f"/proc/{pid}").exists()
    assert not folder.exists()


def test_it_ends_when_whoever_started_it_is_killed() -> None:
    code = (
        "from demoloop.robot.emulator.emulator import Emulator\n"
        "from demoloop.robot.emulator.config import LineConfig, ServoConfig\n"
        "line = LineConfig('arm', 'feetech', 'arm', (ServoConfig(1),))\n"
        "with Emulator([line]) as emulator:\n"
        "    print(emulator.pid, flush=True)\n"
        "    input()\n"
    )
    source = str(Path(__file__).parents[3] / "src")
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert parent.stdout is not None and parent.stdin is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until = time.monotonic() + PATIENCE_S
    while _is_alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not _is_alive(pid)
    parent.stdin.close()
    parent.stdout.close()


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_it_cannot_build_is_said(tmp_path: Path) -> None:
    (tmp_path / "none.xml").write_text("<mujoco><worldbody/>")
    with pytest.raises(RobotError, match=r"none\.xml is no MuJoCo model"):
        Emulator([arm()], model=tmp_path / "none.xml").__enter__()
