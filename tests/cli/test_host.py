"""Laws of `demoloop host`: real processes at both ends, killed where it hurts."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.cli.test_by_hand import show_something
from tests.deploy.hosted import Diarist, hosting
from tests.teleop.web.wire import Wire

from demoloop.datasets import open_dataset
from demoloop.deploy import DeployError
from demoloop.deploy.host_line import HostLine
from demoloop.deploy.remote_robot import RemoteRobot
from demoloop.robot.arms.so101 import SO101

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")

DRIVER = """
import sys, time
import numpy as np
from demoloop.deploy.host_line import HostLine
from demoloop.deploy.remote_robot import RemoteRobot

with RemoteRobot(HostLine(sys.argv[1], who="driver")) as robot:
    robot.reset()
    start = robot.observe().proprioception[:6].clip(robot.spec.low, robot.spec.high)
    for step in range(10_000):
        target = start.copy()
        target[0] += 0.3 * np.sin(step / 10)
        robot.observe()
        robot.act(target)
        if step == 10:
            print(robot.state, flush=True)
        time.sleep(0.03)
"""

Start = Callable[..., "subprocess.Popen[str]"]


def endpoint_of(host: subprocess.Popen[str]) -> str:
    """Waits until somebody may drive."""
    assert host.stdout is not None
    line = host.stdout.readline()
    found = re.match(r"ready (tcp://127\.0\.0\.1:\d+) ", line)
    assert found, line or host.communicate()[1]
    return found[1]


def until(process: subprocess.Popen[str], text: str) -> str:
    """Reads what a process says until a line has `text` in it."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return line
    raise AssertionError(f"it never said {text!r}: {process.communicate()[1]}")


def test_an_arm_holds_when_whoever_drives_it_is_stopped_and_the_seat_is_free_when_he_is_killed(
    start: Start,
    popen: Start,
) -> None:
    host = start("host", "so101:emulated", "--bind", "tcp://127.0.0.1:*")
    endpoint = endpoint_of(host)
    driver = popen(sys.executable, "-c", DRIVER, endpoint)
    assert until(driver, "RUNNING")
    driver.send_signal(signal.SIGSTOP)
    with pytest.raises(DeployError, match="driver drives so101, one at a time"):
        RemoteRobot(HostLine(endpoint)).connect()  # it is there, and says nothing
    driver.send_signal(signal.SIGKILL)
    assert "holds" in until(host, "nobody drives")
    with RemoteRobot(HostLine(endpoint, timeout_s=20.0)) as robot:
        for _ in range(200):  # it slows down first
            robot.observe()
            if robot.state != "RUNNING":
                break
        assert robot.state == "ARMED"  # and not in FAULT: a lost driver is no fault of the arm
        before = robot.observe().proprioception[:6]
        np.testing.assert_allclose(robot.observe().proprioception[:6], before, atol=0.02)
        sent = robot.act(before.clip(SO101.low, SO101.high))
        assert np.abs(sent - before).max() < 0.2
    host.send_signal(signal.SIGINT)
    assert host.wait(30) == 0


def test_a_host_that_is_killed_is_a_sentence_and_the_page_goes_on_with_the_next_one(
    start: Start, tmp_path: Path
) -> None:
    out = tmp_path / "data"
    host = start("host", "sim", "--bind", "tcp://127.0.0.1:*")
    endpoint = endpoint_of(host)
    words = ["--agent", "keyboard", "--countdown-s", "0", "--panel.no-browser"]
    record = start("record", "--out", out, "--robot", endpoint, *words)
    with Wire(until(record, "ready ").split()[1]) as page:
        show_something(page, 40)
        host.kill()
        problem = page.until_phase("fault")["problem"]
        assert "shows no sign of life; it holds by itself" in problem
        host = start("host", "sim", "--bind", endpoint)
        endpoint_of(host)
        page.command("reset")
        page.until_phase("review")  # what was shown until then is here to be judged
        page.command("failure")
        page.until_phase("ready")
        show_something(page, 10)
        page.command("finish")
        page.until_phase("finished")
        assert record.wait(60) == 0
    episodes = [open_dataset(out).episode(number) for number in range(2)]
    assert [episode.seed for episode in episodes] == [10_000, 10_001]
    assert [episode.success for episode in episodes] == [False, False]
    assert len(episodes[0]) >= 40 and len(episodes[1]) >= 10
    for episode in episodes:  # the gripper closed, as was held, and the arm went there
        assert episode.actions[-1, -1] < episode.actions[0, -1] - 0.1
        assert episode.proprioception[-1, 5] < episode.proprioception[0, 5] - 0.1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("host so9:emulated", "there is no arm 'so9'"),
        ("host --bind tcp://0.0.0.0:5558", "make keys on both"),
        ("host --hz 5", "the guard's rate is 5 Hz"),
        ("host --seed -1", "--seed is -1"),
        ("evaluate --robot tcp://127.0.0.1:1", "the expert sees the world itself"),
        ("record --out d --robot tcp://127.0.0.1:1", "nobody shows tcp://127.0.0.1:1"),
        ("takeover p.onnx --out d --robot tcp://10.0.0.9:5558", "make keys on both"),
    ],
)
def test_a_wrong_word_is_a_sentence(
    words: str,
    sentence: str,
    complaint: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in complaint(*words.split())


@pytest.mark.parametrize("verb", ["evaluate", "takeover", "record"])
def test_another_task_than_the_hosts_is_refused(
    verb: str, policy: Path, complaint: Callable[..., str], tmp_path: Path
) -> None:
    words = {
        "evaluate": ["evaluate", policy],
        "takeover": ["takeover", policy, "--out", tmp_path],
        "record": ["record", "--agent", "keyboard", "--out", tmp_path],
    }[verb]
    with hosting(Diarist(SO101)) as server:
        said = complaint(*words, "--robot", server.endpoint)
    assert "hosts the task 'table', not 'pick_place'; say --task table, or --task pick" in said


def test_where_only_a_person_can_judge_nothing_is_judged(
    policy: Path, complaint: Callable[..., str]
) -> None:
    with hosting(Diarist(SO101), task="") as server:
        words = ["evaluate", policy, "--robot", server.endpoint]
        assert "only a world can judge" in complaint(*words)
        assert "only a world can judge" in complaint(*words, "--agent", "keyboard")
