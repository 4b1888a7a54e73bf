"""Owns a port whose torque is on, with a watchdog, whose pid it says: `owner_of_arm.py PORT`."""

from __future__ import annotations

import sys
import time

from demoloop.robot.safety import Watchdog


def main(port: str) -> None:
    watchdog = Watchdog(port, b"soften;", b"off;", silence_s=0.2, hold_s=0.3)
    watchdog.start()
    watchdog.beat(True)
    print(watchdog.pid, flush=True)
    while True:
        if trouble := watchdog.beat(True):
            print(trouble, flush=True)
            return
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1])
