"""What the time of day is, and where a clock began to count, changes nothing on the wire."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from demoloop.deploy.server import PolicyServer
from demoloop.robot import RobotSpec

ROOT = Path(__file__).parents[2]
# Where a person reads a date; the file's own docstring says what else it is used for: nothing.
MAY_READ_A_DATE = {"deploy/events.py", "deploy/io_desk.py"}
OF_DAY = {"time", "time_ns", "ctime", "localtime", "gmtime", "strftime", "now", "today", "utcnow"}


def reads_of_the_day(tree: ast.Module) -> set[str]:
    """Names like time.time and datetime.now that occur, called or handed over."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in OF_DAY:
            base = node.value
            name = base.id if isinstance(base, ast.Name) else getattr(base, "attr", "")
            if name in ("time", "datetime", "date"):
                found.add(f"{name}.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found |= {f"time.{alias.name}" for alias in node.names if alias.name in OF_DAY}
    return found


def test_only_the_monotonic_clock_is_read() -> None:
    for folder in ("deploy", "robot"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            found = reads_of_the_day(ast.parse(path.read_text(encoding="utf-8")))
            assert not found or name in MAY_READ_A_DATE, f"{name} reads {found}"


@pytest.mark.parametrize(
    "line", ["time.time()", "f(now=time.time)", "datetime.datetime.now()", "from time import time"]
)
def test_the_time_of_day_is_seen_however_it_is_read(line: str) -> None:
    assert reads_of_the_day(ast.parse(line))


ROBOT = """
import sys, time
import msgspec, numpy as np
from demoloop.deploy.client import RemotePolicy
from demoloop.deploy.remote_agent import RemoteAgent
from demoloop.robot import Observation, RobotSpec

spec = msgspec.json.decode(sys.argv[2], type=RobotSpec)
with RemotePolicy(sys.argv[1], spec) as policy:
    agent, ages = RemoteAgent(policy), []
    while len(ages) < 40:
        now = time.monotonic()
        images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in spec.cameras}
        proprioception = np.full(2 * spec.action_dim, 0.2, np.float32)
        agent.decide(Observation(now, proprioception, images, dict.fromkeys(images, now)))
        if agent.state == "running":
            ages.append(agent.age_s)
        time.sleep(0.01)
print(now, max(ages), agent.num_stale)
"""


@pytest.mark.parametrize("hours", [0, 1000], ids=["same clock", "thousand hours ahead"])
def test_two_hosts_need_not_agree_on_any_clock(
    serving: Callable[..., AbstractContextManager[PolicyServer]],
    still: Any,
    spec: RobotSpec,
    hours: int,
) -> None:
    import msgspec

    unshare = ["unshare", "--time", "--monotonic", str(hours * 3600), "--fork", "--"]
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("another monotonic clock needs Linux and unshare")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare --time is not permitted")
    with serving(still) as server:
        robot = [sys.executable, "-c", ROBOT, server.endpoint, msgspec.json.encode(spec).decode()]
        done = subprocess.run(
            [*unshare, *robot], stdout=subprocess.PIPE, text=True, timeout=60, check=True
        )
    now, oldest, num_stale = (float(word) for word in done.stdout.split())
    assert now > hours * 3600
    assert oldest <= 0.5
    assert num_stale < 5
