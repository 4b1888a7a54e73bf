"""`demoloop keys trust`: who may connect, and to what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from demoloop.deploy.key_files import PublicKey, PublicSigner, Role, fingerprint, read_key
from demoloop.deploy.keys import DEFAULT_FOLDER, KeyFolder


@dataclass(frozen=True)
class Options:
    """Compare the fingerprint with what `demoloop keys list` says on the other computer."""

    file: tyro.conf.Positional[Path]
    """The NAME.public.json or NAME.signer.json that `demoloop keys generate` made there."""
    role: Role
    """viewer: may look on, never command. policy: the two ends of the line between a robot and its
    policy server. operator: may command the robot by hand. signer: policy files it signed may run
    here (NAME.signer.json)."""
    name: str | None = None
    """Short name here; default is the one it was given there."""
    folder: Path = DEFAULT_FOLDER
    """Where this computer's keys are."""


def main(options: Options) -> int:
    """Trusts it from now on, servers that run included; exit code 0."""
    theirs: PublicKey | PublicSigner
    if options.role == "signer":
        theirs = read_key(options.file, PublicSigner)
    else:
        theirs = read_key(options.file, PublicKey)
    name = theirs.name if options.name is None else options.name
    key = KeyFolder(options.folder).trust(theirs.public, name, options.role)
    print(f"{key.name}: {fingerprint(key.public)} is trusted as {key.role}")
    return 0
