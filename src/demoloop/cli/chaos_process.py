"""What `demoloop run --chaos` starts beside itself.

`python -m demoloop.cli.chaos_process TEXT SEED BIND SERVER [KEYS [SERVER_KEY]]` ends when its
standard input does, and then says in a line what it did.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from demoloop.cli.chaos import READY
from demoloop.deploy.auth import Pin
from demoloop.deploy.chaos import Network, parse_chaos
from demoloop.deploy.errors import DeployError
from demoloop.deploy.keys import KeyFolder
from demoloop.deploy.relay import Relay


def main(words: list[str]) -> int:
    """Stands between until nobody holds the other end of standard input."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the robot says its goodbye through here
    text, seed, bind, server, *rest = words
    network, stop = Network(parse_chaos(text), int(seed)), threading.Event()
    try:
        pin = Pin(KeyFolder(Path(rest[0])), *rest[1:]) if rest else None
        with Relay(bind, server, pin, traffic=network) as relay:
            threading.Thread(target=_wait_for_the_end, args=(stop,), daemon=True).start()
            print(READY, flush=True)
            relay.run(stop)
    except DeployError as error:
        print(error)
        return 2
    print(network.tally.summary())
    return 0


def _wait_for_the_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
