"""`demoloop keys generate`: this computer's own pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.deploy.key_files import fingerprint
from demoloop.deploy.keys import DEFAULT_FOLDER, KeyFolder


@dataclass(frozen=True)
class Options:
    """One pair is enough: it says who this computer is. The secret stays in the folder."""

    name: tyro.conf.Positional[str]
    """Short name of this computer, such as arm-1."""
    folder: Path = DEFAULT_FOLDER
    """Where this computer's keys are."""


def main(options: Options) -> int:
    """Makes it, and says what to take to the other computer; exit code 0."""
    own, to_copy = KeyFolder(options.folder).generate(options.name)
    print(f"{own.name}: {fingerprint(own.public)}")
    print(f"copy {to_copy} to the computer that shall trust this one, and say there")
    print(f"  demoloop keys trust {to_copy.name} --role policy")
    return 0
