"""`python -m demoloop.robot.emulator --link /tmp/arm`: six servos on a port, to try things on.

Ends when its standard input does (Ctrl-D), or with Ctrl-C. With a file it emulates what stands in
there (`robot/emulator/config`), physics and cameras and all.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import tyro

from demoloop.robot.emulator.config import EmulatorConfig, LineConfig, ServoConfig
from demoloop.robot.emulator.server import Server
from demoloop.robot.errors import DemoloopError


@dataclass(frozen=True)
class Options:
    """Servos on a pseudo-terminal that speak real bytes."""

    file: Path | None = None
    """JSON of an `EmulatorConfig`; the other options are then ignored."""
    link: Path = Path("/tmp/demoloop-arm")
    """Where the port appears."""
    bus: Literal["feetech", "dynamixel"] = "feetech"
    """Which protocol."""
    ids: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    """One servo each."""
    model: str = "xl330-m288"
    """Which servo, where there is a choice: Dynamixel."""
    seed: int = 0
    """Of what goes wrong by chance."""


def main(options: Options) -> int:
    """Runs until it is told to end; 2 for a configuration that makes no sense."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if options.file is not None:
            _run(msgspec.json.decode(options.file.read_bytes(), type=EmulatorConfig))
            return 0
        with tempfile.TemporaryDirectory(prefix="demoloop-emulator-") as folder:
            servos = tuple(ServoConfig(i, options.model) for i in options.ids)
            line = LineConfig("arm", options.bus, str(options.link), servos)
            print(f"port {options.link}, control {folder}/control", flush=True)
            _run(EmulatorConfig(folder, (line,), seed=options.seed))
    except KeyboardInterrupt:
        return 0
    except (DemoloopError, OSError, msgspec.DecodeError, KeyError) as error:
        print(f"emulator: {error}", file=sys.stderr)
        return 2
    return 0


def _run(config: EmulatorConfig) -> None:
    Server(config).run()


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
