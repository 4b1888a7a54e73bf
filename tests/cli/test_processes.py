"""A run as three processes: whichever ends, the arm comes to rest and one sentence says why.

The robot is the simulated one but for the last law; the log of the run, which the io process
writes, is the witness.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from demoloop.deploy.keys import KeyFolder

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(sys.platform != "linux", reason="sockets and /proc of Linux"),
]

DEMOLOOP = [sys.executable, "-m", "demoloop"]
FREE_PORTS = ["--control", "tcp://127.0.0.1:*", "--telemetry", "tcp://127.0.0.1:*"]
Start = Callable[..., "subprocess.Popen[str]"]


class Run:
    """A server and a run that moves."""

    def __init__(self, start: Start, policy: Path, folder: Path, *words: object) -> None:
        self.log = folder / "run.jsonl"
        bind = f"unix://{folder}/policy.sock"
        self.server = start("serve", policy, "--bind", bind)
        assert self.server.stdout is not None
        assert self.server.stdout.readline().startswith("ready ")
        self.guard = start(
            *("run", "--server", bind, "--max-seconds", 60, "--log", self.log),
            *(*FREE_PORTS, *words),
        )
        self.lines: list[str] = []
        self.control = self.line("operators: ").split()[-1]
        self.telemetry = self.line("viewers: ").split()[-1]

    def line(self, begin: str) -> str:
        """Waits for a line the run prints."""
        assert self.guard.stdout is not None
        for line in self.guard.stdout:
            self.lines.append(line)
            if begin in line:
                return line
        raise AssertionError(f"no {begin!r} in {self.lines}: {self.guard.stderr.read()}")  # type: ignore[union-attr]

    def child(self) -> int:
        """The io process."""
        path = Path(f"/proc/{self.guard.pid}/task/{self.guard.pid}/children")
        (child,) = path.read_text().split()
        return int(child)

    def end(self) -> tuple[int, str]:
        out, err = self.guard.communicate(timeout=30)
        self.lines += out.splitlines(keepends=True)
        return self.guard.returncode, err

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def operate(run: Run, *words: str, timeout_s: float = 5.0) -> subprocess.CompletedProcess[str]:
    command = [*DEMOLOOP, "operate", *words, "--timeout-s", f"{timeout_s}"]
    command += ["--run", run.control] if "--run" not in words else []
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def moving(start: Start, policy: Path, tmp_path: Path) -> Run:
    run = Run(start, policy, tmp_path)
    run.line("running")
    return run


def test_io_process_killed_brings_the_arm_to_rest_and_is_one_sentence(moving: Run) -> None:
    os.kill(moving.child(), signal.SIGKILL)
    code, err = moving.end()
    assert code == 2
    assert err == "demoloop: the io process has died; the arm was brought to rest\n"
    assert any("chunks, round trip" in line for line in moving.lines)  # nothing is lost


def test_guard_killed_takes_its_io_process_along(moving: Run) -> None:
    child = moving.child()
    moving.guard.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline, "the io process lives on"
        time.sleep(0.01)
    assert moving.events()[-2]["reason"].startswith("the guard's process has died")
    assert moving.events()[-1]["event"] == "ended"


def test_io_process_that_hangs_makes_the_arm_hold_until_it_is_back(moving: Run) -> None:
    child = moving.child()
    os.kill(child, signal.SIGSTOP)
    time.sleep(1.5)  # of silence; nobody can be asked meanwhile
    os.kill(child, signal.SIGCONT)
    deadline = time.monotonic() + 20
    while True:
        changes = [event for event in moving.events() if event["event"] == "transition"]
        held = [i for i, it in enumerate(changes) if "the io process shows" in it["reason"]]
        if held and any(it["to"] == "running" for it in changes[held[0] :]):
            break
        assert time.monotonic() < deadline, changes
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_to_both_ends_the_run_with_all_its_words(moving: Run, number: int) -> None:
    """As Ctrl-C, systemd and a closed terminal send it."""
    os.kill(moving.child(), number)
    moving.guard.send_signal(number)
    code, err = moving.end()
    assert (code, err) == (130, "stopped\n")
    assert [event["event"] for event in moving.events()][-2:] == ["episode", "ended"]


def test_guard_loads_neither_zeromq_nor_onnxruntime_and_writes_no_log(moving: Run) -> None:
    pid = moving.guard.pid
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "libzmq" not in maps
    assert "onnxruntime" not in maps
    assert "libzmq" in Path(f"/proc/{moving.child()}/maps").read_text()
    open_files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    assert not any(name.endswith(".jsonl") for name in open_files)


def test_guard_starts_no_thread_and_a_relay_takes_it_to_another_host(
    start: Start, policy: Path
) -> None:
    """Runs it where starting one is an error, with a policy over TCP."""
    server = start("serve", policy, "--bind", "tcp://127.0.0.1:*")
    assert server.stdout is not None
    endpoint = server.stdout.readline().split()[1]
    code = (
        "import sys, threading\n"
        "def start(self): raise RuntimeError('a thread beside the loop')\n"
        "threading.Thread.start = start\n"
        "from demoloop.__main__ import main\n"
        "code = main(sys.argv[1:])\n"
        "sys.exit(code if 'zmq' not in sys.modules else 'zmq is here')"
    )
    command = [sys.executable, "-c", code, "run", "--server", endpoint, *FREE_PORTS]
    command += ["--max-seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"with policy.onnx of {endpoint}$", done.stdout, re.MULTILINE)
    assert re.search(r"^[1-9]\d* chunks, ", done.stdout, re.MULTILINE)


def test_stop_is_latched_until_reset_and_each_order_is_logged(moving: Run) -> None:
    said = [operate(moving, order) for order in ("stop", "go", "reset", "go")]
    assert [done.returncode for done in said] == [0, 1, 0, 0]
    assert "the arm is stopped" in said[0].stdout
    assert "say reset first" in said[1].stdout
    assert "ordered hold, the arm is holding" in said[2].stdout
    moving.line("running")
    orders = [event for event in moving.events() if event["event"] == "order"]
    assert [event["order"] for event in orders] == ["stop", "go", "reset", "go"]
    assert [event["is_done"] for event in orders] == [True, False, True, True]
    assert all("@" in event["who"] for event in orders)
    states = [event["to"] for event in moving.events() if event["event"] == "transition"]
    assert states[-4:] == ["stopped", "holding", "waiting", "running"]


def test_viewers_key_gives_no_order(start: Start, policy: Path, tmp_path: Path) -> None:
    folders = {name: KeyFolder(tmp_path / name) for name in ("robot", "eve", "ann")}
    own = {name: folder.generate(name)[0] for name, folder in folders.items()}
    folders["robot"].trust(own["eve"].public, "eve", "viewer")
    folders["robot"].trust(own["ann"].public, "ann", "operator")
    for name in ("eve", "ann"):
        folders[name].trust(own["robot"].public, "robot", "policy")
    run = Run(start, policy, tmp_path, "--keys", folders["robot"].path)
    run.line("running")
    keys = ["--keys", str(folders["eve"].path)]
    refused = operate(run, "stop", *keys, timeout_s=1.0)
    assert refused.returncode == 2
    assert "did not answer 'stop'" in refused.stderr
    assert operate(run, "stop", timeout_s=1.0).returncode == 2  # nor does who has no key
    assert not [event for event in run.events() if event["event"] == "order"]
    picture = tmp_path / "look.jpg"
    words = ["watch", run.telemetry, *keys, "--snapshot", str(picture)]
    assert subprocess.run([*DEMOLOOP, *words], timeout=60, check=False).returncode == 0
    image = cv2.imread(str(picture))
    assert image is not None
    assert image.shape == (96, 192, 3)
    done = operate(run, "stop", "--keys", str(folders["ann"].path))
    assert done.returncode == 0
    assert [event["who"] for event in run.events() if event["event"] == "order"] == ["ann"]


_PLAIN = ("CI", "NO_COLOR")  # what makes a terminal one without a table


class Keyboard:
    """A terminal with `demoloop operate` in it."""

    def __init__(self, start: Start, *words: object) -> None:
        self.descriptor, child = pty.openpty()
        # A terminal as a person has it, whatever these tests run in.
        plain = {name: value for name, value in os.environ.items() if name not in _PLAIN}
        self.process = start(
            *words, stdin=child, stdout=child, stderr=child, start_new_session=True,
            env={**plain, "TERM": "xterm"},
        )  # fmt: skip
        os.close(child)
        self.shown = ""

    def press(self, keys: bytes) -> None:
        os.write(self.descriptor, keys)

    def until(self, pattern: str) -> None:
        """Reads the screen until something is on it, and forgets what came before."""
        deadline = time.monotonic() + 20
        while not (found := re.search(pattern, self.shown)):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.shown[-2000:]!r}"
            if select.select([self.descriptor], [], [], 0.1)[0]:
                self.shown += os.read(self.descriptor, 65536).decode(errors="replace")
        self.shown = self.shown[found.end() :]


def test_keys_of_an_operator_steer_and_his_leaving_holds(
    start: Start, policy: Path, tmp_path: Path
) -> None:
    run = Run(start, policy, tmp_path, "--need-operator")
    assert operate(run, "go").returncode == 1  # of somebody who does not stay
    keyboard = Keyboard(start, "operate", "--run", run.control)
    keyboard.until(r"state +holding .*no operator is connected")
    keyboard.until(r"operator \S+@\S+ \(no key\)")
    keyboard.press(b" ")
    keyboard.until("state    running")
    keyboard.press(b"\x1b")
    keyboard.until("state    stopped")
    keyboard.press(b" ")
    keyboard.until("say reset first")
    keyboard.press(b"r")
    keyboard.until("state    holding")
    keyboard.press(b" ")
    keyboard.until("state    running")
    keyboard.process.kill()  # a dead-man's switch needs no goodbye
    run.line("holding (no operator is connected)")
    run.guard.send_signal(signal.SIGINT)
    assert run.end()[0] == 130


def test_table_of_a_run_is_seen_from_another_terminal_and_fits_it(
    moving: Run, start: Start
) -> None:
    screen = Keyboard(start, "watch", moving.telemetry)
    screen.until("policy   policy.onnx at unix://")
    screen.until("state    .*running")
    moving.guard.send_signal(signal.SIGINT)
    screen.until("no news for 2 s")
    assert screen.process.wait(10) == 0


def test_screen_that_has_gone_does_not_stop_the_run(
    start: Start, policy: Path, tmp_path: Path
) -> None:
    run = Run(start, policy, tmp_path, "--max-seconds", 3)
    run.line("running")
    assert run.guard.stdout is not None
    run.guard.stdout.close()
    assert run.guard.wait(30) in (0, 1)  # 1: the summary found no reader
    assert [event["event"] for event in run.events()][-2:] == ["episode", "ended"]


# What is wrong from the start


@pytest.mark.parametrize("option", ["--control", "--telemetry", "--metrics"])
def test_busy_port_is_one_sentence_before_the_arm_moves(
    option: str, start: Start, tmp_path: Path
) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        address = address if option == "--metrics" else f"tcp://{address}"
        log = tmp_path / "run.jsonl"
        words = ["--server", f"unix://{tmp_path}/p.sock", "--log", log]
        process = start("run", *words, *FREE_PORTS, option, address)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert option in err
    assert "in use" in err
    assert f"{option} 'tcp://127.0.0.1:*'" in err or option == "--metrics"
    assert "transition" not in log.read_text()


def test_no_memory_for_frames_is_one_sentence_and_the_arm_at_rest(
    start: Start, policy: Path, tmp_path: Path
) -> None:
    """As when memory is full: the limit on file sizes holds for shared memory too."""
    bind = f"unix://{tmp_path}/policy.sock"
    server = start("serve", policy, "--bind", bind)
    assert server.stdout is not None
    server.stdout.readline()
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (40000, 40000));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from demoloop.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "run", "--server", bind, *FREE_PORTS]
    command += ["--max-seconds", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stdout
    assert re.search(r"^demoloop: no 0\.\d MB of shared memory for the frames", done.stderr, re.M)
    assert "Traceback" not in done.stderr
    server.send_signal(signal.SIGTERM)
    assert server.wait(10) == 0


def test_an_emulated_arm_that_is_stopped_goes_on_after_reset_and_go(
    start: Start, policy: Path, tmp_path: Path
) -> None:
    run = Run(start, policy, tmp_path, "--robot", "so101:emulated")
    run.line("running")
    assert operate(run, "stop").returncode == 0
    run.line("stopped")
    assert operate(run, "go").returncode != 0  # nobody has looked at the arm yet
    assert operate(run, "reset").returncode == 0
    assert operate(run, "go").returncode == 0
    run.line("running")
    run.guard.send_signal(signal.SIGINT)
    code, err = run.end()
    assert (code, err) == (130, "stopped\n")
