"""Two network namespaces, a line that delays and loses, and everybody who must not get through.

`python benchmarks/two_hosts.py` lets it run for longer.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


sys.path.insert(0, str(BENCHMARKS))  # the benchmark's files import each other by name
two_hosts: Any = load("two_hosts")
sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if reason := two_hosts.why_not():
        pytest.skip(reason)
    options = two_hosts.Options(seconds=4.0, knocking_s=0.7)
    return two_hosts.measure(options, tmp_path_factory.mktemp("hosts"))


def test_a_robot_runs_over_a_line_that_delays_and_loses(measured: Any) -> None:
    result, _ = measured
    assert result.num_chunks > 5
    assert result.running > 0


@pytest.mark.parametrize("intruder", two_hosts.INTRUDERS)
def test_nothing_of_an_intruder_is_answered(measured: Any, intruder: str) -> None:
    assert measured[1][intruder] == 0


def test_nobody_but_the_robot_got_a_session(measured: Any) -> None:
    result, _ = measured
    assert result.num_sessions >= 1
    assert result.num_strangers == 0
