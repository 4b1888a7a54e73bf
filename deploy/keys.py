"""The keys of one computer: its own pair, and the public keys it trusts, each in a file of its own.

A folder holds `own.json` (never leaves this computer), `NAME.public.json` (to be copied to the
others) and `trusted/NAME.json` for each key of another computer. All of it is for its owner alone.
Keys are CURVE25519, written as 64 hexadecimal digits. Where policy files are signed there is a
second pair, Ed25519: `signer.json`, and `NAME.signer.json` to be copied. It is made apart, so that
no robot need carry a secret with which policies for all the others could be signed.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

import zmq
from zmq.utils import z85

from demoloop.deploy.errors import DeployError
from demoloop.deploy.key_files import (
    Key,
    OwnKey,
    OwnSigner,
    PublicKey,
    PublicSigner,
    Role,
    TrustedKey,
    check_private,
    mark_of,
    read_key,
    write_new,
)
from demoloop.robot.signature import make_pair, sign

DEFAULT_FOLDER = Path("~/.config/demoloop/keys")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class KeyFolder:
    """A folder of keys; `generate` and `trust` make it when it is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser()
        self.trusted_path = self.path / "trusted"

    def generate(self, name: str) -> tuple[OwnKey, Path]:
        """Makes this computer's pair; returns it and the file to copy to the others."""
        _check_name(name)
        public, secret = (z85.decode(key).hex() for key in zmq.curve_keypair())
        own = OwnKey(name, public, secret)
        to_copy = self.path / f"{name}.public.json"
        self._keep(self.path / "own.json", own, to_copy, PublicKey(name, public))
        return own, to_copy

    def generate_signer(self, name: str) -> tuple[OwnSigner, Path]:
        """Makes the pair that signs policy files; returns it and the file to copy to the others."""
        _check_name(name)
        signer = OwnSigner(name, *make_pair())
        to_copy = self.path / f"{name}.signer.json"
        public = PublicSigner(name, signer.public)
        self._keep(self.path / "signer.json", signer, to_copy, public)
        return signer, to_copy

    def has_own(self) -> bool:
        """Whether this computer has a pair; one that only trusts others needs none."""
        return (self.path / "own.json").exists()

    def own(self) -> OwnKey:
        """Returns this computer's pair; raises DeployError when it cannot be used."""
        self.check()
        path = self.path / "own.json"
        if not self.has_own():
            raise DeployError(
                f"{self.path} holds no key of this computer; make one with "
                f"`demoloop keys generate NAME --folder {self.path}`"
            )
        own = read_key(path, OwnKey)
        if z85.decode(zmq.curve_public(z85.encode(bytes.fromhex(own.secret)))).hex() != own.public:
            raise _mixed_up(path)
        return own

    def has_signer(self) -> bool:
        """Whether policy files can be signed here."""
        return (self.path / "signer.json").exists()

    def signer(self) -> OwnSigner:
        """Returns the pair that signs policy files; raises DeployError when it cannot be used."""
        self.check()
        path = self.path / "signer.json"
        if not self.has_signer():
            raise DeployError(
                f"{self.path} holds no key to sign with; make one with "
                f"`demoloop keys generate NAME --signer --folder {self.path}`"
            )
        signer = read_key(path, OwnSigner)
        if sign("", signer.secret).signer != signer.public:
            raise _mixed_up(path)
        return signer

    def trust(self, public: str, name: str, role: Role) -> TrustedKey:
        """Trusts a public key [64 hexadecimal digits] under a short name."""
        _check_name(name)
        self._make(self.path)
        self._make(self.trusted_path)
        for other in self.trusted():
            if public == other.public:
                raise DeployError(
                    f"this key is trusted already, as {other.name} ({other.role}); to "
                    f"change that, `demoloop keys revoke {other.name}` first"
                )
        key = TrustedKey(name, public, role)
        if not write_new(self._file_of(name), key):
            raise DeployError(
                f"another key is trusted as {name}; revoke that one first, or choose another --name"
            )
        return key

    def revoke(self, name: str) -> None:
        """Trusts a key no longer, even one whose file is damaged."""
        _check_name(name)
        self.check()
        try:
            self._file_of(name).unlink()
        except FileNotFoundError as error:
            raise _unknown(name, self.path, self._names()) from error

    def trusted(self) -> tuple[TrustedKey, ...]:
        """Returns the keys by name; raises DeployError when one of them cannot be read."""
        self.check()
        return tuple(self.read(name) for name in self._names())

    def server(self, name: str | None) -> TrustedKey:
        """Returns the key of the policy server called `name`; None takes the only one there is."""
        servers = {key.name: key for key in self.trusted() if key.role == "policy"}
        if name is None:
            if len(servers) == 1:
                return next(iter(servers.values()))
            raise DeployError(
                f"{self.path} trusts {len(servers)} keys as policy "
                f"({', '.join(servers) or 'none'}); say which is the server's with "
                "--server-key, or trust one with `demoloop keys trust FILE "
                "--role policy`"
            )
        if name not in self._names():
            raise _unknown(name, self.path, list(servers))
        if name not in servers:
            raise DeployError(
                f"{name} is trusted as {self.read(name).role}, and only a key trusted "
                "as policy may move this robot's arm; choose another --server-key, or "
                "revoke it and trust it with --role policy"
            )
        return servers[name]

    def read(self, name: str) -> TrustedKey:
        """Returns one trusted key, from its file."""
        path = self._file_of(name)
        key = read_key(path, TrustedKey)
        if key.name != name:
            raise DeployError(
                f"{path} is the key of {key.name!r}; a trusted key is in the file of "
                f"its name: revoke {name} and trust it anew"
            )
        return key

    def marks(self) -> dict[str, tuple[int, ...]]:
        """Returns what changes with each trusted key's file: trust was given or withdrawn."""
        names = self._names()
        return {name: mark_of(self._file_of(name)) for name in names}

    def mark(self, name: str) -> tuple[int, ...]:
        """Returns what changes with the file of one trusted key; empty when it is gone."""
        return mark_of(self._file_of(name))

    def check(self) -> None:
        """Raises DeployError when the folder is not there, or not for its owner alone."""
        for path in (self.path, self.trusted_path):
            try:
                found = path.stat()
            except FileNotFoundError:
                if path == self.path:
                    raise DeployError(
                        f"there is no folder of keys {path}; make one with "
                        f"`demoloop keys generate NAME --folder {path}`"
                    ) from None
                continue
            except OSError as error:
                raise DeployError(f"{path} cannot be read: {error.strerror}") from error
            if not stat.S_ISDIR(found.st_mode):
                raise DeployError(f"{path} is no folder; name the folder of keys")
            check_private(path, found, "700")

    def _names(self) -> list[str]:
        try:
            files = [Path(name) for name in os.listdir(self.trusted_path)]
        except FileNotFoundError:
            return []
        return sorted(f.stem for f in files if f.suffix == ".json" and _NAME.fullmatch(f.stem))

    def _file_of(self, name: str) -> Path:
        return self.trusted_path / f"{name}.json"

    def _keep(self, path: Path, own: Key, to_copy: Path, public: Key) -> None:
        """Writes a new pair, and never over another."""
        self._make(self.path)
        if not write_new(path, own):
            raise DeployError(
                f"{self.path} holds the key of this computer already; it is who the "
                f"others trust, so remove {path.name} yourself to make another"
            )
        to_copy.unlink(missing_ok=True)  # of an earlier pair
        write_new(to_copy, public)

    def _make(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
        except OSError as error:
            raise DeployError(
                f"{path} cannot be made: {error.strerror}; choose another --folder"
            ) from error
        self.check()


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise DeployError(
            f"{name!r} is no name for a key; take 1 to 32 small letters, digits and "
            "hyphens, such as arm-1"
        )


def _mixed_up(path: Path) -> DeployError:
    return DeployError(
        f"the public and the secret key in {path} do not belong together; "
        "restore the file, or remove it and make a new key"
    )


def _unknown(name: str, folder: Path, known: list[str]) -> DeployError:
    return DeployError(f"{folder} trusts no key {name!r}; it has {', '.join(known) or 'none'}")
