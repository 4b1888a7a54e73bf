"""Spoilt messages crash neither side and command nothing.

`python benchmarks/fuzz_wire.py` sends a million; here are some.
"""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from demoloop.deploy.chunks import ActionChunk
from demoloop.deploy.translate import chunk_message, observation_message
from demoloop.deploy.wire import encode

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


sys.path.insert(0, str(BENCHMARKS))  # the benchmark's files import each other by name
messages: Any = load("fuzz_messages")
fuzz: Any = load("fuzz_wire")
sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize(
    ("part", "sound"),
    [("server", "answers"), ("client", "let through"), ("packets", "packets let through")],
)
def test_spoilt_messages_crash_nobody_and_command_nothing(part: str, sound: str) -> None:
    tally = fuzz.PARTS[part](4000, random.Random(1))
    assert tally["COMMANDS"] == 0
    assert tally[sound] > 50  # it is not that nothing came through at all


def chunk(session: int = 7, seq: int = 3, time: float = 1.0, target: float = 0.5) -> list[bytes]:
    question = observation_message(messages.look(time), session, seq)
    actions = np.full((6, 2), target, np.float32)
    return [bytes(p) for p in encode(chunk_message(ActionChunk(actions, time), 1.0, question, 1))]


def test_the_judge_knows_a_command_when_it_reads_one() -> None:
    asked = {3: 1_000_000_000}
    assert not fuzz.is_command(chunk(), 7, asked)
    for foreign in (chunk(session=8), chunk(seq=2), chunk(time=2.0), chunk(target=1.5)):
        assert fuzz.is_command(foreign, 7, asked)
    assert fuzz.is_command(chunk(target=float("nan")), 7, asked)
