"""`demoloop keys revoke`: a key that was lost, or whose computer has nothing to do here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.deploy.keys import DEFAULT_FOLDER, KeyFolder


@dataclass(frozen=True)
class Options:
    """Servers and robots that run hear of it within a second."""

    name: tyro.conf.Positional[str]
    """As `demoloop keys list` shows it."""
    folder: Path = DEFAULT_FOLDER
    """Where this computer's keys are."""


def main(options: Options) -> int:
    """Trusts it no longer, connections that live included; exit code 0."""
    KeyFolder(options.folder).revoke(options.name)
    print(f"{options.name} is trusted no longer")
    return 0
