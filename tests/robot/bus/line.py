"""The emulator's servos on a line in memory, with its own clock and its own truth."""

from __future__ import annotations

from typing import Any

from demoloop.robot.emulator.chain import Answer, Chain
from demoloop.robot.emulator.wire import Wire
from demoloop.robot.errors import Disconnected


class MemoryLink:
    """A `Link` on which time passes only while somebody waits."""

    name = "memory"

    def __init__(self, chain: Chain[Any], seed: int = 0) -> None:
        self.chain = chain
        self.wire = Wire(chain, seed=seed)
        self.time = 0.0
        self.sent: list[bytes] = []
        self.truth: dict[int, list[bytes]] = {}  # id -> its table each time it answered
        self.is_there = True
        self.is_open = False
        answers = chain.answers

        def noted(data: bytes, now: float, baud: int | None = None) -> list[Answer]:
            found = answers(data, now, baud)
            for servo in chain.servos:
                if any(servo.id in answer.ids for answer in found):
                    self.truth.setdefault(servo.id, []).append(bytes(servo.memory.bytes))
            return found

        chain.answers = noted  # type: ignore[method-assign]

    def open(self) -> None:
        self.check()
        self.is_open = True

    def close(self) -> None:
        self.is_open = False

    def now(self) -> float:
        return self.time

    def write(self, data: bytes) -> None:
        self.check()
        self.sent.append(data)
        self.wire.send(data, self.time)

    def read(self, deadline: float) -> bytes:
        self.check()
        when = self.wire.next_arrival()
        self.time = max(self.time, deadline if when is None else min(deadline, when))
        return self.wire.receive(self.time)

    def check(self) -> None:
        if not self.is_there:
            raise Disconnected("memory is gone")

    def pass_time(self, seconds: float) -> None:
        """Lets time pass; what the servos said waits to be read."""
        self.time += seconds
