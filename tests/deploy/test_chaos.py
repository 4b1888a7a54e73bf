"""Nothing a bad network does makes an arm do what is old, twice or beyond a limit.

`python benchmarks/chaos.py` lets a hundred thousand messages through each network; here are some.
"""

from __future__ import annotations

import importlib.util
import itertools
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from demoloop.deploy import DeployError
from demoloop.deploy.chaos import PRESETS, Chaos, Mischief, Tally, garbled, parse_chaos

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


sys.path.insert(0, str(BENCHMARKS))  # the benchmark's files import each other by name
NETWORKS: dict[str, str] = load("chaos").NETWORKS
World = load("chaos_world").World
sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("name", NETWORKS)
def test_no_network_makes_the_arm_do_what_is_stale_twice_or_beyond_a_limit(name: str) -> None:
    world = World(parse_chaos(NETWORKS[name]), seed=1)
    world.run(3000)
    assert not world.judge.offences
    assert world.judge.num_moving > 0.05 * world.judge.num_ticks


def test_a_welcome_that_comes_twice_or_late_costs_nothing() -> None:
    """The arm keeps moving where every message comes twice, and those are out of turn."""
    world = World(Chaos(duplicate=1.0, reorder=0.5, delay=0.02), seed=3)
    world.run(4000)
    assert world.judge.num_moving > 0.9 * world.judge.num_ticks


def test_the_same_seed_is_the_same_network() -> None:
    ends = []
    for _ in range(2):
        world = World(PRESETS["awful"], seed=5)
        world.run(1000)
        ends.append((world.now, world.judge.num_followed, world.network.tally))
    assert ends[0] == ends[1]


def arrivals(chaos: Chaos, num_messages: int = 2000) -> list[tuple[float, int]]:
    """Sends a message every 10 ms; returns when each arrives, and its number."""
    way = Mischief(chaos, random.Random(0), Tally())
    got = []
    for tick in range(num_messages + 6000):
        now = tick * 0.01
        if tick < num_messages:
            way.put([b"header", tick.to_bytes(4, "little")], now)
        while (parts := way.take(now)) is not None:
            got.append((now, int.from_bytes(parts[1], "little")))
    return got


def test_a_good_network_changes_nothing() -> None:
    assert [number for _, number in arrivals(Chaos())] == list(range(2000))


def test_shares_and_times_are_as_they_were_asked_for() -> None:
    got = arrivals(Chaos(drop=0.3))
    assert 1300 < len(got) < 1500
    assert 2150 < len(arrivals(Chaos(duplicate=0.1))) < 2250
    numbers = [number for _, number in arrivals(Chaos(reorder=0.2, delay=0.1))]
    assert sorted(numbers) == list(range(2000)) != numbers
    late = [now - 0.01 * number for now, number in arrivals(Chaos(delay=0.5))]
    assert 0.4 < max(late) <= 0.51
    in_turn = [number for _, number in arrivals(Chaos(delay=0.5))]
    assert in_turn == list(range(2000))


def test_a_stall_lets_nothing_through_and_then_all() -> None:
    got = [now for now, _ in arrivals(Chaos(stall=0.01, stall_s=0.5))]
    gaps = [after - before for before, after in itertools.pairwise(got)]
    assert max(gaps) >= 0.45
    assert len(got) == 2000


def test_no_network_holds_more_than_a_router_would() -> None:
    way = Mischief(Chaos(delay=60.0), random.Random(0), Tally())
    for number in range(5000):
        way.put([b"header", bytes([number % 256])], 0.0)
    arrived = 0
    while way.take(1000.0) is not None:
        arrived += 1
    assert arrived == 256


def test_garbling_changes_a_message_and_not_the_senders_copy() -> None:
    parts = [b"header", bytes(100), b"frame"]
    for seed in range(200):
        assert garbled(parts, random.Random(seed)) != [b"header", bytes(100), b"frame"]
    assert parts == [b"header", bytes(100), b"frame"]


def test_what_is_written_is_understood() -> None:
    assert parse_chaos("drop=0.3, delay=0.5") == Chaos(drop=0.3, delay=0.5)
    assert parse_chaos("wifi") == PRESETS["wifi"]
    assert parse_chaos("far,drop=0.2").delay == PRESETS["far"].delay
    assert parse_chaos("far,drop=0.2").drop == 0.2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"'' is not NAME=NUMBER with one of the names drop, .*; or begin with one of wifi"),
        ("rain=1", r"'rain=1' is not NAME=NUMBER"),
        ("drop", r"'drop' is not NAME=NUMBER"),
        ("drop=much", r"'drop=much' is not NAME=NUMBER"),
        ("drop=nan", r"'drop=nan' is not NAME=NUMBER"),
        ("drop=1.5", r"drop=1\.5: it is a share of the messages, from 0 to 1"),
        ("delay=-1", r"delay=-1: it is seconds, from 0 to 60"),
        ("drop=0.1,wifi", r"'wifi' is not NAME=NUMBER"),
    ],
)
def test_what_is_no_network_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(DeployError, match=sentence):
        parse_chaos(text)
