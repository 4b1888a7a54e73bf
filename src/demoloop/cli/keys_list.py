"""`demoloop keys list`: who this computer is, and whom it trusts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from demoloop.deploy.key_files import fingerprint
from demoloop.deploy.keys import DEFAULT_FOLDER, KeyFolder


@dataclass(frozen=True)
class Options:
    """A fingerprint is to be compared by eye with the one on the other computer."""

    folder: Path = DEFAULT_FOLDER
    """Where this computer's keys are."""


def main(options: Options) -> int:
    """Prints a line per key; exit code 0."""
    folder = KeyFolder(options.folder)
    trusted = folder.trusted()
    if folder.has_own():
        own = folder.own()
        print(f"{fingerprint(own.public)}  own       {own.name}")
    if folder.has_signer():
        signer = folder.signer()
        print(f"{fingerprint(signer.public)}  signs     {signer.name}")
    for key in trusted:
        print(f"{fingerprint(key.public)}  {key.role:<8}  {key.name}")
    return 0
