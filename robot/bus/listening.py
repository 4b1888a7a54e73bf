"""Which of the bytes that came are replies to what was just asked; everything else is not one.

A reply carries its id and its length, and neither an address nor a number. What makes one
trustworthy beyond its checksum is therefore where it stands: it must be asked for, have the length
that was asked for, keep the order of the request, come once, and be followed by the next packet or
by nothing. The last is what a byte too many or too few breaks when the checksum happens to fit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from demoloop.robot.bus.framing import Framing, Packet


class Listening:
    """Takes the bytes of one exchange as they come."""

    def __init__(
        self, framing: Framing, ids: Sequence[int], size: int, echoes: Collection[bytes] = ()
    ) -> None:
        """Waits for `size` bytes of each of `ids`; `echoes` are requests of our own."""
        self._framing = framing
        self._places = {servo_id: place for place, servo_id in enumerate(ids)}
        self._size = size
        self._echoes = echoes
        self._bytes = b""
        self._at = 0  # up to here it is understood
        self._end = 0  # of the last whole packet
        self._last: int | None = None  # whose reply that was
        self._next_place = 0
        self.replies: dict[int, Packet] = {}
        self.garbled: set[int] = set()  # more than one reply, out of order, or with junk behind
        self.strays: list[tuple[int, int]] = []  # id and size of replies nobody asked for now
        self.num_broken = 0  # things that looked like a packet and were none, and bits of junk

    @property
    def is_over(self) -> bool:
        """Whether nothing that could still come would be taken."""
        return self._next_place == len(self._places)

    def hear(self, data: bytes) -> None:
        """Takes what has come."""
        self._bytes += data
        while True:
            search = self._framing.find(self._bytes, self._at)
            self.num_broken += search.num_broken
            if search.packet is None:
                self._at = search.rest
                return
            self._look_behind(self._bytes[self._end : search.packet.start])
            self._take(search.packet)
            self._at = self._end = search.packet.end

    def fall_silent(self) -> None:
        """Nothing more comes: what seemed to begin a long packet may have been junk."""
        while self._at < len(self._bytes):
            self._at += 1
            self.hear(b"")
        self._look_behind(self._bytes[self._end :])

    def late(self) -> list[int]:
        """Ids of which no reply came, not even a broken one: it may come yet."""
        return [
            servo_id
            for servo_id in self._places
            if servo_id not in self.replies
            and self._framing.head(servo_id, self._size) not in self._bytes
        ]

    def _look_behind(self, gap: bytes) -> None:
        """Looks at what stands between a whole packet and the next, or the end."""
        if not gap:
            return
        self.num_broken += 1
        if self._last is not None and not gap.startswith(self._framing.header):
            self._reject(self._last)

    def _reject(self, servo_id: int) -> None:
        self.replies.pop(servo_id, None)
        self.garbled.add(servo_id)

    def _take(self, packet: Packet) -> None:
        self._last = None
        place = self._places.get(packet.id)
        is_ours = not packet.is_reply or self._bytes[packet.start : packet.end] in self._echoes
        if is_ours or place is None or len(packet.data) != self._size:
            if not is_ours:
                self.strays.append((packet.id, len(packet.data)))
        elif place < self._next_place or packet.id in self.garbled:
            self._reject(packet.id)
        else:
            self.replies[packet.id] = packet
            self._last = packet.id
            self._next_place = place + 1
