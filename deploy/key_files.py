"""The files of keys: what is in them, and that nobody else may read them."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from demoloop.deploy.errors import DeployError

Role = Literal["viewer", "policy", "operator", "signer"]

_MAX_FILE_BYTES = 4096
Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class PublicKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True,
                tag_field="kind", tag="demoloop public key"):  # fmt: skip
    """What the other computers may know."""

    name: str
    public: Hex


class PublicSigner(msgspec.Struct, frozen=True, forbid_unknown_fields=True,
                   tag_field="kind", tag="demoloop public signer"):  # fmt: skip
    """By which the other computers know who signed a policy file."""

    name: str
    public: Hex


class TrustedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True,
                 tag_field="kind", tag="demoloop trusted key"):  # fmt: skip
    """A key of another computer or of a signer, and what its owner may do here."""

    name: str
    public: Hex
    role: Role


class OwnKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True,
             tag_field="kind", tag="demoloop secret key"):  # fmt: skip
    """The pair of this computer."""

    name: str
    public: Hex
    secret: Hex

    def __repr__(self) -> str:
        """Leaves the secret out, for whatever prints or logs it."""
        return f"OwnKey({self.name!r}, {self.public!r})"


class OwnSigner(msgspec.Struct, frozen=True, forbid_unknown_fields=True,
                tag_field="kind", tag="demoloop secret signer"):  # fmt: skip
    """The pair with which policy files are signed on this computer."""

    name: str
    public: Hex
    secret: Hex

    def __repr__(self) -> str:
        """Leaves the secret out, for whatever prints or logs it."""
        return f"OwnSigner({self.name!r}, {self.public!r})"


Key = PublicKey | PublicSigner | TrustedKey | OwnKey | OwnSigner
_FileT = TypeVar("_FileT", PublicKey, PublicSigner, TrustedKey, OwnKey, OwnSigner)


def fingerprint(public: str) -> str:
    """Returns eight groups of four digits, to be compared by eye."""
    digits = hashlib.sha256(bytes.fromhex(public)).hexdigest()
    return " ".join(digits[i : i + 4] for i in range(0, 32, 4))


def check_private(path: Path, found: os.stat_result, mode: str) -> None:
    """Raises DeployError when others than the owner may look; `mode` is what to set."""
    if os.name != "posix":
        return  # access lists in place of modes: the user's own folders are private there
    if found.st_mode & 0o077:
        raise DeployError(
            f"{path} is open to others on this computer (mode "
            f"{stat.S_IMODE(found.st_mode):o}); `chmod {mode} {path}`, and make a new "
            "key if somebody else may have read this one"
        )
    if found.st_uid not in (0, os.geteuid()):
        raise DeployError(f"{path} belongs to another user; keys must belong to who uses them")


def mark_of(path: Path) -> tuple[int, ...]:
    """Returns what differs after each change of a file; empty when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def read_key(path: Path, kind: type[_FileT]) -> _FileT:
    """Returns what is in a file; raises DeployError when it is not a key of this kind."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(_MAX_FILE_BYTES + 1) if stat.S_ISREG(found.st_mode) else b""
    except OSError as error:
        raise DeployError(f"{path} cannot be read: {error.strerror}") from error
    is_public = kind in (PublicKey, PublicSigner)
    if not is_public:
        check_private(path, found, "600")
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # Not a word of the parser's: it might quote a secret.
        wanted = kind.__struct_config__.tag
        hint = "restore it, or make it anew with `demoloop keys`"
        if is_public and b"demoloop secret" in content:
            hint = "it is a secret key, which never leaves its computer: copy NAME.public.json"
        elif is_public and b"demoloop public" in content:
            hint = "NAME.signer.json is trusted as signer, NAME.public.json as anything else"
        raise DeployError(f"{path} is not a {wanted}; {hint}") from None


def write_new(path: Path, key: Key) -> bool:
    """Writes a file as a whole, and returns False when there is one already."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(key)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, never over another
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True
