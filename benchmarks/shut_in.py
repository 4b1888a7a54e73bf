"""A network namespace whose only way out is a TAP device whose far end this process reads.

So nothing leaves, and whatever would have left is seen: a look-up of a name, a connection, a
datagram, by whichever system call and whichever child. Needs /dev/net/tun, iproute2 and root.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from poor_line import do, tap_of

INSIDE, GATEWAY = "10.78.0.2", "10.78.0.1"
ELSEWHERE = "192.0.2.1"  # of RFC 5737: nobody's
CONTROL = "control.demoloop.test"
_RESOLV = f"nameserver {GATEWAY}\noptions timeout:1 attempts:1\n"


class Fence:
    """What came to the far end of the only way out.

    Attributes:
        seen: One line a packet: protocol and destination.
    """

    def __init__(self, name: str, tap: int) -> None:
        """Stores."""
        self.name = name
        self.seen: list[str] = []
        self._tap = tap
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Fence:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def inside(self, *words: str) -> list[str]:
        """Returns the command line that runs `words` within the fence."""
        return ["ip", "netns", "exec", self.name, *words]

    def _watch(self) -> None:
        while not self._stop.is_set():
            if select.select([self._tap], [], [], 0.1)[0]:
                self.seen.append(told(os.read(self._tap, 1 << 16)))


@contextlib.contextmanager
def fenced() -> Iterator[Fence]:
    """Makes the namespace; raises OSError or CalledProcessError where that is not permitted."""
    name = f"shut{os.getpid()}"
    resolver = Path("/etc/netns", name)  # what is /etc/resolv.conf within
    tap = -1
    try:
        do("ip", "netns", "add", name)
        resolver.mkdir(parents=True)
        (resolver / "resolv.conf").write_text(_RESOLV, "utf-8")
        tap = tap_of(name)
        do("ip", "link", "set", name, "netns", name)
        for words in (
            ("ip", "link", "set", name, "addrgenmode", "none"),  # IPv6 would greet by itself
            ("ip", "address", "add", f"{INSIDE}/24", "dev", name),
            ("ip", "link", "set", "lo", "up"),
            ("ip", "link", "set", name, "up"),
            ("ip", "route", "add", "default", "via", GATEWAY),
            # Nobody answers there: with its address known, packets are sent and not asked for.
            ("ip", "neigh", "add", GATEWAY, "lladdr", "02:00:00:00:00:01", "dev", name),
        ):
            do("ip", "netns", "exec", name, *words)
        with Fence(name, tap) as fence:
            yield fence
    finally:
        if tap >= 0:
            os.close(tap)
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        shutil.rmtree(resolver, ignore_errors=True)
        with contextlib.suppress(OSError):
            resolver.parent.rmdir()


def why_not() -> str:
    """Returns what is missing here, empty when nothing is."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a network namespace of its own needs Linux and root"
    try:
        with fenced():
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces and TAP devices are not permitted: {error}"


def knock() -> None:
    """Within the fence: sends what the far end must see, or its silence would prove nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"control", (ELSEWHERE, 9))
    with contextlib.suppress(OSError):
        socket.getaddrinfo(CONTROL, 80)


def told(frame: bytes) -> str:
    """Returns what an Ethernet frame is: `udp 192.0.2.1:9`, or which name it asks for."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind != 0x0800:
        return f"ethertype {kind:#06x}"
    packet = frame[14:]
    header = 4 * (packet[0] & 15)
    name = {1: "icmp", 6: "tcp", 17: "udp"}.get(packet[9], f"protocol {packet[9]}")
    port = int.from_bytes(packet[header + 2 : header + 4], "big")
    if name == "udp" and port == 53:
        return f"look-up of {_asked(packet[header + 8 :])}"
    return f"{name} {socket.inet_ntoa(packet[16:20])}:{port}"


def _asked(query: bytes) -> str:
    """Returns the first name of a DNS query (RFC 1035, 4.1.2)."""
    labels, at = [], 12
    while at < len(query) and (length := query[at]):
        labels.append(query[at + 1 : at + 1 + length].decode(errors="replace"))
        at += 1 + length
    return ".".join(labels)
