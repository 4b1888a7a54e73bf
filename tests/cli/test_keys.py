"""Two processes on two sides of keys, as two people start them."""

from __future__ import annotations

import importlib.util
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demoloop.deploy.keys import KeyFolder
from demoloop.robot.arms.so101 import SO101

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")

DEMOLOOP = [sys.executable, "-m", "demoloop"]
FREE_PORTS = ["--control", "tcp://127.0.0.1:*", "--telemetry", "tcp://127.0.0.1:*"]


class Served:
    """A server process that listens to the whole network, and the folders of both computers."""

    def __init__(self, folder: Path) -> None:
        self.box, self.arm = KeyFolder(folder / "box"), KeyFolder(folder / "arm")
        self.box.trust(self.arm.generate("arm")[0].public, "arm", "policy")
        self.arm.trust(self.box.generate("box")[0].public, "box", "policy")
        path = Path(__file__).parents[1] / "deploy" / "conftest.py"
        spec = importlib.util.spec_from_file_location("tiny_policies", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.policy: Path = module.write_policy(folder / "policy.onnx", SO101)
        words = ["serve", self.policy, "--bind", "tcp://0.0.0.0:*", "--keys", self.box.path]
        words += ["--allow-unsigned"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [*DEMOLOOP, *map(str, words)], stdout=pipe, stderr=pipe, text=True
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        found = re.match(r"ready tcp://0\.0\.0\.0:(\d+) ", self.said)
        assert found, self.said
        self.endpoint = f"tcp://127.0.0.1:{found[1]}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("keys"))
    yield served
    served.process.kill()
    served.process.communicate()


def run(served: Served, *words: object) -> subprocess.CompletedProcess[str]:
    command = [*DEMOLOOP, "run", "--server", served.endpoint, *FREE_PORTS, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_robot_without_keys_is_one_sentence_and_exit_code_2(served: Served) -> None:
    done = run(served)
    assert done.returncode == 2
    assert re.fullmatch(r"demoloop: tcp:\S+ asks who this robot is; say --keys .*\n", done.stderr)


def test_wrong_server_key_is_one_sentence_and_exit_code_2(served: Served, tmp_path: Path) -> None:
    arm = KeyFolder(tmp_path / "arm")
    arm.generate("arm")
    arm.trust("ab" * 32, "box", "policy")
    done = run(served, "--keys", arm.path, "--server-key", "box", "--timeout-s", 1)
    assert done.returncode == 2
    assert re.fullmatch(r"demoloop: what answers at \S+ does not prove .*\n", done.stderr)


def test_server_off_loopback_without_keys_does_not_start(served: Served) -> None:
    command = [*DEMOLOOP, "serve", str(served.policy), "--bind", "tcp://0.0.0.0:*"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"demoloop: .* without keys whoever connects could .*\n", done.stderr)


def test_two_trusted_processes_run_and_a_revoked_one_does_not(served: Served) -> None:
    done = run(served, "--keys", served.arm.path, "--max-seconds", 0.4)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ chunks, round trip", done.stdout)
    served.box.revoke("arm")
    refused = run(served, "--keys", served.arm.path)
    assert refused.returncode == 2
    assert re.fullmatch(
        r"demoloop: \S+ does not trust this robot's key .*--role policy` \(.*\)\n", refused.stderr
    )
    served.process.send_signal(signal.SIGTERM)
    out, err = served.process.communicate(timeout=30)
    assert served.process.returncode == 0
    everything = "".join([served.said, out, err, *(done.stdout, done.stderr, refused.stderr)])
    for folder in (served.box, served.arm):
        assert folder.own().secret not in everything
