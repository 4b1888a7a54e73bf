"""A bus of servos over any link, in either protocol; never a value that is not of this request.

A reply that did not come in time may come later, and looks like the reply to what is asked then:
neither protocol numbers its packets. So a servo that owes a reply is not asked for one of the same
length until the debt is forgotten: the next request reads a few bytes more, which are cut off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from demoloop.robot.bus.framing import IDENTITY, Framing
from demoloop.robot.bus.interface import Identity, Link, Replies
from demoloop.robot.bus.listening import Listening

OWED_S = 0.3
"""For so long a reply may be late on the line. What only the host was late for is read, and thrown
away, before the next request."""
PATIENCE_S = 0.004
"""Silence after which nobody answers: a servo does within 0.5 ms, USB and the host add theirs."""
_PAUSE_S = 0.002  # between two replies: USB hands over each ms
_NOISY_S = 1.0
_MAX_EXTRA = 24  # bytes read beyond what was asked for, to have a length that nobody owes
_NUM_TRIES = 4


class ServoBus:
    """One line of servos. Not for two threads."""

    def __init__(
        self, link: Link, framing: Framing, *, baud: int = 1_000_000, patience_s: float = PATIENCE_S
    ) -> None:
        """Only stores: `open` opens."""
        self._link = link
        self._framing = framing
        self._byte_s = 10 / baud  # a start bit, eight, a stop bit
        self._patience_s = patience_s
        self._owed: dict[tuple[int, int], float] = {}  # id, size of a reply -> late until [s]
        self._sent: deque[bytes] = deque(maxlen=4)  # that an adapter may echo
        self._noisy_until = float("-inf")

    def open(self) -> None:
        """Opens the line; RobotError says why it cannot."""
        self._link.open()
        self._owed.clear()

    def close(self) -> None:
        """Lets go of the line; may be called twice."""
        self._link.close()

    def now(self) -> float:
        """The clock of the deadlines [s]."""
        return self._link.now()

    def is_noisy(self) -> bool:
        """Whether broken bytes came in the last second: what came whole may be broken too."""
        return self.now() < self._noisy_until

    def identify(self, servo_id: int, deadline: float) -> Identity | None:
        """Returns who answers to an id; None when nobody does.

        By a read and not by a ping, whose reply is as short as an acknowledgement.
        """
        table = self.read((servo_id,), 0, IDENTITY, deadline).values.get(servo_id)
        return None if table is None else self._framing.identity(table)

    def read(self, ids: Sequence[int], address: int, length: int, deadline: float) -> Replies:
        """Reads the same bytes of several servos in one exchange, again as far as time allows."""
        values: dict[int, bytes] = {}
        errors: dict[int, int] = {}
        garbled: set[int] = set()
        missing = tuple(ids)
        for _ in range(_NUM_TRIES):
            extra, asked = self._unowed(missing, length, deadline)
            if not asked:
                break
            before = min(extra, address)
            request = self._framing.read(asked, address - before, length + extra)
            heard = self._exchange(request, asked, length + extra, deadline)
            for servo_id, packet in heard.replies.items():
                values[servo_id] = packet.data[before : before + length]
                errors[servo_id] = packet.error
            garbled |= heard.garbled
            missing = tuple(servo_id for servo_id in missing if servo_id not in values)
            if heard.num_broken and len(missing) == 1:
                garbled.update(missing)
            if not missing or self.now() >= deadline:
                break
        return Replies(values, errors, missing, frozenset(garbled & set(missing)))

    def write(self, servo_id: int, address: int, data: bytes, deadline: float) -> Replies:
        """Writes and has it acknowledged, or reads it back where the acknowledgement is lost."""
        request = self._framing.write(servo_id, address, data)
        errors: dict[int, int] = {}
        for _ in range(_NUM_TRIES):
            is_unowed = self._is_unowed(servo_id, 0)
            heard = self._exchange(request, (servo_id,), 0, deadline)
            reply = heard.replies.get(servo_id)
            if reply is not None:
                errors[servo_id] = reply.error
                if self._framing.is_refusal(reply.error):
                    break
                if is_unowed:
                    return Replies({servo_id: b""}, errors)
            back = self.read((servo_id,), address, len(data), deadline)
            if back.values.get(servo_id) == data:
                return Replies({servo_id: b""}, {**errors, **back.errors})
            if self.now() >= deadline:
                break
        return Replies({}, errors, (servo_id,))

    def sync_write(self, address: int, data: Mapping[int, bytes]) -> None:
        """Writes to several servos at once. Nobody acknowledges: look at what they do."""
        self._send(self._framing.sync_write(address, data))

    def _send(self, request: bytes) -> None:
        self._sent.append(request)
        self._link.write(request)

    def _exchange(
        self, request: bytes, ids: Sequence[int], size: int, deadline: float
    ) -> Listening:
        self._drain(self.now())
        self._send(request)
        heard = Listening(self._framing, ids, size, self._sent)
        silent_at = self.now() + len(request) * self._byte_s + self._patience_s
        while not heard.is_over:
            data = self._link.read(min(deadline, silent_at))
            if not data:
                break
            heard.hear(data)
            silent_at = self.now() + min(_PAUSE_S, self._patience_s)
        if self.is_noisy():  # is there a byte too many behind the last reply?
            heard.hear(self._link.read(self.now() + 3 * self._byte_s))
        heard.fall_silent()
        self._settle(heard)
        now = self.now()
        self._owed = {shape: until for shape, until in self._owed.items() if until > now}
        late_until = now + OWED_S
        self._owed |= {(servo_id, size): late_until for servo_id in heard.late()}
        return heard

    def _drain(self, deadline: float) -> None:
        """Takes what nobody waits for, until nothing more comes by `deadline`."""
        heard = Listening(self._framing, (), 0, self._sent)
        while data := self._link.read(deadline):
            heard.hear(data)
        self._settle(heard)

    def _settle(self, heard: Listening) -> None:
        for shape in heard.strays:
            self._owed.pop(shape, None)
        if heard.num_broken:
            self._noisy_until = self.now() + _NOISY_S

    def _is_unowed(self, servo_id: int, size: int) -> bool:
        return self._owed.get((servo_id, size), 0.0) <= self.now()

    def _unowed(
        self, ids: Sequence[int], length: int, deadline: float
    ) -> tuple[int, tuple[int, ...]]:
        """Returns how many bytes more give a length that nobody owes, or as few as possible.

        With it come those who do not; waits while all of them do.
        """
        while True:
            best, free = 0, tuple[int, ...]()
            for extra in range(_MAX_EXTRA + 1):
                these = tuple(i for i in ids if self._is_unowed(i, length + extra))
                if len(these) > len(free):
                    best, free = extra, these
                if len(free) == len(ids):
                    break
            if free or self.now() >= deadline:
                return best, free
            self._drain(
                min(deadline, min(until for until in self._owed.values() if until > self.now()))
            )
