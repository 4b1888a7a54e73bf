"""`demoloop run --chaos`: a bad network stands between, says what it did, and leaves nothing."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demoloop.__main__ import main
from demoloop.robot.arms.so101 import SO101

DEMOLOOP = [sys.executable, "-m", "demoloop"]
FREE_PORTS = ["--control", "tcp://127.0.0.1:*", "--telemetry", "tcp://127.0.0.1:*"]


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """Of a server with a tiny policy for the SO-101."""
    path = Path(__file__).parents[1] / "deploy" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_policies", path)
    assert spec is not None and spec.loader is not None
    policies = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(policies)
    policy = policies.write_policy(tmp_path / "policy.onnx", SO101)
    command = [*DEMOLOOP, "serve", str(policy), "--bind", "tcp://127.0.0.1:*"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[1]
        server.kill()


def test_a_run_through_a_bad_network_says_what_was_done_to_it(endpoint: str) -> None:
    done = subprocess.run(
        [*DEMOLOOP, "run", "--server", endpoint, "--max-seconds", "1.5", *FREE_PORTS,
         "--chaos", "wifi,drop=0.2,duplicate=0.3"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.search(r"bad network: (\d+) messages, (\d+) dropped, (\d+) duplicated", done.stdout)
    assert found, done.stdout
    assert all(int(count) > 0 for count in found.groups())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rain=1", "'rain=1' is not NAME=NUMBER"),
        ("drop=2", "chaos drop=2: it is a share of the messages, from 0 to 1"),
    ],
)
def test_what_is_no_network_is_one_sentence_and_exit_code_2(
    text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--chaos", text]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
