"""`serve` and `run` as two processes, as a person starts them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from demoloop.__main__ import main
from demoloop.cli import operate, watch
from demoloop.cli import run as run_verb
from demoloop.robot.arms.so101 import SO101
from demoloop.robot.video import read_frames
from demoloop.sim import make_robot

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")

DEMOLOOP = [sys.executable, "-m", "demoloop"]
FREE_PORTS = ["--control", "tcp://127.0.0.1:*", "--telemetry", "tcp://127.0.0.1:*"]


@pytest.fixture(scope="module")
def policies() -> ModuleType:
    """The makers of tiny policy files."""
    path = Path(__file__).parents[1] / "deploy" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_policies", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def policy(tmp_path: Path, policies: ModuleType) -> Path:
    path: Path = policies.write_policy(tmp_path / "policy.onnx", SO101)
    return path


Start = Callable[..., "subprocess.Popen[str]"]


def endpoint_of(server: subprocess.Popen[str]) -> str:
    """Waits until a server is ready."""
    assert server.stdout is not None
    line = server.stdout.readline()
    found = re.match(r"ready (tcp://127\.0\.0\.1:\d+) policy\.onnx: ramp for so101, ", line)
    assert found, line
    return found[1]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [*DEMOLOOP, "run", *FREE_PORTS, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_two_processes_run_an_episode_film_it_and_report(
    policy: Path, start: Start, tmp_path: Path
) -> None:
    server = start("serve", policy, "--bind", "tcp://127.0.0.1:*")
    endpoint = endpoint_of(server)
    film, report = tmp_path / "out" / "run.mp4", tmp_path / "out" / "run.json"
    done = run("--server", endpoint, "--episodes", 2, "--seed", 3, "--max-seconds", 1.2,
               "--video", film, "--report", report)  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(report.read_text())
    assert (said["task"], said["seeds"], said["policy"]) == ("pick_place", [3, 4], "policy.onnx")
    assert [episode["num_steps"] for episode in said["episodes"]] == [120, 120]
    assert said["num_chunks"] == said["round_trip_ms"]["count"] >= 1
    assert "running" in {stretch["state"] for stretch in said["episodes"][1]["timeline"]}
    assert len(list(read_frames(film))) == 30  # every second step
    assert "pick_place, seed 4: no success after " in done.stdout

    server.send_signal(signal.SIGTERM)
    out, err = server.communicate(timeout=30)
    assert (server.returncode, err) == (0, "")
    assert re.search(r"stopped after \d+ chunks\n$", out)


def test_both_sides_log_one_session_and_serve_metrics(
    policy: Path, start: Start, tmp_path: Path
) -> None:
    logs = {side: tmp_path / f"{side}.jsonl" for side in ("serve", "run")}
    words = ["--bind", "tcp://127.0.0.1:*", "--metrics", "127.0.0.1:0", "--log", logs["serve"]]
    server = start("serve", policy, *words)
    endpoint = endpoint_of(server)
    assert server.stdout is not None
    url = server.stdout.readline().split()[1]
    words = ["--max-seconds", 1, "--metrics", "127.0.0.1:0", "--log", logs["run"]]
    done = run("--server", endpoint, *words)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^metrics: http://127\.0\.0\.1:\d+/metrics$", done.stdout, re.MULTILINE)
    assert re.search(r"^ +[0-9.]+ s: running$", done.stdout, re.MULTILINE)
    with urllib.request.urlopen(url, timeout=10) as response:
        assert b"\ndemoloop_serve_chunks_total " in response.read()
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=30)

    said = {
        side: [json.loads(line) for line in path.read_text().splitlines()]
        for side, path in logs.items()
    }
    # Real time may be refused here, which the log tells too.
    said["run"] = [line for line in said["run"] if line["event"] != "warning"]
    events = {side: [line["event"] for line in lines] for side, lines in said.items()}
    assert events["serve"] == ["started", "ready", "welcomed", "left", "ended"]
    assert events["run"][:3] == ["started", "connected", "transition"]
    assert events["run"][-2:] == ["episode", "ended"]
    assert said["run"][1]["session"] == said["serve"][2]["session"] != 0


def test_fault_that_ends_a_run_is_in_its_log(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    done = run("--server", "tcp://127.0.0.1:1", "--timeout-s", 0.5, "--log", path)
    assert done.returncode == 2
    said = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in said] == ["started", "fault", "ended"]
    assert said[1]["reason"] in done.stderr


def test_film_shows_each_world_as_it_was_whatever_came_after(tmp_path: Path) -> None:
    # Of push: its outline is moved by no force, so it does not stand among the joints.
    robot = make_robot("push", [1, 2])
    film = run_verb._Film(robot)
    robot.reset()
    film(robot.observe(), np.zeros(6, np.float32))
    film.write(tmp_path / "at_once.mp4")
    robot.reset()
    film.write(tmp_path / "later.mp4")
    robot.close()
    assert (tmp_path / "at_once.mp4").read_bytes() == (tmp_path / "later.mp4").read_bytes()


def test_ctrl_c_ends_a_run_and_keeps_its_report(policy: Path, start: Start, tmp_path: Path) -> None:
    endpoint = endpoint_of(start("serve", policy, "--bind", "tcp://127.0.0.1:*"))
    report = tmp_path / "run.json"
    words = ["--server", endpoint, "--max-seconds", 60, "--report", report]
    process = start("run", *FREE_PORTS, *words)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("so101 at 25 Hz with policy.onnx")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "stopped\n")
    assert json.loads(report.read_text())["was_interrupted"] is True


def test_ctrl_c_ends_a_server_with_a_goodbye(policy: Path, start: Start) -> None:
    server = start("serve", policy, "--bind", "tcp://127.0.0.1:*")
    endpoint_of(server)
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=30)
    assert (server.returncode, out, err) == (0, "stopped after 0 chunks\n", "")


def test_server_lets_the_loop_that_owns_the_arm_go_first(policy: Path, start: Start) -> None:
    server = start("serve", policy, "--bind", "tcp://127.0.0.1:*")
    endpoint_of(server)
    assert os.getpriority(os.PRIO_PROCESS, server.pid) >= 5


def test_operator_and_viewer_look_where_a_run_listens() -> None:
    options = run_verb.Options()
    assert operate.Options().run == options.control
    assert watch.Options().endpoint == options.telemetry


def test_port_in_use_is_one_sentence_and_exit_code_2(policy: Path, start: Start) -> None:
    endpoint = endpoint_of(start("serve", policy, "--bind", "tcp://127.0.0.1:*"))
    second = start("serve", policy, "--bind", endpoint)
    _, err = second.communicate(timeout=30)
    assert second.returncode == 2
    assert re.fullmatch(rf"demoloop: {endpoint} is in use already; stop .*\n", err)


def test_absent_server_is_one_sentence_and_exit_code_2() -> None:
    done = run("--server", "tcp://127.0.0.1:1", "--timeout-s", 0.5)
    assert done.returncode == 2
    assert re.fullmatch(
        r"demoloop: no policy server at tcp://127\.0\.0\.1:1 .*`demoloop serve .*\n", done.stderr
    )


def test_another_robots_policy_is_one_sentence_and_exit_code_2(
    tmp_path: Path, policies: ModuleType, start: Start
) -> None:
    small = policies.replace(SO101, control_hz=50.0)
    other = policies.write_policy(tmp_path / "policy.onnx", small)
    endpoint = endpoint_of(start("serve", other, "--bind", "tcp://127.0.0.1:*"))
    done = run("--server", endpoint)
    assert done.returncode == 2
    assert "control rate 50 Hz, the robot has 25 Hz" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "juggle"], "no task 'juggle'; there are pick_place"),
        (["--episodes", "0"], "--episodes is 0; ask for at least 1"),
        (["--max-seconds", "-1"], "--max-seconds is -1"),
        (["--max-seconds", "nan"], "--max-seconds is nan"),
        (["--replan-every", "0"], "--replan-every is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--timeout-s", "nan"], "--timeout-s is nan"),
        (["--server", "tcp://10.0.0.7:5555"], "reachable from other computers"),
        (["--report", "."], "is a folder; name the file"),
        (["--log", "."], "is a folder; name the file"),
        (["--metrics", "0.0.0.0:9100"], "--metrics is '0.0.0.0:9100'"),
    ],
)
def test_bad_options_of_run_are_one_sentence_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *FREE_PORTS, *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_policy_that_is_not_there_is_one_sentence_and_exit_code_2(
    tmp_path: Path, start: Start
) -> None:
    process = start("serve", tmp_path / "absent.onnx")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert re.fullmatch(r"demoloop: cannot read the policy .*absent\.onnx: .*\n", err)
