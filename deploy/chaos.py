"""A bad network, on purpose: what it does to messages is drawn from a seed.

Made for a `Relay`, and for tests that have a clock of their own. What happens above it, no copy of
a message twice, none too late, none garbled, has to be proven, and a good network proves nothing.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING

from demoloop.deploy.errors import DeployError
from demoloop.deploy.wire import Part

if TYPE_CHECKING:
    from demoloop.deploy.relay import Traffic

_OVERTAKEN_S = 0.05  # a message out of turn is late by up to so long, where delays are shorter
_MAX_UNDER_WAY = 256  # messages in one direction; a router has no room for more either


@dataclass(frozen=True)
class Chaos:
    """How bad a network is, in each direction alike."""

    drop: float = 0.0  # share of the messages that never arrive
    duplicate: float = 0.0  # share that arrives twice
    reorder: float = 0.0  # share that does not wait for those before it
    delay: float = 0.0  # s, up to which a message is late, evenly distributed
    garble: float = 0.0  # share with a few bits flipped, or a part cut short or missing
    stall: float = 0.0  # share after which nothing arrives for `stall_s`; then all of it at once
    stall_s: float = 0.5  # s

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            most = 60.0 if name in ("delay", "stall_s") else 1.0
            if not 0 <= value <= most:  # also catches nan
                unit = "seconds" if most > 1 else "a share of the messages"
                raise DeployError(f"chaos {name}={value:g}: it is {unit}, from 0 to {most:g}")

    @property
    def worst_s(self) -> float:
        """How late a message can be, with no stall [s]."""
        return max(self.delay, _OVERTAKEN_S if self.reorder else 0.0)


PRESETS = {
    "wifi": Chaos(drop=0.02, duplicate=0.005, reorder=0.02, delay=0.03, stall=0.001, stall_s=0.3),
    "far": Chaos(drop=0.005, reorder=0.005, delay=0.15),
    "awful": Chaos(
        drop=0.3, duplicate=0.1, reorder=0.3, delay=0.5, garble=0.01, stall=0.005, stall_s=0.5
    ),
}


def parse_chaos(text: str) -> Chaos:
    """Returns what `NAME=NUMBER,...` says, a preset's name first or alone.

    Raises:
        DeployError: A name or a number is none.
    """
    names = [it.name for it in fields(Chaos)]
    chaos = Chaos()
    for index, item in enumerate(text.split(",")):
        name, _, number = (it.strip() for it in item.partition("="))
        if index == 0 and name in PRESETS and not number:
            chaos = PRESETS[name]
            continue
        try:
            if name not in names or not math.isfinite(value := float(number)):
                raise ValueError
        except ValueError:
            raise DeployError(
                f"--chaos {text!r}: {item.strip()!r} is not NAME=NUMBER with one of the names "
                f"{', '.join(names)}; or begin with one of {', '.join(PRESETS)}"
            ) from None
        chaos = replace(chaos, **{name: value})
    return chaos


@dataclass
class Tally:
    """What a network has done so far."""

    messages: int = 0
    dropped: int = 0
    duplicated: int = 0
    reordered: int = 0
    garbled: int = 0
    stalls: int = 0

    def summary(self) -> str:
        """Says it in a line."""
        done = ", ".join(f"{count} {name}" for name, count in asdict(self).items())
        return f"bad network: {done}"


@dataclass
class Network:
    """Makes directions of a bad network, each with its own luck; `Relay` takes it as `traffic`."""

    chaos: Chaos
    seed: int = 0
    tally: Tally = field(default_factory=Tally)  # of all directions
    num_directions: int = 0

    def __call__(self) -> Traffic:
        """Returns another direction."""
        self.num_directions += 1
        luck = random.Random(self.seed * 1_000_003 + self.num_directions)
        return Mischief(self.chaos, luck, self.tally)


class Mischief:
    """One direction of a bad network."""

    def __init__(self, chaos: Chaos, luck: random.Random, tally: Tally) -> None:
        self._chaos = chaos
        self._luck = luck
        self._tally = tally
        self._under_way: list[tuple[float, int, Sequence[Part]]] = []  # a heap: due at, number
        self._count = 0
        self._last_due = -math.inf  # of those that keep their turn
        self._stalled_until = -math.inf

    @property
    def due_at(self) -> float:
        """When the next message arrives."""
        return self._under_way[0][0] if self._under_way else math.inf

    def put(self, parts: Sequence[Part], now: float) -> None:
        """A message sets out, whatever will become of it."""
        chaos, tally = self._chaos, self._tally
        tally.messages += 1
        if self._happens(chaos.stall):
            tally.stalls += 1
            self._stalled_until = now + chaos.stall_s
        if self._happens(chaos.drop):
            tally.dropped += 1
            return
        copies = 1
        if self._happens(chaos.duplicate):
            tally.duplicated += 1
            copies = 2
        if self._happens(chaos.garble):
            tally.garbled += 1
            parts = garbled(parts, self._luck)
        for _ in range(copies):
            self._send(parts, now)

    def take(self, now: float) -> Sequence[Part] | None:
        """Returns a message that has arrived by now, else None."""
        if not self._under_way or self._under_way[0][0] > now:
            return None
        return heapq.heappop(self._under_way)[2]

    def _send(self, parts: Sequence[Part], now: float) -> None:
        if len(self._under_way) >= _MAX_UNDER_WAY:
            self._tally.dropped += 1
            return
        if self._happens(self._chaos.reorder):
            self._tally.reordered += 1
            due = now + self._luck.uniform(0.0, self._chaos.worst_s)
        else:
            due = max(now + self._luck.uniform(0.0, self._chaos.delay), self._last_due)
            self._last_due = due = max(due, self._stalled_until)
        self._count += 1
        heapq.heappush(self._under_way, (max(due, self._stalled_until), self._count, parts))

    def _happens(self, share: float) -> bool:
        return share > 0 and self._luck.random() < share


def garbled(parts: Sequence[Part], luck: random.Random) -> list[Part]:
    """Returns the parts with a few bits flipped, or one of them cut short, missing or twice."""
    copies = [bytes(part) for part in parts]
    index = luck.randrange(len(copies))
    part = copies[index]
    how = luck.random()
    if how < 0.7 and part:
        flipped = bytearray(part)
        for _ in range(luck.randint(1, 8)):
            flipped[luck.randrange(len(part))] ^= 1 << luck.randrange(8)
        copies[index] = bytes(flipped)
    elif how < 0.85 and part:
        copies[index] = part[: luck.randrange(len(part))]
    elif how < 0.95:
        del copies[index]
    else:
        copies.insert(index, part)
    return [*copies]
