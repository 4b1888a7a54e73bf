"""The line between a client and its servos: every byte takes its time, and some go wrong.

One implementation for both uses: the emulator's process feeds it from a pseudo-terminal on the real
clock, tests from memory on their own. With the same seed and the same traffic the same things go
wrong.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from demoloop.robot.emulator.chain import Answer, Chain
from demoloop.robot.emulator.faults import (
    AnyFault,
    Corrupt,
    Drop,
    Echo,
    Late,
    LineFault,
    Noise,
    Truncate,
    relieve,
    strike,
)

BITS_PER_BYTE = 10  # 8N1


class Wire:
    """A half-duplex line with a chain of servos on it. Times are seconds of the caller's clock."""

    def __init__(
        self, chain: Chain[Any], *, baud: int = 1_000_000, seed: int = 0, is_live: bool = False
    ) -> None:
        """A line without faults.

        Args:
            chain: The servos on it.
            baud: The client's rate until `send` says another.
            seed: Of what goes wrong by chance.
            is_live: The clock is real, and whoever calls may be late: a client that asks again has
                waited long enough, so what was meant for it before is there at once. Otherwise a
                late process would make the line look ever busier.
        """
        self.chain = chain
        self._is_live = is_live
        self.faults: list[LineFault] = []
        self._baud = baud
        self._rng = np.random.default_rng(seed)
        self._free_at = 0.0  # s, when the last byte on the line has passed
        self._arriving: list[tuple[float, int, bytes]] = []
        self._num_sent = 0

    def inject(self, fault: AnyFault) -> None:
        """Lets something go wrong from now on.

        Raises:
            ValueError: It names a servo that is not there.
        """
        if not isinstance(fault, LineFault):
            strike(self.chain, fault)
            return
        if fault.id is not None and not self.chain.places(fault.id):
            raise ValueError(f"no servo has id {fault.id}")
        self.faults = [f for f in self.faults if (type(f), f.id) != (type(fault), fault.id)]
        self.faults.append(fault)

    def clear(self) -> None:
        """Takes all causes away; what they led to stays."""
        self.faults = []
        relieve(self.chain)

    def send(self, data: bytes, now: float, baud: int | None = None) -> None:
        """Takes bytes that the client begins to send at `now`; 0 is a rate no servo knows."""
        self._baud = self._baud if baud is None else baud
        if self._baud == 0:
            return
        byte_s = BITS_PER_BYTE / self._baud
        if self._is_live:
            self._hurry(now)
        line = max(now, self._free_at) + len(data) * byte_s
        if any(isinstance(f, Echo) and self._happens(f) for f in self.faults):
            self._arrive(line, data)
        packet = 0
        for answer in self._collide(self.chain.answers(self._spoil(data, None), line, self._baud)):
            if self._is_live and packet not in (0, answer.packet):
                self._free_at = line
                self._hurry(now)
                line = now
            packet = answer.packet
            line += answer.delay
            self._deliver(answer, line, byte_s)
            line += len(answer.data) * byte_s
        self._free_at = line

    def receive(self, now: float) -> bytes:
        """Returns what has arrived by `now`."""
        found = b""
        while self._arriving and self._arriving[0][0] <= now:
            found += heapq.heappop(self._arriving)[2]
        return found

    def next_arrival(self) -> float | None:
        """When the next bytes arrive; None while nothing is under way."""
        return self._arriving[0][0] if self._arriving else None

    def cut(self) -> None:
        """Loses what is under way, as a plug that is pulled does."""
        self._arriving.clear()

    def _hurry(self, now: float) -> None:
        """Lets what the line still carries arrive at `now`; what a fault makes late stays late."""
        limit = self._free_at + 1e-9
        self._arriving = [
            (min(when, now) if when <= limit else when, n, data) for when, n, data in self._arriving
        ]
        heapq.heapify(self._arriving)
        self._free_at = min(self._free_at, now)

    def _deliver(self, answer: Answer, begins: float, byte_s: float) -> None:
        data = self._spoil(answer.data, answer.ids)
        for fault in self.faults:
            if isinstance(fault, Noise) and self._concerns(fault, answer.ids):
                junk = self._rng.integers(0, 256, int(self._rng.integers(1, fault.most_bytes + 1)))
                data = junk.astype(np.uint8).tobytes() + data
            elif isinstance(fault, Late) and self._concerns(fault, answer.ids):
                begins += self._rng.uniform(fault.least_s, max(fault.least_s, fault.most_s))
        self._arrive(begins + len(data) * byte_s, data)

    def _arrive(self, when: float, data: bytes) -> None:
        if data:
            self._num_sent += 1
            heapq.heappush(self._arriving, (when, self._num_sent, data))

    def _spoil(self, data: bytes, ids: tuple[int, ...] | None) -> bytes:
        """Does to a packet what faults do to it; `ids` None is a request."""
        for fault in self.faults:
            if not isinstance(fault, Drop | Corrupt | Truncate):
                continue
            if (fault.on == "requests") != (ids is None) or not self._concerns(fault, ids or ()):
                continue
            if isinstance(fault, Drop):
                return b""
            if isinstance(fault, Truncate):
                data = data[: int(self._rng.integers(0, max(1, len(data))))]
            elif data:
                spoiled = bytearray(data)
                for place in self._rng.integers(0, len(data), fault.num_bytes).tolist():
                    spoiled[place] ^= int(self._rng.integers(1, 256))
                data = bytes(spoiled)
        return data

    def _collide(self, answers: list[Answer]) -> list[Answer]:
        """Makes one mess of answers that are sent at once: servos that share an id."""
        result: list[Answer] = []
        for answer in answers:
            if result and (answer.ids, answer.packet) == (result[-1].ids, result[-1].packet):
                result[-1] = self._mix(result[-1], answer)
            else:
                result.append(answer)
        return result

    def _mix(self, one: Answer, other: Answer) -> Answer:
        """Both pull the line down, a fraction of a bit apart; now and then one is the quicker."""
        size = max(len(one.data), len(other.data))
        pairs = zip(one.data.ljust(size, b"\xff"), other.data.ljust(size, b"\xff"), strict=True)
        mixed = bytearray(a & b for a, b in pairs)
        if self._rng.random() < 0.8:  # the header, which is the first to differ in time, smears
            mixed[int(self._rng.integers(size))] ^= 1 << int(self._rng.integers(8))
        return Answer(bytes(mixed), min(one.delay, other.delay), one.ids, one.packet)

    def _concerns(self, fault: LineFault, ids: tuple[int, ...]) -> bool:
        return (fault.id is None or fault.id in ids) and self._happens(fault)

    def _happens(self, fault: LineFault) -> bool:
        return bool(self._rng.random() < fault.share)
