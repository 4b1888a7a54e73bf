"""Two network namespaces and a line between them that delays and loses packets, in user space.

`tc netem` would do the same, where the kernel has it; a TAP device in each namespace and a thread
that carries frames from one to the other need nothing but /dev/net/tun, iproute2 and root.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

BOX, ARM = "10.77.0.1", "10.77.0.2"
_TUNSETIFF, _TAP_WITHOUT_HEADER = 0x400454CA, 0x1002  # <linux/if_tun.h>
_MAX_UNDER_WAY = 1000  # frames, as in a router


def why_not() -> str:
    """Returns what is missing here, empty when nothing is."""
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        with network(0.0, 0.0, 0):
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"ip netns add and TAP devices are not permitted: {error}"


@contextlib.contextmanager
def network(delay_s: float, loss: float, seed: int) -> Iterator[tuple[str, str]]:
    """Makes two hosts, reachable at BOX and ARM, and a line between them; yields their names.

    Args:
        delay_s: Of each frame each way, half as much again and less by chance; they keep order.
        loss: Share of the frames that never arrive.
        seed: Of both.
    """
    names = f"box{os.getpid()}", f"arm{os.getpid()}"
    taps: list[int] = []
    stop = threading.Event()
    carrier = threading.Thread(target=_carry, args=(taps, delay_s, loss, seed, stop))
    try:
        for name, address in zip(names, (BOX, ARM), strict=True):
            do("ip", "netns", "add", name)
            device = f"t{name}"[:15]
            taps.append(tap_of(device))
            do("ip", "link", "set", device, "netns", name)
            inside = ("ip", "netns", "exec", name, "ip")
            do(*inside, "address", "add", f"{address}/24", "dev", device)
            do(*inside, "link", "set", device, "up")
            do(*inside, "link", "set", "lo", "up")
        carrier.start()
        yield names
    finally:
        stop.set()
        if carrier.is_alive():
            carrier.join()
        for tap in taps:
            os.close(tap)
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def do(*words: str) -> None:
    """Runs a command; raises CalledProcessError."""
    subprocess.run(words, check=True, capture_output=True)


def tap_of(name: str) -> int:
    """Makes a TAP device; returns its far end."""
    import fcntl  # here, so that what is missing elsewhere is no error of the import

    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP_WITHOUT_HEADER))
    return tap


def _carry(taps: list[int], delay_s: float, loss: float, seed: int, stop: threading.Event) -> None:
    luck = random.Random(seed)
    under_way: list[tuple[float, int, int, bytes]] = []  # due at, number, where to, frame
    last_due, count = [0.0, 0.0], 0
    while not stop.is_set():
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            _, _, to, frame = heapq.heappop(under_way)
            with contextlib.suppress(OSError):  # not up any more
                os.write(taps[to], frame)
        wait_s = min(0.1, under_way[0][0] - now) if under_way else 0.1
        for tap in select.select(taps, [], [], max(0.0, wait_s))[0]:
            with contextlib.suppress(OSError):
                frame, side = os.read(tap, 1 << 16), taps.index(tap)
                if luck.random() < loss or len(under_way) >= _MAX_UNDER_WAY:
                    continue
                due = time.monotonic() + delay_s * luck.uniform(0.5, 1.5)
                last_due[side] = due = max(due, last_due[side])
                count += 1
                heapq.heappush(under_way, (due, count, 1 - side, frame))
