"""What a bad network does to the arm: `python benchmarks/chaos.py [options]`.

Lets a hundred thousand messages pass through each of several bad networks, in simulated time, and
looks from outside at what the arm is commanded (`chaos_judge.py` says what counts as an offence).
Exit code 1 when anything stale, twice or beyond a limit was executed, or when the arm never moved.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import tyro
from chaos_world import World

from demoloop.deploy.chaos import Chaos, parse_chaos

NETWORKS = {
    "good": "drop=0",
    "the bar": "drop=0.3,duplicate=0.1,reorder=0.5,delay=0.5",
    "all out of turn": "drop=0.3,duplicate=0.3,reorder=1,delay=0.5",
    "short delays": "drop=0.3,duplicate=0.3,reorder=0.5,delay=0.1",
    "stalls": "drop=0.05,duplicate=0.1,reorder=0.3,delay=0.05,stall=0.02,stall_s=0.7",
    "garbling too": "drop=0.1,duplicate=0.1,reorder=0.3,delay=0.1,garble=0.05",
}


@dataclass(frozen=True)
class Options:
    """Let messages pass through bad networks, and judge what the arm does."""

    messages: int = 100_000
    """Through each network."""
    seed: int = 0
    """Of all that is drawn."""
    chaos: str | None = None
    """Only this network, written as for `demoloop run --chaos`."""


def judge(name: str, chaos: Chaos, options: Options) -> bool:
    """Prints a line; returns whether all is well."""
    start = time.perf_counter()
    world = World(chaos, options.seed)
    began = world.now
    world.run(options.messages)
    judge, passed = world.judge, world.now - began
    is_well = not judge.offences and judge.num_moving > 0
    offences = ", ".join(f"{count} x {what}" for what, count in sorted(judge.offences.items()))
    print(
        f"{name:16s} {passed:7.0f} s of the world in {time.perf_counter() - start:4.0f} s; "
        f"{judge.num_followed} chunks followed, moving {judge.num_moving / judge.num_ticks:4.0%} "
        f"of {judge.num_ticks} ticks, oldest {judge.worst_age_s * 1e3:3.0f} ms, "
        f"{world.policy.num_welcomes} sessions, {judge.num_unknown} with flipped bits; "
        f"{offences or ('no offence' if is_well else 'NEVER MOVED')}\n"
        f"{'':16s} {world.network.tally.summary()}",
        flush=True,
    )
    return is_well


def main(options: Options) -> int:
    """Runs; exit code 1 on an offence."""
    networks = {"--chaos": options.chaos} if options.chaos is not None else NETWORKS
    results = [judge(name, parse_chaos(text), options) for name, text in networks.items()]
    print("bar: 0 offences on every network; " + ("reached" if all(results) else "MISSED"))
    return 0 if all(results) else 1


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options, description=__doc__)))
