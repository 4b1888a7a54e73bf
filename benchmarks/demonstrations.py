"""How long a hundred demonstrations take: `python benchmarks/demonstrations.py [episodes]`.

Two worker processes, everything included: starting them, simulating, rendering two cameras,
encoding, syncing to the disk.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

from demoloop.cli.record import Options, record_expert

BAR_S = 180  # for 100 episodes


def main() -> None:
    """Prints one line."""
    num_episodes = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        record_expert(Options(Path(folder) / "dataset", episodes=num_episodes, workers=2))
        seconds = time.monotonic() - start
    print(
        f"pick_place: {num_episodes} demonstrations with 2 workers in {seconds:.0f} s "
        f"(bar: {BAR_S * num_episodes / 100:.0f} s)"
    )


if __name__ == "__main__":
    main()
