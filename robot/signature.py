"""Who answers for a policy file: an Ed25519 signature that stands at its very end.

The exporter signs and the onboard loader verifies, so it stands here, where both may import it.

A signed file is the sealed file and then one more metadata entry of ONNX, always of the same
length, so nothing need be parsed to tell the two apart and a file can be signed without touching a
byte of it. What is signed is the seal, the SHA-256 over every byte before; a signature of another
purpose cannot be taken for one, since the words before the seal are signed too (RFC 8032, Ed25519).
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass

from demoloop.robot.errors import RobotError

_PURPOSE = b"demoloop policy file, sealed as "
_KEY = b"demoloop.signature"
_VALUE = b'{"signer":"%s","ed25519":"%s"}'
# Fields of onnx.proto3: 14 of ModelProto is an entry of metadata, in it 1 is the key, 2 the value.
_ENTRY = b"\x0a%c%s\x12\xda\x01" % (len(_KEY), _KEY)
_BEFORE = b"\x72\xf1\x01" + _ENTRY  # both lengths, 241 and 218, as varints of two bytes
_TRAILER = re.compile(
    re.escape(_BEFORE) + rb'\{"signer":"([0-9a-f]{64})","ed25519":"([0-9a-f]{128})"\}'
)
_LENGTH = len(_BEFORE) + 218


@dataclass(frozen=True)
class Signature:
    """What a file says of itself; `is_true` says whether it is true."""

    signer: str  # public key, 64 hexadecimal digits
    value: str  # 128 hexadecimal digits


def split(data: memoryview) -> tuple[memoryview, Signature | None]:
    """Returns the sealed file and the signature behind it, if there is one."""
    found = _TRAILER.fullmatch(data[-_LENGTH:])
    if found is None:
        return data, None
    return data[:-_LENGTH], Signature(found[1].decode(), found[2].decode())


def trailer(signature: Signature) -> bytes:
    """Returns the bytes to append to a sealed file."""
    return _BEFORE + _VALUE % (signature.signer.encode(), signature.value.encode())


def make_pair() -> tuple[str, str]:
    """Returns a new public and secret key, 64 hexadecimal digits each."""
    _need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    return private.public_key().public_bytes_raw().hex(), private.private_bytes_raw().hex()


def sign(seal: str, secret: str) -> Signature:
    """Signs the seal of a file, 64 hexadecimal digits, with a secret key."""
    _need_cryptography()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    value = private.sign(_PURPOSE + seal.encode())
    return Signature(private.public_key().public_bytes_raw().hex(), value.hex())


def is_true(signature: Signature, seal: str) -> bool:
    """Says whether who holds the secret of `signature.signer` signed this seal."""
    _need_cryptography()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature.signer))
        public.verify(bytes.fromhex(signature.value), _PURPOSE + seal.encode())
    except InvalidSignature:
        return False
    return True


def _need_cryptography() -> None:
    """Loaded only where a signature is made or checked: it takes some 30 ms and 7 MB of memory."""
    if importlib.util.find_spec("cryptography") is None:
        raise RobotError("signatures need the package cryptography; `pip install cryptography`")
