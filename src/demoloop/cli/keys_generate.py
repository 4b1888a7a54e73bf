"""`demoloop keys generate`: this computer's own pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.deploy.key_files import fingerprint
from demoloop.deploy.keys import DEFAULT_FOLDER, KeyFolder


@dataclass(frozen=True)
class Options:
    """One pair is enough: it says who this computer is. The secret stays in the folder.

    Where policies are exported, --signer makes another, which says who answers for a policy file.
    """

    name: tyro.conf.Positional[str]
    """Short name of this computer, such as arm-1."""
    signer: bool = False
    """Make the pair that signs policy files, for `demoloop export --sign`."""
    folder: Path = DEFAULT_FOLDER
    """Where this computer's keys are."""


def main(options: Options) -> int:
    """Makes it, and says what to take to the other computer; exit code 0."""
    folder = KeyFolder(options.folder)
    generate = folder.generate_signer if options.signer else folder.generate
    own, to_copy = generate(options.name)
    role = "signer" if options.signer else "policy"
    print(f"{own.name}: {fingerprint(own.public)}")
    print(f"copy {to_copy} to the computer that shall trust this one, and say there")
    print(f"  demoloop keys trust {to_copy.name} --role {role}")
    return 0
